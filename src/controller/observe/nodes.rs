//! The cache of all nodes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::candidate::Candidate;
use crate::api::SingletonJob;

/// The cache of all nodes. The controller reads it only for a SingletonJob that prefers nodes, or whose
/// candidates are all on one node.
pub type Nodes = Store<Node>;

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
    let labels = |name: &String| Some((name.clone(), known.get(&ObjectRef::new(name))?.labels().clone()));
    names.filter_map(labels).collect()
}
