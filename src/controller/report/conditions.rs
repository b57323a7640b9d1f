//! Conditions: the state table of the API, row by row.
//!
//! # Layout
//! [`whole`]: what is said about the whole, as a [`summary`]; of a schedule by [`scheduled`]. [`held`],
//! [`candidates`] and [`ended`]: the conditions about the Lease, the pods and the run.

mod candidates;
mod ended;
mod held;
mod scheduled;
mod summary;
mod whole;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::format::to_seconds;
use super::{ReportContext, blocked, refused, template_warnings};
use crate::api::conditions::{Statement, find_condition, reasons, remove_condition, set_condition, types};
use candidates::{healthy, standby, wants_standbys};
use ended::finished;
use held::held;
use summary::{Summary, progressing, stalled};

/// The type of a condition, and what it says. `None` removes the condition.
type Row = (&'static str, Option<Statement>);

/// All conditions of the new status. Each keeps its transition time while its status does not change.
pub fn all(context: &ReportContext<'_>) -> Vec<Condition> {
    let mut conditions = context.old().conditions.clone();
    let (now, generation) = (to_seconds(context.now), context.job.metadata.generation);
    for (type_, statement) in rows(context) {
        match statement {
            Some(statement) => set_condition(&mut conditions, statement, generation, &now),
            None => remove_condition(&mut conditions, type_),
        }
    }
    for condition in &mut conditions {
        condition.observed_generation = generation;
    }
    conditions
}

/// The conditions to set or remove. A condition that is not listed stays as it was.
fn rows(context: &ReportContext<'_>) -> Vec<Row> {
    let held = held(context);
    let Summary { ready, reconciling, stalled } = whole::summary(context, &held);
    let says_whether_reconciling = ready.is_some() || reconciling.is_some();
    let mut rows = Vec::new();
    rows.extend(ready.map(|ready| (types::READY, Some(ready))));
    rows.push((types::SUSPENDED, Some(suspended(context))));
    if context.refusal.is_none() {
        rows.push((types::HELD, Some(held)));
        rows.push((types::AGENT_HEALTHY, Some(healthy(context))));
    }
    rows.push((types::STALLED, Some(stalled.unwrap_or_else(not_stalled))));
    rows.push((types::TAKEOVER_BLOCKED, blocked::statement(context)));
    rows.push((types::OBJECT_REFUSED, refused::statement(context)));
    if template_warnings::is_known(context.job, context.observed) {
        rows.push((types::TEMPLATE_HAZARDOUS, template_warnings::statement(context.job, context.observed)));
    }
    if says_whether_reconciling {
        rows.push((types::RECONCILING, Some(reconciling.unwrap_or_else(not_reconciling))));
    }
    match context.job.spec.schedule {
        Some(_) => rows.extend(scheduled::last_run(context)),
        None => rows.extend(finished(context)),
    }
    if context.refusal.is_none() {
        rows.push((types::STANDBY_AVAILABLE, wants_standbys(context).then(|| standby(context))));
    }
    rows
}

fn suspended(context: &ReportContext<'_>) -> Statement {
    if context.job.spec.suspend {
        Statement::yes(types::SUSPENDED, reasons::SUSPENDED, "spec.suspend is true")
    } else {
        Statement::no(types::SUSPENDED, reasons::AS_EXPECTED, "spec.suspend is false")
    }
}

fn not_stalled() -> Statement {
    Statement::no(types::STALLED, reasons::AS_EXPECTED, "the user has nothing to change")
}

fn not_reconciling() -> Statement {
    Statement::no(types::RECONCILING, reasons::AS_EXPECTED, "the controller is not carrying out a change")
}

/// The conditions of a schedule whose decision the Lease does not say. Only what keeps the controller from
/// writing the decision changes them.
pub fn of_unstored(context: &ReportContext<'_>) -> Vec<Condition> {
    let old = context.old();
    let mut conditions = old.conditions.clone();
    let refused = refused::statement(context);
    if refused.is_none() {
        remove_condition(&mut conditions, types::OBJECT_REFUSED);
    }
    let blocked =
        refused::block(context).map(|refused| stalled(refused.step.reason(), refused::sentence(refused)));
    if blocked.is_none() && find_condition(old.conditions.as_slice(), types::OBJECT_REFUSED).is_some() {
        remove_condition(&mut conditions, types::STALLED);
    }
    let failed = || context.effects.failed.as_ref().map(|message| progressing("RequestFailed", message));
    let statements = blocked
        .or_else(failed)
        .into_iter()
        .flat_map(|summary| [summary.ready, summary.reconciling, summary.stalled])
        .flatten();
    for statement in refused.into_iter().chain(statements) {
        set_condition(&mut conditions, statement, context.job.metadata.generation, &to_seconds(context.now));
    }
    conditions
}
