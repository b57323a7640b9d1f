//! What is known of the Lease, and what is on its way to it.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Health, Policy};
use super::super::clock::{Moment, Now};
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::super::timing::Timing;
use super::attempt::{Attempt, Worth};
use super::jitter::Jitter;
use super::step::Step;
use super::{Output, Source, Write};

/// What is known of the Lease, and what is on its way to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LocalLease {
    latest: Option<Record>,
    /// The last policy that could be obeyed. It stays in force if the directive vanishes.
    policy: Option<(Policy, Timing)>,
    /// The longest lease duration ever seen for this Lease.
    longest_lease: Duration,
    /// Writes that were sent, and are neither proven nor refuted.
    attempts: Vec<Attempt>,
    in_flight: Option<u64>,
    reading: Reading,
    last_read: Moment,
    /// The last write has to be repeated.
    urgent: bool,
    sent: u64,
    jitter: Jitter,
    last_sent: Option<(Moment, Version)>,
    last_renew_time: Option<Timestamp>,
    /// When this process began, by its node's time of day.
    agent_started: Timestamp,
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

/// Before any policy was read.
const DEFAULT_READ_DEADLINE: Duration = Duration::from_secs(2);
const DEFAULT_RETRY_PERIOD: Duration = Duration::from_secs(1);
/// A candidate that has never read its Lease says so and ends: the commonest first fault is a network that
/// does not let it.
const UNREADABLE_AFTER: Duration = Duration::from_secs(30);
/// What was lost is repeated after this long at the latest, however long the lease: a release that waits for
/// its repetition keeps every standby waiting.
const LONGEST_REPETITION: Duration = Duration::from_secs(10);
const SHORTEST_SILENCE: Duration = Duration::from_millis(500);

/// After how long that is repeated which follows each other after `period`.
pub(super) fn repetition(period: Duration) -> Duration {
    (period / 2).min(LONGEST_REPETITION)
}

/// Returns `policy` with its durations. A policy whose durations do not fit is not obeyed.
fn obeyable(policy: &Policy) -> Option<(Policy, Timing)> {
    let timing = policy
        .timing()
        .inspect_err(|misfit| tracing::warn!(%misfit, "cannot obey the policy in the Lease"))
        .ok()?;
    Some((policy.clone(), timing))
}

