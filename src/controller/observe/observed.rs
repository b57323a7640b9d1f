//! What the controller observes of one SingletonJob. `assemble` fills it, `answer` adds to it, and plan,
//! apply and report read it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::candidate::Candidate;
use super::holder_pod::HolderPodState;
use super::lease_observations::Observation;
use super::room;
use super::tenures;
use super::volume_claims::VolumeClaims;
use crate::lease::identity::Identity;
use crate::lease::record::Record;

/// A Lease, and what this controller knows beyond its content.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedLease {
    /// The Lease itself.
    pub object: Lease,
    /// Its decoded content.
    pub record: Record,
    /// How long it has been unchanged, and which candidate held it before.
    pub observation: Observation,
}

/// The objects of one SingletonJob, and what the controller knows of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its Lease.
    pub lease: Option<ObservedLease>,
    /// Its Role.
    pub role: Option<Role>,
    /// Its RoleBinding.
    pub binding: Option<RoleBinding>,
    /// Its PodDisruptionBudget.
    pub budget: Option<PodDisruptionBudget>,
    /// The name of another client's PodDisruptionBudget that selects the same pods, or has the needed name.
    pub other_budget: Option<String>,
    /// Its pods, by number.
    pub candidates: Vec<Candidate>,
    /// Labels of the nodes that run its pods, by node name, if the SingletonJob prefers nodes. An unknown
    /// node is missing.
    pub nodes: BTreeMap<String, BTreeMap<String, String>>,
    /// Since when another node could take a candidate, if all candidates are on one node and need not be.
    pub room: Option<Timestamp>,
    /// The hash of the current template.
    pub template_hash: String,
    /// Whether the API server has no pod of the SingletonJob, nor a Lease that the controller knows of. If there
    /// is a Lease all the same, the API server refuses to create another. Only [`live`](fn@super::live) can
    /// tell.
    pub nobody_there: bool,
    /// The message about another client's object under a needed name. `None` if there is no such object.
    pub foreign: Option<String>,
    /// What became of a silent holder's pod. `None` if the controller did not ask.
    pub holder_pod_state: Option<HolderPodState>,
    /// How the claims that its candidates share may be mounted. `None` if the controller did not ask, or the
    /// API server did not tell.
    pub claims: Option<VolumeClaims>,
}

impl Observed {
    /// The holder that acquired the Lease, unless its lease has expired on this controller's clock.
    pub fn holder(&self) -> Option<&Identity> {
        let seen = self.lease.as_ref()?;
        let proven = seen.record.acquire_time.is_some() && !self.remaining().is_zero();
        if proven { seen.record.holder.as_ref() } else { None }
    }

    /// The uid of the holder's pod.
    pub fn holder_uid(&self) -> Option<&str> {
        self.holder()?.pod_uid()
    }

    /// The holder's pod. `None` if it no longer exists.
    pub fn holder_pod(&self) -> Option<&Candidate> {
        let uid = self.holder_uid()?;
        self.candidates.iter().find(|candidate| candidate.uid == uid)
    }

    /// Whether `candidate` is the holder's pod.
    pub fn is_holder(&self, candidate: &Candidate) -> bool {
        self.holder_uid() == Some(&candidate.uid)
    }

    /// Whether the controller made `candidate` from the template as it is now.
    pub fn is_current(&self, candidate: &Candidate) -> bool {
        candidate.template_hash.as_deref() == Some(&self.template_hash)
    }

    /// Whether `candidate` serves its purpose. It is a holder whose workload is ready, or a standby that
    /// could take over.
    pub fn serves(&self, candidate: &Candidate) -> bool {
        if self.is_holder(candidate) { candidate.ready } else { candidate.can_take_over }
    }

    /// Whether `candidate` holds the Lease, whether its workload is ready or not, or could take over.
    pub fn takes_part(&self, candidate: &Candidate) -> bool {
        candidate.can_take_over || self.is_holder(candidate)
    }

    /// Adds the candidates that the controller has just created, which its cache may lack.
    #[must_use]
    pub fn with_created(mut self, created: &[Candidate]) -> Self {
        for candidate in created {
            if self.candidates.iter().all(|known| known.uid != candidate.uid) {
                self.candidates.push(candidate.clone());
            }
        }
        self
    }

    /// The node of all candidates that hold the Lease or could take over. `None` if there are several nodes,
    /// or only one such candidate.
    pub fn crowded(&self) -> Option<&str> {
        room::crowded(self.candidates.iter().filter(|candidate| self.takes_part(candidate)))
    }

    /// Whether the holder's agent has yet to say that its workload is ready.
    pub fn awaits_readiness(&self) -> bool {
        self.lease
            .as_ref()
            .zip(self.holder_pod())
            .is_some_and(|(seen, holder)| tenures::awaits_readiness(holder, &seen.record))
    }

    /// How long the Lease remains valid if its holder stays silent, on this controller's clock.
    pub fn remaining(&self) -> Duration {
        self.lease.as_ref().map_or(Duration::ZERO, |seen| {
            seen.record.lease_duration.saturating_sub(seen.observation.unchanged)
        })
    }
}
