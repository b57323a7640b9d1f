//! Looks up conditions and container states in the status of a Pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, PodStatus};

/// A condition of a pod.
pub(super) struct Condition {
    /// Whether its status is `True`.
    pub(super) holds: bool,
    /// Since when.
    pub(super) since: Option<Timestamp>,
}

/// The condition of that type. `None` if the pod does not have it yet.
pub(super) fn condition(status: &PodStatus, type_: &str) -> Option<Condition> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == type_)?;
    let since = condition.last_transition_time.as_ref().map(|time| time.0);
    Some(Condition { holds: condition.status == "True", since })
}

/// The status of the ordinary container `name`. `None` until the kubelet reports it.
pub(super) fn container_status<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    status.container_statuses.iter().flatten().find(|container| container.name == name)
}

/// Since when the container runs. `None` if it does not.
pub(super) fn running_since(container: &ContainerStatus) -> Option<Timestamp> {
    container.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|time| time.0)
}

/// How the container ended. `None` if it runs, or waits to be started again.
pub(super) fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}
