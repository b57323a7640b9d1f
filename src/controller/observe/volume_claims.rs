//! Reads the access modes of the PersistentVolumeClaims that all candidates of a job share. Without such
//! claims the controller asks nothing.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, Client, ResourceExt};

use crate::api::SingletonJob;
pub use crate::api::checks::template_warnings::VolumeClaims;
use crate::controller::api_call::{Failure, with_deadline};

/// Reads all claims of `job`. A single candidate shares none. `None` if the API server does not tell.
pub async fn look(client: &Client, job: &SingletonJob) -> Option<VolumeClaims> {
    let claims = ask(client, job).await;
    claims
        .inspect_err(
            |failure| tracing::warn!(%failure, "the controller cannot read how the template's volumes may be mounted, and tries again"),
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
    for (_, claim) in job.spec.volume_claims() {
        let name = &claim.claim_name;
        let found = match with_deadline("reading PersistentVolumeClaim", name, api.get_opt(name)).await {
            Err(failure) if failure.is_denied() => {
                tracing::warn!(%failure, "the controller may not read how a volume may be mounted; apply the operator's manifests again");
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
