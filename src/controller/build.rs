//! Typed objects from decisions: pure.

pub mod budget;
pub mod installer;
pub mod lease;
pub mod pod;
pub mod probes;
pub mod rbac;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::plan::Act;
use super::plan::takeover::{Creation, Wishes};
use super::settings::Agent;
use crate::api::SingletonJob;
use crate::contract::labels;

/// Everything that a plan needs made, changed or deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// A Lease to make, and whether it is then marked as free.
    pub lease: Option<(Lease, bool)>,
    /// What the Lease should say.
    pub wishes: Wishes,
    /// To be owned by the Lease.
    pub role: Role,
    /// To be owned by the Lease.
    pub binding: RoleBinding,
    /// What drains should heed, if anything.
    pub budget: Option<PodDisruptionBudget>,
    /// Pods to make; where a name is taken, the next number is tried.
    pub pods: Vec<Pod>,
    /// Names and uids of pods to delete.
    pub delete: Vec<(String, String)>,
    /// Names and uids of pods whose role label is wrong, and what it should be.
    pub label: Vec<(String, String, &'static str)>,
    /// Names and uids of ended pods that should stay when their node is lost.
    pub keep: Vec<(String, String)>,
    /// Names, uids and versions of ended pods whose other containers should end too.
    pub retire: Vec<(String, String, String)>,
}

fn made_for(mut pod: Pod, act: &Act) -> Pod {
    let label = act.made_for.map(|run| (labels::MADE_FOR_RUN.to_owned(), run.to_string()));
    pod.metadata.labels.get_or_insert_default().extend(label);
    pod
}

/// Turns decisions into objects.
pub fn objects(job: &SingletonJob, act: &Act, template_hash: &str, agent: &Agent) -> Objects {
    let (first, count) = act.create;
    let pods =
        (first..).take(count).map(|number| pod::candidate(job, number, template_hash, agent)).map(|pod| made_for(pod, act)).collect();
    Objects {
        lease: act.create_lease.as_ref().map(|creation| (lease::new(job, creation, &act.wishes), *creation == Creation::First)),
        wishes: act.wishes.clone(),
        role: rbac::role(job),
        binding: rbac::binding(job, &act.service_accounts),
        budget: act.budget.map(|min_available| budget::budget(job, min_available)),
        pods,
        delete: act.delete.clone(),
        label: act.label.clone(),
        keep: act.keep.clone(),
        retire: act.retire.clone(),
    }
}
