//! Names and labels of child objects. Creation and lookup share them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Toleration;
use kube::ResourceExt;

use crate::api::{SingletonJob, SingletonJobSpec, StandbyReadiness};
use crate::contract::labels;

/// The name of the Role, the RoleBinding and the PodDisruptionBudget of a SingletonJob.
pub fn child_name(job: &str) -> String {
    format!("singletonjob-{job}")
}

/// The name of the candidate pod with this number.
pub fn pod_name(job: &str, number: i64) -> String {
    format!("{job}-{number}")
}

/// Taints of a node that does not answer.
pub const UNREACHABLE: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// How long a candidate stays on a node that is not ready or not reachable. The controller replaces it
/// elsewhere by then.
const TOLERATION_SECONDS: i64 = 30;

/// The toleration of `taint` that the controller adds if the template has none. It lasts 30 s, and has no
/// limit once the candidate has ended.
pub fn toleration(taint: &str, has_ended: bool) -> Toleration {
    Toleration {
        key: Some(taint.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: (!has_ended).then_some(TOLERATION_SECONDS),
        value: None,
    }
}

/// The labels of every child object of the SingletonJob of that name, its pods apart.
pub fn labels(job: &str) -> BTreeMap<String, String> {
    let pairs = [
        (labels::NAME, labels::NAME_VALUE),
        (labels::MANAGED_BY, labels::MANAGED_BY_VALUE),
        (labels::JOB, job),
    ];
    pairs.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

/// The labels of every candidate pod that never change. They are the template's, by which the user's
/// Services, policies and affinities select, and one in the controller's own domain.
pub fn pod_labels(job: &SingletonJob) -> BTreeMap<String, String> {
    let template =
        job.spec.template.metadata.clone().and_then(|metadata| metadata.labels).unwrap_or_default();
    template.into_iter().chain([(labels::JOB.to_owned(), job.name_any())]).collect()
}

/// The hash of a template, in ten hexadecimal digits. The agent's image is no part of it, so that an upgrade
/// of the operator replaces no pod. A newer field with its default value is no part of it either, so that
/// existing pods keep their hash.
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

/// How much later than its ticks a job starts, at most `most`. The value depends only on namespace and name,
/// and spreads jobs over that time.
pub fn offset(namespace: &str, name: &str, most: Duration) -> Duration {
    let hash = mixed(fnv1a(format!("{namespace}/{name}").as_bytes()));
    Duration::from_secs(hash % (most.as_secs() + 1))
}

/// The finalizer of splitmix64. It is needed because names that differ in their last digit have FNV-1a hashes
/// that are much alike.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// FNV-1a, which is the same in every version of every program. std's hasher does not promise that.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
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
    fn the_offsets_of_many_jobs_are_spread_and_stay_the_same() {
        let most = Duration::from_secs(59);
        let offsets: Vec<_> =
            (0..6000).map(|number| offset("shop", &format!("report-{number}"), most).as_secs()).collect();
        let of = |second: u64| offsets.iter().filter(|offset| **offset == second).count();
        assert!(
            (0..60).all(|second| (60..=140).contains(&of(second))),
            "{:?}",
            (0..60).map(of).collect::<Vec<_>>()
        );
        assert_eq!(offset("shop", "web", Duration::ZERO), Duration::ZERO);
        let known = [("shop", "web"), ("web", "shop")]
            .map(|(namespace, name)| offset(namespace, name, most).as_secs());
        assert_ne!(known[0], known[1]);
    }

    #[test]
    fn another_workload_or_readiness_of_standbys_is_another_template() {
        let hashes =
            [json!({}), json!({"workloadContainer": "side"}), json!({"standbyReadiness": "NotReady"})]
                .map(|extra| hash(&extra));
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2], "{hashes:?}");
    }
}
