//! What is known of the Lease, and what is on its way to it.

use std::time::Duration;

use jiff::Timestamp;

use super::super::clock::{Moment, Now};
use super::super::identity::{Identity, Version};
use super::super::notes::{Health, Policy};
use super::super::record::Record;
use super::super::timing::Timing;
use super::{Output, Source, Write};

/// What is known of the Lease, and what is on its way to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wire {
    pub(super) latest: Option<Record>,
    /// The last that could be obeyed: should the wish vanish, it goes on to hold.
    pub(super) policy: Option<(Policy, Timing)>,
    /// The longest lease duration ever seen for this Lease.
    pub(super) longest_lease: Duration,
    /// Sent, neither proven nor refuted.
    pub(super) attempts: Vec<Attempt>,
    pub(super) in_flight: Option<u64>,
    pub(super) reading: Reading,
    pub(super) last_read: Moment,
    /// The last write has to be repeated.
    pub(super) urgent: bool,
    pub(super) sent: u64,
    pub(super) last_sent: Option<(Moment, Version)>,
    last_renew_time: Option<Timestamp>,
    /// When this process began, by its node's time of day.
    agent_started: Timestamp,
    /// When something was last heard, or since when nothing ever was.
    pub(super) contact: Moment,
    pub(super) heard: bool,
    pub(super) trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    Idle,
    Wanted,
    /// Asked for; the answer is good.
    Asked,
    /// Asked for before the Lease was acquired; the answer is old.
    Outdated,
}

/// A write that was sent, and may have been stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    pub(super) id: u64,
    pub(super) sent: Moment,
    /// The version it was based on: a result must be newer.
    pub(super) base: Version,
    renew_time: Timestamp,
    pub(super) timing: Timing,
    /// Known when it was sent: shortens what it is good for.
    lateness: Duration,
    pub(super) worth: Worth,
}

/// What a write that keeps the Lease is good for, once it is known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Worth {
    /// It moves the deadline later.
    Renewal,
    /// It tells how the attempt has ended, and moves nothing.
    Outcome,
}

/// Before any policy was read.
const DEFAULT_READ_DEADLINE: Duration = Duration::from_secs(2);

/// A policy whose durations fit; one that does not is of no use and left aside.
fn obeyable(policy: &Policy) -> Option<(Policy, Timing)> {
    let timing = policy.timing().inspect_err(|misfit| tracing::warn!(%misfit, "cannot obey the policy in the Lease")).ok()?;
    Some((policy.clone(), timing))
}

impl Wire {
    pub(super) fn new(now: Now) -> Self {
        Self {
            latest: None,
            policy: None,
            longest_lease: Duration::ZERO,
            attempts: Vec::new(),
            in_flight: None,
            reading: Reading::Wanted,
            last_read: now.at,
            urgent: false,
            sent: 0,
            last_sent: None,
            last_renew_time: None,
            agent_started: now.wall,
            contact: now.at,
            heard: false,
            trouble: None,
        }
    }

    /// A watch may lag behind what was read; a read is always news, even when versions went back with a restored store.
    pub(super) fn is_old_news(&self, record: &Record, source: Source) -> bool {
        source == Source::Watch && self.latest.as_ref().is_some_and(|latest| record.version < latest.version)
    }

    /// Notes what every observation says, and tells whether it ends a time out of contact. A Lease that does not name this job is not obeyed;
    /// that it speaks of a longer lease is believed.
    pub(super) fn hear(&mut self, now: Moment, record: &Record, job_uid: &str) -> bool {
        if let Some((policy, timing)) = record.notes.policy.as_ref().and_then(obeyable) {
            self.longest_lease = self.longest_lease.max(timing.lease_duration());
            if record.is_about(job_uid) {
                self.policy = Some((policy, timing));
            }
        }
        self.longest_lease = self.longest_lease.max(record.lease_duration);
        self.contact = now;
        self.heard = true;
        self.trouble.take().is_some()
    }

    pub(super) fn unreachable(&mut self, why: String) {
        self.reading = Reading::Idle;
        self.trouble = Some(why);
    }

    pub(super) fn want_read(&mut self) {
        if self.reading == Reading::Idle {
            self.reading = Reading::Wanted;
        }
    }

