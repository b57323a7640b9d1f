//! From apply to a holder with a ready standby, and at rest after that.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::installation::Installation;
use super::jobs::{self, Shape};
use super::kubelet::Electors;
use super::requests::Counts;
use super::restart::NAMESPACE_OF_SCHEDULE;

/// After all have converged, for what was set off last.
const SETTLE: Duration = Duration::from_secs(15);
/// The controller counts its reconciliations in it.
const RECONCILIATIONS: &str = "controller_runtime_reconcile_total";

/// What one number of SingletonJobs costs.
#[derive(Clone, Debug)]
pub struct Converged {
    /// How many.
    pub jobs: usize,
    /// The JSON size of the template of each, in bytes.
    pub template: usize,
    /// From the first apply until each is held and has a ready standby.
    pub time: Duration,
    /// The controller's CPU time until then.
    pub controller_cpu: Duration,
    /// The API server's CPU time until then.
    pub server_cpu: Duration,
    /// The controller's requests until then.
    pub requests: Counts,
    /// Reconciliations until then.
    pub reconciliations: f64,
    /// After that.
    pub rest: Rest,
}

/// What the controller does while every holder renews.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// How long it was watched.
    pub time: Duration,
    /// The part of one core that it uses.
    pub cores: f64,
    /// Reconciliations.
    pub reconciliations: f64,
    /// Its requests.
    pub requests: Counts,
    /// Its memory at the end, in bytes.
    pub resident: u64,
    /// Its memory at its height since its start, in bytes.
    pub peak: u64,
}

/// Measures it on an installation of its own, which goes on.
pub async fn measure(shape: &Shape, rest_time: Duration) -> (Converged, Installation) {
    let namespaces = [shape.namespaces(), vec![NAMESPACE_OF_SCHEDULE.to_owned()]].concat();
    let installation = Installation::start(&namespaces, Electors::Everywhere).await;
    let (controller, server) = (installation.controller.process(), installation.server.process());
    let (controller_before, server_before) = (controller.cpu(), server.cpu());
    let requests = installation.count();
    let started = Instant::now();
    jobs::converge(installation.client(), shape, jobs::is_held_with_standby).await;
    let converged = Converged {
        jobs: shape.jobs,
        template: jobs::template_size(),
        time: started.elapsed(),
        controller_cpu: controller.cpu() - controller_before,
        server_cpu: server.cpu() - server_before,
        requests: requests.so_far(),
        reconciliations: reconciliations(&installation),
        rest: rest(&installation, rest_time).await,
    };
    (converged, installation)
}

/// Waits until nothing is under way any more, and watches the controller for so long.
pub async fn rest(installation: &Installation, time: Duration) -> Rest {
    sleep(SETTLE).await;
    let controller = installation.controller.process();
    let requests = installation.count();
    // Asking for metrics costs the controller, too.
    let reconciliations_before = reconciliations(installation);
    let before = controller.cpu();
    sleep(time).await;
    let spent = controller.cpu() - before;
    Rest {
        time,
        cores: spent.as_secs_f64() / time.as_secs_f64(),
        reconciliations: reconciliations(installation) - reconciliations_before,
        requests: requests.so_far(),
        resident: controller.resident(),
        peak: controller.peak(),
    }
}

fn reconciliations(installation: &Installation) -> f64 {
    installation.controller.metric(RECONCILIATIONS).unwrap_or_default()
}
