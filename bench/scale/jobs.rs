//! SingletonJobs: their manifests, and how they are applied, awaited and deleted.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{is_true, types};
use singletonjob::contract::labels;
use testkit::observe::await_object;
use tokio::time::timeout;

/// Candidates of each.
pub const CANDIDATES: usize = 2;
const CONVERGED_WITHIN: Duration = Duration::from_secs(3600);
const ONE_WITHIN: Duration = Duration::from_secs(900);
/// SingletonJobs that are applied at the same time.
const APPLIED_AT_ONCE: usize = 16;

/// How many SingletonJobs there are, and of what kind.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many.
    pub jobs: usize,
    /// `leaseDurationSeconds` of each.
    pub lease: u32,
    /// How many namespaces they are spread over.
    pub namespaces: usize,
}

impl Shape {
    /// The namespaces that they are spread over.
    pub fn namespaces(&self) -> Vec<String> {
        (0..self.namespaces).map(namespace).collect()
    }
}

/// The name of a tenant's namespace.
pub fn namespace(number: usize) -> String {
    format!("tenant-{number}")
}

fn template() -> Value {
    json!({"spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]}})
}

/// The size of the template of each as JSON, in bytes.
pub fn template_size() -> usize {
    template().to_string().len()
}

/// A service.
pub fn service(name: &str, lease: u32) -> SingletonJob {
    let spec = json!({"completionPolicy": "Never", "lease": {"leaseDurationSeconds": lease}, "template": template()});
    manifest(name, &spec)
}

/// A schedule whose candidates always stand by.
pub fn schedule(name: &str, cron: &str) -> SingletonJob {
    let spec = json!({"schedule": {"cron": cron, "candidates": "Always"}, "template": template()});
    manifest(name, &spec)
}

fn manifest(name: &str, spec: &Value) -> SingletonJob {
    let manifest = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
        "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(manifest).expect("a SingletonJob")
}

/// Applies all services of this shape, and waits until each `has_converged`.
pub async fn converge(client: &Client, shape: &Shape, has_converged: impl Fn(&SingletonJob) -> bool) {
    let apply = |number: usize| async move {
        let job = service(&format!("job-{number}"), shape.lease);
        create(client, &namespace(number % shape.namespaces), &job).await;
    };
    let applied =
        stream::iter(0..shape.jobs).map(apply).buffer_unordered(APPLIED_AT_ONCE).collect::<Vec<()>>();
    tokio::join!(applied, Box::pin(all(client, shape, has_converged)));
}

/// Creates a SingletonJob.
///
/// # Panics
/// If the API server refuses it.
pub async fn create(client: &Client, namespace: &str, job: &SingletonJob) {
    let api: Api<SingletonJob> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), job).await.expect("a SingletonJob");
}

/// Waits until a SingletonJob is as wanted, and returns it.
///
/// # Panics
/// If that takes too long.
pub async fn await_one(
    client: &Client,
    namespace: &str,
    name: &str,
    what: &str,
    is_wanted: impl Fn(&SingletonJob) -> bool,
) -> SingletonJob {
    let api: Api<SingletonJob> = Api::namespaced(client.clone(), namespace);
    let met = await_object(api, name, what, ONE_WITHIN, |job| job.is_some_and(&is_wanted));
    Box::pin(met).await.expect("it is there")
}

/// Waits until as many as the shape has are as wanted, in its namespaces.
async fn all(client: &Client, shape: &Shape, are: impl Fn(&SingletonJob) -> bool) {
    let namespaces = shape.namespaces();
    let mut met = HashSet::new();
    let wait = async {
        let mut events = pin!(
            watcher(Api::<SingletonJob>::all(client.clone()), watcher::Config::default()).default_backoff()
        );
        while met.len() < shape.jobs {
            let Ok(Some(Event::Apply(job) | Event::InitApply(job))) = events.try_next().await else {
                continue;
            };
            if !namespaces.contains(&job.namespace().unwrap_or_default()) {
                continue;
            }
            if are(&job) {
                met.insert(job.uid())
            } else {
                met.remove(&job.uid())
            };
        }
    };
    let waited = timeout(CONVERGED_WITHIN, wait).await;
    assert!(waited.is_ok(), "of {} only {} have converged", shape.jobs, met.len());
}

/// Whether it is held and has a ready standby.
pub fn is_held_with_standby(job: &SingletonJob) -> bool {
    has(job, types::HELD) && has(job, types::STANDBY_AVAILABLE)
}

/// Whether it is held.
pub fn is_held(job: &SingletonJob) -> bool {
    has(job, types::HELD)
}

/// Whether the controller has made everything for it, though no candidate does anything.
pub fn has_pods(job: &SingletonJob) -> bool {
    job.status.as_ref().is_some_and(|status| status.candidates.len() == CANDIDATES)
}

fn has(job: &SingletonJob, type_: &str) -> bool {
    job.status.as_ref().is_some_and(|status| is_true(&status.conditions, type_))
}

/// The pod that holds its Lease.
pub fn holder(job: &SingletonJob) -> Option<&str> {
    job.status.as_ref()?.lease.as_ref()?.holder.as_deref()
}

/// Deletes it, and what it owns: no garbage collector runs here.
///
/// # Panics
/// If the API server refuses that.
pub async fn delete(client: &Client, namespace: &str, name: &str) {
    let api: Api<SingletonJob> = Api::namespaced(client.clone(), namespace);
    api.delete(name, &DeleteParams::default()).await.expect("it is deleted");
    let of_job = ListParams::default().labels(&format!("{}={name}", labels::JOB));
    for resource in owned() {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        api.delete_collection(&DeleteParams::default(), &of_job).await.expect("they are deleted");
    }
}

fn owned() -> [ApiResource; 4] {
    [
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<Role>(&()),
    ]
}
