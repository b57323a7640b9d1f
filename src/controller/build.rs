//! Builds typed Kubernetes objects from a plan, without side effects.

pub mod budget;
pub mod installer;
pub mod lease;
pub mod pod;
pub mod probes;
pub mod rbac;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::observe::candidate::PodRef;
use super::plan::Actions;
use super::plan::candidates::{NewPods, RoleLabel};
use super::plan::directives::Directives;
use super::plan::takeover::Creation;
use super::settings::Agent;
use crate::api::SingletonJob;
use crate::contract::labels;

/// The objects that a plan creates, changes or deletes.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// A Lease to create, and whether the controller then marks it as free.
    pub lease: Option<(Lease, bool)>,
    /// What the Lease should say.
    pub directives: Directives,
    /// The Role of the candidates, without its owner, which is the Lease.
    pub role: Role,
    /// The RoleBinding of the candidates, without its owner, which is the Lease.
    pub binding: RoleBinding,
    /// The PodDisruptionBudget that drains obey. `None` if there should be none.
    pub budget: Option<PodDisruptionBudget>,
    /// A pod of the unchanged template.
    pub template: Pod,
    /// Whether the API server validates `template` before the controller creates a candidate.
    pub validate: bool,
    /// Pods to create. If a name is taken, the controller tries the next number.
    pub pods: Vec<Pod>,
    /// Pods to delete.
    pub delete: Vec<PodRef>,
    /// Pods whose role label is wrong.
    pub label: Vec<RoleLabel>,
    /// Ended pods that should stay when their node is lost.
    pub keep: Vec<PodRef>,
    /// Ended pods whose other containers should end too.
    pub stop_sidecars: Vec<PodRef>,
}

/// Turns decisions into objects.
pub fn objects(job: &SingletonJob, act: &Actions, template_hash: &str, agent: &Agent) -> Objects {
    let lease =
        |creation: &Creation| (lease::new(job, creation, &act.directives), *creation == Creation::First);
    Objects {
        lease: act.create_lease.as_ref().map(lease),
        directives: act.directives.clone(),
        role: rbac::role(job),
        binding: rbac::binding(job, &act.service_accounts),
        budget: act.budget.map(|min_available| budget::budget(job, min_available)),
        template: pod::template(job),
        validate: act.validate,
        pods: new_pods(job, act, template_hash, agent),
        delete: act.delete.clone(),
        label: act.label.clone(),
        keep: act.keep.clone(),
        stop_sidecars: act.stop_sidecars.clone(),
    }
}

fn new_pods(job: &SingletonJob, act: &Actions, template_hash: &str, agent: &Agent) -> Vec<Pod> {
    let NewPods { first, count } = act.create;
    let numbers = (first..).take(count);
    numbers.map(|number| made_for(pod::candidate(job, number, template_hash, agent), act)).collect()
}

/// Labels `pod` with the run that it was made for. A pod of a job without a schedule has no such label.
fn made_for(mut pod: Pod, act: &Actions) -> Pod {
    let label = act.run.made_for().map(|run| (labels::MADE_FOR_RUN.to_owned(), run.to_string()));
    pod.metadata.labels.get_or_insert_default().extend(label);
    pod
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::ResourceExt;
    use serde_json::json;

    use super::*;
    use crate::controller::names;
    use crate::controller::plan::{self, Plan};

    /// As a GitOps tool labels it, which would prune what carries its labels and is not in its repository.
    fn tracked() -> SingletonJob {
        serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
            "metadata": {"name": "web", "namespace": "shop", "uid": "j", "labels": {"argocd.argoproj.io/instance": "shop", "team": "a"}},
            "spec": {"template": {"metadata": {"labels": {"app.kubernetes.io/name": "mine", "app.kubernetes.io/managed-by": "Helm"}},
                                  "spec": {"containers": [{"name": "main", "command": ["x"]}]}}},
        }))
        .expect("a SingletonJob")
    }

    fn made() -> Objects {
        let (job, agent) = (tracked(), Agent { image: "agent".into(), ..Agent::default() });
        let observed = crate::controller::observe::Observed { nobody_there: true, ..Default::default() };
        let Plan::Act(act) =
            plan::plan(&job, &observed, jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(1))
        else {
            panic!("something to do")
        };
        objects(&job, &act, "hash", &agent)
    }

    #[test]
    fn nothing_that_is_made_carries_the_labels_of_the_singletonjob() {
        let made = made();
        let (lease, _) = made.lease.expect("a Lease");
        let budget = budget::budget(&tracked(), 1);
        for labels in [lease.labels(), made.role.labels(), made.binding.labels(), budget.labels()] {
            assert_eq!(*labels, names::labels("web"));
        }
        assert!(made.pods.iter().all(|pod| !pod.labels().contains_key("team")
            && !pod.labels().contains_key("argocd.argoproj.io/instance")));
    }

    #[test]
    fn the_labels_of_the_template_are_the_pods_own() {
        let made = made();
        for pod in &made.pods {
            let ours = pod
                .labels()
                .keys()
                .filter(|label| !label.starts_with("singletonjob.dev/"))
                .collect::<Vec<_>>();
            assert_eq!(ours, ["app.kubernetes.io/managed-by", "app.kubernetes.io/name"]);
            assert_eq!(
                (
                    pod.labels()["app.kubernetes.io/name"].as_str(),
                    pod.labels()["app.kubernetes.io/managed-by"].as_str()
                ),
                ("mine", "Helm")
            );
        }
        assert_eq!(made.pods.len(), 2);
    }
}
