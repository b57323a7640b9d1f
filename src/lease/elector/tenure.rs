//! Holding, stopping, releasing: one tenure from its proof to its end.

mod phase;
mod proof;
mod writes;

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Exit, Policy, Progress, Reason};
use super::super::clock::{Moment, Now};
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::local_lease::Worth;
use super::{Attempt, Candidate, Cause, Ending, LocalLease, Order, Output, Role, Start, charges, limits};
use phase::{Phase, Readiness, Said, Stopping, Why, Workload};
use proof::{Armed, Proof};

/// After SIGKILL. A process that cannot be killed for this long hangs in the kernel: the Lease is left to
/// expire.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(10);
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
    /// As it was last told.
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

    pub(super) fn saw(&mut self, now: Moment, record: &Record, me: &Identity, lease: &mut LocalLease) {
        if record.uid == self.uid && record.holder.as_ref() == Some(me) {
            self.version = record.version;
            if let Some(policy) = lease.policy() {
                self.policy = policy.clone();
            }
            self.count_failed_pods(record);
            match lease.prove(record, Some(me)) {
                Some(attempt) if attempt.worth == Worth::Outcome => self.recorded(),
                Some(attempt) => self.extend(now, &attempt),
                None => {}
            }
        } else if record.uid == self.uid && is_released_by(record, me) && lease.prove(record, None).is_some()
        {
            self.phase = Phase::Over(self.ending());
        } else {
            let holder = record.holder.as_ref().map_or("no candidate", Identity::pod);
            self.lose(now, &format!("the Lease is held by {holder} now"));
        }
    }

    /// What the controller has found out about pods that held the Lease before.
    fn count_failed_pods(&mut self, record: &Record) {
        let Some(run) = &record.annotations.run else { return };
        let failures = self.progress.failures;
        self.progress = charges::settle(std::mem::take(&mut self.progress), run);
        self.charged |= self.progress.failures > failures;
    }

    /// The deadline moves later only here, and never once it has passed.
    fn extend(&mut self, now: Moment, attempt: &Attempt) {
        let proof = Proof::of(attempt);
        if !self.proof.is_over(now) && proof.remaining(now) > self.proof.remaining(now) {
            self.proof = proof;
        }
    }

    /// The outcome is in the Lease: the kernel takes what is left, with this process and PID 1.
    fn recorded(&mut self) {
        if let Phase::Stopping(_) = &self.phase {
            self.phase = Phase::Over(self.ending());
        }
    }

    /// Whatever arrives after the deadline comes too late.
    pub(super) fn expire(&mut self, now: Moment) {
        if self.proof.is_over(now) {
            self.stop(now, Why::Release(Reason::LeaseLost), Duration::ZERO);
            if let Phase::Stopping(stopping) = &mut self.phase {
                stopping.lost = true;
                stopping.grace = Duration::ZERO;
            }
        }
    }

    pub(super) fn lose(&mut self, now: Moment, why: &str) {
        self.stop(now, Why::Taken(why.to_owned()), Duration::ZERO);
        match &mut self.phase {
            Phase::Stopping(stopping) => {
                stopping.why = Why::Taken(why.to_owned());
                stopping.grace = Duration::ZERO;
                stopping.lost = true;
            }
            Phase::Releasing { .. } => self.phase = Phase::Over(self.ending()),
            Phase::Holding | Phase::Over(_) => {}
        }
    }

    pub(super) fn drain(&mut self, now: Moment, since: Moment, unhealthy: bool, grace: Duration) {
        self.stop(now, Why::Release(Reason::Drain), grace.saturating_sub(now.elapsed_for_holder(since)));
        // What the liveness probe has said may be known later than that the container is to end.
        if let Phase::Stopping(Stopping { why, .. }) = &mut self.phase
            && unhealthy
            && *why == Why::Release(Reason::Drain)
        {
            *why = Why::Unhealthy;
        }
    }

    /// Begins to stop, unless that has begun.
    fn stop(&mut self, now: Moment, why: Why, grace: Duration) {
        if self.phase != Phase::Holding {
            return;
        }
        self.phase = if self.workload == Workload::Unstarted {
            self.workload = Workload::Empty(None);
            why.after_empty(now)
        } else {
            Phase::Stopping(Stopping {
                why,
                since: now,
                grace,
                terminated: false,
                killed: None,
                said: Said::Nothing,
                lost: false,
            })
        };
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

    pub(super) fn decide(
        &mut self,
        now: Now,
        candidate: &Candidate,
        lateness: Duration,
        lease: &mut LocalLease,
        outputs: &mut Vec<Output>,
    ) -> Option<Ending> {
        self.obey(now.at, candidate, lease.latest());
        if limits::is_exceeded(self.left(now.at)) {
            self.stop(now.at, Why::Exceeded, candidate.stop_grace);
        }
        if self.charged && charges::are_too_many(&self.progress, &self.policy) {
            self.stop(now.at, Why::Charged, candidate.stop_grace);
        }
        if self.proof.soft_remaining(now.at).is_zero() {
            self.stop(now.at, Why::Release(Reason::LeaseLost), self.proof.grace);
        }
        self.arm(now.at, outputs);
        self.tell_cause(outputs);
        self.drive(now.at, outputs);
        self.give_up(now.at);
        if let Phase::Over(ending) = &self.phase {
            return Some(ending.clone());
        }
        self.write(now, candidate, lateness, lease, outputs);
        lease.read(now.at, outputs);
        None
    }

    /// What the controller directs this holder to do.
    fn obey(&mut self, now: Moment, candidate: &Candidate, latest: Option<&Record>) {
        let Some(record) = latest.filter(|record| record.uid == self.uid) else { return };
        let run = record.annotations.run.as_ref();
        let goes_on = run.is_none_or(|run| run.goes_on(&self.progress));
        let handover =
            record.annotations.handover.as_ref().filter(|handover| handover.holder == candidate.identity);
        if !goes_on {
            self.stop(now, Why::Release(Reason::Stopped), candidate.stop_grace);
        } else if let Some(handover) = handover
            && record.is_about(&candidate.job_uid)
        {
            self.stop(now, Why::Release(handover.reason), candidate.stop_grace);
        }
    }

    /// How long the run may still take. The time of day is looked at once, where this tenure begins; from
    /// there on it may jump.
    fn left(&self, now: Moment) -> Option<Duration> {
        let left = limits::left(&self.progress, &self.policy, self.acquire_time)?;
        Some(left.saturating_sub(now.elapsed_for_holder(self.acquired)))
    }

    /// Keeps the kernel timer where the proof says, while there is anything to kill.
    fn arm(&mut self, now: Moment, outputs: &mut Vec<Output>) {
        let wanted = match self.workload {
            Workload::Empty(_) => None,
            Workload::Unstarted | Workload::Running | Workload::Ended(..) => Some(Armed::by(self.proof, now)),
        };
        let moved = match (&wanted, &self.armed) {
            (Some(wanted), Some(armed)) => armed.gives_way_to(wanted),
            (wanted, armed) => wanted.is_some() || armed.is_some(),
        };
        if moved {
            outputs.push(Output::Order(wanted.as_ref().map_or(Order::DisarmDeadline, Armed::order)));
            self.armed = wanted;
        }
    }

    /// Before anything is done about it.
    fn tell_cause(&mut self, outputs: &mut Vec<Output>) {
        let Phase::Stopping(stopping) = &self.phase else { return };
        let cause = stopping.cause();
        if let Some(cause) = cause
            && self.cause != Some(cause)
        {
            self.cause = Some(cause);
            outputs.push(Output::Order(Order::Stop(cause)));
        }
    }

    fn drive(&mut self, now: Moment, outputs: &mut Vec<Output>) {
        let kill_remaining = self.kill_remaining(now);
        match &mut self.phase {
            Phase::Holding if self.workload == Workload::Unstarted => {
                self.workload = Workload::Running;
                self.started = Some(now);
                outputs.push(Output::Order(Order::Start(self.start())));
            }
            Phase::Stopping(stopping) if stopping.killed.is_none() && kill_remaining.is_zero() => {
                stopping.killed = Some(now);
                outputs.push(Output::Order(Order::Kill));
            }
            Phase::Stopping(stopping) if !stopping.terminated && stopping.killed.is_none() => {
                stopping.terminated = true;
                outputs.push(Output::Order(Order::Terminate));
            }
            Phase::Holding | Phase::Stopping(_) | Phase::Releasing { .. } | Phase::Over(_) => {}
        }
    }

    fn start(&self) -> Start {
        Start {
            token: self.token,
            run: self.progress.run,
            scheduled_time: self.scheduled_time,
            attempt: self.progress.starts,
            within: self.proof.soft,
            since: self.proof.sent,
        }
    }

    /// From now until a stopping workload is killed: its grace is over, or the lease is.
    fn kill_remaining(&self, now: Moment) -> Duration {
        match &self.phase {
            Phase::Stopping(stopping) => {
                let grace = stopping.grace.saturating_sub(now.elapsed_for_holder(stopping.since));
                grace.min(self.proof.kill_remaining(now))
            }
            Phase::Holding | Phase::Releasing { .. } | Phase::Over(_) => Duration::MAX,
        }
    }

    /// Every stop and every release has a limit. That of an outcome which is being recorded is the deadline:
    /// the kernel keeps it.
    fn give_up(&mut self, now: Moment) {
        let over = match &self.phase {
            Phase::Stopping(Stopping { said: Said::Outcome, .. }) => None,
            Phase::Stopping(Stopping { killed: Some(killed), .. }) => {
                (now.elapsed_for_holder(*killed) >= UNKILLABLE_AFTER).then_some(Ending::Unkillable)
            }
            Phase::Releasing { why, since, .. } => {
                (now.elapsed_for_holder(*since) >= why.patience(&self.policy)).then(|| self.ending())
            }
            Phase::Holding | Phase::Stopping(_) | Phase::Over(_) => None,
        };
        if let Some(ending) = over {
            self.phase = Phase::Over(ending);
        }
    }

    fn write(
        &mut self,
        now: Now,
        candidate: &Candidate,
        lateness: Duration,
        lease: &mut LocalLease,
        outputs: &mut Vec<Output>,
    ) {
        let Some(timing) = lease.timing() else { return };
        if !lease.is_idle() || !self.write_due(now.at, lease).is_zero() {
            return;
        }
        let renew_time = lease.next_renew_time(now.wall);
        let Some(record) = lease.latest() else { return };
        if let Phase::Releasing { why, .. } = &self.phase {
            let write = self.release(now, candidate, record, why, timing, renew_time);
            lease.put(now, write, timing, lateness, outputs);
            self.phase.release_sent();
            return;
        }
        let renewal = self.renewal(
            candidate,
            record,
            timing,
            renew_time,
            self.health(candidate, lease, timing, lateness),
        );
        let (write, worth) = match &self.phase {
            Phase::Stopping(Stopping { why, .. }) if self.outcome_due(now.at).is_zero() => {
                (self.outcome(now, candidate, why, renewal), Worth::Outcome)
            }
            _ => (renewal, Worth::Renewal),
        };
        let attempt = lease.register(now, &write, worth, timing, lateness);
        self.phase.told(worth);
        self.readiness.told();
        self.shorten(now.at, &attempt);
        self.arm(now.at, outputs);
        outputs.push(attempt.put(write));
    }

    /// A write with a shorter lease may be stored without our ever hearing of it: the deadline moves before
    /// it is sent.
    fn shorten(&mut self, now: Moment, attempt: &Attempt) {
        let proof = Proof::of(attempt);
        if proof.remaining(now) < self.proof.remaining(now) {
            self.proof = proof;
        }
    }

    /// From now until something is to be written.
    fn write_due(&self, now: Moment, lease: &LocalLease) -> Duration {
        let Some(timing) = lease.timing() else { return Duration::MAX };
        let is_ready_now = self.phase == Phase::Holding && self.readiness.is_news();
        if self.phase.is_news() || is_ready_now {
            return Duration::ZERO;
        }
        match &self.phase {
            Phase::Stopping(Stopping { lost: true, .. }) | Phase::Over(_) => Duration::MAX,
            Phase::Stopping(Stopping { said: Said::Outcome, .. }) => lease.pace(now, timing.retry_period()),
            Phase::Holding | Phase::Stopping(_) => {
                lease.pace(now, lease.jittered(timing.retry_period())).min(self.outcome_due(now))
            }
            Phase::Releasing { sent: false, .. } => Duration::ZERO,
            Phase::Releasing { sent: true, .. } => lease.pace(now, timing.retry_period()),
        }
    }

    /// From now until the outcome is recorded without giving the Lease back: the workload has ended, and
    /// something survives its kill for longer than a kill may take. What ends late itself may leave something
    /// that is only about to go. From then on nothing is renewed.
    fn outcome_due(&self, now: Moment) -> Duration {
        match (&self.phase, self.workload.ended()) {
            (Phase::Stopping(Stopping { killed: Some(killed), lost: false, .. }), Some(ended)) => {
                let since = now.elapsed_for_holder(*killed).min(now.elapsed_for_holder(ended));
                self.proof.kill_margin.saturating_sub(since)
            }
            _ => Duration::MAX,
        }
    }

    fn ran(&self, now: Moment) -> Duration {
        self.started.map_or(Duration::ZERO, |started| now.elapsed_for_challenger(started))
    }

    /// How the process ends once everything is done.
    fn ending(&self) -> Ending {
        let (Phase::Stopping(Stopping { why, .. }) | Phase::Releasing { why, .. }) = &self.phase else {
            return Ending::Interrupted;
        };
        match (why, self.workload.exit()) {
            (
                Why::Release(Reason::WorkloadSucceeded | Reason::WorkloadFailed) | Why::Unhealthy,
                Some(exit),
            ) => Ending::Exited(exit),
            (Why::Release(Reason::LeaseLost), _) => {
                Ending::Lost("the Lease could not be renewed in time".to_owned())
            }
            (Why::Taken(why), _) => Ending::Lost(why.clone()),
            (Why::Release(_) | Why::Unhealthy | Why::Exceeded | Why::Charged | Why::Spent, _) => {
                Ending::Interrupted
            }
        }
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

fn is_released_by(record: &Record, me: &Identity) -> bool {
    record.is_released() && record.annotations.released.as_ref().is_some_and(|mark| &mark.by == me)
}
