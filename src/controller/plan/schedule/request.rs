//! Handles the annotation by which a user requests a run. Each value acts once.
//!
//! The write that wants the run also stores the granted value in the Lease. A refused or recorded value is in
//! status alone, because handling it twice changes nothing.

use super::super::request::{self, is_looked_after};
use super::super::run_plan::{RunAnswer, RunRequest};
use super::ticks::TickPlanner;
use crate::api::SingletonJob;
use crate::api::schedule::ConcurrencyPolicy;

/// Decides about the request to run in the annotations of a job with a schedule. `None` if there is none, or
/// if status says what became of it.
pub fn settle(job: &SingletonJob, planner: &mut TickPlanner<'_>) -> Option<RunRequest> {
    let text = request::to_run(job)?;
    if planner.state.ticks.request.as_ref() == Some(&text) {
        return Some(RunRequest { text, answer: RunAnswer::Past });
    }
    if !is_looked_after(job) {
        return Some(RunRequest { text, answer: RunAnswer::Recorded });
    }
    let answer = answer(job, planner);
    if answer == RunAnswer::Granted {
        planner.begin(None);
        planner.state.ticks.request = Some(text.clone());
    }
    Some(RunRequest { text, answer })
}

fn answer(job: &SingletonJob, planner: &TickPlanner<'_>) -> RunAnswer {
    if planner.state.untold {
        return RunAnswer::Waits;
    }
    if job.spec.replicas == 0 {
        return RunAnswer::Refused(
            "nothing runs while spec.replicas is 0: ask again when it is not".to_owned(),
        );
    }
    match (planner.state.goes_on(), planner.concurrency_policy()) {
        (true, ConcurrencyPolicy::Forbid) => {
            let number = planner.state.number;
            RunAnswer::Refused(format!(
                "run {number} is going on, and spec.schedule.concurrencyPolicy is Forbid: ask again when it is over"
            ))
        }
        (true, ConcurrencyPolicy::Enqueue) => RunAnswer::Waits,
        (true, ConcurrencyPolicy::Replace) | (false, _) => RunAnswer::Granted,
    }
}
