//! Finds out from the status of a pod why it does not start, in the words of the kubelet and the scheduler.

use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec, PodStatus};

use crate::controller::quote::without_ids;

/// Reasons of the kubelet for a container that it is about to start.
const ON_THE_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// The kubelet's reason for an image that it cannot pull. It alternates with [`BACKED_OFF`], and means the
/// same to the user.
const PULL_FAILS: &str = "ErrImagePull";
const BACKED_OFF: &str = "ImagePullBackOff";

/// The kubelet's reason while it waits before it restarts a container that has failed.
const CRASHES: &str = "CrashLoopBackOff";

/// Why a candidate does not start, in the words of the kubelet, the scheduler or the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// `ErrImagePull`, `Unschedulable`, `FailedCreate`, ...
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Why a pod that cannot take over does not start. The end of its `gated` container does not count, because
/// the agent explains that.
pub fn of(spec: &PodSpec, status: &PodStatus, gated: &str) -> Option<StartFailure> {
    let containers =
        || status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let crashes = || {
        containers()
            .filter(|container| container.name != gated)
            .find_map(|container| crashing(spec, container))
    };
    crashes().or_else(|| containers().find_map(waiting)).or_else(|| unschedulable(status))
}

/// Why `container` fails. The message is the same while the kubelet waits to restart it, while it runs, and
/// when it has just ended. `None` if it is ready or has not failed.
fn crashing(spec: &PodSpec, container: &ContainerStatus) -> Option<StartFailure> {
    if container.ready {
        return None;
    }
    let states = [container.state.as_ref(), container.last_state.as_ref()].into_iter().flatten();
    let ended = states.filter_map(|state| state.terminated.as_ref()).find(|ended| ended.exit_code != 0)?;
    let said = ended
        .message
        .as_deref()
        .and_then(|message| message.lines().next())
        .map_or(String::new(), |line| format!(": {line}"));
    let message = format!("container {}: exited with code {}{said}", container.name, ended.exit_code);
    let reason = if is_restarted(spec, &container.name) {
        CRASHES.to_owned()
    } else {
        ended.reason.clone().unwrap_or_default()
    };
    Some(StartFailure { reason, message })
}

/// Whether the kubelet restarts `container`: by the pod's restart policy, or a sidecar's own.
fn is_restarted(spec: &PodSpec, container: &str) -> bool {
    let init = spec.init_containers.iter().flatten().find(|init| init.name == container);
    let own = init.and_then(|init| init.restart_policy.as_deref());
    own.or(spec.restart_policy.as_deref()) != Some("Never")
}

/// Why `container` waits. `None` if it does not, or is about to start.
fn waiting(container: &ContainerStatus) -> Option<StartFailure> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| !ON_THE_WAY.contains(reason))?;
    let said = waiting.message.clone().unwrap_or_else(|| format!("container {} is waiting", container.name));
    let (reason, said) =
        if reason == BACKED_OFF { (PULL_FAILS, why_backed_off(&said)) } else { (reason, said.as_str()) };
    Some(StartFailure {
        reason: reason.to_owned(),
        message: format!("container {}: {}", container.name, without_ids(said)),
    })
}

/// Why the scheduler finds no node for the pod. `None` if it has found one, or not tried.
fn unschedulable(status: &PodStatus) -> Option<StartFailure> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(StartFailure {
        reason: condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
        message: condition.message.clone().unwrap_or_else(|| "no node takes the pod".to_owned()),
    })
}

/// The error of the last pull that the kubelet quotes in `said`. All of `said` if it quotes none.
fn why_backed_off(said: &str) -> &str {
    let quoted = format!("{PULL_FAILS}: ");
    said.split_once(quoted.as_str()).map_or(said, |(_, why)| why)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn waiting_for(reason: &str, message: &str) -> StartFailure {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        let container = json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let status = serde_json::from_value(json!({"containerStatuses": [container]})).expect("a status");
        of(&PodSpec::default(), &status, "main").expect("a start_failure")
    }

    /// An init container in one state after another.
    fn initialising(state: Value, last: Value) -> Option<StartFailure> {
        initialising_in(json!({"containers": []}), state, last)
    }

    fn initialising_in(spec: Value, state: Value, last: Value) -> Option<StartFailure> {
        let container = json!({"name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last});
        let status = serde_json::from_value(json!({"initContainerStatuses": [container]})).expect("a status");
        of(&serde_json::from_value(spec).expect("a spec"), &status, "main")
    }

    #[test]
    fn only_a_container_that_is_started_again_is_said_to_be_in_a_loop() {
        let failed = || json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        let reason =
            |spec| initialising_in(spec, failed(), json!({})).map(|start_failure| start_failure.reason);
        let sidecar = json!([{"name": "migrate", "restartPolicy": "Always"}]);
        assert_eq!(
            reason(json!({"containers": [], "restartPolicy": "Always"})).as_deref(),
            Some("CrashLoopBackOff")
        );
        assert_eq!(reason(json!({"containers": [], "restartPolicy": "Never"})).as_deref(), Some("Error"));
        assert_eq!(
            reason(json!({"containers": [], "restartPolicy": "Never", "initContainers": sidecar})).as_deref(),
            Some("CrashLoopBackOff")
        );
    }

    #[test]
    fn a_crashing_container_is_told_with_its_exit_code_until_it_works() {
        let failed =
            json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "no database\nat line 7"}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=migrate"}});
        let runs = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let said = Some(StartFailure {
            reason: "CrashLoopBackOff".to_owned(),
            message: "container migrate: exited with code 3: no database".to_owned(),
        });
        assert_eq!(initialising(failed.clone(), json!({})), said);
        assert_eq!(initialising(waits, failed.clone()), said);
        assert_eq!(initialising(runs.clone(), failed), said);
        assert_eq!(initialising(runs, json!({})), None);
        assert_eq!(initialising(json!({"terminated": {"exitCode": 0}}), json!({})), None);
    }

    #[test]
    fn a_pull_that_fails_and_the_wait_for_the_next_are_one_news() {
        let fails = waiting_for("ErrImagePull", "failed to resolve image: no such host");
        let waits = waiting_for(
            "ImagePullBackOff",
            "Back-off pulling image \"nope\": ErrImagePull: failed to resolve image: no such host",
        );
        assert_eq!(fails, waits);
        assert_eq!(fails.message, "container main: failed to resolve image: no such host");
    }
}
