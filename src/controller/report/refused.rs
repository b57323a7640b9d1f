//! What the API server refuses, in a sentence for the user.

use super::ReportContext;
use crate::api::conditions::{Statement, types};
use crate::controller::observe::candidate::Candidate;
use crate::controller::refusals::{Refused, Step};

/// The condition `ObjectRefused`. `None` if the API server refuses nothing but new pods, which other
/// conditions quote.
pub fn statement(context: &ReportContext<'_>) -> Option<Statement> {
    let first = objects(context).next()?;
    let messages: Vec<_> = objects(context).map(sentence).collect();
    Some(Statement::yes(types::OBJECT_REFUSED, first.step.reason(), messages.join("; ")))
}

/// What the API server finds wrong with the template.
pub(super) fn invalid_template<'a>(context: &'a ReportContext<'_>) -> Option<&'a Refused> {
    context.effects.refused.iter().find(|refused| refused.step == Step::ValidateTemplate)
}

/// What the API server does not let the controller create or change, except new pods.
fn objects<'a>(context: &'a ReportContext<'_>) -> impl Iterator<Item = &'a Refused> {
    let is_of_pod = |step| matches!(step, Step::MakePod | Step::ValidateTemplate);
    context.effects.refused.iter().filter(move |refused| !is_of_pod(refused.step))
}

/// The refusal that keeps the job from running at all, because the controller cannot create its first pod.
/// `None` if a candidate is there.
pub fn block<'a>(context: &'a ReportContext<'_>) -> Option<&'a Refused> {
    let is_first =
        !context.observed.candidates.iter().any(Candidate::is_alive) && !context.job.spec.is_stopped();
    context.effects.refused.iter().find(|refused| is_first && refused.step.comes_before_pods())
}

const THEN: &str = "the controller asks again within 5 min, and at once after a change of this SingletonJob";

/// Why the API server refuses a new pod, in its own words, which name the pod.
pub fn of_pod(refused: &Refused) -> String {
    format!("{}; {THEN}", refused.message.trim_end_matches('.'))
}

/// What the API server refuses, what the controller needs it for, and what the user can do.
pub fn sentence(refused: &Refused) -> String {
    let what = refused.message.trim_end_matches('.');
    if refused.step == Step::ValidateTemplate {
        // The pod that it names is none that there will be.
        let what = what.split_once("is invalid: ").map_or(what, |(_, fields)| fields);
        return format!("the API server refuses spec.template: {what}; correct spec.template: {THEN}");
    }
    format!(
        "the API server refuses a request of the controller: {what} ({}); change the quota, policy or webhook that refuses it: {THEN}",
        refused.step.purpose()
    )
}
