//! Typed objects from decisions: pure.

pub mod lease;
pub mod pod;
pub mod probes;
pub mod rbac;

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use super::plan::Act;
use super::plan::takeover::{Creation, Wishes};
use super::settings::Agent;
use crate::api::{SingletonJob, SingletonJobSpec};
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
    /// Pods to make; where a name is taken, the next number is tried.
    pub pods: Vec<Pod>,
    /// Names and uids of pods to delete.
    pub delete: Vec<(String, String)>,
    /// Names and uids of pods whose role label is wrong, and what it should be.
    pub label: Vec<(String, String, &'static str)>,
    /// Names and uids of ended pods whose other containers should end too.
    pub retire: Vec<(String, String)>,
}

/// Turns decisions into objects.
pub fn objects(job: &SingletonJob, act: &Act, template_hash: &str, agent: &Agent) -> Objects {
    let (first, count) = act.create;
    let pods = (first..).take(count).map(|number| pod::candidate(job, number, template_hash, agent)).collect();
    Objects {
        lease: act.create_lease.as_ref().map(|creation| (lease::new(job, creation, &act.wishes), *creation == Creation::First)),
        wishes: act.wishes.clone(),
        role: rbac::role(job),
        binding: rbac::binding(job, &act.service_accounts),
        pods,
        delete: act.delete.clone(),
        label: act.label.clone(),
        retire: act.retire.clone(),
    }
}

/// The labels of everything that is made for the SingletonJob of that name.
pub fn labels(job: &str) -> BTreeMap<String, String> {
    let pairs = [(labels::NAME, labels::NAME_VALUE), (labels::MANAGED_BY, labels::MANAGED_BY_VALUE), (labels::JOB, job)];
    pairs.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

/// What a pod is made from, in ten digits. The agent's image is no part of it: an upgrade of the operator replaces nobody.
///
/// # Panics
/// Never: a template is plain data.
pub fn template_hash(spec: &SingletonJobSpec) -> String {
    let template = serde_json::to_value(&spec.template).expect("a template is plain data");
    let text = format!("{template}{}", spec.workload().map(|container| container.name.as_str()).unwrap_or_default());
    format!("{:016x}", fnv1a(text.as_bytes()))[..10].to_owned()
}

/// FNV-1a: the same in every version of every program, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Name of a SingletonJob, for those who build.
fn name(job: &SingletonJob) -> String {
    job.name_any()
}
