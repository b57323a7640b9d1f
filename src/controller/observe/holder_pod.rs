//! Finds out what became of a silent holder's pod. The controller asks the API server itself, and only about
//! a silent holder.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};
use kube::{Api, Client, ResourceExt};

use super::candidate::gated;
use super::live;
use crate::api::SingletonJob;
use crate::controller::api_call::{Failure, with_deadline};
use crate::lease::identity::Identity;
use crate::lease::record::Record;

/// The taint by which an administrator says that a node is switched off, so that nothing runs there any more.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What has become of a holder's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderPodState {
    /// It no longer exists.
    Gone,
    /// The kubelet says that the holder's container has ended.
    Ended,
    /// An administrator has tainted the node of the pod as out of service. The value names the node.
    OutOfService(String),
    /// The holder may still run.
    Unproven {
        /// The pod in which it may run.
        pod: String,
        /// The node of that pod.
        node: Option<String>,
    },
}

impl HolderPodState {
    /// Whether the holder no longer runs, as far as the cluster can tell.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Gone | Self::Ended | Self::OutOfService(_) => true,
            Self::Unproven { .. } => false,
        }
    }

    /// The pod in which the holder may run.
    pub fn pod(&self) -> Option<&str> {
        match self {
            Self::Unproven { pod, .. } => Some(pod),
            Self::Gone | Self::Ended | Self::OutOfService(_) => None,
        }
    }

    /// The node on which the holder may run.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Unproven { node, .. } => node.as_deref(),
            Self::Gone | Self::Ended | Self::OutOfService(_) => None,
        }
    }
}

/// Finds out what became of the pod of `holder`, whose last renewal `record` has. `lease_created` is when the
/// Lease was created.
///
/// # Errors
/// If a request fails.
pub async fn state_of(
    client: &Client,
    job: &SingletonJob,
    holder: &Identity,
    record: &Record,
    lease_created: Option<Timestamp>,
) -> Result<HolderPodState, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let (true, Some(uid)) = (holder.is_of(&name), holder.pod_uid()) else {
        return state_of_older_pods(client, &namespace, &name, lease_created).await;
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod = with_deadline("reading Pod", holder.pod(), pods.get_opt(holder.pod())).await?;
    let Some(pod) = pod.filter(|pod| pod.uid().as_deref() == Some(uid)) else {
        return Ok(HolderPodState::Gone);
    };
    if has_ended(&pod, agent_started(record)) {
        return Ok(HolderPodState::Ended);
    }
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    match node {
        Some(node) if is_out_of_service(client, &node).await? => Ok(HolderPodState::OutOfService(node)),
        node => Ok(HolderPodState::Unproven { pod: pod.name_any(), node }),
    }
}

/// Finds out whether a pod of `job` may run that is older than the Lease. Each of them may have held the
/// Lease before it was created again, if the last holder is unknown.
async fn state_of_older_pods(
    client: &Client,
    namespace: &str,
    job: &str,
    lease_created: Option<Timestamp>,
) -> Result<HolderPodState, Failure> {
    let pods = live::pods(client, namespace, job).await?;
    let older = |pod: &&Pod| {
        lease_created
            .is_none_or(|lease_created| pod.creation_timestamp().is_none_or(|time| time.0 < lease_created))
    };
    let suspect = pods.iter().filter(older).find(|pod| !has_ended(pod, None));
    Ok(suspect.map_or(HolderPodState::Gone, |pod| HolderPodState::Unproven {
        pod: pod.name_any(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    }))
}

/// Whether `node` has the taint. `false` if the node is gone, because its pods go with it.
async fn is_out_of_service(client: &Client, node: &str) -> Result<bool, Failure> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = match with_deadline("reading Node", node, nodes.get_opt(node)).await {
        Err(failure) if failure.is_denied() => {
            tracing::warn!(%failure, "the controller may not read Nodes and cannot see a taint out-of-service; apply the operator's manifests again");
            None
        }
        result => result?,
    };
    let taints = node.and_then(|node| node.spec).and_then(|spec| spec.taints).unwrap_or_default();
    Ok(taints.iter().any(|taint| taint.key == OUT_OF_SERVICE))
}

/// When the holder's agent started, by its node's time of day. An agent of an earlier version writes only
/// when it renewed last.
fn agent_started(record: &Record) -> Option<Timestamp> {
    let said = record.annotations.health.as_ref().and_then(|health| health.agent_started);
    said.or(record.renew_time)
}

