//! The APIs of the kinds that the controller writes.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Api, Client};

/// One API for each kind, in the namespace of one SingletonJob.
pub(super) struct Apis {
    pub(super) leases: Api<Lease>,
    pub(super) pods: Api<Pod>,
    pub(super) roles: Api<Role>,
    pub(super) bindings: Api<RoleBinding>,
    pub(super) budgets: Api<PodDisruptionBudget>,
}

impl Apis {
    pub(super) fn of(client: &Client, namespace: &str) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            roles: Api::namespaced(client.clone(), namespace),
            bindings: Api::namespaced(client.clone(), namespace),
            budgets: Api::namespaced(client.clone(), namespace),
        }
    }
}
