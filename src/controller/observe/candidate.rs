//! What a candidate pod says about itself.

pub mod start_failure;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus, Toleration,
};
use kube::ResourceExt;

use crate::contract::{TERMINATION_PREFIX, exit_codes, labels, paths, pod};
use crate::controller::names;
use start_failure::StartFailure;

/// A candidate pod of one SingletonJob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Candidate {
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
    /// The resourceVersion that all this was read from.
    pub version: String,
    /// `n` of `<job>-<n>`; 0 where the name has none.
    pub number: i64,
    /// The node of the pod. `None` until the scheduler has bound it.
    pub node: Option<String>,
    /// The hash of the template that the controller made it from.
    pub template_hash: Option<String>,
    /// The run that was current or next when the controller created the pod. `None` if the job had no
    /// schedule.
    pub made_for: Option<u32>,
    /// The service account of the pod, which needs the Role.
    pub service_account: String,
    /// The role label as it is.
    pub role: Option<String>,
    /// Whether it takes part.
    pub phase: Phase,
    /// Whether it is known to have held the Lease.
    pub has_held: bool,
    /// Whether the pod is ready. The workload of a holder must have become ready too, if its agent reports
    /// that.
    pub ready: bool,
    /// Whether its agent reports in the Lease when its workload has become ready.
    pub reports_readiness: bool,
    /// Whether the candidate, if it is a standby, could take over. Its pod is ready, or would be if standbys
    /// were to be ready.
    pub can_take_over: bool,
    /// Since when the pod is not ready, on its node's clock; `None` if it is, or if the kubelet does not say.
    pub unready_since: Option<Timestamp>,
    /// Why it does not start.
    pub start_failure: Option<StartFailure>,
    /// Since when the pod has been starting on its node. `None` if it has started, or has no node.
    pub starting_since: Option<Timestamp>,
    /// Whether other containers run on although the gated one has ended, and the controller has not stopped
    /// them yet.
    pub has_running_sidecars: bool,
    /// Whether the pod leaves an unreachable node after 30 s, as candidates do until they have ended.
    pub fleeting: bool,
    /// Names of the other ordinary containers of the pod, including injected ones.
    pub beside: Vec<String>,
    /// The agent's last error message, while the candidate cannot take over.
    pub agent_error: Option<AgentError>,
    /// When the pod reached its current state: Ready, else container start, else creation.
    pub since: Option<Timestamp>,
    /// The terminations of its gated container that the kubelet still reports: at most two.
    pub terminations: Vec<Termination>,
}

/// One pod, identified by its name, its uid and the version that the controller read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
}

/// How a gated container ended once, by its node's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination {
    /// Its exit code.
    pub exit_code: i32,
    /// `Error`, `OOMKilled`, ...
    pub reason: Option<String>,
    /// When the container had started. The kubelet reports whole seconds.
    pub from: Timestamp,
    /// When it ended, in whole seconds too.
    pub until: Timestamp,
}

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
    /// What the container or the kubelet said.
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

/// The termination message of an agent whose candidate cannot take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentError {
    /// Whether the agent cannot fence a workload in this container.
    pub failed_self_test: bool,
    /// One sentence.
    pub message: String,
}

/// An `activeDeadlineSeconds` that has passed in every pod whose workload has ended. It makes the kubelet end
/// the remaining containers and keep their logs.
pub const PAST_DEADLINE: i64 = 1;

/// By which the component that ends a pod for the sake of others says so.
const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// What the kubelet and the container runtime say of a container that they no longer know, as after a restart
/// of the node.
const LOST: [&str; 2] = ["ContainerStatusUnknown", "Unknown"];
/// How the kubelet begins what it says of a pod that its node does not take.
const REJECTED: &str = "Pod was rejected";
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
/// Of what the kubelet says, so that the Lease stays small.
const LONGEST_MESSAGE: usize = 200;

