//! What a tenure orders the owner of its workload to do: the kernel timer, the start, the stop, the kill.

use std::time::Duration;

use super::super::super::clock::Moment;
use super::super::step::Step;
use super::super::{Order, Start};
use super::Tenure;
use super::phase::{Phase, Workload};
use super::proof::Armed;

impl Tenure {
    /// Keeps the kernel timer where the proof says, while there is anything to kill.
    pub(super) fn arm(&mut self, step: &mut Step<'_>) {
        let wanted = match self.workload {
            Workload::Empty(_) => None,
            Workload::Unstarted | Workload::Running | Workload::Ended(..) => {
                Some(Armed::by(self.proof, step.now.at))
            }
        };
        let moved = match (&wanted, &self.armed) {
            (Some(wanted), Some(armed)) => armed.gives_way_to(wanted),
            (wanted, armed) => wanted.is_some() || armed.is_some(),
        };
        if moved {
            step.order(wanted.as_ref().map_or(Order::DisarmDeadline, Armed::order));
            self.armed = wanted;
        }
    }

    /// Says why the workload is to end, before anything is done about it.
    pub(super) fn tell_cause(&mut self, step: &mut Step<'_>) {
        let Phase::Stopping(stopping) = &self.phase else { return };
        let cause = stopping.cause();
        if let Some(cause) = cause
            && self.cause != Some(cause)
        {
            self.cause = Some(cause);
            step.order(Order::Stop(cause));
        }
    }

    pub(super) fn drive(&mut self, step: &mut Step<'_>) {
        let now = step.now.at;
        let kill_remaining = self.kill_remaining(now);
        match &mut self.phase {
            Phase::Holding if self.workload == Workload::Unstarted => {
                self.workload = Workload::Running;
                self.started = Some(now);
                step.order(Order::Start(self.start()));
            }
            Phase::Stopping(stopping) if stopping.killed.is_none() && kill_remaining.is_zero() => {
                stopping.killed = Some(now);
                step.order(Order::Kill);
            }
            Phase::Stopping(stopping) if !stopping.terminated && stopping.killed.is_none() => {
                stopping.terminated = true;
                step.order(Order::Terminate);
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
    pub(super) fn kill_remaining(&self, now: Moment) -> Duration {
        match &self.phase {
            Phase::Stopping(stopping) => {
                let grace = stopping.grace.saturating_sub(now.elapsed_for_holder(stopping.since));
                grace.min(self.proof.kill_remaining(now))
            }
            Phase::Holding | Phase::Releasing { .. } | Phase::Over(_) => Duration::MAX,
        }
    }
}
