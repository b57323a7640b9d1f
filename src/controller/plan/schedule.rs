//! Which tick becomes a run, and when.
//!
//! The write that wants a run also stores what became of ticks in the Lease. Compare-and-swap thus takes a
//! tick at most once, by whichever controller, and however often one restarts. The controller remembers
//! nothing else, and asks status only if the Lease is lost.
//!
//! # Layout
//! [`expression`]: what is written. [`field`]: what may stand in each of its fields. [`calendar`]: when ticks
//! are. [`state`]: what is known of them, before anything is decided. [`ticks`]: what becomes of each.
//! [`request`]: runs that a person asks for.

pub mod calendar;
pub mod expression;
pub mod field;
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
use crate::api::schedule::{CandidatesPolicy, Schedule};
use calendar::Calendar;
use state::ScheduleState;
use ticks::Course;

/// Until status says how a run ended that the controller closed: no tick is heeded before.
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
    let calendar = Calendar::read(schedule)?;
    if calendar.after(now).is_none() {
        return Err(format!(
            "spec.schedule.cron: {:?} never comes: write a day that its month has",
            schedule.cron
        ));
    }
    let offset = offset(job, schedule);
    // A job that starts later than its ticks is one whose clock is behind.
    let mut course = Course::new(schedule, state::load(job, schedule, observed, now), before(now, offset));
    course.pause(&calendar, job.spec.suspend || job.spec.replicas == 0);
    course.give_up();
    course.heed(&calendar);
    let request = request::settle(job, &mut course);
    Ok(conclude(schedule, &calendar, course, request, offset))
}

fn conclude(
    schedule: &Schedule,
    calendar: &Calendar,
    course: Course<'_>,
    request: Option<RunRequest>,
    offset: Duration,
) -> RunPlan {
    let ScheduleState { number, scheduled_time, closed, untold, left, .. } = course.state;
    let (now, too_late, goes_on) = (course.now, course.too_late(), course.state.goes_on());
    let ticks = course.state.ticks;
    let next = if ticks.paused { None } else { calendar.after(ticks.settled.max(now)) };
    let lead = if goes_on { None } else { next.map(|next| before(next, seconds(schedule.lead_seconds))) };
    let prepares = match schedule.candidates {
        CandidatesPolicy::Always => lead.is_some(),
        CandidatesPolicy::BeforeTick => lead.is_some_and(|lead| lead <= now),
    };
    let moments = [next, lead, too_late].into_iter().flatten().filter_map(|moment| until(now, moment));
    let left = left.filter(|left| !left.is_zero());
    let due = scheduled_time.map(|tick| after(tick, offset));
    let next = next.map(|next| after(next, offset));
    RunPlan {
        number,
        scheduled_time,
        goes_on,
        closed,
        request,
        look: moments.chain(left).chain(untold.then_some(UNTOLD_LOOK)).min(),
        schedule: Some(SchedulePlan { ticks, missed: course.missed, next, due, prepares }),
    }
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
