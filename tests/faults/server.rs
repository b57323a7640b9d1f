//! The API server and its store themselves, in a control plane of this test's own.

use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use singletonjob::lease::annotations::CompletionPolicy;
use testkit::control_plane::{ControlPlane, ETCD, KUBE_APISERVER};
use testkit::observe::nothing_starts;
use tokio::time::sleep;

use crate::scenario::{SECOND, play};

/// The default: what users have.
const LEASE: u64 = 15;

#[test]
fn a_store_that_stands_still_for_3_s_and_a_restarted_server_are_survived() {
    let control_plane = Arc::new(ControlPlane::start());
    play("12-store-stalls", control_plane, LEASE, CompletionPolicy::Never, 0, async |scenario| {
        let (_active, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        for _ in 0..2 {
            let store = Pid::from_raw(scenario.control_plane.pid_of(ETCD));
            kill(store, Signal::SIGSTOP).expect("it runs");
            sleep(SECOND * 3).await;
            kill(store, Signal::SIGCONT).expect("it runs");
            scenario.nothing_happens(SECOND * 4).await;
        }
        kill(Pid::from_raw(scenario.control_plane.pid_of(KUBE_APISERVER)), Signal::SIGKILL).expect("it runs");
        scenario.control_plane.restart_api_server();
        nothing_starts(&scenario.records, 1, scenario.timing.lease_duration()).await;
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
    });
}
