//! The child objects of a SingletonJob, as one source returned them: the caches, or the API server.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use super::budgets::Budgets;
use super::candidate::Candidate;
use super::index::{Entry, Key};
use super::ownership::{controller_of, job_of};
use crate::api::SingletonJob;

/// The child objects of one SingletonJob, not yet compared with its Lease.
pub(super) struct Children {
    /// The Lease of that name, which may be foreign.
    pub(super) lease: Option<Lease>,
    /// Its Role.
    pub(super) role: Option<Role>,
    /// Its RoleBinding.
    pub(super) binding: Option<RoleBinding>,
    /// Its pods, by number.
    pub(super) candidates: Vec<Candidate>,
    /// The PodDisruptionBudgets that concern it.
    pub(super) budgets: Budgets,
    /// Labels of the nodes of its pods, by node name, if the SingletonJob prefers nodes.
    pub(super) nodes: BTreeMap<String, BTreeMap<String, String>>,
    /// The message about a foreign Role or RoleBinding. `None` if there is no such object.
    pub(super) foreign: Option<String>,
    /// Whether the API server has no pod of the SingletonJob, nor a Lease that the controller knows of. A cache
    /// cannot tell.
    pub(super) nobody_there: bool,
}

/// What the controller keeps of a pod that carries the label of a SingletonJob.
#[derive(Debug, PartialEq)]
pub struct OwnedCandidate {
    /// The uid of the controlling owner. `None` if the pod has none.
    owner: Option<String>,
    candidate: Candidate,
}

impl OwnedCandidate {
    /// Reads `pod`. No other code of the controller makes candidates from pods.
    pub(super) fn of(pod: &Pod) -> Self {
        Self { owner: controller_of(pod).map(|owner| owner.uid.clone()), candidate: Candidate::read(pod) }
    }
}

impl Entry for OwnedCandidate {
    type Object = Pod;

    fn read(object: &Pod) -> Option<(Key, Self)> {
        Some((job_of(object)?, Self::of(object)))
    }
}

/// Picks those of `pods` whose controlling owner is `job`, and sorts them by number.
pub(super) fn candidates(
    job: &SingletonJob,
    pods: impl Iterator<Item = impl Borrow<OwnedCandidate>>,
) -> Vec<Candidate> {
    let uid = job.uid();
    let is_owned = |pod: &OwnedCandidate| pod.owner.is_some() && pod.owner == uid;
    let owned = pods.filter(|pod| is_owned(pod.borrow()));
    let mut candidates: Vec<_> = owned.map(|pod| pod.borrow().candidate.clone()).collect();
    candidates.sort_by_key(|candidate| candidate.number);
    candidates
}
