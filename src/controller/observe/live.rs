//! Reads a SingletonJob and its child objects from the API server.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::budgets::Budgets;
use super::children::{self, Children, OwnedCandidate};
use super::nodes::{self, Nodes};
use super::ownership::foreign;
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

/// Reads the child objects of `job`, and the labels of nodes from the cache `known`.
///
/// # Errors
/// If a request fails.
pub(super) async fn children(
    client: &Client,
    job: &SingletonJob,
    known: &Nodes,
) -> Result<Children, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let rbac = names::child_name(&name);
    let lease: Option<Lease> = get(client, &namespace, &name).await?;
    let role: Option<Role> = get(client, &namespace, &rbac).await?;
    let binding: Option<RoleBinding> = get(client, &namespace, &rbac).await?;
    let pods = pods(client, &namespace, &name).await?;
    let budgets = budgets_beside(client, &namespace, &name).await?;
    let candidates = children::candidates(job, pods.iter().map(OwnedCandidate::of));
    Ok(Children {
        nobody_there: lease.is_none() && pods.is_empty(),
        foreign: foreign(role.as_ref(), "Role", &name)
            .or_else(|| foreign(binding.as_ref(), "RoleBinding", &name)),
        nodes: nodes::labels(job, &candidates, known),
        budgets: Budgets::among(job, budgets.iter()),
        lease,
        role,
        binding,
        candidates,
    })
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

/// Lists all PodDisruptionBudgets of the namespace of the SingletonJob `job`.
async fn budgets_beside(
    client: &Client,
    namespace: &str,
    job: &str,
) -> Result<Vec<PodDisruptionBudget>, Failure> {
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    let all = ListParams::default();
    Ok(with_deadline("listing PodDisruptionBudgets beside", job, budgets.list(&all)).await?.items)
}