impl Candidate {
    /// What can be read of `pod`.
    pub fn read(pod: &Pod) -> Self {
        let gated = gated(pod).unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let container = container(&status, gated);
        let said = condition(&status, "Ready");
        let ready = said.filter(|(holds, _)| *holds);
        let is_ready = ready.is_some();
        let able = is_ready || is_able(&spec, &status, gated);
        let phase = phase(pod, &spec, &status, container);
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            version: pod.resource_version().unwrap_or_default(),
            number: number(&pod.name_any()),
            node: spec.node_name.clone(),
            template_hash: pod.labels().get(labels::TEMPLATE_HASH).cloned(),
            made_for: pod.labels().get(labels::MADE_FOR_RUN).and_then(|number| number.parse().ok()),
            service_account: spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
            role: pod.labels().get(labels::ROLE).cloned(),
            has_running_sidecars: matches!(phase, Phase::Terminated(_))
                && has_running_sidecars(&spec, &status),
            phase,
            beside: spec
                .containers
                .iter()
                .map(|container| container.name.clone())
                .filter(|name| name != gated)
                .collect(),
            fleeting: spec.tolerations.iter().flatten().any(is_ours),
            has_held: false,
            ready: is_ready,
            reports_readiness: pod
                .annotations()
                .get(labels::READINESS)
                .is_some_and(|who| who == labels::READINESS_REPORTED),
            can_take_over: able,
            unready_since: said.filter(|(holds, _)| !holds).and_then(|(_, since)| since),
            start_failure: (!able).then(|| start_failure::of(&spec, &status, gated)).flatten(),
            starting_since: starting_since(&spec, &status),
            agent_error: (!able).then(|| agent_error(container)).flatten(),
            since: match ready {
                Some((_, since)) => since,
                None if able => container.and_then(started),
                None => None,
            }
            .or(pod.creation_timestamp().map(|time| time.0)),
            terminations: container.map_or_else(Vec::new, terminations),
        }
    }

    /// The pod, for a request about it.
    pub fn pod_ref(&self) -> PodRef {
        PodRef { name: self.name.clone(), uid: self.uid.clone(), version: self.version.clone() }
    }

    /// Whether it takes part.
    pub fn is_alive(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Whether the candidate ended without an attempt and without being asked to, whatever its exit code.
    /// Only the pace of replacement keeps the next one from ending so at once.
    pub fn was_in_vain(&self) -> bool {
        let unasked = |end: &End| {
            !end.succeeded && !end.disrupted && !end.is_interruption() || end.fault_of_pod.is_some()
        };
        self.end().is_some_and(|end| end.is_fault() || !self.has_held && unasked(end))
    }

    /// How the gated container ended that ran at `moment` of its node's clock. `None` if it has not ended, or
    /// two may be meant.
    pub fn termination(&self, moment: Timestamp) -> Option<&Termination> {
        let contains = |termination: &&Termination| {
            termination.from <= moment && moment.as_second() <= termination.until.as_second()
        };
        let mut terminations = self.terminations.iter().filter(contains);
        let found = terminations.next();
        if terminations.next().is_none() { found } else { None }
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<&End> {
        match &self.phase {
            Phase::Terminated(end) => Some(end),
            Phase::Active | Phase::Terminating => None,
        }
    }
}

/// Which container of `pod` is gated, as it was when the pod was made: the SingletonJob's template may say
/// something else by now.
pub fn gated(pod: &Pod) -> Option<&str> {
    let has_credentials = |container: &&Container| {
        let mut mounts = container.volume_mounts.iter().flatten();
        mounts.any(|mount| mount.name == pod::CREDENTIALS_VOLUME && mount.mount_path == paths::CREDENTIALS)
    };
    pod.spec.as_ref()?.containers.iter().find(has_credentials).map(|container| container.name.as_str())
}

/// `n` of `<job>-<n>`.
pub fn number(pod: &str) -> i64 {
    pod.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

fn is_ours(toleration: &Toleration) -> bool {
    names::UNREACHABLE.into_iter().any(|taint| *toleration == names::toleration(taint, false))
}

fn container<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    status.container_statuses.iter().flatten().find(|container| container.name == name)
}

fn condition(status: &PodStatus, type_: &str) -> Option<(bool, Option<Timestamp>)> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == type_)?;
    Some((condition.status == "True", condition.last_transition_time.as_ref().map(|time| time.0)))
}

