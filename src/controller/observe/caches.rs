//! The caches of the controller's watches, and what they hold of one SingletonJob.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};

use super::budgets::Budgets;
use super::children::{self, Children};
use super::nodes::{self, Nodes};
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::controller::names;

/// The caches of the controller's watches.
#[derive(Clone)]
pub struct Caches {
    /// All SingletonJobs, those that do not decode included.
    pub jobs: Store<DeserializeGuard<SingletonJob>>,
    /// Candidate pods.
    pub pods: Store<Pod>,
    /// Leases of SingletonJobs.
    pub leases: Store<Lease>,
    /// Roles of SingletonJobs.
    pub roles: Store<Role>,
    /// RoleBindings of SingletonJobs.
    pub bindings: Store<RoleBinding>,
    /// All PodDisruptionBudgets, the user's too.
    pub budgets: Store<PodDisruptionBudget>,
    /// All nodes, reduced to the fields that the controller reads.
    pub nodes: Nodes,
}

impl Caches {
    /// Waits until the watches have listed all child objects. `false` if a watch has ended. The runtime waits
    /// for the cache of SingletonJobs. No reconciliation waits for nodes, because the controller merely does
    /// not prefer an unknown one.
    ///
    /// Only one task may wait at a time. kube keeps a single waker for each store, so an earlier task would
    /// never wake.
    pub async fn synced(&self) -> bool {
        let Self { jobs: _, pods, leases, roles, bindings, budgets, nodes: _ } = self;
        let all = tokio::try_join!(
            pods.wait_until_ready(),
            leases.wait_until_ready(),
            roles.wait_until_ready(),
            bindings.wait_until_ready(),
            budgets.wait_until_ready(),
        );
        all.is_ok()
    }

    /// The child objects of `job` that the caches hold. The watches of Roles and RoleBindings select by
    /// label, so that none of those is foreign.
    pub(super) fn children(&self, job: &SingletonJob) -> Children {
        let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
        let rbac = names::child_name(&name);
        let candidates = children::candidates(job, self.pods(&namespace, &name).iter().map(AsRef::as_ref));
        Children {
            lease: get(&self.leases, &namespace, &name),
            role: get(&self.roles, &namespace, &rbac),
            binding: get(&self.bindings, &namespace, &rbac),
            budgets: Budgets::among(job, self.budgets(&namespace).iter().map(AsRef::as_ref)),
            nodes: nodes::labels(job, &candidates, &self.nodes),
            candidates,
            foreign: None,
            nobody_there: false,
        }
    }

    /// The pods that carry the label of the SingletonJob `job`. No other code reads pods from the cache.
    fn pods(&self, namespace: &str, job: &str) -> Vec<Arc<Pod>> {
        self.pods.state_filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.labels().get(labels::JOB).is_some_and(|name| name == job)
        })
    }

    /// All PodDisruptionBudgets of `namespace`. No other code reads those from the cache.
    fn budgets(&self, namespace: &str) -> Vec<Arc<PodDisruptionBudget>> {
        self.budgets.state_filter(|budget| budget.metadata.namespace.as_deref() == Some(namespace))
    }
}

fn get<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace)).map(Arc::unwrap_or_clone)
}
