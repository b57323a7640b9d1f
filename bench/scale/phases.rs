//! The phases of one measurement: converge, rest, restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{is_true, types};
use tokio::time::sleep;

use super::Arguments;
use super::api_server::{ApiServer, namespace};
use super::controller::Controller;
use super::kubelet;

const CONVERGED_WITHIN: Duration = Duration::from_secs(1800);
/// SingletonJobs that are applied at the same time.
const APPLIED_AT_ONCE: usize = 16;
/// After it has converged, for what was set off last.
const SETTLE: Duration = Duration::from_secs(15);
const RECONCILIATIONS: &str = "controller_runtime_reconcile_total";

/// What one number of SingletonJobs costs.
#[derive(Clone, Debug)]
pub struct Row {
    /// How many.
    pub jobs: usize,
    /// From the first apply until each is held and has a ready standby.
    pub converged: Duration,
    /// The controller's CPU time until then.
    pub controller_cpu: Duration,
    /// The API server's CPU time until then.
    pub server_cpu: Duration,
    /// The controller's memory before the first, in bytes.
    pub resident_before: u64,
    /// The controller's memory after that, in bytes.
    pub resident: u64,
    /// The controller's requests until then, by verb and resource.
    pub requests: BTreeMap<String, usize>,
    /// Reconciliations until then.
    pub reconciliations: f64,
    /// At rest: the part of one core that the controller uses.
    pub rest_cores: f64,
    /// At rest: reconciliations.
    pub rest_reconciliations: f64,
    /// At rest: the controller's requests, by verb and resource.
    pub rest_requests: BTreeMap<String, usize>,
    /// From the start of a controller that replaces the first until it is ready.
    pub restart: Duration,
    /// The requests of that controller.
    pub restart_requests: BTreeMap<String, usize>,
}

/// Measures so many SingletonJobs on an API server of their own.
pub async fn measure(jobs: usize, arguments: &Arguments) -> Row {
    let server = Arc::new(ApiServer::start(arguments.namespaces).await);
    let kubeconfig = server.control_plane.kubeconfig_with_token(&server.controllers_token().await);
    let log = std::env::temp_dir().join("singletonjob-bench-controller.log");
    let controller = Controller::start(&kubeconfig, &log);
    controller.ready().await;
    let kubelet = tokio::spawn(kubelet::serve(server.clone()));
    let requests = server.count();
    let (resident_before, cpu_before) = (controller.process().resident(), controller.process().cpu());
    let server_before = server.process().cpu();
    let converged = converge(&server, jobs, arguments).await;
    let converged_row = Row {
        jobs,
        converged,
        controller_cpu: controller.process().cpu() - cpu_before,
        server_cpu: server.process().cpu() - server_before,
        resident_before,
        resident: 0,
        requests: requests.so_far(),
        reconciliations: controller.metric(RECONCILIATIONS).unwrap_or_default(),
        rest_cores: 0.0,
        rest_reconciliations: 0.0,
        rest_requests: BTreeMap::new(),
        restart: Duration::ZERO,
        restart_requests: BTreeMap::new(),
    };
    sleep(SETTLE).await;
    let rested = rest(&server, &controller, Duration::from_secs(arguments.rest), converged_row).await;
    controller.terminate();
    let row = restart(&server, Controller::start(&kubeconfig, &log), rested).await;
    kubelet.abort();
    // The servers end when nothing uses them any more.
    kubelet.await.expect_err("it was aborted");
    row
}

/// Applies all, and waits until each is held and has a ready standby.
async fn converge(server: &ApiServer, jobs: usize, arguments: &Arguments) -> Duration {
    let started = Instant::now();
    let apply = |number: usize| async move {
        let api: Api<SingletonJob> =
            Api::namespaced(server.client.clone(), &namespace(number % arguments.namespaces));
        api.create(&PostParams::default(), &job(number, arguments.lease)).await.expect("a SingletonJob");
    };
    stream::iter(0..jobs).map(apply).buffer_unordered(APPLIED_AT_ONCE).collect::<Vec<()>>().await;
    let api: Api<SingletonJob> = Api::all(server.client.clone());
    loop {
        let all = api.list(&ListParams::default()).await.expect("SingletonJobs can be listed").items;
        let waiting = all.iter().filter(|job| !has_converged(job)).count();
        if waiting == 0 {
            return started.elapsed();
        }
        if started.elapsed() > CONVERGED_WITHIN {
            let first = all.iter().find(|job| !has_converged(job)).map(ResourceExt::name_any);
            panic!("{waiting} of {jobs} have not converged, {first:?} among them");
        }
        // Seldom where there are many, because the list itself costs the API server.
        sleep(
            Duration::from_millis(200) + Duration::from_millis(1) * u32::try_from(jobs).unwrap_or(u32::MAX),
        )
        .await;
    }
}

fn job(number: usize, lease: u32) -> SingletonJob {
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"]});
    let spec = json!({
        "completionPolicy": "Never",
        "lease": {"leaseDurationSeconds": lease},
        "template": {"spec": {"containers": [container]}},
    });
    let name = format!("job-{number}");
    let manifest = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(manifest).expect("a SingletonJob")
}

fn has_converged(job: &SingletonJob) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    [types::HELD, types::STANDBY_AVAILABLE].iter().all(|type_| is_true(conditions, type_))
}

async fn rest(server: &ApiServer, controller: &Controller, time: Duration, row: Row) -> Row {
    let requests = server.count();
    let (cpu, reconciliations) =
        (controller.process().cpu(), controller.metric(RECONCILIATIONS).unwrap_or_default());
    sleep(time).await;
    Row {
        resident: controller.process().resident(),
        rest_cores: (controller.process().cpu() - cpu).as_secs_f64() / time.as_secs_f64(),
        rest_reconciliations: controller.metric(RECONCILIATIONS).unwrap_or_default() - reconciliations,
        rest_requests: requests.so_far(),
        ..row
    }
}

async fn restart(server: &ApiServer, controller: Controller, row: Row) -> Row {
    let requests = server.count();
    let restart = controller.ready().await;
    sleep(SETTLE).await;
    Row { restart, restart_requests: requests.so_far(), ..row }
}