/// Where standbys are not to be ready, the gated container has a startup probe of ours, which succeeds when
/// the Lease has been read; a template's own never reaches a pod. All that runs beside it has to be ready, as
/// it has to be for a ready pod.
fn is_able(spec: &PodSpec, status: &PodStatus, gated: &str) -> bool {
    let asked = |candidate: &&Container| candidate.name == gated && candidate.startup_probe.is_some();
    if spec.containers.iter().find(asked).is_none() {
        return false;
    }
    let has_started = container(status, gated).is_some_and(|gated| gated.started == Some(true));
    let sidecars = spec.init_containers.iter().flatten().filter(|init| is_sidecar(init));
    let mut beside = spec.containers.iter().filter(|container| container.name != gated).chain(sidecars);
    let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    has_started && beside.all(|other| statuses().any(|status| status.name == other.name && status.ready))
}

/// A pod whose init container runs works: it begins to start when that one has ended.
fn starting_since(spec: &PodSpec, status: &PodStatus) -> Option<Timestamp> {
    let is_starting = spec.node_name.is_some() && status.phase.as_deref().unwrap_or("Pending") == "Pending";
    let (true, Some((true, scheduled))) = (is_starting, condition(status, "PodScheduled")) else {
        return None;
    };
    let sidecars =
        spec.init_containers.iter().flatten().filter(|init| is_sidecar(init)).map(|init| &init.name);
    let sidecars: Vec<_> = sidecars.collect();
    let mut ordinary =
        status.init_container_statuses.iter().flatten().filter(|init| !sidecars.contains(&&init.name));
    if ordinary.clone().any(|init| started(init).is_some()) {
        return None;
    }
    let ended =
        ordinary.by_ref().filter_map(|init| terminated(init)?.finished_at.as_ref()).map(|time| time.0).max();
    scheduled.max(ended)
}

fn is_sidecar(init: &Container) -> bool {
    init.restart_policy.as_deref() == Some("Always")
}

fn started(container: &ContainerStatus) -> Option<Timestamp> {
    container.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|time| time.0)
}

/// A one-shot's candidate has ended with its gated container, whatever the others in the pod do; a service's
/// is restarted in place.
fn phase(pod: &Pod, spec: &PodSpec, status: &PodStatus, gated: Option<&ContainerStatus>) -> Phase {
    if pod.metadata.deletion_timestamp.is_some() {
        return Phase::Terminating;
    }
    let phase = status.phase.as_deref().unwrap_or("Pending");
    let spent = spec.restart_policy.as_deref() == Some("Never") && gated.and_then(terminated).is_some();
    if !spent && !matches!(phase, "Succeeded" | "Failed") {
        return Phase::Active;
    }
    let ended = gated.and_then(terminated);
    Phase::Terminated(End {
        succeeded: ended.map_or(phase == "Succeeded", |ended| ended.exit_code == 0),
        exit_code: ended.map(|ended| ended.exit_code),
        reason: ended.and_then(|ended| ended.reason.clone()).or(status.reason.clone()),
        message: ended.and_then(|ended| ended.message.clone()).or(status.message.clone()),
        at: ended
            .and_then(|ended| ended.finished_at.as_ref())
            .map(|time| time.0)
            .or(pod.creation_timestamp().map(|time| time.0)),
        fault_of_pod: fault_of_pod(spec, status),
        disrupted: is_disrupted(status)
            || ended.and_then(|ended| ended.reason.as_deref()).is_some_and(|why| LOST.contains(&why)),
    })
}

