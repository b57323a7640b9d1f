//! Making faults, and healing them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use nix::sys::signal::Signal;
use testkit::cluster::{Cluster, Fault, Process};
use testkit::observe::now;
use testkit::operator;
use testkit::scenario::Scenario;

use crate::jobs::Candidate;
use crate::plan::Cause;

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

/// Something that is about to be done to a pod. All that takes the machine's time is done before: the fault
/// itself must not be what makes those slow who have to deal with it.
pub struct Blow {
    pub cause: Cause,
    pod: Candidate,
    targets: Vec<Process>,
}

impl Blow {
    pub fn prepare(cluster: &Cluster, cause: Cause, pod: &Candidate) -> Self {
        Self { cause, pod: pod.clone(), targets: targets(cause, cluster, pod) }
    }

    /// Strikes; tells when, just before.
    pub async fn strike(self, scenario: &Scenario) -> (Duration, Broken) {
        let at = now();
        let broken = match self.cause {
            Cause::PodDeleted => delete_pod(scenario, &self.pod.name, None).await,
            Cause::PodDeletedByForce => delete_pod(scenario, &self.pod.name, Some(0)).await,
            Cause::PodCutOff => Broken::Cluster(scenario.cluster.deny_egress(&self.pod.address)),
            Cause::ElectorStopped | Cause::PodFrozen => {
                signal(&self.targets, Signal::SIGSTOP);
                Broken::Stopped(Stopped(self.targets))
            }
            _ => {
                signal(&self.targets, Signal::SIGKILL);
                Broken::Nothing
            }
        };
        (at, broken)
    }
}

/// Deletes a pod as a user would, without waiting.
pub async fn delete_pod(scenario: &Scenario, name: &str, grace_period_seconds: Option<u32>) -> Broken {
    let how = DeleteParams { grace_period_seconds, ..DeleteParams::default() };
    match scenario.api::<Pod>().delete(name, &how).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {
            scenario.remark(&format!("{name} was gone already"));
        }
        Err(error) => panic!("deleting {name}: {error}"),
    }
    Broken::Nothing
}

fn signal(targets: &[Process], signal: Signal) {
    for process in targets {
        process.signal_if_there(signal);
    }
}

fn targets(cause: Cause, cluster: &Cluster, pod: &Candidate) -> Vec<Process> {
    let find: fn(&[Process]) -> Option<&Process> = match cause {
        Cause::AgentKilled => fencer,
        Cause::ElectorKilled | Cause::ElectorStopped => elector,
        Cause::WorkloadKilled => workload,
        Cause::PodFrozen => return cluster.find_processes(&pod.uid, CONTAINER),
        _ => return Vec::new(),
    };
    find(&cluster.find_processes(&pod.uid, CONTAINER)).cloned().into_iter().collect()
}

fn fencer(processes: &[Process]) -> Option<&Process> {
    processes.iter().find(|process| process.pid_inside == 1)
}

fn elector(processes: &[Process]) -> Option<&Process> {
    let fencer = fencer(processes)?;
    processes
        .iter()
        .find(|process| process.parent == fencer.pid && process.command.starts_with("singletonjob"))
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
    let delete = [
        "--namespace",
        operator::NAMESPACE,
        "delete",
        "pods",
        "--selector",
        operator::SELECTOR,
        "--force",
        "--grace-period=0",
    ];
    testkit::cluster::said(&delete, &cluster.kubectl(&delete));
}
