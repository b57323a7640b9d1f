//! Builds the PodDisruptionBudget by which a drain waits for a standby.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};

use crate::api::SingletonJob;
use crate::contract::labels;
use crate::controller::names;

/// A budget that protects `min_available` ready candidates. An evicted holder hands over, and needs a standby
/// for that. The API server may always evict a pod that is not ready.
pub fn budget(job: &SingletonJob, min_available: i32) -> PodDisruptionBudget {
    let name = job.name_any();
    let selected = [(labels::JOB.to_owned(), name.clone())].into();
    PodDisruptionBudget {
        metadata: ObjectMeta {
            name: Some(names::child_name(&name)),
            namespace: job.namespace(),
            labels: Some(names::labels(&name)),
            owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(min_available)),
            selector: Some(LabelSelector { match_labels: Some(selected), match_expressions: None }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
