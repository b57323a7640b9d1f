//! Defines what the controller decides about the run of a job. A job without a schedule has one run, and no
//! ticks.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::request::UserRequest;
use super::runs::{self, Closed};
use crate::api::SingletonJob;
use crate::lease::annotations::Ticks;

/// What the controller decides about the run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// The run that goes on, or else the last one; 0 if none has been due.
    pub number: u32,
    /// The tick that it is the run of. `None` if it is of no tick.
    pub scheduled_time: Option<Timestamp>,
    /// Whether a candidate has yet to start or finish it.
    pub goes_on: bool,
    /// Why the controller closes it, or has closed it. `None` if it does not.
    pub closed: Option<Closed>,
    /// What the controller does about a request to run.
    pub request: Option<RunRequest>,
    /// How long until something is due. `None` if nothing is.
    pub look: Option<Duration>,
    /// What the controller decides about ticks. `None` for a job without a schedule.
    pub schedule: Option<SchedulePlan>,
}

/// What the controller decides about the ticks of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulePlan {
    /// What the Lease should remember of ticks.
    pub ticks: Ticks,
    /// Ticks that this very decision misses. `None` if there are none.
    pub missed: Option<MissedTicks>,
    /// When the next run is due: its tick plus the offset of the job. `None` while the schedule is paused.
    pub next: Option<Timestamp>,
    /// When the current run was due. `None` if it runs on request.
    pub due: Option<Timestamp>,
    /// Whether candidates for the next run should be there.
    pub prepares: bool,
}

/// Ticks that did not become a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedTicks {
    /// How many.
    pub count: u64,
    /// Whether there were more than the controller counted.
    pub more: bool,
    /// The last of them.
    pub last: Timestamp,
    /// Why the last one did not.
    pub reason: MissReason,
}

impl MissedTicks {
    /// These and `later` decided ones together. The last tick of all says why.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let last = if self.last > later.last { self } else { later };
        Self { count: self.count + later.count, more: self.more || later.more, ..last }
    }
}

/// Why a tick did not become a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// No controller was there to take it, and another came after it.
    Passed,
    /// The controller noticed it later than it may start.
    Late,
    /// This run was going on.
    Busy(u32),
    /// No candidate had started this run yet.
    Waiting(u32),
    /// It waited, and another came after it.
    Overtaken,
    /// No candidate started its run in time.
    Unstarted,
}

/// A request to run.
pub type RunRequest = UserRequest<RunAnswer>;

/// What the controller does about a request to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAnswer {
    /// The controller wants a run.
    Granted,
    /// The request waits for the end of the run that goes on.
    Waits,
    /// The controller cannot grant it. The text says why, and what to do instead.
    Refused(String),
    /// The controller only records it, because it was there before the first look.
    Recorded,
    /// The controller has granted it already.
    Past,
}

impl RunPlan {
    /// The run as the Lease has it, or as status remembers it. Nothing is decided yet.
    pub fn noted(job: &SingletonJob, observed: &Observed) -> Self {
        Self {
            number: runs::current(job, observed),
            scheduled_time: runs::scheduled_time(job, observed),
            goes_on: !runs::is_over(job, observed),
            closed: runs::closed(job, observed),
            request: None,
            look: None,
            schedule: None,
        }
    }

    /// The run that a candidate is made for now. `None` if there is only one.
    pub fn made_for(&self) -> Option<u32> {
        let next = self.number.saturating_add(1);
        self.schedule.as_ref().map(|_| if self.goes_on { self.number } else { next })
    }

    /// Whether no run goes on and none is prepared. No candidates are there then, and none are missing.
    pub fn is_at_rest(&self) -> bool {
        !self.goes_on && !self.schedule.as_ref().is_some_and(|schedule| schedule.prepares)
    }
}
