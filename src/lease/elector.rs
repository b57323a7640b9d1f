//! Who may run, until when, and what to do next: the decisions of one candidate.
//!
//! A pure state machine: it reads no clock, does no I/O and never blocks; the same inputs always give the same outputs. The model checker, the
//! tests and the agent drive this very code.
//!
//! Its life is a line: a candidate stands by, may acquire the Lease once, holds it, stops, releases it, and is done. One process, one tenure.
//! A step first takes in what was told ([`Input`]) and then looks at all that is due, so that nothing depends on the order of arrival.
//!
//! # Guarantees
//! - A workload is started only while holding, with the deadline armed, before the renew deadline, and at most once.
//! - The deadline moves later only by proof that an own write was stored, to the moment before that write was sent plus `D`.
//! - A takeover is sent only on a record that was released, or that was seen unchanged for the longest lease duration known.
//! - A release is sent only when the process tree is empty.

mod account;
mod standby;
mod succession;
mod tenure;

use std::time::Duration;

use jiff::Timestamp;

use super::clock::{Moment, Now};
use super::notes::{Exit, Finished, Health, Policy, Progress, Released};
use super::record::{Identity, Record, Version};
use super::timing::Timing;
use standby::Standby;
use tenure::Tenure;

/// The candidate whose decisions these are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// New for every process.
    pub identity: Identity,
    /// Of the SingletonJob that this pod was made for: it runs no other one's runs.
    pub job_uid: String,
    /// From SIGTERM to SIGKILL when asked to stop while the lease is safe.
    pub stop_grace: Duration,
}

/// How an observation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// May lag behind.
    Watch,
    /// Linearizable.
    Read,
}

/// What the outside world told the elector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The Lease looks like this.
    Saw(Record, Source),
    /// A linearizable read found no Lease.
    Missing,
    /// The watch says that the Lease was deleted; to be confirmed by a read.
    Vanished,
    /// A read failed: address and class of error.
    Unreachable(String),
    /// A PUT ended, one way or another.
    Answered {
        /// Which.
        attempt: u64,
        /// How.
        answer: Answer,
    },
    /// Something happened in the container.
    Told(Fact),
    /// Time has passed.
    Tick,
}

/// How a PUT ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 2xx; this is what is stored now.
    Stored(Record),
    /// 409: it was not stored, for something else was before it.
    Conflict,
    /// It was certainly not stored, for this reason.
    Refused(String),
    /// Timeout, lost connection, 5xx: it may have been stored, or may still be.
    Unknown(String),
}

/// What happened in the container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The workload was not started: the time allowed for it had passed.
    NotStarted,
    /// The workload's first process ended; others may still run.
    WorkloadEnded(Exit),
    /// After a kill: no process is left but our own.
    TreeEmpty,
    /// The container is to end.
    Drain,
    /// The liveness probe failed: the drain that follows is a failure of the workload.
    Unhealthy,
    /// How late this process wakes up at most, lately.
    Lateness(Duration),
}

/// What the elector wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Compare and swap; answered by [`Input::Answered`] within the deadline.
    Put {
        /// To be named in the answer.
        attempt: u64,
        /// What to write.
        write: Box<Write>,
        /// The longest that an answer is waited for.
        deadline: Duration,
    },
    /// A linearizable read; answered by [`Input::Saw`], [`Input::Missing`] or [`Input::Unreachable`] within the deadline.
    Read {
        /// The longest that an answer is waited for.
        deadline: Duration,
    },
    /// To the owner of the workload.
    Order(Order),
}

/// What the owner of the workload does, at once and in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// The kernel kills this process at this reading of CLOCK_BOOTTIME.
    ArmDeadline(Duration),
    /// Nothing runs any more.
    DisarmDeadline,
    /// Start the workload.
    Start(Start),
    /// Ask the workload to end.
    Terminate,
    /// Kill everything but ourselves until nothing is left, then tell [`Fact::TreeEmpty`].
    Kill,
    /// End this process.
    Exit(Ending),
}

