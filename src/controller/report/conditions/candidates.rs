//! `StandbyAvailable` and `AgentHealthy`: whether candidates could take over, and which errors agents report.

use super::super::{ReportContext, format};
use crate::api::conditions::{Statement, reasons, types};

/// Whether the job wants standbys. A job that is over or stopped wants none, nor does a schedule between its
/// runs.
pub(super) fn wants_standbys(context: &ReportContext<'_>) -> bool {
    !context.job.spec.is_stopped() && !context.run.is_at_rest()
}

/// The condition `StandbyAvailable`. It always quotes what keeps a candidate from starting, because
/// [`events`](super::super::events) finds out by the quotation what an event has told already.
pub(super) fn standby(context: &ReportContext<'_>) -> Statement {
    let trouble = context.trouble().map(|trouble| trouble.message.clone());
    match context.standbys().count() {
        0 => Statement::no(
            types::STANDBY_AVAILABLE,
            "NoneReady",
            trouble.unwrap_or_else(|| no_standby(context)),
        ),
        many => {
            let trouble = trouble.map_or(String::new(), |trouble| format!("; {trouble}"));
            let ready = format!("{} ready", format::count(many, "standby is", "standbys are"));
            match context.observed.crowded() {
                Some(node) if context.holder().is_some() => {
                    let message = format!(
                        "{ready}, on the same node as the holder: if {node} fails, the workload stops until a candidate is \
                         ready on another node{trouble}"
                    );
                    Statement::yes(types::STANDBY_AVAILABLE, reasons::SAME_NODE, message)
                }
                _ => Statement::yes(
                    types::STANDBY_AVAILABLE,
                    reasons::AS_EXPECTED,
                    format!("{ready}{trouble}"),
                ),
            }
        }
    }
}

fn no_standby(context: &ReportContext<'_>) -> String {
    match context.job.spec.replicas {
        1 => "spec.replicas is 1, so there is no standby: after a crash the workload waits until a candidate is ready again"
            .to_owned(),
        _ => "no standby is ready".to_owned(),
    }
}

/// The condition `AgentHealthy`. The holder's agent reports in the Lease; an agent that could not stand by
/// left a termination message.
pub(super) fn healthy(context: &ReportContext<'_>) -> Statement {
    let warnings = context
        .record()
        .and_then(|record| record.annotations.health.as_ref())
        .map(|health| health.warnings.clone())
        .unwrap_or_default();
    let candidates = &context.observed.candidates;
    let newest_good = candidates
        .iter()
        .filter(|candidate| candidate.can_take_over)
        .map(|candidate| candidate.number)
        .max()
        .unwrap_or(0);
    let relevant = candidates.iter().filter(|candidate| {
        !candidate.can_take_over && (candidate.is_alive() || candidate.number > newest_good)
    });
    let mut agent_errors =
        relevant.filter_map(|candidate| Some((&candidate.name, candidate.agent_error.as_ref()?)));
    match (warnings.is_empty(), agent_errors.next_back()) {
        (_, Some((pod, agent_error))) => {
            let reason =
                if agent_error.failed_self_test { reasons::SELF_TEST_FAILED } else { reasons::AGENT_FAILED };
            Statement::no(types::AGENT_HEALTHY, reason, format!("{pod}: {}", agent_error.message))
        }
        (false, None) => Statement::no(types::AGENT_HEALTHY, reasons::HOLDER_WARNS, warnings.join("; ")),
        (true, None) => {
            Statement::yes(types::AGENT_HEALTHY, reasons::AS_EXPECTED, "no agent reports an error")
        }
    }
}
