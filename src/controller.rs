//! Reconciles SingletonJobs into a Lease, its Role, candidate pods, status and events.
//!
//! # Guarantees
//! - Failover never needs the controller. Candidates agree on a holder among themselves, and the controller
//!   only writes directives into their Lease.
//! - A renewal alone causes neither a reconciliation nor a write.
//! - The controller decides from the current objects, never from what it did before. It may therefore restart
//!   between any two requests.
//!
//! # Layout
//! Each stage has one module, in this order: [`observe`], [`plan`] (pure), [`build`] (pure), [`apply`],
//! [`report`]. [`reconcile`] runs them. [`lease_gc`] removes the Lease of a deleted SingletonJob,
//! [`leadership`] elects the active replica, and [`names`] names and labels child objects.

pub mod api_call;
pub mod apply;
pub mod build;
pub mod leadership;
pub mod lease_gc;
pub mod names;
pub mod observe;
pub mod plan;
pub mod process;
pub mod quote;
pub mod reconcile;
pub mod refusals;
pub mod report;
pub mod settings;

use std::fmt::Debug;
use std::future::ready;
use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt, reflector::store::Writer};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::api::SingletonJob;
use crate::contract::labels;
use crate::lease::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::health::{self, Loop};
use crate::telemetry::metrics::jobs::JobMetrics;
use observe::Caches;
use observe::lease_observations::LeaseObservations;
use reconcile::{Context, Failures};
use refusals::Refusals;
use report::recorder::Recorder;
use settings::Agent;

type Guarded = DeserializeGuard<SingletonJob>;

/// As the manifests call it.
const OWN_CONTAINER: &str = "controller";
/// SingletonJobs that are reconciled at the same time.
const CONCURRENCY: u16 = 8;

/// Returns the client configuration of the cluster. A client of it never repeats a request by itself.
///
/// # Errors
/// If no cluster is configured, or its credentials are invalid.
pub async fn configuration() -> Result<Config, kube::Error> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.default_retry = false;
    Ok(config)
}

/// Returns the image of the controller's own container, which contains the agent too. A mesh may inject a
/// container before it, so the lookup prefers the name [`OWN_CONTAINER`]. If no container has that name, the
/// first one counts.
///
/// # Errors
/// If the API server does not return the pod.
pub async fn own_image(
    client: &Client,
    namespace: &str,
    pod: &str,
) -> Result<Option<String>, api_call::Failure> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = api_call::with_deadline("reading the controller's own Pod", pod, pods.get_opt(pod)).await?;
    let containers = found.and_then(|pod| pod.spec).map(|spec| spec.containers).unwrap_or_default();
    let own =
        containers.iter().find(|container| container.name == OWN_CONTAINER).or_else(|| containers.first());
    Ok(own.and_then(|container| container.image.clone()))
}

