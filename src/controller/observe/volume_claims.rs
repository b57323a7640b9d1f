//! Reads the access modes of the PersistentVolumeClaims that all candidates of a job share. Without such
//! claims the controller asks nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, Client, ResourceExt};

use crate::api::SingletonJob;
pub use crate::api::checks::template_warnings::VolumeClaims;
use crate::controller::api_call::{Failure, with_deadline};
use crate::controller::refusals;

/// Reads all claims of `job`. A single candidate shares none. `None` if the API server does not tell.
pub async fn look(client: &Client, job: &SingletonJob) -> Option<VolumeClaims> {
    let claims = ask(client, job).await;
    claims
        .inspect_err(
            |failure| tracing::warn!(%failure, "the controller cannot read how the template's volumes may be mounted, and tries again"),
        )
        .ok()
}

/// How long until the controller reads the claims of `job` again, because no watch tells of them. `None` if it
/// knows all that it needs: an access mode never changes.
pub fn ask_again(job: &SingletonJob, known: Option<&VolumeClaims>) -> Option<Duration> {
    let Some(known) = known else { return Some(refusals::FIRST_PAUSE) };
    let lacks_one = job.spec.replicas > 1
        && job.spec.volume_claims().any(|(_, claim)| !known.contains_key(&claim.claim_name));
    lacks_one.then_some(refusals::LONGEST_PAUSE)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_that_are_not_known_are_read_again() {
        let job = |replicas: u8| -> SingletonJob {
            let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}});
            let template = json!({"spec": {"containers": [], "volumes": [volume]}});
            serde_json::from_value(json!({
                "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web"},
                "spec": {"replicas": replicas, "template": template},
            }))
            .expect("a SingletonJob")
        };
        let known = VolumeClaims::from([("data".to_owned(), vec!["ReadWriteOnce".to_owned()])]);
        assert_eq!(ask_again(&job(2), None), Some(refusals::FIRST_PAUSE), "the API server did not tell");
        assert_eq!(
            ask_again(&job(2), Some(&VolumeClaims::new())),
            Some(refusals::LONGEST_PAUSE),
            "it is missing"
        );
        assert_eq!(ask_again(&job(2), Some(&known)), None);
        assert_eq!(ask_again(&job(1), Some(&VolumeClaims::new())), None, "nothing shares it");
    }
}
