//! When to reconcile next if no watch event arrives first.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::lease_observations::TAKEOVER_SLACK;
use super::super::observe::{Observed, hanging};
use super::super::refusals::FIRST_PAUSE;
use super::patience::{PATIENCE, patience_with};
use super::run_plan::RunPlan;
use super::time::left;
use super::{Plan, clearance, progress, retention};
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, types};
use crate::lease::timing::Timing;

/// How long the controller waits at most for a moment that is due by the time of day. A timer does not follow
/// the time of day when that is set.
const LONGEST_TIMER: Duration = Duration::from_secs(300);
/// How often the controller looks while takeover is blocked, because no watch tells of the taint of a node that
/// is out of service, nor of a container that another one replaces.
pub const BLOCKED_LOOK: Duration = Duration::from_secs(5);
/// How long the controller waits after a spec that it can do nothing with. What the spec needs may have come.
const REFUSED_PLAN_LOOK: Duration = Duration::from_secs(60);
/// How long the controller waits after it has written a status that had to come before anything else.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How long the controller waits after it has written a status from which another plan follows.
pub const STATUS_LOOK: Duration = Duration::from_secs(1);

/// How long until something may differ without a watch event. `looks` are those of the decisions of this
/// plan. `None` if nothing can.
pub fn next_look(
    job: &SingletonJob,
    observed: &Observed,
    run: &RunPlan,
    timing: Timing,
    looks: &[Option<Duration>],
    now: Timestamp,
) -> Option<Duration> {
    let due = [
        hanging_left(observed, now),
        progress::awaited(job, observed).map(|awaited| awaited.left(now)),
        retention::left_of_job(job, observed, now),
        unheld_left(job, observed, timing, now),
        unread_claims(observed),
        lacking(job, observed, run),
    ];
    let due = looks.iter().copied().chain(due).flatten().filter(|left| !left.is_zero());
    due.min().map(|left| left.min(LONGEST_TIMER))
}

/// How long until the controller looks at a job that lacks something. `None` if it lacks nothing.
fn lacking(job: &SingletonJob, observed: &Observed, run: &RunPlan) -> Option<Duration> {
    if is_served(job, observed) || is_at_rest(job, observed, run) {
        return None;
    }
    let held = if observed.holder().is_some() { observed.remaining() + TAKEOVER_SLACK } else { PATIENCE };
    let is_blocked = clearance::block(job, observed).is_some();
    Some(if is_blocked { held.min(BLOCKED_LOOK) } else { held })
}

/// How long until the controller asks again how volumes may be mounted, if that decides whether candidates can
/// be on several nodes and the API server did not tell.
fn unread_claims(observed: &Observed) -> Option<Duration> {
    let is_unread = observed.crowded().is_some() && observed.claims.is_none();
    is_unread.then_some(FIRST_PAUSE)
}

/// Whether a candidate holds the Lease, and every pod is of the current template and does its part.
fn is_served(job: &SingletonJob, observed: &Observed) -> bool {
    let is_complete = i64::try_from(observed.candidates.len()) == Ok(i64::from(job.spec.replicas));
    observed.holder().is_some()
        && is_complete
        && observed.candidates.iter().all(|candidate| {
            candidate.is_alive() && observed.is_current(candidate) && observed.serves(candidate)
        })
        && !clearance::silence::is_remembered(job, observed)
}

/// Whether nothing is to run, and no process of a candidate is left.
fn is_at_rest(job: &SingletonJob, observed: &Observed, run: &RunPlan) -> bool {
    let is_free = observed.lease.as_ref().is_some_and(|seen| seen.record.is_released());
    let runs = run.goes_on && !job.spec.is_stopped();
    !runs && is_free && observed.candidates.iter().all(|candidate| candidate.end().is_some())
}

/// How long until a pod hangs, or until the controller looks at one that hangs. Nothing wakes the controller
/// when another event is written about such a pod.
fn hanging_left(observed: &Observed, now: Timestamp) -> Option<Duration> {
    let left = observed.candidates.iter().filter_map(|candidate| hanging::left(candidate, now)).min()?;
    Some(if left.is_zero() { hanging::HANGS_AFTER } else { left })
}

/// What is left of the patience with a Lease that no candidate holds.
fn unheld_left(job: &SingletonJob, observed: &Observed, timing: Timing, now: Timestamp) -> Option<Duration> {
    let held = find_condition(&job.status.as_ref()?.conditions, types::HELD)
        .filter(|held| held.status == "False")?;
    observed.holder().is_none().then(|| left(held.last_transition_time.0, patience_with(timing), now))
}

impl Plan {
    /// When to reconcile again after the controller has carried out the plan. `None` if only a watch event
    /// gives a reason. `is_stored` says whether the Lease contains the directives. `ask_again` is when the
    /// controller repeats what the API server refused.
    pub fn next_look(&self, is_stored: bool, ask_again: Option<Duration>) -> Option<Duration> {
        let look = match self {
            Self::Act(act) if act.remembers_first && is_stored => return Some(AT_ONCE),
            Self::Act(act) => act.next_look,
            Self::LeaveAlone | Self::Delete | Self::Invalid(_) => Some(REFUSED_PLAN_LOOK),
        };
        // All that is due waits for the Lease.
        let look = if ask_again.is_some() && !is_stored { None } else { look };
        look.into_iter().chain(ask_again).min()
    }
}