    pub(super) fn read(&mut self, now: Moment, outputs: &mut Vec<Output>) {
        if self.reading == Reading::Wanted {
            self.reading = Reading::Asked;
            self.last_read = now;
            let deadline = self.policy.as_ref().map_or(DEFAULT_READ_DEADLINE, |(_, timing)| timing.request_deadline());
            outputs.push(Output::Read { deadline });
        }
    }

    /// Whether nothing is on its way: only then is something new sent.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.reading == Reading::Idle
    }

    /// How long the next write must still wait, where writes follow each other after `period`.
    ///
    /// A repetition need not wait for its period, only for half of it; and not at all when what it lost against is known by now, for then it
    /// is based on something newer than the last one was.
    pub(super) fn pace(&self, now: Moment, period: Duration) -> Duration {
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
    pub(super) fn prove(&mut self, record: &Record, holder: Option<&Identity>) -> Option<Attempt> {
        let proves = |attempt: &&Attempt| {
            record.holder.as_ref() == holder
                && record.renew_time == Some(attempt.renew_time)
                && record.lease_duration == attempt.timing.lease_duration()
                && record.version > attempt.base
        };
        let proof = self.attempts.iter().find(proves).copied();
        self.urgent &= proof.is_none();
        // What was based on an older version and is not what is stored now can never be stored.
        self.attempts.retain(|attempt| attempt.base >= record.version);
        proof
    }

    /// The renewTime of a write that acquires. Its identity is new to the Lease, and so is the triple that challengers watch: it goes back to the
    /// time of day, whatever is stored, and need only differ from this process's own earlier attempts.
    pub(super) fn first_renew_time(&self, wall: Timestamp) -> Timestamp {
        self.past_the_mark(Record::next_renew_time(self.last_renew_time, wall))
    }

    /// The renewTime of a renewal or a release: it rises.
    pub(super) fn next_renew_time(&self, wall: Timestamp) -> Timestamp {
        let stored = self.latest.as_ref().and_then(|record| record.renew_time);
        let next = Record::next_renew_time(stored, self.first_renew_time(wall));
        self.past_the_mark(next)
    }

    /// Passes over the renewTime that a mark in the Lease is bound to. It lies ahead where a tenure has set the time back, and the mark must never
    /// come to mean a write of that tenure: a Lease that is emptied by hand would be free.
    fn past_the_mark(&self, time: Timestamp) -> Timestamp {
        let marked = self.latest.as_ref().and_then(|record| record.notes.released.as_ref()).and_then(|mark| mark.renew_time);
        if marked == Some(time) { Record::next_renew_time(marked, time) } else { time }
    }

    /// How the holder fares: what this process says of itself in every write that keeps the Lease.
    pub(super) fn health(&self) -> Health {
        Health { agent_started: Some(self.agent_started), ..Health::default() }
    }

    pub(super) fn put(&mut self, now: Now, write: Write, timing: Timing, lateness: Duration, outputs: &mut Vec<Output>) {
        let attempt = self.register(now, &write, Worth::Renewal, timing, lateness);
        outputs.push(attempt.put(write));
    }

    /// Takes `write` for sent, which is for the caller to do.
    pub(super) fn register(&mut self, now: Now, write: &Write, worth: Worth, timing: Timing, lateness: Duration) -> Attempt {
        self.sent += 1;
        let attempt = Attempt { id: self.sent, sent: now.at, base: write.base, renew_time: write.renew_time, timing, lateness, worth };
        self.attempts.push(attempt);
        self.in_flight = Some(attempt.id);
        self.last_sent = Some((now.at, write.base));
        self.last_renew_time = Some(write.renew_time);
        self.urgent = false;
        attempt
    }
}

impl Attempt {
    pub(super) fn put(&self, write: Write) -> Output {
        Output::Put { attempt: self.id, write: Box::new(write), deadline: self.timing.request_deadline() }
    }

    /// `D`, from before it was sent.
    pub(super) fn hard(&self) -> Duration {
        self.timing.hard_deadline().saturating_sub(self.lateness)
    }

    /// `S`, from before it was sent.
    pub(super) fn soft(&self) -> Duration {
        self.timing.renew_deadline().saturating_sub(self.lateness)
    }
}
