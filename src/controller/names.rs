//! What is made for a SingletonJob is called and labelled so: what is looked for must be what was made.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::ResourceExt;

use crate::api::{SingletonJob, SingletonJobSpec, StandbyReadiness};
use crate::contract::labels;

/// Of what is made beside the Lease and the pods: the Role, its binding, the PodDisruptionBudget.
pub fn beside(job: &str) -> String {
    format!("singletonjob-{job}")
}

/// Taints of a node that does not answer.
pub const UNREACHABLE: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// How long a candidate stays on a node that is not ready or not reachable: it is replaced elsewhere by then.
const TOLERATION_SECONDS: i64 = 30;

/// How candidates tolerate `taint`, where the template does not say: for 30 s, or once they have ended without end.
pub fn toleration(taint: &str, has_ended: bool) -> Toleration {
    Toleration {
        key: Some(taint.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: (!has_ended).then_some(TOLERATION_SECONDS),
        value: None,
    }
}

/// The labels of everything that is made for the SingletonJob of that name.
pub fn labels(job: &str) -> BTreeMap<String, String> {
    let pairs = [(labels::NAME, labels::NAME_VALUE), (labels::MANAGED_BY, labels::MANAGED_BY_VALUE), (labels::JOB, job)];
    pairs.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

/// The labels of every candidate pod, but for those that change.
pub fn pod_labels(job: &SingletonJob) -> BTreeMap<String, String> {
    let template = job.spec.template.metadata.clone().and_then(|metadata| metadata.labels).unwrap_or_default();
    template.into_iter().chain(labels(&job.name_any())).collect()
}

/// What a pod is made from, in ten digits. The agent's image is no part of it: an upgrade of the operator replaces nobody. Nor is a default:
/// what did not exist when a pod was made is left out where it changes nothing.
///
/// # Panics
/// Never: a template is plain data.
pub fn template_hash(spec: &SingletonJobSpec) -> String {
    let template = serde_json::to_value(&spec.template).expect("a template is plain data");
    let workload = spec.workload().map(|container| container.name.as_str()).unwrap_or_default();
    let readiness = match spec.standby_readiness {
        StandbyReadiness::Ready => "",
        StandbyReadiness::NotReady => "\nstandbyReadiness: NotReady",
    };
    let text = format!("{template}{workload}{readiness}");
    format!("{:016x}", fnv1a(text.as_bytes()))[..10].to_owned()
}

/// FNV-1a: the same in every version of every program, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hash(extra: &Value) -> String {
        let mut spec = json!({"template": {"spec": {"containers": [{"name": "main", "command": ["/bin/web"]}, {"name": "side"}]}}});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        template_hash(&serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn the_hash_of_a_template_is_the_same_in_every_version() {
        assert_eq!(hash(&json!({})), "9cfa4a3933");
        assert_eq!(hash(&json!({"standbyReadiness": "Ready", "replicas": 5})), "9cfa4a3933");
    }

    #[test]
    fn another_workload_or_readiness_of_standbys_is_another_template() {
        let hashes = [json!({}), json!({"workloadContainer": "side"}), json!({"standbyReadiness": "NotReady"})].map(|extra| hash(&extra));
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2], "{hashes:?}");
    }
}
