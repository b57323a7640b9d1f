//! Reads what is known of runs and ticks, before the controller decides. The Lease tells, or status if the
//! Lease is lost.

use std::time::Duration;

use jiff::Timestamp;

use super::super::super::observe::Observed;
use super::super::closing;
use super::super::runs::{self, Closed};
use super::calendar::{DEFAULT_ZONE, MOMENT};
use crate::api::schedule::Schedule;
use crate::api::{SingletonJob, SingletonJobStatus};
use crate::lease::annotations::Ticks;

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// The run that goes on, or else the last one; 0 where none has been due.
    pub number: u32,
    /// The tick that it is the run of.
    pub scheduled_time: Option<Timestamp>,
    /// How far it has come.
    pub stage: Stage,
    /// Why the controller has closed it, if it has.
    pub closed: Option<Closed>,
    /// Whether it was closed for its deadline, and status does not say so yet: the next run would take its
    /// place in the Lease.
    pub untold: bool,
    /// What is left until it fails unstarted: see [`closing::left`].
    pub left: Option<Duration>,
    /// What has become of ticks.
    pub ticks: Ticks,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No candidate has started it yet.
    Unstarted,
    /// An attempt was begun.
    Begun,
    /// Nothing of it is left to do.
    Over,
}

impl ScheduleState {
    /// Whether the run is to be started, or finished.
    pub fn goes_on(&self) -> bool {
        self.stage != Stage::Over
    }
}

/// Everything that is known of `job`.
pub fn load(job: &SingletonJob, schedule: &Schedule, observed: &Observed, now: Timestamp) -> ScheduleState {
    let begun = runs::progress(job, observed).is_some_and(|progress| progress.starts > 0);
    ScheduleState {
        number: runs::current(job, observed),
        scheduled_time: runs::scheduled_time(job, observed),
        stage: match (runs::is_over(job, observed), begun) {
            (true, _) => Stage::Over,
            (false, true) => Stage::Begun,
            (false, false) => Stage::Unstarted,
        },
        closed: runs::closed(job, observed),
        untold: closing::is_untold(job, observed),
        left: closing::left(job, observed, now),
        ticks: of_schedule(
            job,
            schedule,
            noted(job, observed).unwrap_or_else(|| remembered(job, schedule, now)),
            now,
        ),
    }
}

/// What the Lease says; one of an earlier SingletonJob of that name says nothing about this one.
fn noted(job: &SingletonJob, observed: &Observed) -> Option<Ticks> {
    let ticks = observed.lease.as_ref()?.record.annotations.ticks.as_ref()?;
    (job.metadata.uid.as_ref() == Some(&ticks.uid)).then(|| ticks.clone())
}

/// Of another schedule than before, no tick has passed yet; and none came before the job.
fn of_schedule(job: &SingletonJob, schedule: &Schedule, ticks: Ticks, now: Timestamp) -> Ticks {
    let (name, made) = (name(schedule), job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0));
    let settled = if ticks.schedule == name { ticks.settled.max(made) } else { now };
    Ticks { schedule: name, settled, ..ticks }
}

fn name(schedule: &Schedule) -> String {
    format!("{} {}", schedule.cron.trim(), schedule.time_zone.as_deref().unwrap_or(DEFAULT_ZONE))
}

/// As status has it. Whatever tick it says comes next, nothing has become of; of those before it, something
/// has.
fn remembered(job: &SingletonJob, schedule: &Schedule, now: Timestamp) -> Ticks {
    let status = job.status.clone().unwrap_or_default();
    let SingletonJobStatus {
        last_schedule_time,
        next_schedule_time,
        missed_runs,
        last_handled_run_request,
        ..
    } = status;
    let last = last_schedule_time.map(|time| time.0);
    let tick = next_schedule_time.and_then(|next| next.0.checked_sub(super::offset(job, schedule)).ok());
    let next = tick.and_then(|tick| tick.checked_sub(MOMENT).ok()).map(|before| before.min(now));
    Ticks {
        uid: job.metadata.uid.clone().unwrap_or_default(),
        schedule: name(schedule),
        settled: last.max(next).unwrap_or(Timestamp::MIN),
        last,
        missed: missed_runs.and_then(|missed| u64::try_from(missed).ok()).unwrap_or(0),
        paused: false,
        request: last_handled_run_request,
    }
}
