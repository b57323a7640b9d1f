//! What holders that renew cost the API server and etcd.

use std::time::Duration;

use tokio::time::sleep;

use super::installation::Installation;
use super::jobs::{self, Shape};
use super::kubelet::Electors;
use super::process::Process;

/// After all are held, for what was set off last.
const SETTLE: Duration = Duration::from_secs(15);

/// What so many holders cost while nothing else happens.
#[derive(Clone, Debug)]
pub struct Renewals {
    /// How many.
    pub jobs: usize,
    /// `leaseDurationSeconds` of each.
    pub lease: u32,
    /// Writes of Leases, a second.
    pub writes: f64,
    /// The part of one core that kube-apiserver uses.
    pub server: f64,
    /// The part of one core that etcd uses.
    pub etcd: f64,
    /// The part of one core that the controller uses.
    pub controller: f64,
}

/// Measures it on an installation of its own, for so long.
pub async fn measure(shape: &Shape, time: Duration) -> Renewals {
    let installation = Installation::start(&shape.namespaces(), Electors::Everywhere).await;
    jobs::converge(installation.client(), shape, jobs::is_held_with_standby).await;
    sleep(SETTLE).await;
    let server = &installation.server;
    let processes = [server.process(), server.etcd(), installation.controller.process()];
    let writes_before = server.lease_updates();
    let before = processes.map(Process::cpu);
    sleep(time).await;
    let spent = processes.map(Process::cpu);
    let writes = server.lease_updates() - writes_before;
    let part = |number: usize| (spent[number] - before[number]).as_secs_f64() / time.as_secs_f64();
    let renewals = Renewals {
        jobs: shape.jobs,
        lease: shape.lease,
        writes: writes / time.as_secs_f64(),
        server: part(0),
        etcd: part(1),
        controller: part(2),
    };
    installation.end().await;
    renewals
}
