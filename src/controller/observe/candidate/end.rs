//! Whether a candidate still takes part, and how it ended.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus};
use kube::ResourceExt;

use super::pod_status::{condition, terminated};
use super::sidecars::PAST_DEADLINE;
use crate::contract::{TERMINATION_PREFIX, exit_codes};

/// The condition of a pod that was ended for the sake of others. The component that ends it sets this.
const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// Reasons of the kubelet and the container runtime for a container that they no longer know, as after a
/// restart of the node.
const LOST: [&str; 2] = ["ContainerStatusUnknown", "Unknown"];
/// Prefix of the kubelet's message for a pod that its node does not admit.
const REJECTED: &str = "Pod was rejected";
/// Reasons of the kubelet for a pod that its node does not admit.
const REJECTIONS: [&str; 10] = [
    "AppArmor",
    "InitContainerRestartForbidden",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeShutdown",
    "PodOSNotSupported",
    "SysctlForbidden",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
];
/// How many characters of the kubelet's message the Lease may carry, so that it stays small.
const LONGEST_MESSAGE: usize = 200;

/// Whether a candidate takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It runs, or is going to.
    Active,
    /// The pod is being deleted. If its node is gone, no kubelet can report the end.
    Terminating,
    /// It has ended and is kept for its log.
    Terminated(End),
}

/// How a candidate ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether the gated container exited with code 0.
    pub succeeded: bool,
    /// The exit code of the gated container. `None` if it never ran, or no kubelet saw it end.
    pub exit_code: Option<i32>,
    /// `Error`, `OOMKilled`, `Evicted`, ...
    pub reason: Option<String>,
    /// The message of the container, else that of the kubelet.
    pub message: Option<String>,
    /// When the gated container ended, on its node's clock. If no kubelet reported that, when the pod was
    /// created.
    pub at: Option<Timestamp>,
    /// Why the kubelet ended the pod for its own fault, if it did.
    pub fault_of_pod: Option<Fault>,
    /// Whether a disruption ended the pod, or the loss of its node.
    pub disrupted: bool,
}

/// Why the kubelet ended a pod that neither a person nor the cluster's needs had asked it to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `DeadlineExceeded`, `Evicted`, ...
    pub reason: String,
    /// One sentence.
    pub message: Option<String>,
}

impl End {
    /// Whether the candidate ended before it could make an attempt. Its node refused the pod, or the agent
    /// could not fence the workload or read the Lease.
    pub fn is_fault(&self) -> bool {
        let unable = |code| {
            matches!(code, exit_codes::SELF_TEST_FAILED | exit_codes::LEASE_UNREADABLE | exit_codes::USAGE)
        };
        match (self.exit_code, &self.message) {
            (Some(code), message) => {
                unable(code)
                    && message.as_ref().is_some_and(|message| message.starts_with(TERMINATION_PREFIX))
            }
            (None, _) => !self.succeeded,
        }
    }

    /// Whether the candidate ended because the agent was asked to stop.
    pub fn is_interruption(&self) -> bool {
        self.exit_code == Some(exit_codes::INTERRUPTED)
    }
}

/// The phase of a candidate whose gated container has the status `gated`. The candidate of a one-shot ends
/// with that container, whatever the others in the pod do. The kubelet restarts that of a service in place.
pub(super) fn phase(pod: &Pod, spec: &PodSpec, status: &PodStatus, gated: Option<&ContainerStatus>) -> Phase {
    if pod.metadata.deletion_timestamp.is_some() {
        return Phase::Terminating;
    }
    let ended = gated.and_then(terminated);
    let is_spent = spec.restart_policy.as_deref() == Some("Never") && ended.is_some();
    if is_spent || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        Phase::Terminated(end(pod, spec, status, ended))
    } else {
        Phase::Active
    }
}

fn end(pod: &Pod, spec: &PodSpec, status: &PodStatus, ended: Option<&ContainerStateTerminated>) -> End {
    let finished_at = ended.and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0);
    let is_lost = ended.and_then(|ended| ended.reason.as_deref()).is_some_and(|why| LOST.contains(&why));
    End {
        succeeded: ended.map_or(status.phase.as_deref() == Some("Succeeded"), |ended| ended.exit_code == 0),
        exit_code: ended.map(|ended| ended.exit_code),
        reason: ended.and_then(|ended| ended.reason.clone()).or(status.reason.clone()),
        message: ended.and_then(|ended| ended.message.clone()).or(status.message.clone()),
        at: finished_at.or(pod.creation_timestamp().map(|time| time.0)),
        fault_of_pod: fault_of_pod(spec, status),
        disrupted: is_disrupted(status) || is_lost,
    }
}

/// The kubelet gives a reason only for a pod that it ended itself. The pod is not at fault if the cluster
/// needed its place, if its node never admitted it or did not admit it again after a restart, or if the
/// controller set the deadline.
fn fault_of_pod(spec: &PodSpec, status: &PodStatus) -> Option<Fault> {
    let has_failed = status.phase.as_deref() == Some("Failed");
    let reason = status.reason.clone().filter(|reason| !reason.is_empty() && has_failed)?;
    let is_ours = spec.active_deadline_seconds == Some(PAST_DEADLINE);
    if is_disrupted(status) || is_rejected(&reason, status) || is_ours {
        return None;
    }
    let message =
        status.message.as_ref().map(|message| message.trim().chars().take(LONGEST_MESSAGE).collect());
    Some(Fault { reason, message })
}

fn is_disrupted(status: &PodStatus) -> bool {
    condition(status, DISRUPTION_TARGET).is_some_and(|condition| condition.holds)
}

/// Whether the node did not admit the pod. Earlier kubelets say so by `reason` alone.
fn is_rejected(reason: &str, status: &PodStatus) -> bool {
    let said = status.message.as_ref().is_some_and(|message| message.starts_with(REJECTED));
    said || reason.starts_with("OutOf") || REJECTIONS.contains(&reason)
}