impl LocalLease {
    pub(super) fn new(now: Now, identity: &Identity) -> Self {
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
            jitter: Jitter::of(identity),
            last_sent: None,
            last_renew_time: None,
            agent_started: now.wall,
            contact: now.at,
            heard: false,
            trouble: None,
        }
    }

    /// A watch may lag behind what was read; a read is always news, even when versions went back with a
    /// restored store.
    pub(super) fn is_old_news(&self, record: &Record, source: Source) -> bool {
        source == Source::Watch && self.latest.as_ref().is_some_and(|latest| record.version < latest.version)
    }

    /// Notes what every observation says, and tells whether it ends a time out of contact. A Lease that does
    /// not name this job is not obeyed; that it speaks of a longer lease is believed.
    pub(super) fn hear(&mut self, now: Moment, record: &Record, job_uid: &str) -> bool {
        if let Some((policy, timing)) = record.annotations.policy.as_ref().and_then(obeyable) {
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

    pub(super) fn latest(&self) -> Option<&Record> {
        self.latest.as_ref()
    }

    /// What is stored now, as far as is known.
    pub(super) fn keep(&mut self, record: Record) {
        self.latest = Some(record);
    }

    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().map(|(policy, _)| policy)
    }

    pub(super) fn timing(&self) -> Option<Timing> {
        self.policy.as_ref().map(|(_, timing)| *timing)
    }

    pub(super) fn longest_lease(&self) -> Duration {
        self.longest_lease
    }

    pub(super) fn trouble(&self) -> Option<&String> {
        self.trouble.as_ref()
    }

    /// The highest version that an attempt is based on whose fate is unknown.
    pub(super) fn in_doubt(&self) -> Option<Version> {
        self.attempts.iter().map(|attempt| attempt.base).max()
    }

    pub(super) fn read_answered(&mut self) {
        self.reading = Reading::Idle;
    }

    /// A read that was asked for before tells of the time before.
    pub(super) fn tenure_began(&mut self) {
        if self.reading == Reading::Asked {
            self.reading = Reading::Outdated;
        }
    }

    /// Notes that a read has found no Lease, and tells whether it was asked for after the tenure began.
    pub(super) fn missing(&mut self, now: Moment) -> bool {
        let is_of_now = self.reading != Reading::Outdated;
        self.reading = Reading::Idle;
        self.contact = now;
        self.heard = true;
        is_of_now
    }

    /// There is no Lease.
    pub(super) fn forget(&mut self) {
        self.latest = None;
        self.trouble = Some("the Lease does not exist; the controller makes it".to_owned());
    }

    pub(super) fn unreachable(&mut self, why: String) {
        self.reading = Reading::Idle;
        self.trouble = Some(why);
    }

    /// The write has an answer, whatever it says.
    pub(super) fn answered(&mut self, id: u64) {
        if self.in_flight == Some(id) {
            self.in_flight = None;
        }
    }

    /// Something else was stored first.
    pub(super) fn conflicted(&mut self, id: u64) {
        self.attempts.retain(|attempt| attempt.id != id);
        self.urgent = true;
        self.want_read();
    }

    /// The write was not stored, and never will be.
    pub(super) fn refused(&mut self, id: u64, why: String) {
        self.attempts.retain(|attempt| attempt.id != id);
        self.trouble = Some(why);
        self.want_read();
    }

    /// The write may have been stored.
    pub(super) fn unknown(&mut self, why: String) {
        self.trouble = Some(why);
        self.urgent = true;
    }

    pub(super) fn want_read(&mut self) {
        if self.reading == Reading::Idle {
            self.reading = Reading::Wanted;
        }
    }

    pub(super) fn read(&mut self, step: &mut Step<'_>) {
        if self.reading == Reading::Wanted {
            self.reading = Reading::Asked;
            self.last_read = step.now.at;
            let deadline = self.timing().map_or(DEFAULT_READ_DEADLINE, |timing| timing.request_deadline());
            step.outputs.push(Output::Read { deadline });
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        self.reading != Reading::Idle
    }

    /// Whether nothing is on its way: only then is something new sent.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.reading == Reading::Idle
    }

    /// How long the next write must still wait, where writes follow each other after `period`.
    ///
    /// A repetition need not wait for its period, only for half of it and no more than 10 s; and not at all when what it lost
    /// against is known by now, because it is then based on something newer than the last one was.
    pub(super) fn pace(&self, now: Moment, period: Duration) -> Duration {
        let Some((sent, base)) = self.last_sent else { return Duration::ZERO };
        let newer = self.latest.as_ref().is_some_and(|latest| latest.version > base);
        let period = match (self.urgent, newer) {
            (true, true) => return Duration::ZERO,
            (true, false) => repetition(period),
            (false, _) => period,
        };
        period.saturating_sub(now.elapsed_for_holder(sent))
    }

    /// Shortens `period` by up to a tenth, so that holders that began together soon renew apart.
    pub(super) fn jittered(&self, period: Duration) -> Duration {
        self.jitter.shorten(period, self.sent)
    }

    /// Why this candidate gives up: it has never read its Lease.
    pub(super) fn unreadable(&self, now: Moment) -> Option<String> {
        let overdue = !self.heard && now.elapsed_for_holder(self.contact) >= UNREADABLE_AFTER;
        if overdue { self.trouble.clone() } else { None }
    }

    /// How long from now until the Lease is read because the watch says nothing.
    pub(super) fn silence(&self, now: Moment) -> Duration {
        let retry = self.timing().map_or(DEFAULT_RETRY_PERIOD, |timing| timing.retry_period());
        let (since, period) = match self.trouble {
            Some(_) => (self.last_read, repetition(retry)),
            None if self.contact.boot > self.last_read.boot => (self.contact, retry * 3 / 2),
            None => (self.last_read, retry * 3 / 2),
        };
        period.max(SHORTEST_SILENCE).saturating_sub(now.elapsed_for_holder(since))
    }

    /// The own attempt that `record` proves to have been stored in the name of `holder`.
    pub(super) fn prove(&mut self, record: &Record, holder: Option<&Identity>) -> Option<Attempt> {
        let proof = self.attempts.iter().find(|attempt| attempt.is_proven_by(record, holder)).copied();
        self.urgent &= proof.is_none();
        // What was based on an older version and is not what is stored now can never be stored.
        self.attempts.retain(|attempt| attempt.base >= record.version);
        proof
    }

    /// The renewTime of a write that acquires. Its identity is new to the Lease, and so is the triple that
    /// challengers watch: it goes back to the time of day, whatever is stored, and need only differ from this
    /// process's own earlier attempts.
    pub(super) fn first_renew_time(&self, wall: Timestamp) -> Timestamp {
        self.past_the_mark(Record::next_renew_time(self.last_renew_time, wall))
    }

    /// The renewTime of a renewal or a release: it rises.
    pub(super) fn next_renew_time(&self, wall: Timestamp) -> Timestamp {
        let stored = self.latest.as_ref().and_then(|record| record.renew_time);
        let next = Record::next_renew_time(stored, self.first_renew_time(wall));
        self.past_the_mark(next)
    }

    /// Passes over the renewTime that a mark in the Lease is bound to. It lies ahead where a tenure has set
    /// the time back, and the mark must never come to mean a write of that tenure: a Lease that is emptied by
    /// hand would be free.
    fn past_the_mark(&self, time: Timestamp) -> Timestamp {
        let marked = self
            .latest
            .as_ref()
            .and_then(|record| record.annotations.released.as_ref())
            .and_then(|mark| mark.renew_time);
        if marked == Some(time) { Record::next_renew_time(marked, time) } else { time }
    }

    /// How the holder fares: what this process says of itself in every write that keeps the Lease.
    pub(super) fn health(&self) -> Health {
        Health { agent_started: Some(self.agent_started), ..Health::default() }
    }

    /// Sends `write`, which is in the name of a dead process: no attempt of this one, and never proven.
    pub(super) fn put_for_the_dead(&mut self, step: &mut Step<'_>, write: Write, timing: Timing) {
        self.sent += 1;
        self.in_flight = Some(self.sent);
        self.urgent = false;
        let deadline = timing.request_deadline();
        step.outputs.push(Output::Put { attempt: self.sent, write: Box::new(write), deadline });
    }

    /// Whether a write that was based on `base` has lost against `record`, which is known by now.
    pub(super) fn has_lost_against(&self, record: &Record, base: Version) -> bool {
        self.urgent && record.version > base
    }

    pub(super) fn put(&mut self, step: &mut Step<'_>, write: Write, timing: Timing) {
        let attempt = self.register(step, &write, Worth::Renewal, timing);
        step.outputs.push(attempt.put(write));
    }

    /// Registers `write` as sent. The caller sends it.
    pub(super) fn register(
        &mut self,
        step: &Step<'_>,
        write: &Write,
        worth: Worth,
        timing: Timing,
    ) -> Attempt {
        self.sent += 1;
        let attempt = Attempt::new(self.sent, step, write, worth, timing);
        self.attempts.push(attempt);
        self.in_flight = Some(attempt.id);
        self.last_sent = Some((step.now.at, write.base));
        self.last_renew_time = Some(write.renew_time);
        self.urgent = false;
        attempt
    }
}