/// The kubelet gives a reason only for a pod that it ended itself. It is not the pod's fault where the
/// cluster needed its place, where its node never took it, or took it back after a restart, and where the
/// controller set the deadline.
fn fault_of_pod(spec: &PodSpec, status: &PodStatus) -> Option<Fault> {
    let reason = status
        .reason
        .clone()
        .filter(|reason| !reason.is_empty() && status.phase.as_deref() == Some("Failed"))?;
    let disrupted = is_disrupted(status);
    let rejected = status.message.as_ref().is_some_and(|message| message.starts_with(REJECTED));
    let ours = spec.active_deadline_seconds == Some(PAST_DEADLINE);
    let message =
        status.message.as_ref().map(|message| message.trim().chars().take(LONGEST_MESSAGE).collect());
    (!disrupted && !rejected && !ours && !is_rejection(&reason)).then_some(Fault { reason, message })
}

fn is_disrupted(status: &PodStatus) -> bool {
    condition(status, DISRUPTION_TARGET).is_some_and(|(holds, _)| holds)
}

/// The reasons for which a node does not take a pod.
fn is_rejection(reason: &str) -> bool {
    reason.starts_with("OutOf") || REJECTIONS.contains(&reason)
}

/// Sidecars among the init containers are none of these: the kubelet ends them by itself.
fn has_running_sidecars(spec: &PodSpec, status: &PodStatus) -> bool {
    let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let runs = |name: &str| container(status, name).and_then(terminated).is_none();
    !is_over
        && spec.active_deadline_seconds != Some(PAST_DEADLINE)
        && spec.containers.iter().any(|container| runs(&container.name))
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn terminations(container: &ContainerStatus) -> Vec<Termination> {
    let states = [container.state.as_ref(), container.last_state.as_ref()].into_iter().flatten();
    let termination = |ended: &ContainerStateTerminated| {
        let (from, until) = (ended.started_at.as_ref()?.0, ended.finished_at.as_ref()?.0);
        Some(Termination { exit_code: ended.exit_code, reason: ended.reason.clone(), from, until })
    };
    states.filter_map(|state| state.terminated.as_ref()).filter_map(termination).collect()
}

fn agent_error(container: Option<&ContainerStatus>) -> Option<AgentError> {
    let states = [container?.state.as_ref(), container?.last_state.as_ref()];
    let said = |state: &ContainerState| {
        state.terminated.as_ref().and_then(|ended| Some((ended.exit_code, ended.message.clone()?)))
    };
    let (code, message) = states.into_iter().flatten().find_map(said)?;
    let message = message.strip_prefix(TERMINATION_PREFIX)?.to_owned();
    Some(AgentError { failed_self_test: code == exit_codes::SELF_TEST_FAILED, message })
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The container called `main`, as it is gated.
    fn main() -> Value {
        json!({"name": "main", "volumeMounts": [{"name": pod::CREDENTIALS_VOLUME, "mountPath": paths::CREDENTIALS}]})
    }

    fn candidate(restart_policy: &str, status: Value) -> Candidate {
        let pod = json!({
            "metadata": {"name": "web-12", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [main()], "restartPolicy": restart_policy, "nodeName": "node-a"},
            "status": status,
        });
        Candidate::read(&serde_json::from_value(pod).expect("a pod"))
    }

    fn ended(code: i32, message: &str) -> Value {
        json!({"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "message": message, "finishedAt": "2026-01-01T00:01:00Z"}},
        }]})
    }

    #[test]
    fn the_termination_of_the_container_that_ran_at_a_moment_is_found() {
        let at = |time: &str| format!("2026-01-01T00:{time}Z").parse().expect("a time");
        let ended = |from: &str, until: &str, reason: &str| {
            json!({"terminated": {"exitCode": 137, "reason": reason, "startedAt": format!("2026-01-01T00:{from}Z"),
                                  "finishedAt": format!("2026-01-01T00:{until}Z")}})
        };
        let container = json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 2,
            "state": ended("01:10", "01:20", "Error"), "lastState": ended("01:00", "01:10", "OOMKilled")});
        let candidate = candidate("Always", json!({"phase": "Running", "containerStatuses": [container]}));
        let found = |time: &str| {
            candidate.termination(at(time)).and_then(|termination| termination.reason.as_deref())
        };
        assert_eq!(
            (found("01:00"), found("01:09.9"), found("01:11"), found("01:20.9")),
            (Some("OOMKilled"), Some("OOMKilled"), Some("Error"), Some("Error"))
        );
        assert_eq!((found("00:59.9"), found("01:21")), (None, None), "none of those");
        assert_eq!(found("01:10.5"), None, "it may be either");
    }

    #[test]
    fn whatever_ends_unasked_before_it_held_the_lease_ended_in_vain() {
        let in_vain = |code: i32, has_held: bool| {
            Candidate { has_held, ..candidate("Never", ended(code, "")) }.was_in_vain()
        };
        // It could not be started, it got no memory, its agent failed, or something else.
        assert_eq!([128, 137, exit_codes::AGENT_FAILED, 1].map(|code| in_vain(code, false)), [true; 4]);
        assert_eq!([0, exit_codes::INTERRUPTED].map(|code| in_vain(code, false)), [false; 2]);
        assert!(!in_vain(1, true), "it made its attempt");
        let ended = |reason: &str, conditions: Value| {
            let state = json!({"terminated": {"exitCode": 255, "reason": reason}});
            let container = json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            candidate(
                "Never",
                json!({"phase": "Failed", "conditions": conditions, "containerStatuses": [container]}),
            )
            .was_in_vain()
        };
        assert!(ended("Error", json!([])));
        assert!(!ended("Unknown", json!([])), "its node was restarted");
        assert!(
            !ended("Error", json!([{"type": "DisruptionTarget", "status": "True"}])),
            "it made room for others"
        );
    }

    #[test]
    fn a_pod_starts_when_it_was_scheduled_or_its_last_init_container_ended() {
        let since = |state: Value| {
            let init = json!({"name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"});
            let status =
                json!({"phase": "Pending", "conditions": [scheduled], "initContainerStatuses": [init]});
            candidate("Never", status).starting_since.map(|since| since.to_string())
        };
        assert_eq!(since(json!({})).as_deref(), Some("2026-01-01T00:00:05Z"));
        assert_eq!(since(json!({"running": {"startedAt": "2026-01-01T00:00:07Z"}})), None, "it works");
        let ended = json!({"terminated": {"exitCode": 0, "finishedAt": "2026-01-01T00:09:00Z"}});
        assert_eq!(since(ended).as_deref(), Some("2026-01-01T00:09:00Z"));
    }

    #[test]
    fn a_pod_that_was_just_made_is_alive_and_not_ready() {
        let candidate = candidate("Never", json!({"phase": "Pending"}));
        assert_eq!((candidate.phase, candidate.ready, candidate.number), (Phase::Active, false, 12));
    }

    #[test]
    fn since_when_a_pod_is_not_ready_is_what_its_node_says() {
        let said = |holds: &str| {
            let ready =
                json!({"type": "Ready", "status": holds, "lastTransitionTime": "2026-01-01T00:00:07Z"});
            candidate("Always", json!({"phase": "Running", "conditions": [ready]}))
        };
        let since = Some("2026-01-01T00:00:07Z".parse().expect("valid"));
        assert_eq!(
            (said("False").unready_since, said("Unknown").unready_since, said("True").unready_since),
            (since, since, None)
        );
        assert_eq!(candidate("Always", json!({"phase": "Pending"})).unready_since, None);
    }

    #[test]
    fn a_one_shots_candidate_ends_with_its_gated_container_a_services_not() {
        assert!(
            candidate("Never", ended(3, ""))
                .end()
                .is_some_and(|end| end.exit_code == Some(3) && !end.is_fault())
        );
        assert!(candidate("Always", ended(3, "")).is_alive());
    }

    #[test]
    fn an_unready_standby_can_take_over_when_its_startup_probe_succeeded() {
        let read = |startup: Value, main: bool, side: bool, proxy: bool| {
            let status = |name: &str, ready: bool, started: bool| {
                json!({"name": name, "image": "", "imageID": "", "ready": ready, "started": started, "restartCount": 0,
                       "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}})
            };
            let mut gated = self::main();
            gated["startupProbe"] = startup;
            let pod = json!({
                "metadata": {"name": "web-12", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {
                    "containers": [gated, {"name": "side"}], "restartPolicy": "Always",
                    "initContainers": [{"name": "once"}, {"name": "proxy", "restartPolicy": "Always"}],
                },
                "status": {
                    "phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                    "containerStatuses": [status("main", false, main), status("side", side, true)],
                    "initContainerStatuses": [status("once", false, false), status("proxy", proxy, true)],
                },
            });
            Candidate::read(&serde_json::from_value(pod).expect("a pod"))
        };
        let ours = || json!({"exec": {"command": ["x"]}});
        let able = read(ours(), true, true, true);
        assert!(able.can_take_over && !able.ready && able.since == "2026-01-01T00:00:05Z".parse().ok());
        assert!(
            !read(json!(null), true, true, true).can_take_over,
            "where standbys are to be ready, only ready ones are able"
        );
        assert!(!read(ours(), false, true, true).can_take_over, "it has not read its Lease");
        assert!(
            !read(ours(), true, false, true).can_take_over && !read(ours(), true, true, false).can_take_over,
            "something beside it is not ready"
        );
    }

    #[test]
    fn containers_that_run_on_after_the_workload_are_seen_until_their_end() {
        let has_running_sidecars = |deadline: Value, main: Value, side: Value| {
            let status = |name, state| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            let pod = json!({
                "metadata": {"name": "web-12", "uid": "u"},
                "spec": {"containers": [self::main(), {"name": "side"}], "restartPolicy": "Never", "activeDeadlineSeconds": deadline},
                "status": {"phase": "Running", "containerStatuses": [status("main", main), status("side", side)]},
            });
            Candidate::read(&serde_json::from_value(pod).expect("a pod")).has_running_sidecars
        };
        let (running, ended) = (json!({"running": {}}), json!({"terminated": {"exitCode": 0}}));
        assert!(
            has_running_sidecars(json!(null), ended.clone(), running.clone())
                && has_running_sidecars(json!(600), ended.clone(), running.clone())
        );
        assert!(!has_running_sidecars(json!(PAST_DEADLINE), ended.clone(), running.clone()), "told already");
        assert!(!has_running_sidecars(json!(null), running.clone(), ended.clone()), "the workload runs");
        assert!(!has_running_sidecars(json!(null), ended.clone(), ended), "nothing runs");
    }

    #[test]
    fn which_container_is_gated_is_said_by_the_pod_and_by_nothing_else() {
        let read = |containers: Vec<Value>| {
            let status = |name, state| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            let statuses = [
                status("side", json!({"terminated": {"exitCode": 3}})),
                status("main", json!({"running": {}})),
            ];
            let pod = json!({
                "metadata": {"name": "web-12", "uid": "u"}, "spec": {"containers": containers, "restartPolicy": "Never"},
                "status": {"phase": "Running", "containerStatuses": statuses},
            });
            Candidate::read(&serde_json::from_value(pod).expect("a pod"))
        };
        let curious = json!({"name": "side", "volumeMounts": [{"name": pod::CREDENTIALS_VOLUME, "mountPath": "/elsewhere"}]});
        for containers in [
            vec![json!({"name": "side"}), main()],
            vec![main(), json!({"name": "side"})],
            vec![curious, main()],
        ] {
            let candidate = read(containers);
            assert!(candidate.is_alive() && !candidate.has_running_sidecars, "its attempt goes on");
        }
    }

    #[test]
    fn an_agent_that_cannot_read_its_lease_is_a_fault_and_no_attempt() {
        let candidate = candidate(
            "Never",
            ended(exit_codes::LEASE_UNREADABLE, "singletonjob-agent: reading lease a/b at c: refused"),
        );
        assert!(candidate.end().is_some_and(End::is_fault));
        let agent_error =
            |failed_self_test, message: &str| Some(AgentError { failed_self_test, message: message.into() });
        assert_eq!(candidate.agent_error, agent_error(false, "reading lease a/b at c: refused"));
        let unable = self::candidate(
            "Never",
            ended(exit_codes::SELF_TEST_FAILED, "singletonjob-agent: the agent has pid 7, not 1"),
        );
        assert_eq!(unable.agent_error, agent_error(true, "the agent has pid 7, not 1"));
        assert!(
            !self::candidate("Never", ended(exit_codes::LEASE_UNREADABLE, "the workload's own 122"))
                .end()
                .is_some_and(End::is_fault)
        );
    }

    #[test]
    fn a_pod_is_at_fault_if_the_kubelet_ended_it_and_nothing_else_asked() {
        let fault = |reason: &str, message: &str, deadline: Value, disrupted: &str, deleted: Value| {
            let disrupted = json!({"type": "DisruptionTarget", "status": disrupted});
            let pod = json!({
                "metadata": {"name": "web-12", "uid": "u", "deletionTimestamp": deleted},
                "spec": {"containers": [], "restartPolicy": "Always", "activeDeadlineSeconds": deadline},
                "status": {"phase": "Failed", "reason": reason, "message": message, "conditions": [disrupted]},
            });
            let candidate = Candidate::read(&serde_json::from_value(pod).expect("a pod"));
            candidate.end().and_then(|end| end.fault_of_pod.clone()).map(|fault| fault.reason)
        };
        let (none, long) = (|| json!(null), "Pod was active on the node longer than the specified deadline");
        let full = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ";
        assert_eq!(
            fault("DeadlineExceeded", long, json!(20), "False", none()).as_deref(),
            Some("DeadlineExceeded")
        );
        assert_eq!(fault("Evicted", full, none(), "False", none()).as_deref(), Some("Evicted"));
        for (what, fault) in [
            (
                "the controller's deadline",
                fault("DeadlineExceeded", long, json!(PAST_DEADLINE), "False", none()),
            ),
            (
                "for others' sake",
                fault("Evicted", "The node was low on resource: memory.", none(), "True", none()),
            ),
            ("deleted", fault("DeadlineExceeded", long, json!(20), "False", json!("2026-01-01T00:00:00Z"))),
            ("its workload's own end", fault("", "", none(), "False", none())),
            (
                "not taken",
                fault(
                    "OutOfcpu",
                    "Pod was rejected: Node didn't have enough resource: cpu",
                    none(),
                    "False",
                    none(),
                ),
            ),
            (
                "not taken, as earlier kubelets say it",
                fault("UnexpectedAdmissionError", "Allocate failed", none(), "False", none()),
            ),
            (
                "not taken back",
                fault("NodeAffinity", "Predicate NodeAffinity failed", none(), "False", none()),
            ),
        ] {
            assert_eq!(fault, None, "{what}");
        }
    }

    #[test]
    fn a_missing_image_and_a_full_cluster_are_quoted() {
        let waiting = json!({"phase": "Pending", "containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
        }]});
        let start_failure = candidate("Never", waiting).start_failure.expect("one");
        assert_eq!(
            (&*start_failure.reason, &*start_failure.message),
            ("ErrImagePull", "container main: no such image")
        );
        let unschedulable = json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available"},
        ]});
        assert_eq!(candidate("Never", unschedulable).start_failure.expect("one").reason, "Unschedulable");
    }
}
