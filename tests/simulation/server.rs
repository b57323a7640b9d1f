//! An API server with one Lease: linearizable, and as unhelpful as a real one may be.
//!
//! Writes are compare-and-swap on uid and resourceVersion; versions rise over deletion; a byte-identical
//! update is answered with 200 and writes nothing; watches are fed from a cache that may lag.

use std::rc::Rc;
use std::time::Duration;

use singletonjob::lease::annotations::Annotations;
use singletonjob::lease::elector::Write;
use singletonjob::lease::identity::Version;
use singletonjob::lease::record::Record;

/// How long a watch can be taken up where it ended.
const REMEMBERED: Duration = Duration::from_secs(120);

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ailment {
    /// Connections are refused.
    Down,
    /// Requests are taken and not answered; some are served when it is over.
    Hangs,
    /// An election in etcd: everything takes seconds.
    Stalls,
    /// 500, before, after or long before the commit.
    Fails,
    /// 429.
    Throttles,
    /// 403.
    Forbids,
}

/// One state of the Lease; none where it does not exist.
#[derive(Clone)]
pub struct Change {
    pub at: Duration,
    pub version: u128,
    pub lease: Option<Rc<Record>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// 200, and whether anything was written.
    Stored(Rc<Record>, bool),
    Conflict,
    NotFound,
}

pub struct Server {
    pub history: Vec<Change>,
    version: u128,
    uids: u32,
    ailment: Option<(Ailment, Duration)>,
    cache_lag: (Duration, Duration),
}

impl Server {
    pub fn new() -> Self {
        let mut server = Self {
            history: Vec::new(),
            version: 0,
            uids: 0,
            ailment: None,
            cache_lag: (Duration::ZERO, Duration::ZERO),
        };
        server.begin_anew(Duration::ZERO);
        server
    }

    /// Nothing is stored, and versions begin anew.
    pub fn begin_anew(&mut self, now: Duration) {
        self.version = 100;
        self.history = vec![Change { at: now, version: 100, lease: None }];
    }

    pub fn lease(&self) -> Option<&Rc<Record>> {
        self.history.last().and_then(|change| change.lease.as_ref())
    }

    pub fn fall_ill(&mut self, ailment: Ailment, until: Duration) {
        self.ailment = Some((ailment, until));
    }

    pub fn ailment(&self, now: Duration) -> Option<(Ailment, Duration)> {
        self.ailment.filter(|(_, until)| now < *until)
    }

    pub fn lag(&mut self, by: Duration, until: Duration) {
        self.cache_lag = (by, until);
    }

    pub fn cache_lag(&self, now: Duration) -> Duration {
        let (lag, until) = self.cache_lag;
        if now < until { lag } else { Duration::ZERO }
    }

    pub fn well_from(&self) -> Duration {
        self.ailment.map_or(Duration::ZERO, |(_, until)| until).max(self.cache_lag.1)
    }

    /// A candidate's compare-and-swap.
    pub fn put(&mut self, now: Duration, write: &Write) -> Verdict {
        let Some(base) = self.lease().cloned() else { return Verdict::NotFound };
        if base.uid != write.uid || base.version != write.base {
            return Verdict::Conflict;
        }
        let next = overlaid(&base, write);
        if next == *base {
            return Verdict::Stored(base, false);
        }
        Verdict::Stored(self.store(now, next), true)
    }

    /// The controller's compare-and-swap, which it repeats until it succeeds; none where nothing is changed.
    pub fn annotate(&mut self, now: Duration, note: impl FnOnce(&mut Annotations)) -> Option<Rc<Record>> {
        let mut next = Record::clone(self.lease()?);
        note(&mut next.annotations);
        let changed = self.lease().is_some_and(|lease| lease.annotations != next.annotations);
        changed.then(|| self.store(now, next))
    }

    /// By hand. Nothing changes where it has no holder.
    pub fn empty(&mut self, now: Duration) -> Option<Rc<Record>> {
        let held = self.lease().filter(|lease| lease.holder.is_some())?;
        let next = Record { holder: None, ..Record::clone(held) };
        Some(self.store(now, next))
    }

    /// `record` with a new uid.
    pub fn create(&mut self, now: Duration, record: Record) -> Option<Rc<Record>> {
        if self.lease().is_some() {
            return None;
        }
        self.uids += 1;
        let uid = format!("lease-{}", self.uids);
        Some(self.store(now, Record { uid, ..record }))
    }

    pub fn delete(&mut self, now: Duration) {
        self.version += 1;
        self.remember(Change { at: now, version: self.version, lease: None });
    }

    /// Others write to the same store.
    pub fn pass_by(&mut self, writes: u64) {
        self.version += u128::from(writes);
    }

    /// A backup of `age`: content and versions are as they were then, and there is no history.
    pub fn restore(&mut self, now: Duration, age: Duration) {
        let then = now.saturating_sub(age);
        let position = self.history.iter().rposition(|change| change.at <= then).unwrap_or(0);
        let backup = Change { at: now, ..self.history[position].clone() };
        self.version = backup.version;
        self.history = vec![backup];
    }

    fn store(&mut self, now: Duration, record: Record) -> Rc<Record> {
        self.version += 1;
        let stored = Rc::new(Record { version: Version(self.version), ..record });
        self.remember(Change { at: now, version: self.version, lease: Some(Rc::clone(&stored)) });
        stored
    }

    fn remember(&mut self, change: Change) {
        let forgotten = self.history.iter().take_while(|old| old.at + REMEMBERED < change.at).count();
        self.history.drain(..forgotten.min(self.history.len() - 1));
        self.history.push(change);
    }
}

/// What a candidate's store sends: everything that is not the candidate's to say stays.
fn overlaid(base: &Record, write: &Write) -> Record {
    Record {
        uid: base.uid.clone(),
        version: base.version,
        holder: write.holder.clone(),
        lease_duration: write.lease_duration,
        acquire_time: write.acquire_time.or(base.acquire_time),
        renew_time: Some(write.renew_time),
        transitions: write.transitions,
        annotations: Annotations {
            progress: write.progress.clone(),
            released: write.released.clone(),
            finished: write.finished.clone(),
            health: write.health.clone(),
            handover: if write.drop_directives { None } else { base.annotations.handover.clone() },
            cleared: if write.drop_directives { None } else { base.annotations.cleared.clone() },
            ..base.annotations.clone()
        },
    }
}