/// Runs the controller until the future is dropped, or one of its tasks ends unexpectedly.
pub async fn run(client: Client, agent: Agent, instance: String, telemetry: Arc<Telemetry>) {
    let lease_observations = Arc::new(LeaseObservations::default());
    let (jobs, jobs_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (leases, leases_writer) = reflector::store();
    let (roles, roles_writer) = reflector::store();
    let (bindings, bindings_writer) = reflector::store();
    let (budgets, budgets_writer) = reflector::store();
    let (nodes, nodes_writer) = reflector::store();
    let caches = Caches { jobs: jobs.clone(), pods, leases, roles, bindings, budgets, nodes };
    let all_budgets = watcher(Api::<PodDisruptionBudget>::all(client.clone()), watcher::Config::default())
        .default_backoff();
    let beside = caches.clone();
    let root = watcher(Api::<Guarded>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(jobs_writer);
    let asked = |job: &Guarded| Some(refusals::asked(job.meta()) ^ u64::from(job.0.is_ok()));
    let ours = format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_VALUE);
    let controller = Controller::for_stream(
        root.applied_objects().predicate_filter(asked, PredicateConfig::default()),
        jobs,
    )
    .with_config(controller::Config::default().concurrency(CONCURRENCY))
    .watches_stream(labelled(&client, labels::JOB, pods_writer).touched_objects(), |pod| to_job(&pod))
    .watches_stream(
        changed_leases(labelled(&client, &ours, leases_writer), lease_observations.clone()),
        |lease| to_its_job(&lease),
    )
    .watches_stream(labelled(&client, &ours, roles_writer).touched_objects(), |role| to_job(&role))
    .watches_stream(labelled(&client, &ours, bindings_writer).touched_objects(), |binding| to_job(&binding))
    .watches_stream(all_budgets.reflect(budgets_writer).touched_objects(), move |budget| {
        to_jobs_beside(&budget, &beside.jobs)
    })
    .watches_stream(self::nodes(&client, nodes_writer).touched_objects(), |_| None::<ObjectRef<Guarded>>);
    let (synced, caches_synced) = watch::channel(false);
    let leases_collected =
        collect_leases(client.clone(), caches.clone(), lease_observations.clone(), synced, telemetry.clone());
    telemetry.metrics.follow(job_metrics(caches.jobs.clone(), lease_observations.clone()));
    let recorder = Recorder::new(client.clone(), instance);
    let noted = telemetry.clone();
    let context = Arc::new(Context {
        client,
        caches,
        caches_synced,
        lease_observations,
        agent,
        recorder,
        telemetry,
        failures: Failures::default(),
        refusals: Refusals::default(),
    });
    let reconcile =
        controller.run(reconcile::reconcile, reconcile::on_failure, context).for_each(|outcome| {
            log_watch_errors(outcome);
            ready(())
        });
    let all =
        async { tokio::select!(() = reconcile => {}, () = leases_collected => {}, () = heartbeat() => {}) };
    // On the heap: it is most of what this process ever waits for.
    Box::pin(noted.health.watch(Loop::Reconciliation, all)).await;
}

/// How a reconciliation ended has been said where it ended; that a watch is interrupted is said here alone.
fn log_watch_errors<T>(outcome: Result<T, controller::Error<api_call::Failure, watcher::Error>>) {
    if let Err(controller::Error::QueueError(error)) = outcome {
        tracing::warn!(error = api_call::root_cause(&error), "a watch is interrupted; it is opened again");
    }
}

/// Wakes the task that waits for it and for others, only because it had its turn.
async fn heartbeat() {
    loop {
        sleep(health::LONGEST_PAUSE).await;
    }
}

/// Waits for the caches, for itself and for all who wait for `synced`.
async fn collect_leases(
    client: Client,
    caches: Caches,
    lease_observations: Arc<LeaseObservations>,
    synced: watch::Sender<bool>,
    telemetry: Arc<Telemetry>,
) {
    if caches.synced().await {
        synced.send_replace(true);
        telemetry.health.knows_what_is_there();
        lease_gc::collect_leases(client, caches, lease_observations).await;
    }
}

/// How each SingletonJob fares that decodes.
fn job_metrics(
    jobs: Store<Guarded>,
    lease_observations: Arc<LeaseObservations>,
) -> impl Fn() -> Vec<JobMetrics> + Send + Sync {
    move || {
        let now = clock::now().at;
        let silence = |job: &SingletonJob| {
            lease_observations.silence(&job.namespace().unwrap_or_default(), &job.name_any(), now)
        };
        let all = jobs.state();
        let ours = all.iter().filter_map(|job| job.0.as_ref().ok()).filter(|job| !job.spec.is_anothers());
        ours.map(|job| report::job_metrics::of(job, silence(job))).collect()
    }
}

/// What of one kind the selector matches, kept in a cache. Of pods it asks for nothing but our own label,
/// because all others are the template's.
fn labelled<K>(
    client: &Client,
    selector: &str,
    writer: Writer<K>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    watcher(Api::<K>::all(client.clone()), watcher::Config::default().labels(selector))
        .default_backoff()
        .reflect(writer)
}

/// All nodes, kept in a cache. They wake no reconciliation: who should hold is looked at again at every
/// reconciliation.
fn nodes(
    client: &Client,
    writer: Writer<Node>,
) -> impl Stream<Item = watcher::Result<Event<Node>>> + Send + 'static {
    watcher(Api::<Node>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(forget_what_is_not_read)
        .reflect(writer)
}

/// Of a node, its name, labels, taints and conditions are read.
fn forget_what_is_not_read(node: &mut Node) {
    (node.metadata.managed_fields, node.metadata.annotations) = (None, None);
    let conditions = node.status.take().and_then(|status| status.conditions);
    node.status = Some(NodeStatus { conditions, ..NodeStatus::default() });
}

/// Leases that say something new. Every sign of life is noted all the same.
fn changed_leases(
    events: impl Stream<Item = watcher::Result<Event<Lease>>> + Send + 'static,
    lease_observations: Arc<LeaseObservations>,
) -> impl Stream<Item = watcher::Result<Lease>> + Send + 'static {
    events.filter_map(move |event| {
        ready(match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                lease_observations.saw(&lease, clock::now().at).then_some(Ok(lease))
            }
            Ok(Event::Delete(lease)) => {
                lease_observations.forget(&lease);
                Some(Ok(lease))
            }
            Ok(Event::Init | Event::InitDone) => None,
            Err(error) => Some(Err(error)),
        })
    })
}

/// All SingletonJobs of a PodDisruptionBudget's namespace: it may be meant for the pods of any.
fn to_jobs_beside(budget: &PodDisruptionBudget, jobs: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let beside = jobs.state_filter(|job| job.meta().namespace == budget.metadata.namespace);
    beside.iter().map(|job| ObjectRef::from_obj(job.as_ref())).collect()
}

/// The SingletonJob that a Lease was made for: it has its name, whatever has become of its label.
fn to_its_job(lease: &Lease) -> Option<ObjectRef<Guarded>> {
    Some(ObjectRef::new(lease.metadata.name.as_ref()?).within(lease.metadata.namespace.as_deref()?))
}

/// The SingletonJob that an object was made for, by its label: an object without an owner has one too.
fn to_job(object: &impl Resource) -> Option<ObjectRef<Guarded>> {
    let name = object.meta().labels.as_ref()?.get(labels::JOB)?;
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}
