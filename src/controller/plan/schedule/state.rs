//! Reads what is known of runs and ticks, before the controller decides. The Lease tells, or status if the
//! Lease is lost.

use std::time::Duration;

use jiff::Timestamp;

use super::super::super::observe::Observed;
use super::super::closing;
use super::super::runs::{self, Closed};
use crate::api::SingletonJob;
use crate::api::checks::calendar::{DEFAULT_ZONE, MOMENT};
use crate::api::schedule::Schedule;
use crate::lease::annotations::Ticks;

/// What is known of runs and ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// The run that goes on, or else the last one; 0 if none has been due.
    pub number: u32,
    /// The tick that it is the run of. `None` if it runs on request.
    pub scheduled_time: Option<Timestamp>,
    /// How far it has come.
    pub phase: RunPhase,
    /// Why the controller has closed it, if it has.
    pub closed: Option<Closed>,
    /// Whether the controller closed it at its deadline, and status does not say so yet. The next run would
    /// take its place in the Lease.
    pub untold: bool,
    /// What is left until it fails unstarted: see [`closing::left`].
    pub left: Option<Duration>,
    /// What became of ticks.
    pub ticks: Ticks,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPhase {
    /// No candidate has started it yet.
    Unstarted,
    /// A candidate has begun an attempt.
    Begun,
    /// Nothing is left to do.
    Over,
}

impl ScheduleState {
    /// Whether the run is to be started, or finished.
    pub fn goes_on(&self) -> bool {
        self.phase != RunPhase::Over
    }
}

/// Reads everything that is known of the runs and ticks of `job`.
pub fn load(job: &SingletonJob, schedule: &Schedule, observed: &Observed, now: Timestamp) -> ScheduleState {
    let ticks = noted(job, observed).unwrap_or_else(|| remembered(job, schedule, now));
    let begun = runs::progress(job, observed).is_some_and(|progress| progress.starts > 0);
    ScheduleState {
        number: runs::current(job, observed),
        scheduled_time: runs::scheduled_time(job, observed),
        phase: match (runs::is_over(job, observed), begun) {
            (true, _) => RunPhase::Over,
            (false, true) => RunPhase::Begun,
            (false, false) => RunPhase::Unstarted,
        },
        closed: runs::closed(job, observed),
        untold: closing::is_untold(job, observed),
        left: closing::left(job, observed, now),
        ticks: of_schedule(job, schedule, ticks, now),
    }
}

/// What the Lease says of ticks. `None` also if it speaks of an earlier SingletonJob of that name.
fn noted(job: &SingletonJob, observed: &Observed) -> Option<Ticks> {
    let ticks = observed.lease.as_ref()?.record.annotations.ticks.as_ref()?;
    (job.metadata.uid.as_ref() == Some(&ticks.uid)).then(|| ticks.clone())
}

/// Restricts `ticks` to this schedule and this job. A schedule that has changed has no tick before now, and
/// none came before the job was created.
fn of_schedule(job: &SingletonJob, schedule: &Schedule, ticks: Ticks, now: Timestamp) -> Ticks {
    let (name, made) = (name(schedule), job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0));
    let settled = if ticks.schedule == name { ticks.settled.max(made) } else { now };
    Ticks { schedule: name, settled, ..ticks }
}

fn name(schedule: &Schedule) -> String {
    format!("{} {}", schedule.cron.trim(), schedule.time_zone.as_deref().unwrap_or(DEFAULT_ZONE))
}

/// What status remembers of ticks. The controller has not decided about the tick that comes next by status,
/// and has decided about all before it.
fn remembered(job: &SingletonJob, schedule: &Schedule, now: Timestamp) -> Ticks {
    let status = job.status.as_ref();
    let last = status.and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    let next = status.and_then(|status| status.next_schedule_time.as_ref());
    let tick = next.and_then(|next| next.0.checked_sub(super::offset(job, schedule)).ok());
    let decided = tick.and_then(|tick| tick.checked_sub(MOMENT).ok()).map(|before| before.min(now));
    let missed = status.and_then(|status| status.missed_runs);
    Ticks {
        uid: job.metadata.uid.clone().unwrap_or_default(),
        schedule: name(schedule),
        settled: last.max(decided).unwrap_or(Timestamp::MIN),
        last,
        missed: missed.and_then(|missed| u64::try_from(missed).ok()).unwrap_or(0),
        paused: false,
        request: status.and_then(|status| status.last_handled_run_request.clone()),
    }
}
