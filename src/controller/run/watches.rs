//! The watches of the controller: what each of them caches, and which SingletonJobs a change wakes.

use std::fmt::Debug;
use std::future::ready;
use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::Guarded;
use crate::contract::labels;
use crate::controller::observe::Caches;
use crate::controller::observe::lease_observations::LeaseObservations;
use crate::controller::refusals;
use crate::lease::clock;

/// SingletonJobs that are reconciled at the same time.
const CONCURRENCY: u16 = 8;

/// The writing ends of [`Caches`].
pub struct Writers {
    jobs: Writer<Guarded>,
    pods: Writer<Pod>,
    leases: Writer<Lease>,
    roles: Writer<Role>,
    bindings: Writer<RoleBinding>,
    budgets: Writer<PodDisruptionBudget>,
    nodes: Writer<Node>,
}

/// Caches that nothing has filled yet.
pub fn empty_caches() -> (Caches, Writers) {
    let (jobs, jobs_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (leases, leases_writer) = reflector::store();
    let (roles, roles_writer) = reflector::store();
    let (bindings, bindings_writer) = reflector::store();
    let (budgets, budgets_writer) = reflector::store();
    let (nodes, nodes_writer) = reflector::store();
    let writers = Writers {
        jobs: jobs_writer,
        pods: pods_writer,
        leases: leases_writer,
        roles: roles_writer,
        bindings: bindings_writer,
        budgets: budgets_writer,
        nodes: nodes_writer,
    };
    (Caches { jobs, pods, leases, roles, bindings, budgets, nodes }, writers)
}

/// All watches, each with the SingletonJobs that it wakes. Nodes wake none, because every reconciliation
/// decides anew which candidate should hold.
pub fn controller(
    client: &Client,
    caches: &Caches,
    writers: Writers,
    lease_observations: Arc<LeaseObservations>,
) -> Controller<Guarded> {
    let all_jobs = caches.jobs.clone();
    let Writers { jobs, pods, leases, roles, bindings, budgets, nodes } = writers;
    Controller::for_stream(changed_jobs(client, jobs), caches.jobs.clone())
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .watches_stream(changed_pods(client, pods), |pod| to_job(&pod))
        .watches_stream(changed_leases(client, leases, lease_observations), |lease| to_its_job(&lease))
        .watches_stream(changed_children(client, roles), |role| to_job(&role))
        .watches_stream(changed_children(client, bindings), |binding| to_job(&binding))
        .watches_stream(changed_budgets(client, budgets), move |budget| to_jobs_beside(&budget, &all_jobs))
        .watches_stream(changed_nodes(client, nodes), |_| None::<ObjectRef<Guarded>>)
}

/// SingletonJobs in which a user has changed something, or which have begun or ceased to decode.
fn changed_jobs(
    client: &Client,
    writer: Writer<Guarded>,
) -> impl Stream<Item = watcher::Result<Guarded>> + Send + 'static {
    let asked = |job: &Guarded| Some(refusals::asked(job.meta()) ^ u64::from(job.0.is_ok()));
    watcher(Api::<Guarded>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(asked, PredicateConfig::default())
}

/// Candidate pods. The only label of the controller's own that selects them is the name of the job, because
/// all others are the template's.
fn changed_pods(
    client: &Client,
    writer: Writer<Pod>,
) -> impl Stream<Item = watcher::Result<Pod>> + Send + 'static {
    labelled(client, labels::JOB, writer).touched_objects()
}

/// Leases that say something new. The controller notes every renewal all the same.
fn changed_leases(
    client: &Client,
    writer: Writer<Lease>,
    lease_observations: Arc<LeaseObservations>,
) -> impl Stream<Item = watcher::Result<Lease>> + Send + 'static {
    let events = labelled(client, &ours(), writer);
    events.filter_map(move |event| ready(news(event, &lease_observations)))
}

/// The Lease of `event`. `None` if it says nothing new.
fn news(
    event: watcher::Result<Event<Lease>>,
    lease_observations: &LeaseObservations,
) -> Option<watcher::Result<Lease>> {
    match event {
        Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
            lease_observations.update(&lease, clock::now().at).then_some(Ok(lease))
        }
        Ok(Event::Delete(lease)) => {
            lease_observations.forget(&lease);
            Some(Ok(lease))
        }
        Ok(Event::Init | Event::InitDone) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Roles or RoleBindings that the controller has made.
fn changed_children<K>(
    client: &Client,
    writer: Writer<K>,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    labelled(client, &ours(), writer).touched_objects()
}

/// All PodDisruptionBudgets, the user's too.
fn changed_budgets(
    client: &Client,
    writer: Writer<PodDisruptionBudget>,
) -> impl Stream<Item = watcher::Result<PodDisruptionBudget>> + Send + 'static {
    watcher(Api::<PodDisruptionBudget>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects()
}

/// All nodes.
fn changed_nodes(
    client: &Client,
    writer: Writer<Node>,
) -> impl Stream<Item = watcher::Result<Node>> + Send + 'static {
    watcher(Api::<Node>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(forget_what_is_not_read)
        .reflect(writer)
        .touched_objects()
}

/// Reduces a node to its name, labels, taints and conditions, which are what the controller reads.
fn forget_what_is_not_read(node: &mut Node) {
    (node.metadata.managed_fields, node.metadata.annotations) = (None, None);
    let conditions = node.status.take().and_then(|status| status.conditions);
    node.status = Some(NodeStatus { conditions, ..NodeStatus::default() });
}

/// The objects of one kind that `selector` matches. The watch keeps them in a cache.
fn labelled<K>(
    client: &Client,
    selector: &str,
    writer: Writer<K>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    watcher(Api::<K>::all(client.clone()), watcher::Config::default().labels(selector))
        .default_backoff()
        .reflect(writer)
}

/// The selector of what the controller makes, pods apart.
fn ours() -> String {
    format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_VALUE)
}

/// All SingletonJobs in the namespace of a PodDisruptionBudget, because it may select the pods of any.
fn to_jobs_beside(budget: &PodDisruptionBudget, jobs: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let beside = jobs.state_filter(|job| job.meta().namespace == budget.metadata.namespace);
    beside.iter().map(|job| ObjectRef::from_obj(job.as_ref())).collect()
}

/// The SingletonJob that a Lease was made for. The Lease has its name, whatever became of its label.
fn to_its_job(lease: &Lease) -> Option<ObjectRef<Guarded>> {
    Some(ObjectRef::new(lease.metadata.name.as_ref()?).within(lease.metadata.namespace.as_deref()?))
}

/// The SingletonJob that an object was made for, by its label. An object without an owner has that label too.
fn to_job(object: &impl Resource) -> Option<ObjectRef<Guarded>> {
    let name = object.meta().labels.as_ref()?.get(labels::JOB)?;
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}
