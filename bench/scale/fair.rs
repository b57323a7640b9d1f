//! What the SingletonJobs of one tenant cost the only one of another.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use testkit::observe::await_object;

use super::installation::Installation;
use super::jobs::{self, Shape, namespace};
use super::kubelet::Electors;

/// The namespace of the tenant that has one SingletonJob.
const SMALL: &str = "small";
const HELD_WITHIN: Duration = Duration::from_secs(900);
const SAMPLES: usize = 10;

/// From the apply of a SingletonJob.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Until its Lease is there: the controller has begun with it.
    pub begun: Duration,
    /// Until it is held.
    pub held: Duration,
}

/// How long it took until the controller began with each.
pub fn begun(samples: &[Sample]) -> Vec<Duration> {
    samples.iter().map(|sample| sample.begun).collect()
}

/// How long it took until each was held.
pub fn held(samples: &[Sample]) -> Vec<Duration> {
    samples.iter().map(|sample| sample.held).collect()
}

/// From the apply of the only SingletonJob of a tenant until it is held, several times.
#[derive(Clone, Debug)]
pub struct Fair {
    /// How many SingletonJobs the other tenant has. Their candidates are not started.
    pub jobs: usize,
    /// While the other has none.
    pub alone: Vec<Sample>,
    /// While those of the other converge.
    pub converging: Vec<Sample>,
    /// After that.
    pub converged: Vec<Sample>,
}

/// Measures it on an installation of its own.
pub async fn measure(shape: &Shape) -> Fair {
    let crowd = Shape { namespaces: 1, ..*shape };
    let namespaces = [namespace(0), SMALL.to_owned()];
    let installation = Installation::start(&namespaces, Electors::In(SMALL)).await;
    let client = installation.client();
    let alone = samples(client, shape.lease, "alone").await;
    let converging = samples_while(client, shape.lease, jobs::converge(client, &crowd, jobs::has_pods)).await;
    let converged = samples(client, shape.lease, "converged").await;
    installation.end().await;
    Fair { jobs: shape.jobs, alone, converging, converged }
}

async fn samples(client: &Client, lease: u32, kind: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    for number in 0..SAMPLES {
        samples.push(sample(client, lease, &format!("{kind}-{number}")).await);
    }
    samples
}

/// As many as begin before `other` is done.
async fn samples_while(client: &Client, lease: u32, other: impl Future<Output = ()>) -> Vec<Sample> {
    let is_done = std::cell::Cell::new(false);
    let other = async {
        other.await;
        is_done.set(true);
    };
    let sampled = async {
        let mut samples = Vec::new();
        while !is_done.get() {
            samples.push(sample(client, lease, &format!("converging-{}", samples.len())).await);
        }
        samples
    };
    tokio::join!(other, sampled).1
}

/// Applies one, waits until it is held, and deletes it.
async fn sample(client: &Client, lease: u32, name: &str) -> Sample {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SMALL);
    let started = Instant::now();
    jobs::create(client, SMALL, &jobs::service(name, lease)).await;
    let begun = async {
        Box::pin(await_object(leases, name, "a Lease", HELD_WITHIN, |lease| lease.is_some())).await;
        started.elapsed()
    };
    let held = async {
        jobs::await_one(client, SMALL, name, "a holder", jobs::is_held).await;
        started.elapsed()
    };
    let (begun, held) = tokio::join!(begun, held);
    jobs::delete(client, SMALL, name).await;
    Sample { begun, held }
}
