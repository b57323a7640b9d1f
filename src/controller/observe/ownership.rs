//! Tells the objects of a SingletonJob from those of an earlier SingletonJob of that name and of other
//! clients.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::index::Key;
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::lease::annotations::Annotations;

/// Whether `object` carries the labels of the child objects of the SingletonJob `job`.
pub fn is_ours(object: &impl Resource, job: &str) -> bool {
    let has = |label: &str, value: &str| {
        object.meta().labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|is| is == value)
    };
    has(labels::MANAGED_BY, labels::MANAGED_BY_VALUE) && has(labels::JOB, job)
}

/// The SingletonJob that `object` was made for, by its label. An object without an owner has that label too.
pub(super) fn job_of(object: &impl Resource) -> Option<Key> {
    let job = object.meta().labels.as_ref()?.get(labels::JOB)?;
    Some((object.meta().namespace.clone().unwrap_or_default(), job.clone()))
}

/// The controlling owner of `pod`. The API server admits no second one.
pub(super) fn controller_of(pod: &Pod) -> Option<&OwnerReference> {
    pod.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// Whether the controlling owner of `pod` is this very SingletonJob.
pub fn is_owned(pod: &Pod, job: &SingletonJob) -> bool {
    controller_of(pod).is_some_and(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
}

/// Whether the controlling owner of `pod` is an earlier SingletonJob of that name, which is gone. The garbage
/// collector removes such a pod.
pub fn is_of_earlier(pod: &Pod, job: &SingletonJob) -> bool {
    let (name, uid) = (job.name_any(), job.uid());
    let is_named = pod.labels().get(labels::JOB) == Some(&name);
    let is_one = |owner: &OwnerReference| {
        owner.controller == Some(true) && owner.kind == SingletonJob::kind(&()) && owner.name == name
    };
    is_named && pod.owner_references().iter().any(|owner| is_one(owner) && Some(&owner.uid) != uid.as_ref())
}

/// Whether the annotations of `lease` name this very SingletonJob. Such a Lease is the job's own, whatever
/// labels it carries.
pub(super) fn is_about(lease: &Lease, job: &SingletonJob) -> bool {
    let annotations = Annotations::read(lease.metadata.annotations.as_ref());
    let uids = [
        annotations.run.map(|run| run.uid),
        annotations.progress.map(|progress| progress.uid),
        annotations.finished.map(|finished| finished.uid),
        annotations.ticks.map(|ticks| ticks.uid),
    ];
    uids.into_iter().flatten().any(|uid| !uid.is_empty() && Some(&uid) == job.metadata.uid.as_ref())
}

/// The message about `object`, which has a name that the SingletonJob `job` needs. `None` if it is the job's
/// own.
pub(super) fn foreign<K: Resource>(object: Option<&K>, kind: &str, job: &str) -> Option<String> {
    let object = object.filter(|object| !is_ours(*object, job))?;
    let name = object.meta().name.as_deref().unwrap_or_default();
    Some(format!(
        "the {kind} {name} is not of this SingletonJob (it lacks the labels {}={} and {}={job}, or one of them); it is left alone: delete it, use \
         another name for the SingletonJob, or put the labels on where it is known to be a leftover of it",
        labels::MANAGED_BY,
        labels::MANAGED_BY_VALUE,
        labels::JOB
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_this_jobs_or_an_earlier_ones_or_a_strangers() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let kinds = |owner: &str, name: &str, uid: &str, label: &str| {
            let owner = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": owner, "name": name, "uid": uid, "controller": true});
            let labels = json!({labels::JOB: label});
            let pod = json!({"metadata": {"name": "web-1", "labels": labels, "ownerReferences": [owner]}});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            (is_owned(&pod, &job), is_of_earlier(&pod, &job))
        };
        assert_eq!(kinds("SingletonJob", "web", "j", "web"), (true, false));
        assert_eq!(kinds("SingletonJob", "web", "i", "web"), (false, true));
        for stranger in [
            kinds("SingletonJob", "other", "i", "web"),
            kinds("Job", "web", "i", "web"),
            kinds("SingletonJob", "web", "i", "x"),
        ] {
            assert_eq!(stranger, (false, false));
        }
    }
}
