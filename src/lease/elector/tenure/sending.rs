//! When a tenure writes to its Lease, and what changes with the sending.

use std::time::Duration;

use super::super::super::clock::Moment;
use super::super::super::timing::Timing;
use super::super::attempt::Worth;
use super::super::step::Step;
use super::super::{Attempt, LocalLease, Write};
use super::Tenure;
use super::phase::{Phase, Said, Stopping};
use super::proof::Proof;
use super::writes::Basis;

impl Tenure {
    pub(super) fn write(&mut self, step: &mut Step<'_>, lease: &mut LocalLease) {
        let Some(timing) = lease.timing() else { return };
        if !lease.is_idle() || !self.write_due(step.now.at, lease).is_zero() {
            return;
        }
        let renew_time = lease.next_renew_time(step.now.wall);
        let Some(record) = lease.latest() else { return };
        let basis = Basis { record, timing, renew_time };
        if let Phase::Releasing { why, .. } = &self.phase {
            let write = self.release(step, &basis, why);
            lease.put(step, write, timing);
            self.phase.release_sent();
        } else {
            let (write, worth) = self.renewal_or_outcome(step, &basis, lease);
            self.keep(step, lease, write, worth, timing);
        }
    }

    fn renewal_or_outcome(&self, step: &Step<'_>, basis: &Basis<'_>, lease: &LocalLease) -> (Write, Worth) {
        let renewal = self.renewal(step, basis, lease);
        match &self.phase {
            Phase::Stopping(Stopping { why, .. }) if self.outcome_due(step.now.at).is_zero() => {
                (self.outcome(step, why, renewal), Worth::Outcome)
            }
            _ => (renewal, Worth::Renewal),
        }
    }

    /// Sends a write that keeps the Lease. The deadline moves before that to where it must be if the write is
    /// stored.
    fn keep(
        &mut self,
        step: &mut Step<'_>,
        lease: &mut LocalLease,
        write: Write,
        worth: Worth,
        timing: Timing,
    ) {
        let attempt = lease.register(step, &write, worth, timing);
        self.phase.told(worth);
        self.readiness.told();
        self.shorten(step.now.at, &attempt);
        self.arm(step);
        step.outputs.push(attempt.put(write));
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
    pub(super) fn write_due(&self, now: Moment, lease: &LocalLease) -> Duration {
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
}
