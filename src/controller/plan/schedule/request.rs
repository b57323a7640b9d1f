//! Runs that a person asks for by annotation: each value acts once.
//!
//! The value that was granted last is written into the Lease by the very write that wants its run. What was refused or only recorded is in
//! status alone, for doing that twice changes nothing.

use super::super::is_service;
use super::super::request::{self, is_looked_after};
use super::fate::Course;
use crate::api::SingletonJob;
use crate::api::schedule::ConcurrencyPolicy;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, RUN_REQUESTED_AT};

/// A request to run.
pub type Request = request::Request<Fate>;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
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

/// What becomes of the request in the annotations of a job with a schedule; none where there is none, or where that is known.
pub fn settle(job: &SingletonJob, course: &mut Course<'_>) -> Option<Request> {
    let text = unsettled(job)?;
    if course.memory.ticks.request.as_ref() == Some(&text) {
        return Some(Request { text, fate: Fate::Past });
    }
    if !is_looked_after(job) {
        return Some(Request { text, fate: Fate::Recorded });
    }
    let fate = fate(job, course);
    if fate == Fate::Granted {
        course.begin(None);
        course.memory.ticks.request = Some(text.clone());
    }
    Some(Request { text, fate })
}

/// Of a job without a schedule: its runs cannot be asked for.
pub fn refuse(job: &SingletonJob) -> Option<Request> {
    let why = if is_service(job) {
        format!("a service always runs; to restart it, let it hand over: write a new value into {HANDOVER_REQUESTED_AT}")
    } else {
        "only a SingletonJob with spec.schedule runs on request: delete this one and apply it again to run it once more".to_owned()
    };
    let fate = if is_looked_after(job) { Fate::Refused(why) } else { Fate::Recorded };
    Some(Request { text: unsettled(job)?, fate })
}

fn unsettled(job: &SingletonJob) -> Option<String> {
    request::unsettled(job, RUN_REQUESTED_AT, |status| status.last_handled_run_request.as_ref())
}

fn fate(job: &SingletonJob, course: &Course<'_>) -> Fate {
    if course.memory.untold {
        return Fate::Waits;
    }
    if job.spec.replicas == 0 {
        return Fate::Refused("nothing runs while spec.replicas is 0: ask again when it is not".to_owned());
    }
    match (course.memory.goes_on(), course.concurrency_policy()) {
        (true, ConcurrencyPolicy::Forbid) => {
            let number = course.memory.number;
            Fate::Refused(format!("run {number} is going on, and spec.schedule.concurrencyPolicy is Forbid: ask again when it is over"))
        }
        (true, ConcurrencyPolicy::Enqueue) => Fate::Waits,
        (true, ConcurrencyPolicy::Replace) | (false, _) => Fate::Granted,
    }
}
