//! Memory over many SingletonJobs that come and go.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use singletonjob::contract::labels;
use tokio::time::sleep;

use super::installation::Installation;
use super::jobs::{self, Shape, namespace};
use super::kubelet::Electors;
use super::process::Process;

const AT_ONCE: usize = 16;
/// Come and go before the first reading.
const FIRST: usize = 2 * AT_ONCE;
/// For what the last have left, such as their Leases.
const GONE_WITHIN: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After the last is gone, for what that sets off.
const SETTLE: Duration = Duration::from_secs(15);
/// Readings of the memory on the way.
const READINGS: usize = 10;

/// What so many SingletonJobs leave behind.
#[derive(Clone, Debug)]
pub struct Cycles {
    /// How many were created, taken over and deleted.
    pub number: usize,
    /// How long all took.
    pub time: Duration,
    /// The controller's memory when it has just started, in bytes.
    pub idle: u64,
    /// The same before the first that counts. A few have come and gone, because a program that has never
    /// worked has not read its own code.
    pub before: u64,
    /// The same after each tenth of them, while the next come and go.
    pub on_the_way: Vec<u64>,
    /// The same when nothing of the last is left.
    pub after: u64,
}

/// Measures it on an installation of its own.
pub async fn measure(number: usize, shape: &Shape) -> Cycles {
    let installation = Installation::start(&shape.namespaces(), Electors::Everywhere).await;
    let (client, controller) = (installation.client(), installation.controller.process());
    let idle = controller.resident();
    let _ = cycle_all(client, "first", FIRST, shape, controller).await;
    let before = controller.resident();
    let started = Instant::now();
    let on_the_way = cycle_all(client, "cycle", number, shape, controller).await;
    let time = started.elapsed();
    let after = controller.resident();
    installation.end().await;
    Cycles { number, time, idle, before, on_the_way, after }
}

/// The memory after each tenth of them. Returns when nothing of the last is left.
async fn cycle_all(
    client: &Client,
    name: &str,
    number: usize,
    shape: &Shape,
    controller: Process,
) -> Vec<u64> {
    let one = |job| cycle(client, namespace(job % shape.namespaces), format!("{name}-{job}"), shape.lease);
    let mut done = stream::iter(0..number).map(one).buffer_unordered(AT_ONCE);
    let (mut finished, mut readings) = (0, Vec::new());
    while done.next().await.is_some() {
        finished += 1;
        if finished % number.div_ceil(READINGS) == 0 {
            readings.push(controller.resident());
        }
    }
    nothing_left(client).await;
    sleep(SETTLE).await;
    readings
}

/// Creates one, deletes the pod that holds it, and deletes it when another pod does.
async fn cycle(client: &Client, namespace: String, name: String, lease: u32) {
    jobs::create(client, &namespace, &jobs::service(&name, lease)).await;
    let held = jobs::await_one(client, &namespace, &name, "a holder and a standby", |job| {
        jobs::is_held_with_standby(job) && jobs::holder(job).is_some()
    })
    .await;
    let first = jobs::holder(&held).expect("it is held");
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    pods.delete(first, &DeleteParams::default()).await.expect("the holder is there");
    jobs::await_one(client, &namespace, &name, "another holder", |job| {
        jobs::holder(job).is_some_and(|holder| holder != first)
    })
    .await;
    jobs::delete(client, &namespace, &name).await;
}

/// Waits until there is no pod and no Lease of any.
async fn nothing_left(client: &Client) {
    let of_jobs = ListParams::default().labels(labels::JOB);
    let (pods, leases) = (Api::<Pod>::all(client.clone()), Api::<Lease>::all(client.clone()));
    let started = Instant::now();
    loop {
        let pods = pods.list_metadata(&of_jobs).await.expect("pods").items.len();
        let leases = leases.list_metadata(&of_jobs).await.expect("Leases").items.len();
        if pods + leases == 0 {
            return;
        }
        assert!(
            started.elapsed() < GONE_WITHIN,
            "{pods} pods and {leases} Leases are left of jobs that are gone"
        );
        sleep(LOOK_EVERY).await;
    }
}
