//! The containers of a pod beside the gated one, and whether they outlast it.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodStatus};

use super::pod_status::{container_status, terminated};

/// An `activeDeadlineSeconds` that has passed in every pod whose workload has ended. It makes the kubelet end
/// the remaining containers and keep their logs.
pub const PAST_DEADLINE: i64 = 1;

/// Whether `init`, an init container, runs beside the ordinary containers until the pod ends.
pub(super) fn is_sidecar(init: &Container) -> bool {
    init.restart_policy.as_deref() == Some("Always")
}

/// Names of the ordinary containers that are not `gated`.
pub(super) fn beside(spec: &PodSpec, gated: &str) -> Vec<String> {
    let names = spec.containers.iter().map(|container| &container.name);
    names.filter(|name| *name != gated).cloned().collect()
}

/// Whether ordinary containers run that the controller has not stopped by [`PAST_DEADLINE`]. Sidecars among
/// the init containers do not count, because the kubelet ends them by itself.
pub(super) fn are_running(spec: &PodSpec, status: &PodStatus) -> bool {
    let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let runs = |name: &str| container_status(status, name).and_then(terminated).is_none();
    !is_over
        && spec.active_deadline_seconds != Some(PAST_DEADLINE)
        && spec.containers.iter().any(|container| runs(&container.name))
}
