//! Reads the access modes of the PersistentVolumeClaims that all candidates of a job share. Without such
//! claims the controller asks nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource};
use kube::{Api, Client, ResourceExt};

use crate::api::SingletonJob;
use crate::controller::api_call::{Failure, with_deadline};

/// Access modes by claim name. A claim that does not exist, or that the controller may not read, is missing.
pub type VolumeClaims = BTreeMap<String, Vec<String>>;

/// Lists the volumes of the template that are claims, by the volume's name.
pub fn of(job: &SingletonJob) -> impl Iterator<Item = (&str, &PersistentVolumeClaimVolumeSource)> {
    let volumes = job.spec.template.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some((volume.name.as_str(), volume.persistent_volume_claim.as_ref()?)))
}

/// Reads all claims of `job`. A single candidate shares none. `None` if the API server does not tell.
pub async fn look(client: &Client, job: &SingletonJob) -> Option<VolumeClaims> {
    let claims = ask(client, job).await;
    claims
        .inspect_err(
            |failure| tracing::warn!(%failure, "how a volume may be mounted is not known; trying again"),
        )
        .ok()
}

async fn ask(client: &Client, job: &SingletonJob) -> Result<VolumeClaims, Failure> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    let mut claims = VolumeClaims::new();
    if job.spec.replicas < 2 {
        return Ok(claims);
    }
    for (_, claim) in of(job) {
        let name = &claim.claim_name;
        let found = match with_deadline("reading PersistentVolumeClaim", name, api.get_opt(name)).await {
            Err(failure) if failure.is_denied() => {
                tracing::warn!(%failure, "how a volume may be mounted cannot be seen; apply the operator's manifests again");
                None
            }
            result => result?,
        };
        claims.extend(
            found
                .and_then(|claim| claim.spec)
                .map(|spec| (name.clone(), spec.access_modes.unwrap_or_default())),
        );
    }
    Ok(claims)
}
