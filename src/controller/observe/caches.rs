//! The caches of the controller's watches, and what they hold of one SingletonJob.

use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;

use super::access::{KnownBinding, KnownLease, KnownRole};
use super::budgets::{self, Budgets, OtherBudget, OwnBudget};
use super::candidate::Candidate;
use super::children::{self, Children, OwnedCandidate};
use super::index::{Index, Key, own_key};
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
    /// Leases of SingletonJobs, by their SingletonJob.
    pub leases: Index<KnownLease>,
    /// Roles of SingletonJobs, by their SingletonJob.
    pub roles: Index<KnownRole>,
    /// RoleBindings of SingletonJobs, by their SingletonJob.
    pub bindings: Index<KnownBinding>,
    /// PodDisruptionBudgets that the controller made, by their SingletonJob.
    pub budgets: Index<OwnBudget>,
    /// PodDisruptionBudgets of other clients, by namespace alone.
    pub other_budgets: Index<OtherBudget>,
    /// All nodes, reduced to the fields that the controller reads.
    pub nodes: Nodes,
}

impl Caches {
    /// Caches that no watch fills yet. `jobs` is that of the SingletonJobs.
    pub fn of(jobs: Store<DeserializeGuard<SingletonJob>>) -> Self {
        Self {
            jobs,
            pods: Index::default(),
            leases: Index::default(),
            roles: Index::default(),
            bindings: Index::default(),
            budgets: Index::default(),
            other_budgets: Index::default(),
            nodes: Index::default(),
        }
    }

    /// Waits until the watches have listed all child objects. The runtime waits for the cache of
    /// SingletonJobs. No reconciliation waits for nodes, because the controller merely does not prefer an
    /// unknown one, and a node that becomes known wakes the SingletonJobs that it concerns.
    pub async fn synced(&self) {
        let Self { jobs: _, pods, leases, roles, bindings, budgets, other_budgets, nodes: _ } = self;
        tokio::join!(
            pods.until_listed(),
            leases.until_listed(),
            roles.until_listed(),
            bindings.until_listed(),
            budgets.until_listed(),
            other_budgets.until_listed()
        );
    }

    /// The candidates of `job`, by number.
    pub fn candidates(&self, job: &SingletonJob) -> Vec<Candidate> {
        children::candidates(job, self.pods.about(&own_key(job)).into_iter())
    }

    /// The child objects of `job` that the caches hold. The caches of Roles and RoleBindings are by label, so
    /// that none of those is foreign.
    pub(super) fn children(&self, job: &SingletonJob) -> Children {
        let about = own_key(job);
        let rbac = names::child_name(&about.1);
        let candidates = self.candidates(job);
        Children {
            lease: self.leases.get(&about, &about.1).map(|known| known.0.clone()),
            role: self.roles.get(&about, &rbac).map(|known| known.0.clone()),
            binding: self.bindings.get(&about, &rbac).map(|known| known.0.clone()),
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
