//! SingletonJobs that a change of a node concerns.

use std::mem;

use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use super::Guarded;
use crate::api::SingletonJob;
use crate::controller::observe::candidate::Candidate;
use crate::controller::observe::index::Change;
use crate::controller::observe::{Caches, KnownNode, room};
use crate::controller::plan::preference;

/// The SingletonJobs that may decide otherwise because of what `events` say of nodes. A list wakes them once,
/// at its end.
pub(super) fn concerned(
    events: impl Stream<Item = Event<Node>> + Send + 'static,
    caches: Caches,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let mut changes = Vec::new();
    events.flat_map(move |event| {
        changes.extend(caches.nodes.changes(&event));
        let goes_on = matches!(event, Event::Init | Event::InitApply(_));
        stream::iter(if goes_on { Vec::new() } else { concerned_by(&mem::take(&mut changes), &caches) })
    })
}

fn concerned_by(changes: &[Change<KnownNode>], caches: &Caches) -> Vec<ObjectRef<Guarded>> {
    if changes.is_empty() {
        return Vec::new();
    }
    let jobs = caches
        .jobs
        .state_filter(|job| job.0.as_ref().is_ok_and(|job| concern(changes, job, &caches.candidates(job))));
    jobs.iter().map(|job| ObjectRef::from_obj(job.as_ref())).collect()
}

/// Whether `job`, which has these `candidates`, may decide otherwise because of `changes`.
fn concern(changes: &[Change<KnownNode>], job: &SingletonJob, candidates: &[Candidate]) -> bool {
    let shared = shared_nodes(candidates);
    if job.spec.takeover.preferred_nodes.is_empty() && shared.is_empty() {
        return false;
    }
    changes.iter().any(|change| {
        let Change { about: (_, node), before, now } = change;
        let (before, now) = (before.as_deref(), now.as_deref());
        let is_there = || candidates.iter().any(|candidate| candidate.node.as_ref() == Some(node));
        let is_elsewhere = || shared.iter().any(|shared| shared != node);
        (score(job, before) != score(job, now) && is_there())
            || (room_on(job, before) != room_on(job, now) && is_elsewhere())
    })
}

/// How much `job` prefers `node`. `None` if it prefers no nodes, or if the node is not known.
fn score(job: &SingletonJob, node: Option<&KnownNode>) -> Option<i32> {
    let terms = &job.spec.takeover.preferred_nodes;
    if terms.is_empty() {
        return None;
    }
    node.map(|node| preference::score(terms, &node.name, &node.labels))
}

/// Since when `node` could take a candidate of `job`.
fn room_on(job: &SingletonJob, node: Option<&KnownNode>) -> Option<Timestamp> {
    room::on(job, node?)
}