/// One start of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// The fencing token.
    pub token: Version,
    /// Which run, from 1.
    pub run: u32,
    /// Which attempt of this run, from 1.
    pub attempt: u32,
    /// Check the clock immediately before the fork, and do not start when this much has passed ...
    pub within: Duration,
    /// ... since then.
    pub since: Moment,
}

/// Why the process ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Stopped on request.
    Interrupted,
    /// The workload ended by itself.
    Exited(Exit),
    /// The Lease was lost, for this reason.
    Lost(String),
    /// The Lease could never be read, for this reason.
    Unreadable(String),
    /// The process tree could not be emptied.
    Undead,
}

/// A compare-and-swap on the Lease: everything it changes. What is not named here stays as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Which Lease.
    pub uid: String,
    /// Fails unless this is the stored version.
    pub base: Version,
    /// Empty to release.
    pub holder: Option<Identity>,
    /// `L`.
    pub lease_duration: Duration,
    /// When this tenure began.
    pub acquire_time: Option<Timestamp>,
    /// Unique to this write.
    pub renew_time: Timestamp,
    /// For people.
    pub transitions: i32,
    /// Set or removed, as all of these.
    pub progress: Option<Progress>,
    /// Set when releasing; kept while the tenure lasts that began on it.
    pub released: Option<Released>,
    /// The last finished run.
    pub finished: Option<Finished>,
    /// How the holder fares.
    pub health: Option<Health>,
    /// Whether a request to hand over is done with.
    pub drop_handover: bool,
}

/// What a candidate is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Has not read its Lease yet.
    Pending,
    /// Waits.
    Standby,
    /// Holds the Lease.
    Active,
    /// Holds the Lease, and is stopping or has ended.
    Stopping,
}

/// What others may know about a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// What it is.
    pub role: Role,
    /// Who holds the Lease, as far as it knows.
    pub holder: Option<Identity>,
    /// The fencing token, while it has one.
    pub token: Option<Version>,
    /// Until when the tenure is proven, on CLOCK_BOOTTIME.
    pub valid_until: Option<Duration>,
    /// Why the Lease cannot be read or renewed at the moment.
    pub trouble: Option<String>,
}

/// A write that was sent, and may have been stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    id: u64,
    sent: Moment,
    /// The version it was based on: a result must be newer.
    base: Version,
    renew_time: Timestamp,
    timing: Timing,
    /// Known when it was sent: shortens what it is good for.
    lateness: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Standby(Standby),
    Tenure(Box<Tenure>),
    Done,
}

/// The decisions of one candidate. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elector {
    candidate: Candidate,
    stage: Stage,
    wire: Wire,
    lateness: Duration,
    drain: Option<Moment>,
    unhealthy: bool,
}

/// What is known of the Lease, and what is on its way to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wire {
    latest: Option<Record>,
    /// The last that could be obeyed: should the wish vanish, it goes on to hold.
    policy: Option<(Policy, Timing)>,
    /// The longest lease duration ever seen for this Lease.
    longest_lease: Duration,
    /// Sent, neither proven nor refuted.
    attempts: Vec<Attempt>,
    in_flight: Option<u64>,
    reading: Reading,
    last_read: Moment,
    /// The last write has to be repeated.
    urgent: bool,
    sent: u64,
    last_sent: Option<(Moment, Version)>,
    last_renew_time: Option<Timestamp>,
    /// When something was last heard, or since when nothing ever was.
    contact: Moment,
    heard: bool,
    trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    Idle,
    Wanted,
    /// Asked for; the answer is good.
    Asked,
    /// Asked for before the Lease was acquired; the answer is old.
    Outdated,
}

impl Elector {
    /// A candidate that stands by and knows nothing yet.
    pub fn new(candidate: Candidate, now: Moment) -> Self {
        Self {
            candidate,
            stage: Stage::Standby(Standby::default()),
            wire: Wire::new(now),
            lateness: Duration::ZERO,
            drain: None,
            unhealthy: false,
        }
    }

