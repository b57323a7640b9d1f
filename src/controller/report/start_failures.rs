//! Explains why some candidate does not start: the API server refuses its pod, the kubelet or the scheduler
//! holds it up, or it ended before it could stand by.

use super::{ReportContext, outcome, refused};
use crate::api::conditions::{find_condition, types};
use crate::controller::observe::candidate::Candidate;
use crate::controller::observe::candidate::start_failure::StartFailure;
use crate::controller::plan::spread;
use crate::controller::refusals::Step;

/// Why a candidate ended before it could stand by, where the kubelet gives no reason.
const CANDIDATE_FAILED: &str = "CandidateFailed";

/// The first explanation for a candidate that does not start. `None` if none is held up.
pub(super) fn first(context: &ReportContext<'_>) -> Option<StartFailure> {
    no_pod(context)
        .or_else(|| last_stuck(context))
        .or_else(|| ended_too_soon(context, context.run.made_for()))
}

/// Why the controller cannot create a new pod.
fn no_pod(context: &ReportContext<'_>) -> Option<StartFailure> {
    let refused = context.effects.refused.iter().find(|refused| refused.step == Step::MakePod);
    let failure = |reason: &str, message: String| StartFailure { reason: reason.to_owned(), message };
    let refused = refused.map(|refused| failure("FailedCreate", refused::of_pod(refused)));
    let invalid = || {
        refused::invalid_template(context)
            .map(|invalid| failure(invalid.step.reason(), refused::sentence(invalid)))
    };
    let failed = || context.effects.failed.clone().map(|message| failure("RequestFailed", message));
    refused.or_else(invalid).or_else(failed)
}

/// Why the newest active candidate that is held up does not start. No candidate waits for the one that the
/// controller tries on another node.
fn last_stuck(context: &ReportContext<'_>) -> Option<StartFailure> {
    let tried = spread::tried(context.job, context.observed).map(|tried| &tried.uid);
    let active = context
        .observed
        .candidates
        .iter()
        .filter(|candidate| candidate.is_alive() && Some(&candidate.uid) != tried);
    let mut stuck = active.filter_map(|candidate| {
        let StartFailure { reason, message } = candidate.start_failure.as_ref()?;
        Some(StartFailure {
            reason: reason.clone(),
            message: format!("{}: {reason}: {message}", candidate.name),
        })
    });
    stuck.next_back()
}

/// Why the newest candidate that the controller made for `run`, or for a later one, ended before it could
/// stand by. `None` if a later candidate did better, or if its agent explains the end itself.
fn ended_too_soon(context: &ReportContext<'_>, run: Option<u32>) -> Option<StartFailure> {
    let candidates = &context.observed.candidates;
    let is_good = |candidate: &&Candidate| candidate.can_take_over || candidate.has_held;
    let newest_good = candidates.iter().filter(is_good).map(|candidate| candidate.number).max().unwrap_or(0);
    let is_of_earlier_run = |candidate: &Candidate| candidate.made_for < run;
    let in_vain = candidates.iter().filter(|candidate| {
        candidate.was_in_vain() && candidate.agent_error.is_none() && !is_of_earlier_run(candidate)
    });
    in_vain
        .filter(|candidate| candidate.number > newest_good)
        .max_by_key(|candidate| candidate.number)
        .and_then(end)
}

fn end(candidate: &Candidate) -> Option<StartFailure> {
    let end = candidate.end()?;
    let reason = end.reason.as_deref().filter(|reason| outcome::adds_to_exit_code(reason));
    let reason = reason.unwrap_or(CANDIDATE_FAILED).to_owned();
    let code = end.exit_code.map_or(String::new(), |code| format!("exit code {code}, "));
    let words = end.message.as_ref().map_or(String::new(), |message| format!(": {}", message.trim()));
    Some(StartFailure {
        message: format!("{} ended before it could stand by: {code}{reason}{words}", candidate.name),
        reason,
    })
}

/// One sentence about a run that the controller has closed for its deadline, because no candidate could run
/// the workload.
pub(super) fn unstarted(context: &ReportContext<'_>) -> String {
    let limit = context.job.spec.active_deadline_seconds.unwrap_or_default();
    let made_for_it = || ended_too_soon(context, context.run.schedule.as_ref().map(|_| context.run.number));
    let failure = context.trouble().cloned().or_else(made_for_it).map(|failure| failure.message);
    let why = failure.or_else(|| last_agent_error(context)).or_else(|| said_of_standbys(context));
    let why = why.unwrap_or_else(|| "no candidate was ready".to_owned());
    format!("spec.activeDeadlineSeconds of {limit} passed while no candidate could run the workload: {why}")
}

fn last_agent_error(context: &ReportContext<'_>) -> Option<String> {
    let candidates = &context.observed.candidates;
    let mut errors = candidates.iter().filter_map(|pod| Some((&pod.name, pod.agent_error.as_ref()?)));
    errors.next_back().map(|(pod, agent_error)| format!("{pod}: {}", agent_error.message))
}

/// What status said before about the lack of standbys.
fn said_of_standbys(context: &ReportContext<'_>) -> Option<String> {
    find_condition(&context.old().conditions, types::STANDBY_AVAILABLE)
        .filter(|said| said.status == "False")
        .map(|said| said.message.clone())
}
