//! Turns a Pod into a [`Candidate`]. No other code decides which fields of a Pod the plan needs.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus, Toleration};
use kube::ResourceExt;

use super::pod_status::{Condition, condition, container_status, running_since};
use super::{
    Candidate, Phase, agent_error, end, gated, number, sidecars, start_failure, starting, takeover,
    termination,
};
use crate::contract::labels;
use crate::controller::names;

impl Candidate {
    /// Reads what `pod` says. [`Candidate::has_held`] is `false`, because only the Lease and status tell.
    pub fn read(pod: &Pod) -> Self {
        let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
        let spec = pod.spec.as_ref().unwrap_or(&no_spec);
        let status = pod.status.as_ref().unwrap_or(&no_status);
        let gated = gated(pod).unwrap_or_default();
        let container = container_status(status, gated);
        let ready = condition(status, "Ready");
        let is_ready = ready.as_ref().is_some_and(|ready| ready.holds);
        let can_take_over = is_ready || takeover::could_take_over(spec, status, gated);
        let phase = end::phase(pod, spec, status, container);
        let has_ended = matches!(phase, Phase::Terminated(_));
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            version: pod.resource_version().unwrap_or_default(),
            number: number(&pod.name_any()),
            node: spec.node_name.clone(),
            template_hash: pod.labels().get(labels::TEMPLATE_HASH).cloned(),
            made_for: pod.labels().get(labels::MADE_FOR_RUN).and_then(|number| number.parse().ok()),
            service_account: spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
            role: pod.labels().get(labels::ROLE).cloned(),
            phase,
            has_held: false,
            ready: is_ready,
            reports_readiness: reports_readiness(pod),
            can_take_over,
            unready_since: ready.as_ref().filter(|ready| !ready.holds).and_then(|ready| ready.since),
            start_failure: if can_take_over { None } else { start_failure::of(spec, status, gated) },
            starting_since: starting::since(spec, status),
            has_running_sidecars: has_ended && sidecars::are_running(spec, status),
            fleeting: spec.tolerations.iter().flatten().any(is_ours),
            beside: sidecars::beside(spec, gated),
            agent_error: if can_take_over { None } else { agent_error::of(container) },
            since: since(pod, ready.as_ref(), can_take_over, container),
            terminations: container.map_or_else(Vec::new, termination::all),
        }
    }
}

/// When the pod reached its current state: Ready, else container start, else creation.
fn since(
    pod: &Pod,
    ready: Option<&Condition>,
    can_take_over: bool,
    container: Option<&ContainerStatus>,
) -> Option<Timestamp> {
    let reached = match ready {
        Some(ready) if ready.holds => ready.since,
        _ if can_take_over => container.and_then(running_since),
        _ => None,
    };
    reached.or(pod.creation_timestamp().map(|time| time.0))
}

fn reports_readiness(pod: &Pod) -> bool {
    pod.annotations().get(labels::READINESS).is_some_and(|reporter| reporter == labels::READINESS_REPORTED)
}

/// Whether the controller adds `toleration` to candidates that have not ended.
fn is_ours(toleration: &Toleration) -> bool {
    names::UNREACHABLE.into_iter().any(|taint| *toleration == names::toleration(taint, false))
}