/// Nodes that several `candidates` share. Only the Lease tells which of them take part, so that they need not
/// be crowded.
fn shared_nodes(candidates: &[Candidate]) -> Vec<&str> {
    let alive = candidates.iter().filter(|candidate| candidate.is_alive());
    let mut nodes: Vec<_> = alive.filter_map(|candidate| candidate.node.as_deref()).collect();
    nodes.sort_unstable();
    nodes.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::runtime::reflector;
    use serde_json::{Value, json};

    use super::*;
    use crate::contract::labels;

    fn node(name: &str, zone: &str, spec: Value, beat: u8) -> Node {
        let condition = json!({
            "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
            "lastHeartbeatTime": format!("2026-01-01T00:00:{beat:02}Z"),
        });
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"zone": zone, "rack": beat.to_string()}}, "spec": spec,
            "status": {"conditions": [condition]},
        }))
        .expect("a node")
    }

    fn job(name: &str, spec: &Value) -> Guarded {
        let job = json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "spec": spec,
            "metadata": {"namespace": "shop", "name": name, "uid": name},
        });
        serde_json::from_value(job).expect("a SingletonJob")
    }

    fn candidate(job: &str, number: u8, node: &str) -> Pod {
        let owner = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "name": job, "uid": job, "controller": true});
        let metadata = json!({
            "namespace": "shop", "name": format!("{job}-{number}"), "labels": {labels::JOB: job}, "ownerReferences": [owner],
        });
        let pod = json!({
            "metadata": metadata, "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Running"},
        });
        serde_json::from_value(pod).expect("a pod")
    }

    /// One job that prefers zone b, one that is crowded on node a, one that is crowded there and selects zone
    /// b, one that is crowded on node b, and one that is on both nodes. Their candidates have started.
    fn caches() -> Caches {
        let (jobs, mut writer) = reflector::store();
        let caches = Caches::of(jobs);
        let pod = |more: Value| json!({"template": {"spec": more}});
        let zone_b = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]});
        let preferred = json!([{"weight": 1, "preference": zone_b}]);
        let prefers =
            json!({"template": {"spec": {"containers": []}}, "takeover": {"preferredNodes": preferred}});
        let plain = pod(json!({"containers": []}));
        let selects = pod(json!({"containers": [], "nodeSelector": {"zone": "b"}}));
        let all = [
            ("prefers", &prefers, ["a", "c"]),
            ("crowded", &plain, ["a", "a"]),
            ("selects", &selects, ["a", "a"]),
            ("on-b", &plain, ["b", "b"]),
            ("spread", &plain, ["a", "b"]),
        ];
        writer.apply_watcher_event(&Event::Init);
        for (name, spec, nodes) in all {
            writer.apply_watcher_event(&Event::InitApply(job(name, spec)));
            for (number, node) in (1..).zip(nodes) {
                caches.pods.apply(&Event::Apply(candidate(name, number, node)));
            }
        }
        writer.apply_watcher_event(&Event::InitDone);
        caches
    }

    async fn woken(caches: &Caches, event: Event<Node>) -> Vec<String> {
        woken_by(caches, vec![event]).await
    }

    async fn woken_by(caches: &Caches, events: Vec<Event<Node>>) -> Vec<String> {
        let woken = concerned(stream::iter(events), caches.clone());
        let mut names: Vec<_> = woken.map(|job| job.name).collect().await;
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_node_wakes_the_jobs_that_it_concerns_and_no_others() {
        let caches = caches();
        let seen = |name: &str, zone: &str, spec: Value, beat: u8| Event::Apply(node(name, zone, spec, beat));
        let cordoned = || json!({"unschedulable": true});
        let table = [
            ("a new node", seen("b", "x", json!({}), 1), &["crowded"][..]),
            ("its heartbeat, and a label that no job reads", seen("b", "x", json!({}), 2), &[]),
            ("a label that selects", seen("b", "b", json!({}), 2), &["selects"]),
            ("cordoned", seen("b", "b", cordoned(), 2), &["crowded", "selects"]),
            ("a node with a candidate", seen("c", "x", cordoned(), 1), &["prefers"]),
            ("a label that is preferred there", seen("c", "b", cordoned(), 1), &["prefers"]),
            ("another label there", seen("c", "b", cordoned(), 2), &[]),
            ("gone", Event::Delete(node("c", "b", cordoned(), 2)), &["prefers"]),
            ("a node that all but one is on", seen("a", "x", cordoned(), 1), &["prefers"]),
            ("which takes pods", seen("a", "x", json!({}), 1), &["on-b"]),
        ];
        for (what, event, expected) in table {
            assert_eq!(woken(&caches, event).await, expected, "{what}");
        }
    }

    #[tokio::test]
    async fn a_node_that_went_while_its_watch_was_down_is_told_of() {
        let caches = caches();
        woken(&caches, Event::Apply(node("b", "x", json!({}), 1))).await;
        assert_eq!(woken_by(&caches, vec![Event::Init, Event::InitDone]).await, ["crowded"]);
    }

    #[tokio::test]
    async fn a_list_of_nodes_wakes_a_job_once() {
        let caches = caches();
        let listed = |name| Event::InitApply(node(name, "b", json!({}), 1));
        let list = || vec![Event::Init, listed("b"), listed("d"), listed("e"), Event::InitDone];
        assert_eq!(woken_by(&caches, list()).await, ["crowded", "on-b", "selects"]);
        assert_eq!(woken_by(&caches, list()).await, Vec::<String>::new());
    }
}
