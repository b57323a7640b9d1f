//! Runs the controller in the active replica: its watches, its reconciliations, and its background tasks.

mod watches;

use std::future::ready;
use std::sync::Arc;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{self, Store};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::sleep;

use super::observe::Caches;
use super::observe::lease_observations::LeaseObservations;
use super::reconcile::{self, Context, Failures, StatusWrites};
use super::refusals::Refusals;
use super::report::delays::Delays;
use super::report::recorder::Recorder;
use super::settings::Agent;
use super::{lease_gc, report};
use crate::api::SingletonJob;
use crate::lease::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::health::{self, Loop};
use crate::telemetry::metrics::jobs::JobMetrics;

/// A SingletonJob as the watch returns it. It may not decode.
type Guarded = DeserializeGuard<SingletonJob>;

/// Runs the controller until the future is dropped, or one of its tasks ends unexpectedly.
pub async fn run(client: Client, agent: Agent, instance: String, telemetry: Arc<Telemetry>) {
    let (jobs, writer) = reflector::store();
    let caches = Caches::of(jobs);
    let (synced, caches_synced) = watch::channel(false);
    let lease_observations = Arc::new(LeaseObservations::default());
    let controller = watches::controller(&client, &caches, writer, lease_observations.clone());
    telemetry.metrics.follow(job_metrics(caches.jobs.clone(), lease_observations.clone()));
    let recorder = Recorder::new(client.clone(), instance);
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
        status_writes: StatusWrites::default(),
        delays: Delays::default(),
    });
    run_tasks(controller, context, synced).await;
}

/// Runs all tasks until the first one ends. The health endpoint counts their turns.
async fn run_tasks(controller: Controller<Guarded>, context: Arc<Context>, synced: watch::Sender<bool>) {
    let telemetry = context.telemetry.clone();
    let leases_collected = collect_leases(context.clone(), synced);
    let reconciled = reconcile_jobs(controller, context);
    let all =
        async { tokio::select!(() = reconciled => {}, () = leases_collected => {}, () = heartbeat() => {}) };
    // On the heap: it is most of what this process ever waits for.
    Box::pin(telemetry.health.watch(Loop::Reconciliation, all)).await;
}

/// Reconciles every SingletonJob that a watch wakes.
async fn reconcile_jobs(controller: Controller<Guarded>, context: Arc<Context>) {
    // A reconciliation logs its own failure, and a watch its interruptions.
    controller.run(reconcile::reconcile, reconcile::on_failure, context).for_each(|_| ready(())).await;
}

/// Removes Leases of deleted SingletonJobs, once the caches have synced. `synced` tells the reconciliations.
async fn collect_leases(context: Arc<Context>, synced: watch::Sender<bool>) {
    let Context { client, caches, lease_observations, telemetry, .. } = context.as_ref();
    caches.synced().await;
    synced.send_replace(true);
    telemetry.health.set_caches_synced();
    lease_gc::collect_leases(client.clone(), caches.clone(), lease_observations.clone()).await;
}

/// Wakes the task that runs it at least every [`health::LONGEST_PAUSE`], so that an idle controller is alive.
async fn heartbeat() {
    loop {
        sleep(health::LONGEST_PAUSE).await;
    }
}

/// Returns the source of the metrics of each SingletonJob that decodes and belongs to this controller.
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
