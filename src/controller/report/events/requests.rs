//! What becomes of what users ask for by an annotation: a handover, a run, a word that a holder is gone.

use super::super::{ReportContext, blocked};
use super::{Event, normal, warning};
use crate::api::SingletonJobStatus;
use crate::api::takeover::CLEARED_HOLDER;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, RUN_REQUESTED_AT};
use crate::controller::plan::handover::request::{HandoverAnswer, HandoverRequest};
use crate::controller::plan::request::annotation;
use crate::controller::plan::run_plan::{RunAnswer, RunRequest};

pub(super) fn handover_refused(context: &ReportContext<'_>) -> Option<Event> {
    let HandoverRequest { text, answer } = context.request?;
    let HandoverAnswer::Refused(why) = answer else { return None };
    Some(warning(
        "HandoverRefused",
        format!("the controller refused the request {text:?} to hand over: {why}"),
    ))
}

pub(super) fn run_refused(context: &ReportContext<'_>) -> Option<Event> {
    let RunRequest { text, answer } = context.run.request.as_ref()?;
    let RunAnswer::Refused(why) = answer else { return None };
    Some(warning("RunRequestRefused", format!("the controller refused the request {text:?} to run: {why}")))
}

/// Says which requests were there when the controller first looked, as in an object that is restored or
/// applied again.
pub(super) fn recorded(context: &ReportContext<'_>) -> Vec<Event> {
    let handover = context
        .request
        .filter(|request| request.answer == HandoverAnswer::Recorded)
        .map(|request| (HANDOVER_REQUESTED_AT, &request.text));
    let run = context.run.request.as_ref().filter(|request| request.answer == RunAnswer::Recorded);
    let run = run.map(|request| (RUN_REQUESTED_AT, &request.text));
    let note = |(annotation, text): (&str, &String)| {
        format!(
            "{annotation} was already {text:?} when the controller first saw this SingletonJob, so the controller does nothing about it; \
             write another value to ask"
        )
    };
    handover.into_iter().chain(run).map(|request| normal("RequestRecorded", note(request))).collect()
}

/// Says that a user's word that a holder is gone has no effect, when status or a condition begins to say so.
pub(super) fn cleared_no_holder(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Option<Event> {
    let word = annotation(context.job, CLEARED_HOLDER)?;
    let handled = new.last_handled_cleared_holder.as_deref() == Some(word);
    let is_new = handled && new.last_handled_cleared_holder != old.last_handled_cleared_holder;
    let why = if is_new { blocked::no_effect(context, word) } else { blocked::misnamed(context, word, old) };
    Some(normal("RequestRecorded", format!("{CLEARED_HOLDER} names {word:?}, but {}", why?)))
}
