//! Finds out since when a pod has been starting on its node.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec, PodStatus};

use super::pod_status::{Condition, condition, running_since, terminated};
use super::sidecars::is_sidecar;

/// Since when the pod has been starting on its node. `None` if it has started, has no node, or an ordinary
/// init container is at work. The containers begin to start when the last of those has ended.
pub(super) fn since(spec: &PodSpec, status: &PodStatus) -> Option<Timestamp> {
    if spec.node_name.is_none() || status.phase.as_deref().unwrap_or("Pending") != "Pending" {
        return None;
    }
    let Condition { holds: true, since: scheduled } = condition(status, "PodScheduled")? else {
        return None;
    };
    let sidecars: Vec<_> = spec.init_containers.iter().flatten().filter(|init| is_sidecar(init)).collect();
    let is_ordinary = |init: &&ContainerStatus| sidecars.iter().all(|sidecar| sidecar.name != init.name);
    let ordinary: Vec<_> = status.init_container_statuses.iter().flatten().filter(is_ordinary).collect();
    if ordinary.iter().any(|init| running_since(init).is_some()) {
        return None;
    }
    let ended = ordinary.iter().filter_map(|init| terminated(init)?.finished_at.as_ref());
    scheduled.max(ended.map(|time| time.0).max())
}
