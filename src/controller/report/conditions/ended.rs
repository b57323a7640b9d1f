//! `Complete` and `Failed`: how the run ended.

use super::super::{ReportContext, format, outcome};
use crate::api::conditions::{Statement, reasons, types};
use crate::api::status::{FinishedRun, RunOutcome};

/// What a changed template means for a run that is over.
const TEMPLATE_CHANGED: &str = "; the template has changed since, and the controller does not start a finished job again: to run the new template, \
                                delete this SingletonJob and apply it again";

pub(super) fn sentence(context: &ReportContext<'_>, run: &FinishedRun) -> String {
    let message = run.message.clone().unwrap_or_default();
    let changed =
        if context.job.spec.schedule.is_none() && is_outdated(context, run) { TEMPLATE_CHANGED } else { "" };
    match run.outcome {
        RunOutcome::Succeeded => format!("succeeded: {message}{changed}"),
        RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => {
            let kept =
                |pod: &&String| context.observed.candidates.iter().any(|candidate| candidate.name == **pod);
            let log = run
                .pod
                .as_ref()
                .filter(kept)
                .map_or(String::new(), |pod| format!("; the log of {pod} says why"));
            let how = if run.outcome == RunOutcome::Replaced { "replaced" } else { "failed" };
            format!(
                "{how} after {}: {message}{log}{changed}",
                format::count(run.attempts, "attempt", "attempts")
            )
        }
    }
}

/// Whether the pod that finished the run has another template than the spec. False if that pod is gone.
fn is_outdated(context: &ReportContext<'_>, run: &FinishedRun) -> bool {
    let last_runner =
        context.observed.candidates.iter().find(|candidate| Some(&candidate.name) == run.pod.as_ref());
    last_runner.is_some_and(|pod| pod.template_hash.as_ref() != Some(&context.observed.template_hash))
}

/// The conditions `Complete` and `Failed` of a one-shot, as batch/v1 has them.
pub(super) fn finished(context: &ReportContext<'_>) -> [(&'static str, Option<Statement>); 2] {
    let of = |outcome, type_, fallback: &str| {
        let run = context.runs.first().filter(|run| run.outcome == outcome)?;
        Some(Statement::yes(
            type_,
            outcome::condition_reason(run.reason.as_deref().unwrap_or(fallback)),
            sentence(context, run),
        ))
    };
    [
        (types::COMPLETE, of(RunOutcome::Succeeded, types::COMPLETE, reasons::COMPLETE)),
        (types::FAILED, of(RunOutcome::Failed, types::FAILED, reasons::BACKOFF_LIMIT_EXCEEDED)),
    ]
}