    /// One step.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        if let Stage::Tenure(tenure) = &mut self.stage {
            tenure.expire(now.at);
        }
        self.take_in(now, input);
        let mut outputs = Vec::new();
        self.decide(now, &mut outputs);
        outputs
    }

    fn take_in(&mut self, now: Now, input: Input) {
        match input {
            Input::Saw(record, source) => {
                if source == Source::Read {
                    self.wire.reading = Reading::Idle;
                }
                self.observe(now, record, source);
            }
            Input::Missing => self.missing(now),
            Input::Vanished => self.wire.want_read(),
            Input::Unreachable(why) => self.wire.unreachable(why),
            Input::Answered { attempt, answer } => self.answered(now, attempt, answer),
            Input::Told(fact) => self.told(now, fact),
            Input::Tick => {}
        }
    }

    fn observe(&mut self, now: Now, record: Record, source: Source) {
        if self.wire.is_old_news(&record, source) {
            return;
        }
        let returned = self.wire.hear(now.at, &record);
        match &mut self.stage {
            Stage::Standby(standby) => {
                standby.saw(now.at, &record, returned);
                let proof = self.wire.prove(&record, Some(&self.candidate.identity));
                self.wire.latest = Some(record);
                if let Some(attempt) = proof {
                    self.begin_tenure(now, attempt);
                }
            }
            Stage::Tenure(tenure) if record.version > tenure.version => {
                tenure.saw(now.at, &record, &self.candidate.identity, &mut self.wire);
                self.wire.latest = Some(record);
            }
            // Our own last write is newer: a lagging watch must not end a rightful tenure.
            Stage::Tenure(_) | Stage::Done => {}
        }
    }

    fn begin_tenure(&mut self, now: Now, attempt: Attempt) {
        let (Some(record), Some((policy, _))) = (&self.wire.latest, &self.wire.policy) else { return };
        self.stage = Stage::Tenure(Box::new(Tenure::begin(now, attempt, record, policy.clone())));
        if self.wire.reading == Reading::Asked {
            self.wire.reading = Reading::Outdated;
        }
    }

    fn missing(&mut self, now: Now) {
        let outdated = self.wire.reading == Reading::Outdated;
        self.wire.reading = Reading::Idle;
        self.wire.contact = now.at;
        self.wire.heard = true;
        match &mut self.stage {
            Stage::Tenure(tenure) if !outdated => tenure.lose(now.at, "the Lease was deleted"),
            Stage::Standby(standby) => {
                *standby = Standby::default();
                self.wire.latest = None;
                self.wire.trouble = Some("the Lease does not exist; the controller makes it".to_owned());
            }
            Stage::Tenure(_) | Stage::Done => {}
        }
    }

    fn answered(&mut self, now: Now, id: u64, answer: Answer) {
        if self.wire.in_flight == Some(id) {
            self.wire.in_flight = None;
        }
        match answer {
            Answer::Stored(record) => self.observe(now, record, Source::Read),
            Answer::Conflict => {
                self.wire.attempts.retain(|attempt| attempt.id != id);
                self.wire.urgent = true;
                self.wire.want_read();
            }
            Answer::Refused(why) => {
                self.wire.attempts.retain(|attempt| attempt.id != id);
                self.wire.trouble = Some(why);
                self.wire.want_read();
            }
            Answer::Unknown(why) => {
                self.wire.trouble = Some(why);
                self.wire.urgent = true;
                if matches!(self.stage, Stage::Standby(_)) {
                    self.wire.want_read();
                }
            }
        }
    }

    fn told(&mut self, now: Now, fact: Fact) {
        match (fact, &mut self.stage) {
            (Fact::Drain, _) => self.drain = self.drain.or(Some(now.at)),
            (Fact::Unhealthy, _) => self.unhealthy = true,
            (Fact::Lateness(lateness), _) => self.lateness = lateness,
            (Fact::NotStarted, Stage::Tenure(tenure)) => tenure.not_started(),
            (Fact::WorkloadEnded(exit), Stage::Tenure(tenure)) => tenure.ended(now.at, exit),
            (Fact::TreeEmpty, Stage::Tenure(tenure)) => tenure.tree_empty(now),
            // Without a tenure there is no workload that could end.
            (Fact::NotStarted | Fact::WorkloadEnded(_) | Fact::TreeEmpty, Stage::Standby(_) | Stage::Done) => {}
        }
    }

    fn decide(&mut self, now: Now, outputs: &mut Vec<Output>) {
        match &mut self.stage {
            Stage::Standby(standby) => {
                let exit = standby.decide(now, &self.candidate, self.drain, self.lateness, &mut self.wire, outputs);
                self.finish(exit, outputs);
            }
            Stage::Tenure(tenure) => {
                if let Some(since) = self.drain {
                    tenure.drain(now.at, since, self.unhealthy, self.candidate.stop_grace);
                }
                let exit = tenure.decide(now, &self.candidate, self.lateness, &mut self.wire, outputs);
                self.finish(exit, outputs);
            }
            Stage::Done => {}
        }
    }

    fn finish(&mut self, ending: Option<Ending>, outputs: &mut Vec<Output>) {
        if let Some(ending) = ending {
            self.stage = Stage::Done;
            outputs.push(Output::Order(Order::Exit(ending)));
        }
    }

    /// How long nothing will be due without input; at least a millisecond.
    pub fn wakes_in(&self, now: Moment) -> Duration {
        let due = match &self.stage {
            Stage::Standby(standby) => standby.next_due(now, &self.candidate, &self.wire),
            Stage::Tenure(tenure) => tenure.next_due(now, &self.wire),
            Stage::Done => Duration::MAX,
        };
        due.clamp(Duration::from_millis(1), LONGEST_SLEEP)
    }

    /// What others may know.
    pub fn view(&self) -> View {
        let holder = self.wire.latest.as_ref().and_then(|record| record.holder.clone());
        let trouble = self.wire.trouble.clone();
        let (role, token, valid_until) = match &self.stage {
            Stage::Standby(_) if self.wire.latest.is_none() => (Role::Pending, None, None),
            Stage::Standby(_) => (Role::Standby, None, None),
            Stage::Tenure(tenure) => (tenure.role(), Some(tenure.token), tenure.valid_until()),
            Stage::Done => (Role::Stopping, None, None),
        };
        View { role, holder, token, valid_until, trouble }
    }
}

