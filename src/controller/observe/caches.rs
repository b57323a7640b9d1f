//! The caches of the controller's watches, and what they hold of one SingletonJob.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};

use super::budgets::{self, Budgets, OtherBudget, OwnBudget};
use super::children::{self, Children, OwnedCandidate};
use super::index::{Index, Key};
use super::nodes::{self, Nodes};
use crate::api::SingletonJob;
use crate::controller::names;

/// The caches of the controller's watches.
#[derive(Clone)]
pub struct Caches {
    /// All SingletonJobs, those that do not decode included.
    pub jobs: Store<DeserializeGuard<SingletonJob>>,
    /// Candidate pods, by their SingletonJob.
    pub pods: Index<OwnedCandidate>,
    /// Leases of SingletonJobs.
    pub leases: Store<Lease>,
    /// Roles of SingletonJobs.
    pub roles: Store<Role>,
    /// RoleBindings of SingletonJobs.
    pub bindings: Store<RoleBinding>,
    /// PodDisruptionBudgets that the controller made, by their SingletonJob.
    pub budgets: Index<OwnBudget>,
    /// PodDisruptionBudgets of other clients, by namespace alone.
    pub other_budgets: Index<OtherBudget>,
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
        let Self { jobs: _, pods, leases, roles, bindings, budgets, other_budgets, nodes: _ } = self;
        let stores = tokio::try_join!(
            leases.wait_until_ready(),
            roles.wait_until_ready(),
            bindings.wait_until_ready()
        );
        tokio::join!(pods.until_listed(), budgets.until_listed(), other_budgets.until_listed());
        stores.is_ok()
    }

    /// The child objects of `job` that the caches hold. The watches of Roles and RoleBindings select by
    /// label, so that none of those is foreign.
    pub(super) fn children(&self, job: &SingletonJob) -> Children {
        let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
        let rbac = names::child_name(&name);
        let about = (namespace.clone(), name.clone());
        let candidates = children::candidates(job, self.pods.about(&about).into_iter());
        Children {
            lease: get(&self.leases, &namespace, &name),
            role: get(&self.roles, &namespace, &rbac),
            binding: get(&self.bindings, &namespace, &rbac),
            budgets: self.budgets(job, &about),
            nodes: nodes::labels(job, &candidates, &self.nodes),
            candidates,
            foreign: None,
            nobody_there: false,
        }
    }

    fn budgets(&self, job: &SingletonJob, about: &Key) -> Budgets {
        let own = self.budgets.about(about);
        let others = self.other_budgets.about(&OtherBudget::of_namespace(&about.0));
        Budgets {
            own: own.first().map(|own| own.0.clone()),
            other: budgets::first_in_the_way(job, others.iter().map(AsRef::as_ref)).map(str::to_owned),
        }
    }
}

fn get<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace)).map(Arc::unwrap_or_clone)
}
