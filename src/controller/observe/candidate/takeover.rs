//! Decides whether a standby whose pod is not ready could take over.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus};

use super::pod_status::container_status;
use super::sidecars::is_sidecar;

/// Whether a candidate could take over that is unready only because standbys are not to be ready.
///
/// The controller gives the gated container of such a pod a startup probe, which succeeds once the agent has
/// read the Lease. A template's own startup probe never reaches a pod. All containers beside the gated one
/// have to be ready, as in a ready pod.
pub(super) fn could_take_over(spec: &PodSpec, status: &PodStatus, gated: &str) -> bool {
    let asked = |container: &Container| container.name == gated && container.startup_probe.is_some();
    let has_started = |gated: &ContainerStatus| gated.started == Some(true);
    spec.containers.iter().any(asked)
        && container_status(status, gated).is_some_and(has_started)
        && are_ready_beside(spec, status, gated)
}

fn are_ready_beside(spec: &PodSpec, status: &PodStatus, gated: &str) -> bool {
    let sidecars = spec.init_containers.iter().flatten().filter(|init| is_sidecar(init));
    let mut beside = spec.containers.iter().filter(|container| container.name != gated).chain(sidecars);
    let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    beside.all(|other| statuses().any(|status| status.name == other.name && status.ready))
}
