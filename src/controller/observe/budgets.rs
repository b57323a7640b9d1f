//! Tells the PodDisruptionBudget of a SingletonJob from those of other clients.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::ownership::is_ours;
use crate::api::SingletonJob;
use crate::controller::names;

/// The PodDisruptionBudgets that concern one SingletonJob.
#[derive(Default)]
pub(super) struct Budgets {
    /// The one that the controller made.
    pub(super) own: Option<PodDisruptionBudget>,
    /// The name of one that another client made for the same pods, or under the same name.
    pub(super) other: Option<String>,
}

impl Budgets {
    /// Picks those of `job` from all `budgets` of its namespace.
    pub(super) fn among<'a>(
        job: &SingletonJob,
        budgets: impl Iterator<Item = &'a PodDisruptionBudget>,
    ) -> Self {
        let name = job.name_any();
        let (own, others): (Vec<_>, Vec<_>) = budgets.partition(|budget| is_ours(*budget, &name));
        Self {
            own: own.first().map(|budget| (*budget).clone()),
            other: first_in_the_way(job, &others).map(ResourceExt::name_any),
        }
    }
}

/// The first that selects the candidates of `job`, or has the name of the job's own.
fn first_in_the_way<'a>(
    job: &SingletonJob,
    others: &[&'a PodDisruptionBudget],
) -> Option<&'a PodDisruptionBudget> {
    let (labels, name) = (names::pod_labels(job), names::child_name(&job.name_any()));
    let selects = |budget: &PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        selector
            .and_then(|selector| Selector::try_from(selector).ok())
            .is_some_and(|selector| selector.matches(&labels))
    };
    others.iter().copied().find(|budget| selects(budget) || budget.name_any() == name)
}
