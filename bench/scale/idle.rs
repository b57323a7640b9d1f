//! SingletonJobs whose candidates are not started: what the controller keeps for each, and a restart.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::converge::{Rest, rest};
use super::installation::Installation;
use super::jobs::{self, Shape};
use super::kubelet::Electors;
use super::requests::Counts;

/// After a restart, for everything that it sets off.
const SETTLE: Duration = Duration::from_secs(15);

/// What so many SingletonJobs cost the controller.
#[derive(Clone, Debug)]
pub struct Idle {
    /// How many.
    pub jobs: usize,
    /// The JSON size of the template of each, in bytes.
    pub template: usize,
    /// From the first apply until each has its pods.
    pub time: Duration,
    /// The controller's CPU time until then.
    pub controller_cpu: Duration,
    /// After that.
    pub rest: Rest,
    /// From the start of a new controller until it leads and its caches have synced.
    pub ready: Duration,
    /// Its requests.
    pub restart_requests: Counts,
    /// Its memory then, in bytes.
    pub restart_resident: u64,
}

/// Measures it on an installation of its own.
pub async fn measure(shape: &Shape, rest_time: Duration) -> Idle {
    let mut installation = Installation::start(&shape.namespaces(), Electors::Nowhere).await;
    let (started, cpu) = (Instant::now(), installation.controller.process().cpu());
    jobs::converge(installation.client(), shape, jobs::has_pods).await;
    let (time, controller_cpu) = (started.elapsed(), installation.controller.process().cpu() - cpu);
    let rest = rest(&installation, rest_time).await;
    installation.end_controller().await;
    let requests = installation.count();
    installation.start_controller();
    let ready = installation.controller.ready().await;
    sleep(SETTLE).await;
    let idle = Idle {
        jobs: shape.jobs,
        template: jobs::template_size(),
        time,
        controller_cpu,
        rest,
        ready,
        restart_requests: requests.so_far(),
        restart_resident: installation.controller.process().resident(),
    };
    installation.end().await;
    idle
}
