//! Finds the gated container of a pod: the one that the agent guards, with the workload in it.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::contract::{paths, pod};

/// The name of the container of `pod` that was gated when the controller created it. The SingletonJob's
/// template may name another one by now.
pub fn gated(pod: &Pod) -> Option<&str> {
    let has_credentials = |container: &&Container| {
        let mut mounts = container.volume_mounts.iter().flatten();
        mounts.any(|mount| mount.name == pod::CREDENTIALS_VOLUME && mount.mount_path == paths::CREDENTIALS)
    };
    pod.spec.as_ref()?.containers.iter().find(has_credentials).map(|container| container.name.as_str())
}
