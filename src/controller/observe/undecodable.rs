//! Finds out whether another controller manages a SingletonJob that this version cannot decode.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};

use crate::api::SingletonJob;
use crate::api::spec::is_another;
use crate::controller::api_call::{Failure, with_deadline};

/// Whether `spec.managedBy` names another controller. The controller asks the API server, because the watch
/// keeps only the metadata of such an object.
///
/// # Errors
/// If the request fails.
pub async fn is_anothers(client: &Client, metadata: &ObjectMeta) -> Result<bool, Failure> {
    let (namespace, name) =
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<SingletonJob>(&()));
    let job = with_deadline("reading SingletonJob", name, api.get_opt(name)).await?;
    Ok(job.is_some_and(|job| {
        job.data.pointer("/spec/managedBy").and_then(serde_json::Value::as_str).is_some_and(is_another)
    }))
}
