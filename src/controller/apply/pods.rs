//! Candidate pods: made under a free number, labelled, retired.

use k8s_openapi::api::core::v1::Pod;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{Applied, tolerate_absence};
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::controller::build;
use crate::controller::observe::candidate::{PAST_DEADLINE, number};
use crate::controller::observe::{is_of_earlier, is_owned};
use crate::controller::request::{Failure, bounded, in_our_name, merging};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// A standby costs nothing.
const COST_OF_ACTIVE: &str = "1000";
/// Numbers that are tried for one pod, should names be taken by others.
const MOST_NUMBERS: i64 = 20;

/// Makes one pod, under the first number that no pod has. Another controller, which knew more, made a pod of this very job that has that number: it
/// is the one that was wanted.
pub(super) async fn create(pods: &Api<Pod>, job: &SingletonJob, mut pod: Pod, applied: &mut Applied) -> Result<(), Failure> {
    let first = number(&pod.name_any()).max(applied.last_number.map_or(0, |last| last + 1));
    for number in first..first + MOST_NUMBERS {
        let name = format!("{}-{number}", job.name_any());
        pod.metadata.name = Some(name.clone());
        match bounded("creating Pod", &name, pods.create(&in_our_name(), &pod)).await {
            Ok(_) => {
                applied.created.push(name);
                applied.last_number = Some(number);
                return Ok(());
            }
            Err(failure) if failure.is_conflict() => {
                let there = bounded("reading Pod", &name, pods.get_opt(&name)).await?;
                applied.last_number = Some(number);
                match there {
                    Some(there) if is_owned(&there, job) => return Ok(()),
                    Some(there) if is_of_earlier(&there, job) => applied.earlier.push(name),
                    Some(_) => applied.foreign.push(name),
                    None => {}
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// The label by which Services find the active pod; and what it costs to delete a pod, which Karpenter and ReplicaSets read, unless the template
/// says it.
pub(super) async fn set_role(pods: &Api<Pod>, job: &SingletonJob, name: &str, uid: &str, role: &str) -> Result<(), Failure> {
    let own = job.spec.template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let mut patch = json!({"metadata": {"uid": uid, "labels": {labels::ROLE: role}}});
    if !own.is_some_and(|own| own.contains_key(DELETION_COST)) {
        patch["metadata"]["annotations"] = json!({DELETION_COST: (role == labels::ROLE_ACTIVE).then_some(COST_OF_ACTIVE)});
    }
    let result = bounded("labelling Pod", name, pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    tolerate_absence(result.map(drop))
}

/// Ends what still runs in a pod, and keeps the pod with its logs: on the version that was seen, so that of all who see it only one does it.
/// Where it has changed since, the change will be seen too.
pub(super) async fn retire(pods: &Api<Pod>, name: &str, uid: &str, version: &str, applied: &mut Applied) -> Result<(), Failure> {
    let exactly = json!({"uid": uid, "resourceVersion": version});
    let patch = json!({"metadata": exactly, "spec": {"activeDeadlineSeconds": PAST_DEADLINE}});
    let result = bounded("retiring Pod", name, pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    if result.is_ok() {
        applied.retired.push(name.to_owned());
    }
    tolerate_absence(result.map(drop))
}

/// Lets an ended pod stay when its node is lost: tolerations may be prolonged, and are a list that is written as a whole.
pub(super) async fn keep(pods: &Api<Pod>, name: &str, uid: &str) -> Result<(), Failure> {
    let found = bounded("reading Pod", name, pods.get_opt(name)).await?.filter(|pod| pod.uid().as_deref() == Some(uid));
    let Some(pod) = found else { return Ok(()) };
    let exactly = json!({"uid": uid, "resourceVersion": pod.resource_version()});
    let tolerations = build::pod::lasting(pod.spec.and_then(|spec| spec.tolerations).unwrap_or_default());
    let patch = json!({"metadata": exactly, "spec": {"tolerations": tolerations}});
    let result = bounded("keeping Pod", name, pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    tolerate_absence(result.map(drop))
}
