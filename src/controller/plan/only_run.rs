//! Decides about the run of a job without a schedule.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::closing;
use super::request::{self, is_looked_after};
use super::run_plan::{RunAnswer, RunPlan, RunRequest};
use super::runs::Closed;
use crate::api::SingletonJob;
use crate::contract::labels::HANDOVER_REQUESTED_AT;

/// Decides whether the run goes on, or fails because no candidate has started it in time.
pub fn decide(job: &SingletonJob, observed: &Observed, now: Timestamp) -> RunPlan {
    let left = closing::left(job, observed, now);
    let run = RunPlan { request: refuse(job), look: left, ..RunPlan::noted(job, observed) };
    if left == Some(Duration::ZERO) {
        return RunPlan { goes_on: false, closed: Some(Closed::DeadlineExceeded), ..run };
    }
    run
}

/// Refuses a request to run, because a job without a schedule has only one run. `None` if there is no
/// request.
fn refuse(job: &SingletonJob) -> Option<RunRequest> {
    let why = if job.spec.is_service() {
        format!(
            "a service always runs; to restart it, let it hand over: write a new value into {HANDOVER_REQUESTED_AT}"
        )
    } else {
        "only a SingletonJob with spec.schedule runs on request: delete this one and apply it again to run it once more".to_owned()
    };
    let answer = if is_looked_after(job) { RunAnswer::Refused(why) } else { RunAnswer::Recorded };
    Some(RunRequest { text: request::to_run(job)?, answer })
}
