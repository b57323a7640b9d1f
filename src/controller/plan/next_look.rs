//! When to reconcile next if no watch event arrives first.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::patience::{PATIENCE, patience};
use super::time::left;
use super::{Plan, clearance};
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, types};

/// However quiet it is: a watch may have missed something.
const LONGEST_LOOK: Duration = Duration::from_secs(300);
/// Beyond the lease, until any standby would have taken over.
const TAKEOVER_SLACK: Duration = Duration::from_secs(1);
/// How often the controller looks while takeover is blocked, because a taint of a node wakes no
/// reconciliation.
pub const BLOCKED_LOOK: Duration = Duration::from_secs(5);
/// After a spec was found that nothing can be done with: what it needs may have come.
const REFUSED_PLAN_LOOK: Duration = Duration::from_secs(60);
/// After status was written down that had to be before anything else.
const AT_ONCE: Duration = Duration::from_millis(100);

/// When something may be different without a watch event; `due` are the moments that other decisions wait
/// for.
pub fn next_look(
    job: &SingletonJob,
    observed: &Observed,
    due: &[Option<Duration>],
    now: Timestamp,
) -> Duration {
    let held = if observed.holder().is_some() { observed.remaining() + TAKEOVER_SLACK } else { PATIENCE };
    let look = if clearance::block(job, observed).is_some() {
        held.min(BLOCKED_LOOK)
    } else {
        held.min(LONGEST_LOOK)
    };
    let due = due.iter().copied().chain([unheld_left(job, observed, now)]).flatten();
    due.filter(|left| !left.is_zero()).fold(look, Duration::min)
}

/// What is left of the patience with a Lease that no candidate holds.
fn unheld_left(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Option<Duration> {
    let held = find_condition(&job.status.as_ref()?.conditions, types::HELD)
        .filter(|held| held.status == "False")?;
    observed.holder().is_none().then(|| left(held.last_transition_time.0, patience(job), now))
}

impl Plan {
    /// When to reconcile again after the controller has carried out the plan. `is_stored` says whether the
    /// Lease contains the directives. `ask_again` is when the controller repeats what the API server refused.
    pub fn next_look(&self, is_stored: bool, ask_again: Option<Duration>) -> Duration {
        let look = match self {
            Self::Act(act) if act.remembers_first && is_stored => return AT_ONCE,
            Self::Act(act) => act.next_look,
            Self::LeaveAlone | Self::Delete | Self::Invalid(_) => REFUSED_PLAN_LOOK,
        };
        match ask_again {
            // Whatever is due waits for the Lease.
            Some(pause) if !is_stored => pause,
            Some(pause) => pause.min(look),
            None => look,
        }
    }
}