const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Before any policy was read.
const DEFAULT_READ_DEADLINE: Duration = Duration::from_secs(2);

/// A policy whose durations fit; one that does not is of no use and left aside.
fn obeyable(policy: &Policy) -> Option<(Policy, Timing)> {
    let timing = policy.timing().inspect_err(|misfit| tracing::warn!(%misfit, "cannot obey the policy in the Lease")).ok()?;
    Some((policy.clone(), timing))
}

impl Wire {
    fn new(now: Moment) -> Self {
        Self {
            latest: None,
            policy: None,
            longest_lease: Duration::ZERO,
            attempts: Vec::new(),
            in_flight: None,
            reading: Reading::Wanted,
            last_read: now,
            urgent: false,
            sent: 0,
            last_sent: None,
            last_renew_time: None,
            contact: now,
            heard: false,
            trouble: None,
        }
    }

    /// A watch may lag behind what was read; a read is always news, even when versions went back with a restored store.
    fn is_old_news(&self, record: &Record, source: Source) -> bool {
        source == Source::Watch && self.latest.as_ref().is_some_and(|latest| record.version < latest.version)
    }

    /// Notes what every observation says, and tells whether it ends a time out of contact.
    fn hear(&mut self, now: Moment, record: &Record) -> bool {
        if let Some((policy, timing)) = record.notes.policy.as_ref().and_then(obeyable) {
            self.longest_lease = self.longest_lease.max(timing.lease_duration());
            self.policy = Some((policy, timing));
        }
        self.longest_lease = self.longest_lease.max(record.lease_duration);
        self.contact = now;
        self.heard = true;
        self.trouble.take().is_some()
    }

