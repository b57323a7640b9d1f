//! Which tick becomes a run, and when.
//!
//! What has become of ticks is written into the Lease by the very write that wants a run: a tick is taken by compare-and-swap, and so at most
//! once, by whichever controller, and however often one is restarted. Nothing here remembers anything else; status is asked only when the Lease
//! is lost.
//!
//! # Layout
//! [`expression`]: what is written. [`field`]: what may stand in each of its fields. [`calendar`]: when ticks are. [`memory`]: what is known of
//! them, before anything is decided. [`fate`]: what becomes of each. [`request`]: runs that a person asks for.

pub mod calendar;
pub mod expression;
pub mod fate;
pub mod field;
pub mod memory;
pub mod request;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::super::names;
use super::super::observe::Observed;
use super::runs::Closed;
use super::seconds;
use crate::api::SingletonJob;
use crate::api::schedule::{CandidatesPolicy, Schedule};
use crate::lease::notes::Ticks;
use calendar::Calendar;
use fate::{Course, Missed};
use request::Request;

/// Until status says how a run ended that the controller closed: no tick is heeded before.
const UNTOLD_LOOK: Duration = Duration::from_millis(200);

/// What is decided about a job with a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agenda {
    /// The run that goes on, or else the last one; 0 where none has been due.
    pub number: u32,
    /// The tick that it is the run of.
    pub scheduled_time: Option<Timestamp>,
    /// Whether it is to be started, or finished.
    pub goes_on: bool,
    /// Why the controller closes it, or has closed it.
    pub closed: Option<Closed>,
    /// What the Lease should remember of ticks.
    pub ticks: Ticks,
    /// Ticks that are missed by this very decision.
    pub missed: Option<Missed>,
    /// When the next run is due: at its tick, and the job's offset after it. `None` while ticks pass unheeded.
    pub next: Option<Timestamp>,
    /// How long after its ticks the job starts: see [`Schedule::jitter_seconds`].
    pub offset: Duration,
    /// Whether candidates for the next run should be there.
    pub prepares: bool,
    /// From now until something is due.
    pub look: Option<Duration>,
    /// What becomes of a request to run.
    pub request: Option<Request>,
}

impl Agenda {
    /// When the run of now was due.
    pub fn due(&self) -> Option<Timestamp> {
        Some(after(self.scheduled_time?, self.offset))
    }

    /// The run that a candidate is made for now.
    pub fn made_for(&self) -> u32 {
        if self.goes_on { self.number } else { self.number.saturating_add(1) }
    }
}

/// Decides about the schedule of `job`; none where it has none.
///
/// # Errors
/// What is wrong with the schedule, and what to write instead.
pub fn agenda(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Result<Option<Agenda>, String> {
    let Some(schedule) = &job.spec.schedule else { return Ok(None) };
    let calendar = Calendar::read(schedule)?;
    if calendar.after(now).is_none() {
        return Err(format!("spec.schedule.cron: {:?} never comes: write a day that its month has", schedule.cron));
    }
    let offset = offset(job, schedule);
    // A job that starts later than its ticks is one whose clock is behind.
    let mut course = Course::new(schedule, memory::recall(job, schedule, observed, now), before(now, offset));
    course.pause(&calendar, job.spec.suspend || job.spec.replicas == 0);
    course.give_up();
    course.heed(&calendar);
    let request = request::settle(job, &mut course);
    Ok(Some(conclude(schedule, &calendar, course, request, offset)))
}

fn conclude(schedule: &Schedule, calendar: &Calendar, course: Course<'_>, request: Option<Request>, offset: Duration) -> Agenda {
    let now = course.now;
    let is_paused = course.memory.ticks.paused;
    let next = if is_paused { None } else { calendar.after(course.memory.ticks.settled.max(now)) };
    let goes_on = course.memory.goes_on();
    let lead = if goes_on { None } else { next.map(|next| before(next, seconds(schedule.lead_seconds))) };
    let prepares = match schedule.candidates {
        CandidatesPolicy::Always => lead.is_some(),
        CandidatesPolicy::BeforeTick => lead.is_some_and(|lead| lead <= now),
    };
    let moments = [next, lead, course.too_late()];
    let left = course.memory.left.filter(|left| !left.is_zero());
    let untold = course.memory.untold.then_some(UNTOLD_LOOK);
    Agenda {
        number: course.memory.number,
        scheduled_time: course.memory.scheduled_time,
        goes_on,
        closed: course.memory.closed,
        missed: course.missed,
        next: next.map(|next| after(next, offset)),
        offset,
        prepares,
        look: moments.into_iter().flatten().filter_map(|moment| until(now, moment)).chain(left).chain(untold).min(),
        request,
        ticks: course.memory.ticks,
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
