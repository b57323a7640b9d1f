//! The run of a job: what is decided about it. A job without a schedule has one run, and no ticks.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::request::UserRequest;
use super::runs::{self, Closed};
use crate::api::SingletonJob;
use crate::lease::annotations::Ticks;

/// What is decided about the run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// The run that goes on, or else the last one; 0 where none has been due.
    pub number: u32,
    /// The tick that it is the run of.
    pub scheduled_time: Option<Timestamp>,
    /// Whether it is to be started, or finished.
    pub goes_on: bool,
    /// Why the controller closes it, or has closed it.
    pub closed: Option<Closed>,
    /// What becomes of a request to run.
    pub request: Option<RunRequest>,
    /// From now until something is due.
    pub look: Option<Duration>,
    /// What is decided about ticks; `None` of a job without a schedule.
    pub schedule: Option<SchedulePlan>,
}

/// What is decided about the ticks of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulePlan {
    /// What the Lease should remember of ticks.
    pub ticks: Ticks,
    /// Ticks that are missed by this very decision.
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
    /// Whether there were more than were counted.
    pub more: bool,
    /// The last of them.
    pub last: Timestamp,
    /// Why that one did not.
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
    /// It was noticed later than it may start.
    Late,
    /// This run was going on.
    Busy(u32),
    /// This run had not been started yet.
    Waiting(u32),
    /// It waited, and another came after it.
    Overtaken,
    /// Its run could not be started in time.
    Unstarted,
}

/// A request to run.
pub type RunRequest = UserRequest<RunAnswer>;

/// What becomes of a request to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAnswer {
    /// A run is wanted.
    Granted,
    /// The run that is going on is waited for.
    Waits,
    /// It asks for what cannot be done: why, and what to do instead.
    Refused(String),
    /// Nothing, but that it is remembered: it was there before the controller first looked.
    Recorded,
    /// Nothing: it has been granted.
    Past,
}

impl RunPlan {
    /// The run as the Lease has it, or as status remembers it: nothing is decided.
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

    /// Whether no run goes on and none is prepared: there are no candidates, and none are missing.
    pub fn is_at_rest(&self) -> bool {
        !self.goes_on && !self.schedule.as_ref().is_some_and(|schedule| schedule.prepares)
    }
}