/// Whether the kubelet has reported the end of the container whose agent started at `began`. A container that
/// runs in its place was started later, by the same node's time of day.
fn has_ended(pod: &Pod, began: Option<Timestamp>) -> bool {
    let status = pod.status.clone().unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return true;
    }
    let Some(gated) = gated(pod) else { return false };
    let reported = status.container_statuses.iter().flatten().find(|container| container.name == gated);
    reported.is_some_and(|container| container_ended(container, began))
}

fn container_ended(container: &ContainerStatus, began: Option<Timestamp>) -> bool {
    let Some(state) = &container.state else { return false };
    let before = container.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    match &state.running {
        Some(running) => {
            before && running.started_at.as_ref().zip(began).is_some_and(|(next, began)| next.0 > began)
        }
        None => state.terminated.is_some() || before,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::contract::{paths, pod};

    fn candidate(phase: &str, state: Value, last_state: Value) -> Pod {
        let mounts = json!([{"name": pod::CREDENTIALS_VOLUME, "mountPath": paths::CREDENTIALS}]);
        let side = json!({"name": "side", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                          "state": {"terminated": {"exitCode": 0}}});
        let main = json!({"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state,
                          "lastState": last_state});
        serde_json::from_value(json!({
            "metadata": {"name": "web-2", "uid": "u2"},
            "spec": {"nodeName": "node-a", "containers": [{"name": "side"}, {"name": "main", "volumeMounts": mounts}]},
            "status": {"phase": phase, "containerStatuses": [side, main]},
        }))
        .expect("a pod")
    }

    #[test]
    fn a_holder_has_ended_when_its_own_container_is_reported_so() {
        let began = "2026-01-01T14:00:05.5Z".parse().ok();
        let ended = || json!({"terminated": {"exitCode": 137}});
        let running = |since: &str| json!({"running": {"startedAt": since}});
        let table = [
            ("Running", running("2026-01-01T14:00:00Z"), json!({}), false),
            ("Running", running("2026-01-01T14:00:00Z"), ended(), false),
            ("Running", running("2026-01-01T14:00:05Z"), ended(), false),
            ("Running", running("2026-01-01T14:00:06Z"), ended(), true),
            ("Running", running("2026-01-01T14:00:06Z"), json!({}), false),
            ("Running", ended(), json!({}), true),
            ("Running", json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended(), true),
            ("Pending", json!({"waiting": {"reason": "ContainerCreating"}}), json!({}), false),
            ("Running", json!({}), json!({}), false),
            ("Failed", json!({}), json!({}), true),
            ("Succeeded", json!({}), json!({}), true),
        ];
        for (phase, state, last, expected) in table {
            assert_eq!(
                has_ended(&candidate(phase, state.clone(), last.clone()), began),
                expected,
                "{phase} {state} {last}"
            );
        }
        let unknown = candidate("Running", running("2026-01-01T14:00:06Z"), ended());
        assert!(!has_ended(&unknown, None), "it is not known when it began");
    }

    #[test]
    fn the_kubelets_times_are_compared_with_the_start_of_the_agent() {
        let lease = |health: Value| -> Record {
            let annotations = json!({"singletonjob.dev/health": health.to_string()});
            let object = json!({
                "metadata": {"name": "web", "uid": "l", "resourceVersion": "7", "annotations": annotations},
                "spec": {"holderIdentity": "web-2_u2_7", "renewTime": "2099-01-01T00:00:00.000000Z"},
            });
            Record::read(&serde_json::from_value(object).expect("a Lease")).expect("a record")
        };
        let next = json!({"running": {"startedAt": "2026-01-01T14:00:06Z"}});
        let restarted = candidate("Running", next, json!({"terminated": {"exitCode": 137}}));
        assert!(has_ended(
            &restarted,
            agent_started(&lease(json!({"agentStarted": "2026-01-01T14:00:05.5Z"})))
        ));
        assert!(
            !has_ended(&restarted, agent_started(&lease(json!({"agentStarted": "2026-01-01T14:00:06.2Z"})))),
            "it is this very container"
        );
        assert!(
            !has_ended(&restarted, agent_started(&lease(json!({})))),
            "an earlier version says when it renewed, and nothing else"
        );
    }
}
