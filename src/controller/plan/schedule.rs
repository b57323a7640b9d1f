//! Decides which tick becomes a run, and when.
//!
//! The write that wants a run also stores what became of ticks in the Lease. Compare-and-swap thus takes a
//! tick at most once, by whichever controller, and however often one restarts. The controller remembers
//! nothing else, and asks status only if the Lease is lost.
//!
//! # Layout
//! When ticks are, [`Calendar`] says. [`state`]: what is known of them, before anything is decided. [`ticks`]:
//! what becomes of each. [`request`]: runs that a person asks for.

pub mod request;
pub mod state;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;
pub mod ticks;

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::super::names;
use super::super::observe::Observed;
use super::run_plan::{RunPlan, RunRequest, SchedulePlan};
use super::time::seconds;
use crate::api::SingletonJob;
use crate::api::checks::calendar::Calendar;
use crate::api::schedule::{CandidatesPolicy, Schedule};
use state::ScheduleState;
use ticks::TickPlanner;

/// How long the controller waits for status to say how a run ended that it closed. It heeds no tick before.
const UNTOLD_LOOK: Duration = Duration::from_millis(200);

/// Decides about the run of `job`, which has this schedule.
///
/// # Errors
/// What is wrong with the schedule, and what to write instead.
pub fn decide(
    job: &SingletonJob,
    schedule: &Schedule,
    observed: &Observed,
    now: Timestamp,
) -> Result<RunPlan, String> {
    let calendar = Calendar::with_ticks_after(schedule, now)?;
    let offset = offset(job, schedule);
    // A job that starts later than its ticks is one whose clock is behind.
    let state = state::load(job, schedule, observed, now);
    let mut planner = TickPlanner::new(schedule, state, before(now, offset));
    planner.set_paused(&calendar, job.spec.suspend || job.spec.replicas == 0);
    planner.close_unstarted();
    planner.take_due(&calendar);
    let request = request::settle(job, &mut planner);
    Ok(conclude(schedule, &calendar, planner, request, offset))
}

fn conclude(
    schedule: &Schedule,
    calendar: &Calendar,
    planner: TickPlanner<'_>,
    request: Option<RunRequest>,
    offset: Duration,
) -> RunPlan {
    let next = next_tick(calendar, &planner);
    let prepares_from = prepares_from(schedule, &planner, next);
    let prepares = is_preparing(schedule, prepares_from, planner.now);
    let look = look(&planner, next, prepares_from);
    let goes_on = planner.state.goes_on();
    let ScheduleState { number, scheduled_time, closed, ticks, .. } = planner.state;
    let due = scheduled_time.map(|tick| after(tick, offset));
    let next = next.map(|tick| after(tick, offset));
    let schedule = Some(SchedulePlan { ticks, missed: planner.missed, next, due, prepares });
    RunPlan { number, scheduled_time, goes_on, closed, request, look, schedule }
}

/// The next tick. `None` while the schedule is paused.
fn next_tick(calendar: &Calendar, planner: &TickPlanner<'_>) -> Option<Timestamp> {
    let ticks = &planner.state.ticks;
    if ticks.paused { None } else { calendar.after(ticks.settled.max(planner.now)) }
}

/// From when candidates for the run of the `next` tick may be there. `None` while another run goes on.
fn prepares_from(
    schedule: &Schedule,
    planner: &TickPlanner<'_>,
    next: Option<Timestamp>,
) -> Option<Timestamp> {
    if planner.state.goes_on() {
        return None;
    }
    next.map(|next| before(next, seconds(schedule.lead_seconds)))
}

fn is_preparing(schedule: &Schedule, from: Option<Timestamp>, now: Timestamp) -> bool {
    match schedule.candidates {
        CandidatesPolicy::Always => from.is_some(),
        CandidatesPolicy::BeforeTick => from.is_some_and(|from| from <= now),
    }
}

/// How long until something is due by the schedule. `None` if nothing is.
fn look(
    planner: &TickPlanner<'_>,
    next: Option<Timestamp>,
    prepares_from: Option<Timestamp>,
) -> Option<Duration> {
    let moments = [next, prepares_from, planner.too_late()].into_iter().flatten();
    let deadline = planner.state.left.filter(|left| !left.is_zero());
    let untold = planner.state.untold.then_some(UNTOLD_LOOK);
    moments.filter_map(|moment| until(planner.now, moment)).chain(deadline).chain(untold).min()
}

/// How long after its ticks `job` starts.
pub fn offset(job: &SingletonJob, schedule: &Schedule) -> Duration {
    names::offset(&job.namespace().unwrap_or_default(), &job.name_any(), seconds(schedule.jitter_seconds))
}

fn after(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn before(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn until(now: Timestamp, moment: Timestamp) -> Option<Duration> {
    Duration::try_from(moment.duration_since(now)).ok().filter(|left| !left.is_zero())
}
