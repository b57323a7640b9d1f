//! Where a candidate runs, and how long it stays on a node that is lost.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use crate::api::SingletonJob;
use crate::contract::labels;
use crate::controller::names;

/// Spreads candidates over nodes where that is possible, unless the template places them itself.
pub(super) fn spread(spec: &mut PodSpec, job: &SingletonJob) {
    let placed = spec.affinity.as_ref().is_some_and(|affinity| affinity.pod_anti_affinity.is_some())
        || spec.node_name.is_some();
    if placed || spec.topology_spread_constraints.as_ref().is_some_and(|constraints| !constraints.is_empty())
    {
        return;
    }
    let selected = BTreeMap::from([(labels::JOB.to_owned(), job.name_any())]);
    spec.topology_spread_constraints = Some(vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(LabelSelector { match_labels: Some(selected), match_expressions: None }),
        ..TopologySpreadConstraint::default()
    }]);
}

/// Lets a candidate stay on a lost node for a short time, unless the template says for how long.
pub(super) fn tolerate(spec: &mut PodSpec) {
    let tolerations = spec.tolerations.get_or_insert_default();
    for taint in names::UNREACHABLE {
        if tolerations.iter().all(|theirs| theirs.key.as_deref().is_some_and(|key| key != taint)) {
            tolerations.push(names::toleration(taint, false));
        }
    }
}

/// The `tolerations` of a candidate that has ended. It stays for its log, whatever becomes of its node, until
/// the node is removed.
pub fn lasting(tolerations: Vec<Toleration>) -> Vec<Toleration> {
    let lasting = |toleration: Toleration| {
        let ours = names::UNREACHABLE.into_iter().find(|taint| toleration == names::toleration(taint, false));
        ours.map_or(toleration, |taint| names::toleration(taint, true))
    };
    tolerations.into_iter().map(lasting).collect()
}
