//! What makes a holder stop: a directive, a limit of its run, its deadline, a drain, or a lost Lease.

use std::time::Duration;

use super::super::super::annotations::Reason;
use super::super::super::clock::Moment;
use super::super::super::record::Record;
use super::super::step::Step;
use super::super::{Candidate, charges, limits};
use super::Tenure;
use super::phase::{Phase, Said, Stopping, Why, Workload};

impl Tenure {
    /// Looks at all that may be a reason to stop.
    pub(super) fn stop_where_due(&mut self, step: &Step<'_>, latest: Option<&Record>) {
        let (now, candidate) = (step.now.at, step.candidate);
        self.obey(now, candidate, latest);
        if limits::is_exceeded(self.left(now)) {
            self.stop(now, Why::Exceeded, candidate.stop_grace);
        }
        if self.charged && charges::are_too_many(&self.progress, &self.policy) {
            self.stop(now, Why::Charged, candidate.stop_grace);
        }
        if self.proof.soft_remaining(now).is_zero() {
            self.stop(now, Why::Release(Reason::LeaseLost), self.proof.grace);
        }
    }

    /// Obeys what the controller directs this holder to do.
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

    /// Loses the Lease once its deadline has passed: whatever arrives after that comes too late.
    pub(in super::super) fn expire(&mut self, now: Moment) {
        if self.proof.is_over(now) {
            self.stop(now, Why::Release(Reason::LeaseLost), Duration::ZERO);
            if let Phase::Stopping(stopping) = &mut self.phase {
                stopping.lost = true;
                stopping.grace = Duration::ZERO;
            }
        }
    }

    pub(in super::super) fn lose(&mut self, now: Moment, why: &str) {
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

    pub(in super::super) fn drain(&mut self, now: Moment, since: Moment, unhealthy: bool, grace: Duration) {
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
    pub(super) fn stop(&mut self, now: Moment, why: Why, grace: Duration) {
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
}
