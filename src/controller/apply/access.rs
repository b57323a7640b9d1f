//! Creates and changes the Role and RoleBinding that let candidates renew their Lease, and the
//! PodDisruptionBudget that drains obey.

use std::fmt::Debug;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Patch, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::preconditions::{self, tolerate_absence};
use crate::controller::api_call::{Failure, in_our_name, merging, with_deadline};
use crate::controller::build::rbac::has_metadata;

/// Whether the Role is as it should be.
pub(super) fn is_granted(is: Option<&Role>, wanted: &Role) -> bool {
    is.is_some_and(|is| is.rules == wanted.rules && has_metadata(&is.metadata, &wanted.metadata))
}

/// Whether the RoleBinding is as it should be.
pub(super) fn is_bound(is: Option<&RoleBinding>, wanted: &RoleBinding) -> bool {
    is.is_some_and(|is| subjects(is) == subjects(wanted) && has_metadata(&is.metadata, &wanted.metadata))
}

/// Whether the PodDisruptionBudget is as it should be, or rightly missing.
pub(super) fn is_guarded(is: Option<&PodDisruptionBudget>, wanted: Option<&PodDisruptionBudget>) -> bool {
    match (is, wanted) {
        (None, None) => true,
        (Some(is), Some(wanted)) => is.spec == wanted.spec && has_metadata(&is.metadata, &wanted.metadata),
        _ => false,
    }
}

/// Creates or changes the wanted budget, or deletes one that is not wanted: that would make drains wait for no
/// standby. The controller looks again when its watch tells of a budget that the cache lacked.
pub(super) async fn guard_drains(
    api: &Api<PodDisruptionBudget>,
    is: Option<&PodDisruptionBudget>,
    wanted: Option<PodDisruptionBudget>,
) -> Result<(), Failure> {
    match (is, wanted) {
        (is, Some(wanted)) => {
            let acts = ("creating PodDisruptionBudget", "changing PodDisruptionBudget");
            tolerate_absence(put(api, acts, is, &wanted).await)
        }
        (Some(is), None) => {
            let exactly = Preconditions { uid: is.uid(), resource_version: None };
            preconditions::delete(api, "deleting PodDisruptionBudget", &is.name_any(), exactly).await
        }
        (None, None) => Ok(()),
    }
}

/// Creates `wanted`, or changes the object `is`, which the controller knows. `acts` names the two.
///
/// # Errors
/// A conflict, if an object exists that the controller does not know, or has replaced the one that it knows.
pub(super) async fn put<K>(
    api: &Api<K>,
    (creating, changing): (&str, &str),
    is: Option<&K>,
    wanted: &K,
) -> Result<(), Failure>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = wanted.name_any();
    let Some(is) = is else {
        return with_deadline(creating, &name, api.create(&in_our_name(), wanted)).await.map(drop);
    };
    let patch = Patch::Merge(change(is, wanted));
    with_deadline(changing, &name, api.patch(&name, &merging(), &patch)).await.map(drop)
}

/// A merge patch that makes `wanted` of `is`, and of no later object of its name. It replaces lists as a whole,
/// so that no earlier owner stays.
fn change<K: Resource + Serialize>(is: &K, wanted: &K) -> Value {
    let mut patch = json!(wanted);
    if let Some(spec) = patch.get_mut("spec") {
        remove_the_rest(spec, &json!(is)["spec"]);
    }
    patch["metadata"]["uid"] = json!(is.meta().uid);
    patch
}

/// Has `patch` remove every field of `is` that it does not set.
fn remove_the_rest(patch: &mut Value, is: &Value) {
    let (Value::Object(patch), Value::Object(is)) = (patch, is) else { return };
    for (field, is) in is {
        match patch.get_mut(field) {
            Some(patch) => remove_the_rest(patch, is),
            None => drop(patch.insert(field.clone(), Value::Null)),
        }
    }
}

/// The fields of the subjects that the controller sets. The API server fills in the rest.
fn subjects(binding: &RoleBinding) -> Vec<(&str, Option<&str>)> {
    let subjects = binding.subjects.iter().flatten();
    subjects.map(|subject| (subject.name.as_str(), subject.namespace.as_deref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_no_field_that_another_client_has_added() {
        let budget = |spec: Value, uid: Option<&str>| -> PodDisruptionBudget {
            serde_json::from_value(json!({"metadata": {"name": "web", "uid": uid}, "spec": spec}))
                .expect("one")
        };
        let wanted = json!({"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}});
        let altered = json!({"maxUnavailable": 0, "selector": {"matchLabels": {"a": "c", "x": "y"}, "matchExpressions": []}});
        let patch = change(&budget(altered, Some("u")), &budget(wanted, None));
        assert_eq!(patch["metadata"], json!({"name": "web", "uid": "u"}));
        let expected = json!({
            "minAvailable": 1, "maxUnavailable": null,
            "selector": {"matchLabels": {"a": "b", "x": null}, "matchExpressions": null},
        });
        assert_eq!(patch["spec"], expected);
    }
}
