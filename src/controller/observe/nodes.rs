//! The cache of all nodes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use super::candidate::Candidate;
use super::index::{Entry, Index, Key};
use crate::api::SingletonJob;

/// The cache of all nodes, each of which is about itself. The controller reads it only for a SingletonJob that
/// prefers nodes, or whose candidates are all on one node.
pub type Nodes = Index<KnownNode>;

/// What the controller keeps of a node. A heartbeat changes nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Since when it is ready, schedulable and without a taint. `None` if it is not. Only the scheduler can
    /// tell whether a pod tolerates a taint.
    pub open_since: Option<Timestamp>,
}

impl KnownNode {
    /// Reads `node`.
    pub(super) fn of(node: &Node) -> Self {
        let open_since = if is_schedulable(node) { ready_since(node) } else { None };
        Self { name: node.name_any(), labels: node.labels().clone(), open_since }
    }
}

impl Entry for KnownNode {
    type Object = Node;

    fn read(object: &Node) -> Option<(Key, Self)> {
        Some((key(&object.name_any()), Self::of(object)))
    }
}

/// What the node with this name is about.
fn key(name: &str) -> Key {
    (String::new(), name.to_owned())
}

/// Whether `node` takes new pods and has no taint.
fn is_schedulable(node: &Node) -> bool {
    let Some(spec) = &node.spec else { return true };
    spec.unschedulable != Some(true) && spec.taints.as_ref().is_none_or(Vec::is_empty)
}

/// Since when `node` is ready. `None` if it is not.
fn ready_since(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready =
        conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Labels of the nodes that run `candidates`, by node name. An unknown node is missing. All are missing if
/// `job` prefers no nodes.
pub(super) fn labels(
    job: &SingletonJob,
    candidates: &[Candidate],
    known: &Nodes,
) -> BTreeMap<String, BTreeMap<String, String>> {
    if job.spec.takeover.preferred_nodes.is_empty() {
        return BTreeMap::new();
    }
    let names = candidates.iter().filter_map(|candidate| candidate.node.as_ref());
    let labels = |name: &String| Some((name.clone(), known.get(&key(name), name)?.labels.clone()));
    names.filter_map(labels).collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_heartbeat_of_a_node_is_no_news_and_a_taint_is() {
        let node = |second: u8, taints: &[&str]| -> Node {
            let taints: Vec<_> =
                taints.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
            let condition = json!({
                "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
                "lastHeartbeatTime": format!("2026-01-01T00:00:{second:02}Z"),
            });
            let pressure = json!({"type": "DiskPressure", "status": "False"});
            serde_json::from_value(json!({
                "metadata": {"name": "a", "resourceVersion": second.to_string(), "annotations": {"beat": second.to_string()}},
                "spec": {"taints": taints}, "status": {"conditions": [condition, pressure]},
            }))
            .expect("a node")
        };
        let nodes = Nodes::default();
        let told = |node| nodes.apply(&Event::Apply(node)).len();
        assert_eq!([told(node(1, &[])), told(node(2, &[])), told(node(3, &["gpu"]))], [1, 0, 1]);
    }
}
