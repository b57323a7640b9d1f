//! Finds out since when another node could take a candidate, if all candidates share one node. Pure: the
//! nodes and the access modes of volumes are passed in.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;

use super::candidate::Candidate;
use super::nodes::KnownNode;
use super::volume_claims::VolumeClaims;
use crate::api::SingletonJob;

/// The label with which a node differs from all others.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Access modes of a volume that pods of several nodes can share.
const SHARED: [&str; 2] = ["ReadWriteMany", "ReadOnlyMany"];

/// The node that all active candidates share. `None` if they are on several nodes, or there is only one.
pub fn crowded<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Option<&'a str> {
    let nodes: Vec<_> = candidates
        .filter(|candidate| candidate.is_alive())
        .map(|candidate| candidate.node.as_deref())
        .collect();
    let first = nodes.first().copied().flatten()?;
    (nodes.len() > 1 && nodes.iter().all(|node| *node == Some(first))).then_some(first)
}

/// Since when a node other than `crowded` could take a candidate of `job`. If there are several, the one that
/// has been ready longest counts. `None` if there is none.
pub fn since<'a>(
    job: &SingletonJob,
    crowded: &str,
    nodes: impl Iterator<Item = &'a KnownNode>,
) -> Option<Timestamp> {
    nodes.filter(|node| node.name != crowded).filter_map(|node| on(job, node)).min()
}

/// Since when `node` could take a candidate of `job`. `None` if it cannot.
pub fn on(job: &SingletonJob, node: &KnownNode) -> Option<Timestamp> {
    let pod = job.spec.template.spec.as_ref()?;
    if is_selected(pod, node) { node.open_since } else { None }
}

/// Whether the template or its volumes already decide the node of its pods. A claim with unknown access modes
/// counts as bound to one node.
pub fn is_pinned(job: &SingletonJob, known: &VolumeClaims) -> bool {
    let Some(pod) = &job.spec.template.spec else { return true };
    let of_one_node = |claim: &str| {
        known.get(claim).is_none_or(|modes| !modes.iter().any(|mode| SHARED.contains(&mode.as_str())))
    };
    has_own_rules(pod)
        || names_node(pod)
        || requires_hostname(pod)
        || job.spec.volume_claims().any(|(_, claim)| of_one_node(&claim.claim_name))
}

/// Whether the template spreads or gathers its pods itself.
fn has_own_rules(pod: &PodSpec) -> bool {
    let affinity = pod.affinity.as_ref();
    pod.topology_spread_constraints.as_ref().is_some_and(|rules| !rules.is_empty())
        || affinity
            .is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some())
}

/// Whether the template names the node of its pods, or selects it by its hostname.
fn names_node(pod: &PodSpec) -> bool {
    pod.node_name.is_some() || pod.node_selector.as_ref().is_some_and(|labels| labels.contains_key(HOSTNAME))
}

/// Whether the template requires a hostname or a field of the node, such as its name.
fn requires_hostname(pod: &PodSpec) -> bool {
    let required = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        required.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let mut terms = required.into_iter().flat_map(|required| &required.node_selector_terms);
    terms.any(|term| {
        term.match_fields.is_some()
            || term.match_expressions.iter().flatten().any(|asked| asked.key == HOSTNAME)
    })
}

/// Whether `node` has all labels that the node selector of `pod` asks for.
fn is_selected(pod: &PodSpec, node: &KnownNode) -> bool {
    pod.node_selector.iter().flatten().all(|(label, value)| node.labels.get(label) == Some(value))
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(pod: Value) -> SingletonJob {
        let mut spec = json!({"containers": [{"name": "main", "command": ["x"]}]});
        spec.as_object_mut().expect("an object").extend(pod.as_object().expect("an object").clone());
        serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web"}, "spec": {"template": {"spec": spec}},
        }))
        .expect("a SingletonJob")
    }

    fn node(name: &str, spec: Value, ready: &str) -> KnownNode {
        let condition =
            json!({"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let node = json!({
            "metadata": {"name": name, "labels": {"disk": "ssd"}}, "spec": spec, "status": {"conditions": [condition]},
        });
        KnownNode::of(&serde_json::from_value(node).expect("a node"))
    }

    #[test]
    fn another_node_has_room_that_is_ready_schedulable_untainted_and_selected() {
        let has_room = |pod: Value, spec: Value, ready: &str| {
            since(&job(pod), "a", [node("b", spec, ready)].iter()).is_some()
        };
        assert!(has_room(json!({}), json!({}), "True"));
        assert!(has_room(json!({"nodeSelector": {"disk": "ssd"}}), json!({}), "True"));
        assert!(!has_room(json!({"nodeSelector": {"disk": "hdd"}}), json!({}), "True"));
        assert!(!has_room(json!({}), json!({}), "Unknown"));
        assert!(!has_room(json!({}), json!({"unschedulable": true}), "True"));
        assert!(!has_room(json!({}), json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}), "True"));
        assert_eq!(
            since(&job(json!({})), "b", [node("b", json!({}), "True")].iter()),
            None,
            "it is the crowded one"
        );
    }

    #[test]
    fn a_template_that_says_where_its_pods_are_is_left_to_it() {
        let is_pinned = |pod: Value| is_pinned(&job(pod), &VolumeClaims::new());
        assert!(!is_pinned(json!({})) && !is_pinned(json!({"nodeSelector": {"disk": "ssd"}})));
        let affinity = |kind: &str, rule: Value| json!({"affinity": {kind: rule}});
        let hostname = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": ["a"]}]}]}});
        let spread = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]);
        let pinned = [
            json!({"nodeName": "a"}),
            json!({"nodeSelector": {HOSTNAME: "a"}}),
            affinity("nodeAffinity", hostname),
            affinity("podAntiAffinity", json!({})),
            json!({"topologySpreadConstraints": spread}),
            json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}),
        ];
        for pod in pinned {
            assert!(is_pinned(pod.clone()), "{pod}");
        }
    }

    #[test]
    fn a_claim_that_nodes_can_share_pins_nothing() {
        let job = job(json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}));
        let known = |mode: &str| VolumeClaims::from([("data".to_owned(), vec![mode.to_owned()])]);
        assert!(!is_pinned(&job, &known("ReadWriteMany")) && is_pinned(&job, &known("ReadWriteOnce")));
    }
}
