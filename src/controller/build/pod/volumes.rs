//! The volumes of the agent in a candidate pod: its program, its credentials, and what it tells the workload.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, KeyToPath,
    ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::field;
use crate::contract::{paths, pod};

/// The kubelet renews the token long before.
const TOKEN_SECONDS: i64 = 3600;

/// Where the gated container mounts them.
pub(super) fn mounts() -> [VolumeMount; 3] {
    [
        mount(pod::AGENT_VOLUME, paths::AGENT_DIRECTORY, true),
        mount(pod::CREDENTIALS_VOLUME, paths::CREDENTIALS, true),
        mount(pod::STATE_VOLUME, paths::STATE_DIRECTORY, false),
    ]
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// The agent's volumes. Its program and what it writes are in memory, so neither a page fault nor a write
/// waits for a disk of the node.
pub(super) fn volumes() -> [Volume; 3] {
    let empty_dir = |name: &str, megabytes: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".into()),
            size_limit: Some(Quantity(megabytes.into())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let credentials =
        Volume { name: pod::CREDENTIALS_VOLUME.into(), projected: Some(credentials()), ..Volume::default() };
    [empty_dir(pod::AGENT_VOLUME, "64Mi"), credentials, empty_dir(pod::STATE_VOLUME, "16Mi")]
}

/// What Kubernetes would mount by itself, unless `automountServiceAccountToken` turns it off.
fn credentials() -> ProjectedVolumeSource {
    let token = ServiceAccountTokenProjection {
        path: "token".into(),
        expiration_seconds: Some(TOKEN_SECONDS),
        ..ServiceAccountTokenProjection::default()
    };
    let certificate = ConfigMapProjection {
        name: "kube-root-ca.crt".into(),
        items: Some(vec![KeyToPath { key: "ca.crt".into(), path: "ca.crt".into(), ..KeyToPath::default() }]),
        optional: None,
    };
    let namespace = DownwardAPIVolumeFile {
        path: "namespace".into(),
        field_ref: Some(field("metadata.namespace")),
        ..DownwardAPIVolumeFile::default()
    };
    ProjectedVolumeSource {
        // Readable for any user that the workload's container may run as.
        default_mode: Some(0o444),
        sources: Some(vec![
            VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
            VolumeProjection { config_map: Some(certificate), ..VolumeProjection::default() },
            VolumeProjection {
                downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
                ..VolumeProjection::default()
            },
        ]),
        ..ProjectedVolumeSource::default()
    }
}
