//! Reads a SingletonJob from the API server, and of its child objects those that are in doubt.
//!
//! The SingletonJob itself is read, because the cache may have one that is deleted, or suspended, by now. Its
//! status may remember a holder too, so that a new Lease is not free.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::caches::Caches;
use super::children::{self, Children, OwnedCandidate};
use super::nodes;
use super::ownership;
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::controller::api_call::{Failure, with_deadline};
use crate::controller::names;

/// Reads `job` again. `None` if it is gone, or another SingletonJob has its name by now.
///
/// # Errors
/// If the request fails.
pub(super) async fn current(client: &Client, job: &SingletonJob) -> Result<Option<SingletonJob>, Failure> {
    let namespace = job.namespace().unwrap_or_default();
    let current: Option<SingletonJob> = get(client, &namespace, &job.name_any()).await?;
    Ok(current.filter(|current| current.uid() == job.uid()))
}

/// What the controller reads from the API server itself, beside a SingletonJob and its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRead {
    /// Whether it reads the Lease.
    pub lease: bool,
    /// Whether it reads the Role and the RoleBinding.
    pub access: bool,
}

/// Reads the pods of `job`, and what else `read` says. All other child objects are those of the `caches`.
///
/// # Errors
/// If a request fails.
pub(super) async fn children(
    client: &Client,
    job: &SingletonJob,
    caches: &Caches,
    read: LiveRead,
) -> Result<Children, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let known = caches.children(job);
    let lease = if read.lease { get(client, &namespace, &name).await? } else { None };
    let known = Children { lease, ..known };
    let known = if read.access { with_access(client, &namespace, &name, known).await? } else { known };
    let pods = pods(client, &namespace, &name).await?;
    let candidates = children::candidates(job, pods.iter().map(OwnedCandidate::of));
    Ok(Children {
        nobody_there: known.lease.is_none() && pods.is_empty(),
        nodes: nodes::labels(job, &candidates, &caches.nodes),
        candidates,
        ..known
    })
}

/// Reads the Role and the RoleBinding of the SingletonJob `job`, foreign ones too.
async fn with_access(
    client: &Client,
    namespace: &str,
    job: &str,
    known: Children,
) -> Result<Children, Failure> {
    let name = names::child_name(job);
    let role: Option<Role> = get(client, namespace, &name).await?;
    let binding: Option<RoleBinding> = get(client, namespace, &name).await?;
    let foreign = ownership::foreign(role.as_ref(), "Role", job);
    let foreign = foreign.or_else(|| ownership::foreign(binding.as_ref(), "RoleBinding", job));
    Ok(Children { role, binding, foreign, ..known })
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    with_deadline(&format!("reading {}", K::kind(&())), name, api.get_opt(name)).await
}

/// Lists the pods that carry the label of the SingletonJob `job`, those of an earlier one of that name too.
///
/// # Errors
/// If the request fails.
pub(super) async fn pods(client: &Client, namespace: &str, job: &str) -> Result<Vec<Pod>, Failure> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("{}={job}", labels::JOB));
    Ok(with_deadline("listing pods of", job, pods.list(&selector)).await?.items)
}
