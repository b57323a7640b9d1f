//! How a tenure ends, and what it no longer waits for.

use std::time::Duration;

use super::super::super::annotations::Reason;
use super::super::super::clock::Moment;
use super::super::Ending;
use super::Tenure;
use super::phase::{Phase, Said, Stopping, Why};

/// After SIGKILL. A process that cannot be killed for this long hangs in the kernel: the Lease is left to
/// expire.
pub(super) const UNKILLABLE_AFTER: Duration = Duration::from_secs(10);

impl Tenure {
    /// Every stop and every release has a limit. That of an outcome which is being recorded is the deadline:
    /// the kernel keeps it.
    pub(super) fn give_up(&mut self, now: Moment) {
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

    /// How the process ends once everything is done.
    pub(super) fn ending(&self) -> Ending {
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
}
