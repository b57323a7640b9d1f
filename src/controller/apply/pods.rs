//! Creates, labels, ends and deletes candidate pods. A new pod takes the next free number.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::applied::Applied;
use super::preconditions::{self, tolerate_absence};
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::controller::api_call::{Failure, in_our_name, merging, with_deadline};
use crate::controller::build;
use crate::controller::names;
use crate::controller::observe::candidate::{Candidate, PAST_DEADLINE, PodRef, number};
use crate::controller::observe::{is_of_earlier, is_owned};
use crate::controller::plan::candidates::RoleLabel;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// A standby costs nothing.
const COST_OF_ACTIVE: &str = "1000";
/// Numbers that the controller tries for one pod, if other pods have the names.
const MOST_NUMBERS: i64 = 20;

/// Creates one pod, under the first number that no pod has.
pub(super) async fn create(
    pods: &Api<Pod>,
    job: &SingletonJob,
    mut pod: Pod,
    applied: &mut Applied,
) -> Result<(), Failure> {
    let first = number(&pod.name_any()).max(applied.last_number.map_or(0, |last| last + 1));
    for number in first..first + MOST_NUMBERS {
        let name = names::pod_name(&job.name_any(), number);
        pod.metadata.name = Some(name.clone());
        match with_deadline("creating Pod", &name, pods.create(&in_our_name(), &pod)).await {
            Ok(created) => {
                applied.created.push(Candidate::read(&created));
                applied.last_number = Some(number);
                return Ok(());
            }
            Err(failure) if failure.is_conflict() => {
                let there = with_deadline("reading Pod", &name, pods.get_opt(&name)).await?;
                applied.last_number = Some(number);
                if there.is_some_and(|there| is_wanted(&there, job, applied)) {
                    return Ok(());
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Whether the pod that has the name already is the one that was wanted: a pod of this very job, which
/// another controller created because it knew more. Records any other pod.
fn is_wanted(there: &Pod, job: &SingletonJob, applied: &mut Applied) -> bool {
    if is_owned(there, job) {
        return true;
    }
    let others = if is_of_earlier(there, job) { &mut applied.earlier } else { &mut applied.foreign };
    others.push(there.name_any());
    false
}

/// Asks the API server to validate `pod` without creating it.
pub(super) async fn validate(pods: &Api<Pod>, pod: &Pod) -> Result<(), Failure> {
    let trial = PostParams { dry_run: true, ..in_our_name() };
    with_deadline("validating a pod of", "spec.template", pods.create(&trial, pod)).await.map(drop)
}

/// Labels a pod with its role.
pub(super) async fn set_role(pods: &Api<Pod>, job: &SingletonJob, label: &RoleLabel) -> Result<(), Failure> {
    let RoleLabel { pod: PodRef { name, uid, version: _ }, role } = label;
    let patch = role_patch(job, uid, role);
    let result =
        with_deadline("labelling Pod", name, pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    tolerate_absence(result.map(drop))
}

/// A merge patch of the label by which Services find the active pod, and of what it costs to delete the pod,
/// which Karpenter and ReplicaSets read: `null` removes that from a standby. The patch leaves the cost alone
/// where the template sets it.
fn role_patch(job: &SingletonJob, uid: &str, role: &str) -> Value {
    let own = job.spec.template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let mut patch = json!({"metadata": {"uid": uid, "labels": {labels::ROLE: role}}});
    if !own.is_some_and(|own| own.contains_key(DELETION_COST)) {
        patch["metadata"]["annotations"] =
            json!({DELETION_COST: (role == labels::ROLE_ACTIVE).then_some(COST_OF_ACTIVE)});
    }
    patch
}

/// Ends what still runs in a pod, and keeps the pod with its logs. The patch names the version that was seen,
/// so only one of several controllers does it. If the pod has changed since, the controller will see that
/// too.
pub(super) async fn stop_sidecars(
    pods: &Api<Pod>,
    pod: &PodRef,
    applied: &mut Applied,
) -> Result<(), Failure> {
    let PodRef { name, uid, version } = pod;
    let exactly = json!({"uid": uid, "resourceVersion": version});
    let patch = json!({"metadata": exactly, "spec": {"activeDeadlineSeconds": PAST_DEADLINE}});
    let result =
        with_deadline("retiring Pod", name, pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    if result.is_ok() {
        applied.sidecars_stopped.push(name.clone());
    }
    tolerate_absence(result.map(drop))
}

/// Lets an ended pod stay when its node is lost. Tolerations may be prolonged, and are a list that is written
/// as a whole.
pub(super) async fn keep(pods: &Api<Pod>, pod: &PodRef) -> Result<(), Failure> {
    let PodRef { name, uid, version: _ } = pod;
    let found = with_deadline("reading Pod", name, pods.get_opt(name))
        .await?
        .filter(|pod| pod.uid().as_ref() == Some(uid));
    let Some(pod) = found else { return Ok(()) };
    let exactly = json!({"uid": uid, "resourceVersion": pod.resource_version()});
    let tolerations =
        build::pod::placement::lasting(pod.spec.and_then(|spec| spec.tolerations).unwrap_or_default());
    let patch = json!({"metadata": exactly, "spec": {"tolerations": tolerations}});
    let result =
        with_deadline("keeping Pod", name, pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    tolerate_absence(result.map(drop))
}

/// Deletes a pod, only as it was read.
pub(super) async fn delete(pods: &Api<Pod>, pod: PodRef, applied: &mut Applied) -> Result<(), Failure> {
    let exactly = Preconditions { uid: Some(pod.uid), resource_version: Some(pod.version) };
    preconditions::delete(pods, "deleting Pod", &pod.name, exactly).await?;
    applied.deleted.push(pod.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the patch does to the annotations of a pod that becomes `role`.
    fn annotations(own: &Value, role: &str) -> Option<Value> {
        let template = json!({"metadata": {"annotations": own}, "spec": {"containers": [{"name": "main", "command": ["x"]}]}});
        let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web"},
                         "spec": {"template": template}});
        let patch = role_patch(&serde_json::from_value(job).expect("a SingletonJob"), "u1", role);
        assert_eq!(
            (&patch["metadata"]["uid"], &patch["metadata"]["labels"][labels::ROLE]),
            (&json!("u1"), &json!(role))
        );
        patch["metadata"].get("annotations").cloned()
    }

    #[test]
    fn the_active_pod_costs_more_to_delete_and_the_former_holder_no_more() {
        let other = json!({"example.com/other": "1"});
        assert_eq!(annotations(&other, labels::ROLE_ACTIVE), Some(json!({DELETION_COST: "1000"})));
        assert_eq!(
            annotations(&other, labels::ROLE_STANDBY),
            Some(json!({DELETION_COST: null})),
            "null removes it"
        );
    }

    #[test]
    fn the_deletion_cost_of_the_template_is_left_alone() {
        let own = json!({DELETION_COST: "-5"});
        assert_eq!(
            [labels::ROLE_ACTIVE, labels::ROLE_STANDBY].map(|role| annotations(&own, role)),
            [None, None]
        );
    }
}