    fn unreachable(&mut self, why: String) {
        self.reading = Reading::Idle;
        self.trouble = Some(why);
    }

    fn want_read(&mut self) {
        if self.reading == Reading::Idle {
            self.reading = Reading::Wanted;
        }
    }

    fn read(&mut self, now: Moment, outputs: &mut Vec<Output>) {
        if self.reading == Reading::Wanted {
            self.reading = Reading::Asked;
            self.last_read = now;
            let deadline = self.policy.as_ref().map_or(DEFAULT_READ_DEADLINE, |(_, timing)| timing.request_deadline());
            outputs.push(Output::Read { deadline });
        }
    }

    /// Whether nothing is on its way: only then is something new sent.
    fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.reading == Reading::Idle
    }

    /// How long the next write must still wait, where writes follow each other after `period`.
    ///
    /// A repetition need not wait for its period, only for half of it; and not at all when what it lost against is known by now, for then it
    /// is based on something newer than the last one was.
    fn pace(&self, now: Moment, period: Duration) -> Duration {
        let Some((sent, base)) = self.last_sent else { return Duration::ZERO };
        let newer = self.latest.as_ref().is_some_and(|latest| latest.version > base);
        let period = match (self.urgent, newer) {
            (true, true) => return Duration::ZERO,
            (true, false) => period / 2,
            (false, _) => period,
        };
        period.saturating_sub(now.elapsed_for_holder(sent))
    }

    /// The own attempt that `record` proves to have been stored: its holder is `holder`, and its renewTime is that attempt's alone.
    fn prove(&mut self, record: &Record, holder: Option<&Identity>) -> Option<Attempt> {
        let proves = |attempt: &&Attempt| {
            record.holder.as_ref() == holder
                && record.renew_time == Some(attempt.renew_time)
                && record.lease_duration == attempt.timing.lease_duration()
                && record.version > attempt.base
        };
        let proven = self.attempts.iter().find(proves).copied();
        self.urgent &= proven.is_none();
        // What was based on an older version and is not what is stored now can never be stored.
        self.attempts.retain(|attempt| attempt.base >= record.version);
        proven
    }

    /// Strictly increasing, so that a write is never byte-identical to what is stored, and every attempt can be told by it.
    fn next_renew_time(&self, wall: Timestamp) -> Timestamp {
        let stored = self.latest.as_ref().and_then(|record| record.renew_time);
        let previous = stored.max(self.last_renew_time);
        previous.map_or(wall, |previous| wall.max(previous + Duration::from_micros(1)))
    }

    fn put(&mut self, now: Now, write: Write, timing: Timing, lateness: Duration, outputs: &mut Vec<Output>) -> Attempt {
        self.sent += 1;
        let attempt = Attempt { id: self.sent, sent: now.at, base: write.base, renew_time: write.renew_time, timing, lateness };
        self.attempts.push(attempt);
        self.in_flight = Some(attempt.id);
        self.last_sent = Some((now.at, write.base));
        self.last_renew_time = Some(write.renew_time);
        self.urgent = false;
        outputs.push(Output::Put { attempt: attempt.id, write: Box::new(write), deadline: timing.request_deadline() });
        attempt
    }
}

impl Attempt {
    /// `D`, from before it was sent.
    fn hard(&self) -> Duration {
        self.timing.hard_deadline().saturating_sub(self.lateness)
    }

    /// `S`, from before it was sent.
    fn soft(&self) -> Duration {
        self.timing.renew_deadline().saturating_sub(self.lateness)
    }
}
