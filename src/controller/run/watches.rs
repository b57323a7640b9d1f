//! The watches of the controller: what each of them caches, and which SingletonJobs a change wakes.

use std::fmt::Debug;
use std::future::ready;
use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::{Guarded, log_interruption};
use crate::contract::labels;
use crate::controller::observe::Caches;
use crate::controller::observe::index::{Index, Key};
use crate::controller::observe::lease_observations::LeaseObservations;
use crate::controller::refusals;
use crate::lease::clock;

/// What `kubectl apply` writes: the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// SingletonJobs that are reconciled at the same time.
const CONCURRENCY: u16 = 8;

/// The writing ends of those [`Caches`] that are kept by the runtime.
pub struct Writers {
    jobs: Writer<Guarded>,
    leases: Writer<Lease>,
    roles: Writer<Role>,
    bindings: Writer<RoleBinding>,
    nodes: Writer<Node>,
}

/// Caches that nothing has filled yet.
pub fn empty_caches() -> (Caches, Writers) {
    let (jobs, jobs_writer) = reflector::store();
    let (leases, leases_writer) = reflector::store();
    let (roles, roles_writer) = reflector::store();
    let (bindings, bindings_writer) = reflector::store();
    let (nodes, nodes_writer) = reflector::store();
    let writers = Writers {
        jobs: jobs_writer,
        leases: leases_writer,
        roles: roles_writer,
        bindings: bindings_writer,
        nodes: nodes_writer,
    };
    let (pods, budgets, other_budgets) = (Index::default(), Index::default(), Index::default());
    (Caches { jobs, pods, leases, roles, bindings, budgets, other_budgets, nodes }, writers)
}

/// All watches, each with the SingletonJobs that it wakes. A Lease that expires wakes its own, because no
/// event tells that. Nodes wake none, because every reconciliation decides anew which candidate should hold.
pub fn controller(
    client: &Client,
    caches: &Caches,
    writers: Writers,
    lease_observations: Arc<LeaseObservations>,
) -> Controller<Guarded> {
    let Writers { jobs, leases, roles, bindings, nodes } = writers;
    Controller::for_stream(changed_jobs(client, jobs), caches.jobs.clone())
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_on(jobs_of_pods(client, caches))
        .reconcile_on(jobs_of_expired_leases(lease_observations.clone()))
        .watches_stream(changed_leases(client, leases, lease_observations), |lease| to_its_job(&lease))
        .watches_stream(changed_children(client, roles), |role| to_job(&role))
        .watches_stream(changed_children(client, bindings), |binding| to_job(&binding))
        .reconcile_on(jobs_of_budgets(client, caches))
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
        .modify(|job| forget_how_it_was_written(job.meta_mut()))
        .reflect(writer)
        .applied_objects()
        .predicate_filter(asked, PredicateConfig::default())
}

/// The SingletonJobs of pods of which the controller reads something new. The only label of the controller's
/// own that selects pods is the name of the job, because all others are the template's.
fn jobs_of_pods(client: &Client, caches: &Caches) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let pods = caches.pods.clone();
    let config = watcher::Config::default().labels(labels::JOB);
    read_events(client, config).flat_map(move |event| stream::iter(pods.apply(&event))).map(to_named)
}

/// The SingletonJobs of which a PodDisruptionBudget has changed: its own, or one of another client, which may
/// concern every SingletonJob of the namespace.
fn jobs_of_budgets(
    client: &Client,
    caches: &Caches,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let Caches { jobs, budgets, other_budgets, .. } = caches.clone();
    let all = watcher::Config::default();
    read_events(client, all).flat_map(move |event| {
        let own = budgets.apply(&event).into_iter().map(to_named);
        let beside =
            other_budgets.apply(&event).into_iter().flat_map(|(namespace, _)| all_of(&jobs, &namespace));
        stream::iter(own.chain(beside).collect::<Vec<_>>())
    })
}

/// The SingletonJobs whose holders have let their lease pass.
fn jobs_of_expired_leases(
    lease_observations: Arc<LeaseObservations>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    stream::unfold(lease_observations, async |lease_observations| {
        let expired = lease_observations.next_expired().await;
        Some((to_named(expired), lease_observations))
    })
}

/// The events of a watch. An interruption is logged.
fn read_events<K>(
    client: &Client,
    config: watcher::Config,
) -> impl Stream<Item = Event<K>> + Send + 'static + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        .filter_map(|event| ready(event.inspect_err(log_interruption).ok()))
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

/// Drops what is said of the writers of an object, which the controller never reads, and which is larger than
/// the rest.
fn forget_how_it_was_written(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Reduces a node to its name, labels, taints and conditions, which are what the controller reads.
fn forget_what_is_not_read(node: &mut Node) {
    forget_how_it_was_written(&mut node.metadata);
    node.metadata.annotations = None;
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
        // The controller writes a Lease back as a whole.
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
}

/// The selector of what the controller makes, pods apart.
fn ours() -> String {
    format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_VALUE)
}

/// All SingletonJobs of `namespace`.
fn all_of(jobs: &Store<Guarded>, namespace: &str) -> Vec<ObjectRef<Guarded>> {
    let all = jobs.state_filter(|job| job.meta().namespace.as_deref() == Some(namespace));
    all.iter().map(|job| ObjectRef::from_obj(job.as_ref())).collect()
}

/// The SingletonJob of this namespace and name.
fn to_named((namespace, name): Key) -> ObjectRef<Guarded> {
    ObjectRef::new(&name).within(&namespace)
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
