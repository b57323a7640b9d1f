//! Making faults, and healing them.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cast::Candidate;
use crate::plan::Cause;
use crate::support::cluster::{Cluster, Fault, Process};
use crate::support::observe::now;
use crate::support::operator;
use crate::support::scenario::Scenario;

const CONTAINER: &str = "main";

/// What is broken until it is healed, or dropped.
#[must_use = "it is healed when dropped"]
pub enum Broken {
    /// By the cluster's script.
    Cluster(Fault),
    Stopped(Stopped),
    /// It just happened.
    Nothing,
}

/// Processes that are continued when dropped.
pub struct Stopped(Vec<Process>);

impl Drop for Stopped {
    fn drop(&mut self) {
        for process in &self.0 {
            process.signal_if_there(Signal::SIGCONT);
        }
    }
}

impl Broken {
    /// Tells when that was done, where there was anything to do.
    pub fn heal(self) -> Option<Duration> {
        match self {
            Self::Cluster(fault) => Some(fault.mend()),
            Self::Stopped(processes) => {
                drop(processes);
                Some(now())
            }
            Self::Nothing => None,
        }
    }
}

/// Breaks a pod; tells when, just before.
pub fn strike(scenario: &Scenario, cause: Cause, pod: &Candidate) -> (Duration, Broken) {
    let at = now();
    match cause {
        Cause::PodDeleted => delete_pod(scenario, &pod.name, &[]),
        Cause::PodDeletedByForce => delete_pod(scenario, &pod.name, &["--force", "--grace-period=0"]),
        Cause::PodCutOff => {
            let fault = scenario.cluster.deny_egress(&pod.address);
            return (fault.before, Broken::Cluster(fault));
        }
        _ => return signal(scenario.cluster, cause, pod),
    }
    (at, Broken::Nothing)
}

/// Deletes a pod as a user would, without waiting.
pub fn delete_pod(scenario: &Scenario, name: &str, how: &[&str]) {
    scenario.must(&[&["delete", "pod", name, "--wait=false", "--ignore-not-found"], how].concat());
}

fn signal(cluster: &Cluster, cause: Cause, pod: &Candidate) -> (Duration, Broken) {
    let processes = cluster.find_processes(&pod.uid, CONTAINER);
    let (signal, targets) = match cause {
        Cause::AgentKilled => (Signal::SIGKILL, fencer(&processes).cloned().into_iter().collect()),
        Cause::ElectorKilled => (Signal::SIGKILL, elector(&processes).cloned().into_iter().collect()),
        Cause::WorkloadKilled => (Signal::SIGKILL, workload(&processes).cloned().into_iter().collect()),
        Cause::ElectorStopped => (Signal::SIGSTOP, elector(&processes).cloned().into_iter().collect()),
        _ => (Signal::SIGSTOP, processes),
    };
    let at = now();
    for process in &targets {
        process.signal_if_there(signal);
    }
    let broken = if signal == Signal::SIGSTOP { Broken::Stopped(Stopped(targets)) } else { Broken::Nothing };
    (at, broken)
}

fn fencer(processes: &[Process]) -> Option<&Process> {
    processes.iter().find(|process| process.pid_inside == 1)
}

fn elector(processes: &[Process]) -> Option<&Process> {
    let fencer = fencer(processes)?;
    processes.iter().find(|process| process.parent == fencer.pid && process.command.starts_with("singletonjob"))
}

fn workload(processes: &[Process]) -> Option<&Process> {
    let elector = elector(processes)?;
    processes.iter().find(|process| process.parent == elector.pid)
}

/// Breaks the API server.
pub fn strike_api_server(cluster: &Cluster, cause: Cause) -> Fault {
    match cause {
        Cause::ApiServerHung => cluster.pause_api_server(),
        Cause::ApiServerRefusing => cluster.refuse_api_server(),
        _ => cluster.stop_api_server(),
    }
}

/// Kills all replicas of the controller; they come again by themselves.
pub fn restart_controllers(cluster: &Cluster) {
    let delete = ["--namespace", operator::NAMESPACE, "delete", "pods", "--selector", operator::SELECTOR, "--force", "--grace-period=0"];
    crate::support::cluster::said(&delete, &cluster.kubectl(&delete));
}
