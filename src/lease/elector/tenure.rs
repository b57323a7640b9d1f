//! Holding, stopping, releasing: one tenure from its proof to its end.

mod ending;
mod observation;
mod orders;
mod phase;
mod proof;
mod sending;
mod stop;
mod writes;

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Exit, Policy, Progress};
use super::super::clock::{Moment, Now};
use super::super::identity::Version;
use super::super::record::Record;
use super::step::Step;
use super::{Attempt, Cause, Ending, LocalLease, Role, limits};
use ending::UNKILLABLE_AFTER;
use phase::{Phase, Readiness, Said, Stopping, Why, Workload};
use proof::{Armed, Proof};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tenure {
    uid: String,
    pub(super) token: Version,
    pub(super) version: Version,
    acquire_time: Timestamp,
    /// The same moment as `acquire_time`.
    acquired: Moment,
    policy: Policy,
    progress: Progress,
    scheduled_time: Option<Timestamp>,
    proof: Proof,
    armed: Option<Armed>,
    workload: Workload,
    started: Option<Moment>,
    readiness: Readiness,
    /// Whether attempts before this one have turned out to be failures since it began.
    charged: bool,
    phase: Phase,
    /// Why the workload is to end, as it was last ordered.
    cause: Option<Cause>,
}

impl Tenure {
    /// The tenure that `attempt`, proven by `record`, began.
    pub(super) fn begin(now: Now, attempt: Attempt, record: &Record, policy: Policy) -> Self {
        let progress = record.annotations.progress.clone().unwrap_or_default();
        let acquire_time = record.acquire_time.unwrap_or(now.wall);
        // The write that acquired has counted no start where nothing was left to start, whatever the policy
        // says by now.
        let spent = !progress.open;
        let phase = if spent {
            Phase::Releasing { why: Why::Spent, since: now.at, sent: false }
        } else {
            Phase::Holding
        };
        let mut tenure = Self {
            uid: record.uid.clone(),
            token: record.version,
            version: record.version,
            acquire_time,
            acquired: attempt.sent,
            policy,
            progress,
            scheduled_time: record.annotations.run.as_ref().and_then(|run| run.scheduled_time),
            proof: Proof::of(&attempt),
            armed: None,
            workload: if spent { Workload::Empty(None) } else { Workload::Unstarted },
            started: None,
            readiness: Readiness::Unknown,
            charged: false,
            phase,
            cause: None,
        };
        tenure.count_failed_pods(record);
        tenure
    }

    pub(super) fn not_started(&mut self) {
        if self.workload == Workload::Running {
            self.workload = Workload::Unstarted;
            self.started = None;
        }
    }

    /// Only the first time in a tenure is news: whether the pod is ready later on, its kubelet says.
    pub(super) fn ready(&mut self, wall: Timestamp) {
        if self.workload == Workload::Running && self.readiness == Readiness::Unknown {
            self.readiness = Readiness::News(wall);
        }
    }

    pub(super) fn ended(&mut self, now: Moment, exit: Exit) {
        if self.workload != Workload::Running {
            return;
        }
        self.workload = Workload::Ended(exit, now);
        let reason = limits::own_end(&self.policy, exit, self.ran(now));
        self.stop(now, Why::Release(reason), Duration::ZERO);
        if let Phase::Stopping(stopping) = &mut self.phase {
            stopping.grace = Duration::ZERO;
        }
    }

    /// Counts only after a kill was ordered: before, the owner cannot know.
    pub(super) fn tree_empty(&mut self, now: Now) {
        let Phase::Stopping(stopping) = &self.phase else { return };
        if stopping.killed.is_none() {
            return;
        }
        self.workload = Workload::Empty(self.workload.exit());
        self.phase = stopping.why.clone().after_empty(now.at);
    }

    pub(super) fn decide(&mut self, step: &mut Step<'_>, lease: &mut LocalLease) -> Option<Ending> {
        self.stop_where_due(step, lease.latest());
        self.arm(step);
        self.tell_cause(step);
        self.drive(step);
        self.give_up(step.now.at);
        if let Phase::Over(ending) = &self.phase {
            return Some(ending.clone());
        }
        self.write(step, lease);
        lease.read(step);
        None
    }

    /// How long the run may still take. The time of day is looked at once, where this tenure begins; from
    /// there on it may jump.
    fn left(&self, now: Moment) -> Option<Duration> {
        let left = limits::left(&self.progress, &self.policy, self.acquire_time)?;
        Some(left.saturating_sub(now.elapsed_for_holder(self.acquired)))
    }

    fn ran(&self, now: Moment) -> Duration {
        self.started.map_or(Duration::ZERO, |started| now.elapsed_for_challenger(started))
    }

    pub(super) fn next_due(&self, now: Moment, lease: &LocalLease) -> Duration {
        let limit = match &self.phase {
            Phase::Holding if self.workload == Workload::Unstarted => Duration::ZERO,
            Phase::Holding => self.proof.soft_remaining(now).min(self.left(now).unwrap_or(Duration::MAX)),
            Phase::Stopping(Stopping { said: Said::Outcome, .. }) => Duration::MAX,
            Phase::Stopping(Stopping { killed: Some(killed), .. }) => {
                UNKILLABLE_AFTER.saturating_sub(now.elapsed_for_holder(*killed))
            }
            Phase::Stopping(_) => self.kill_remaining(now),
            Phase::Releasing { why, since, .. } => {
                why.patience(&self.policy).saturating_sub(now.elapsed_for_holder(*since))
            }
            Phase::Over(_) => Duration::MAX,
        };
        let write = if lease.is_idle() { self.write_due(now, lease) } else { Duration::MAX };
        limit.min(write)
    }

    pub(super) fn role(&self) -> Role {
        if self.phase == Phase::Holding { Role::Active } else { Role::Stopping }
    }

    pub(super) fn valid_until(&self) -> Option<Duration> {
        self.armed.map(|armed| armed.boot)
    }
}
