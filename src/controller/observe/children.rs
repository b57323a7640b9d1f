//! The child objects of a SingletonJob, as one source returned them: the caches, or the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::budgets::Budgets;
use super::candidate::Candidate;
use super::ownership::is_owned;
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
    /// Whether the API server has neither a Lease nor a pod of the SingletonJob. A cache cannot tell.
    pub(super) nobody_there: bool,
}

/// Reads those of `pods` whose controlling owner is `job`, and sorts them by number. No other code of the
/// controller makes candidates from pods.
pub(super) fn candidates<'a>(job: &SingletonJob, pods: impl Iterator<Item = &'a Pod>) -> Vec<Candidate> {
    let mut candidates: Vec<_> = pods.filter(|pod| is_owned(pod, job)).map(Candidate::read).collect();
    candidates.sort_by_key(|candidate| candidate.number);
    candidates
}
