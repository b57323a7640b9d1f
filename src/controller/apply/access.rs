//! Applies the Role and RoleBinding that let candidates renew their Lease, and the PodDisruptionBudget that
//! drains obey.

use std::fmt::Debug;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Patch, PatchParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::preconditions;
use crate::contract::field_managers::CONTROLLER;
use crate::controller::api_call::{Failure, with_deadline};
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

/// Applies the wanted budget, or deletes one that is not wanted: that would make drains wait for no standby.
pub(super) async fn guard_drains(
    api: &Api<PodDisruptionBudget>,
    is: Option<&PodDisruptionBudget>,
    wanted: Option<PodDisruptionBudget>,
) -> Result<(), Failure> {
    match (is, wanted) {
        (_, Some(wanted)) => put(api, "applying PodDisruptionBudget", &wanted).await,
        (Some(is), None) => {
            let exactly = Preconditions { uid: is.uid(), resource_version: None };
            preconditions::delete(api, "deleting PodDisruptionBudget", &is.name_any(), exactly).await
        }
        (None, None) => Ok(()),
    }
}

/// Applies `object`, whether it exists or not.
pub(super) async fn put<K>(api: &Api<K>, act: &str, object: &K) -> Result<(), Failure>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let (name, params) = (object.name_any(), PatchParams::apply(CONTROLLER).force());
    with_deadline(act, &name, api.patch(&name, &params, &Patch::Apply(object))).await.map(drop)
}

/// The fields of the subjects that the controller sets. The API server fills in the rest.
fn subjects(binding: &RoleBinding) -> Vec<(&str, Option<&str>)> {
    let subjects = binding.subjects.iter().flatten();
    subjects.map(|subject| (subject.name.as_str(), subject.namespace.as_deref())).collect()
}
