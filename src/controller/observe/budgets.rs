//! Tells the PodDisruptionBudget of a SingletonJob from those of other clients.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::index::{Entry, Key};
use super::ownership::{is_ours, job_of};
use crate::api::SingletonJob;
use crate::controller::names;

/// The PodDisruptionBudget that the controller made for a SingletonJob, without its status.
#[derive(Debug, PartialEq)]
pub struct OwnBudget(pub(super) PodDisruptionBudget);

impl Entry for OwnBudget {
    type Object = PodDisruptionBudget;

    fn read(object: &PodDisruptionBudget) -> Option<(Key, Self)> {
        let about = own_job_of(object)?;
        let mut kept = PodDisruptionBudget { status: None, ..object.clone() };
        (kept.metadata.managed_fields, kept.metadata.resource_version) = (None, None);
        Some((about, Self(kept)))
    }
}

/// What the controller reads of a PodDisruptionBudget of another client.
#[derive(Debug, PartialEq)]
pub struct OtherBudget {
    name: String,
    selector: Option<LabelSelector>,
}

impl OtherBudget {
    /// What all of `namespace` are about: it is not known which SingletonJobs they concern.
    pub fn of_namespace(namespace: &str) -> Key {
        (namespace.to_owned(), String::new())
    }

    fn of(object: &PodDisruptionBudget) -> Self {
        let selector = object.spec.as_ref().and_then(|spec| spec.selector.clone());
        Self { name: object.name_any(), selector }
    }

    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = self.selector.clone().and_then(|selector| Selector::try_from(selector).ok());
        selector.is_some_and(|selector| selector.matches(labels))
    }
}

impl Entry for OtherBudget {
    type Object = PodDisruptionBudget;

    fn read(object: &PodDisruptionBudget) -> Option<(Key, Self)> {
        let is_other = own_job_of(object).is_none();
        is_other.then(|| (Self::of_namespace(&object.namespace().unwrap_or_default()), Self::of(object)))
    }
}

/// The SingletonJob that the controller made `budget` for. `None` if another client made it.
fn own_job_of(budget: &PodDisruptionBudget) -> Option<Key> {
    job_of(budget).filter(|(_, job)| is_ours(budget, job))
}

/// The PodDisruptionBudgets that concern one SingletonJob.
#[derive(Default)]
pub(super) struct Budgets {
    /// The one that the controller made.
    pub(super) own: Option<PodDisruptionBudget>,
    /// The name of one that another client made for the same pods, or under the same name.
    pub(super) other: Option<String>,
}

/// The name of the first that selects the candidates of `job`, or has the name of the job's own.
pub(super) fn first_in_the_way<'a>(
    job: &SingletonJob,
    mut others: impl Iterator<Item = &'a OtherBudget>,
) -> Option<&'a str> {
    let (labels, name) = (names::pod_labels(job), names::child_name(&job.name_any()));
    let first = others.find(|budget| budget.selects(&labels) || budget.name == name);
    first.map(|budget| budget.name.as_str())
}
