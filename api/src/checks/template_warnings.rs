//! Warns of what in a template hinders a takeover. No program refuses it, because a user may want it so.
//!
//! Most warnings follow from the spec. The caller says in [`ClusterFacts`] what only a cluster knows. A warning
//! that needs more than the caller says is left out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;

use crate::conditions::reasons;
use crate::spec::SingletonJobSpec;

/// Below this limit, in thousandths of a processor, an agent may be too late to renew.
const LEAST_CPU: f64 = 200.0;
const HOST_NAME: &str = "kubernetes.io/hostname";
const ONE_POD: &str = "ReadWriteOncePod";
const ONE_NODE: &str = "ReadWriteOnce";
const MANY_NODES: &str = "ReadWriteMany";
const MANY_READERS: &str = "ReadOnlyMany";

/// Proxies that a mesh injects, and the annotation by which it makes them native sidecars.
const PROXIES: [(&str, &str); 2] = [
    ("istio-proxy", "sidecar.istio.io/nativeSidecar"),
    ("linkerd-proxy", "config.beta.linkerd.io/proxy-enable-native-sidecar"),
];

/// Access modes by claim name. A claim that does not exist, or that the caller may not read, is missing.
pub type VolumeClaims = BTreeMap<String, Vec<String>>;

/// What only a cluster knows of the pods that are made from a template.
#[derive(Clone, Debug, Default)]
pub struct ClusterFacts<'a> {
    /// How the template's claims may be mounted. `None` if the caller does not know.
    pub claims: Option<&'a VolumeClaims>,
    /// Names of the ordinary containers beside the workload's, including injected ones.
    pub beside: Vec<&'a str>,
}

/// One reason to think again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateWarning {
    /// One of [`reasons`].
    pub reason: &'static str,
    /// What it concerns, what may happen, and what to write instead.
    pub message: String,
}

/// Returns the warnings about the template of `spec`. The first gives the condition `TemplateHazardous` its
/// reason.
pub fn find(spec: &SingletonJobSpec, facts: &ClusterFacts) -> Vec<TemplateWarning> {
    let shared = if spec.replicas < 2 { None } else { facts.claims };
    let of_claims = shared.into_iter().flat_map(|claims| shared_claims(spec, claims));
    of_claims.chain(little_cpu(spec)).chain(no_kill(spec)).chain(proxy(&facts.beside)).collect()
}

/// Returns the warnings about claims that several candidates share.
fn shared_claims(spec: &SingletonJobSpec, claims: &VolumeClaims) -> impl Iterator<Item = TemplateWarning> {
    spec.volume_claims().filter_map(|(volume, claim)| {
        let modes = claims.get(&claim.claim_name)?;
        let may = |mode: &str| modes.iter().any(|is| is == mode);
        let is_shared =
            may(MANY_NODES) || (may(MANY_READERS) && (claim.read_only == Some(true) || !may(ONE_NODE)));
        if may(ONE_POD) {
            Some(for_one_pod(volume, &claim.claim_name))
        } else {
            (may(ONE_NODE) && !is_shared && !is_on_one_node(spec))
                .then(|| for_one_node(volume, &claim.claim_name))
        }
    })
}

fn for_one_pod(volume: &str, claim: &str) -> TemplateWarning {
    let message = format!(
        "volume {volume}: the claim {claim} is for one pod at a time ({ONE_POD}), so no standby starts while the holder's pod is there; use a \
         claim with {MANY_NODES}, or set spec.replicas to 1"
    );
    TemplateWarning { reason: reasons::READ_WRITE_ONCE_POD, message }
}

fn for_one_node(volume: &str, claim: &str) -> TemplateWarning {
    let message = format!(
        "volume {volume}: the claim {claim} is for one node at a time ({ONE_NODE}), so no standby starts on another node than the holder's; \
         use a claim with {MANY_NODES}, or keep all candidates on one node by a nodeSelector for {HOST_NAME}"
    );
    TemplateWarning { reason: reasons::READ_WRITE_ONCE, message }
}

fn is_on_one_node(spec: &SingletonJobSpec) -> bool {
    let selects = |pod: &PodSpec| pod.node_selector.iter().any(|labels| labels.contains_key(HOST_NAME));
    spec.template.spec.as_ref().is_some_and(|pod| pod.node_name.is_some() || selects(pod))
}

fn little_cpu(spec: &SingletonJobSpec) -> Option<TemplateWarning> {
    let container = spec.workload()?;
    let limit = container.resources.as_ref()?.limits.as_ref()?.get("cpu")?;
    let message = format!(
        "container {}: limited to {} of a CPU, the agent may wake up too late to keep the Lease; set the limit to 200m or more, or leave it \
         out",
        container.name, limit.0
    );
    (thousandths(&limit.0)? < LEAST_CPU)
        .then_some(TemplateWarning { reason: reasons::LOW_CPU_LIMIT, message })
}

/// A container runtime lets a process change its user by default, and signal other users.
fn no_kill(spec: &SingletonJobSpec) -> Option<TemplateWarning> {
    let container = spec.workload()?;
    let capabilities = container.security_context.as_ref()?.capabilities.as_ref()?;
    let names = |list: &Option<Vec<String>>, name: &str| {
        list.iter()
            .flatten()
            .any(|is| is.eq_ignore_ascii_case(name) || is.eq_ignore_ascii_case(&format!("CAP_{name}")))
    };
    let drops = |name: &str| {
        (names(&capabilities.drop, name) || names(&capabilities.drop, "ALL"))
            && !names(&capabilities.add, name)
    };
    let message = format!(
        "container {}: the workload may become another user (SETUID), whose processes the agent may not signal (KILL is dropped); add KILL to \
         securityContext.capabilities.add, or drop SETUID too",
        container.name
    );
    (drops("KILL") && !drops("SETUID")).then_some(TemplateWarning { reason: reasons::KILL_DROPPED, message })
}

/// The kubelet ends ordinary containers all at once, and a holder whose proxy has gone cannot give the Lease
/// back.
fn proxy(beside: &[&str]) -> Option<TemplateWarning> {
    let (proxy, annotation) = PROXIES.into_iter().find(|(proxy, _)| beside.contains(proxy))?;
    let message = format!(
        "container {proxy}: the mesh injects it as an ordinary container, so it may stop before the workload has, and the Lease cannot be given \
         back; let it inject a native sidecar: add {annotation}: \"true\" to the template's annotations"
    );
    Some(TemplateWarning { reason: reasons::PROXY_NOT_NATIVE, message })
}

/// `None` for suffixes that make a number large.
fn thousandths(quantity: &str) -> Option<f64> {
    let suffixes = [("n", 1e-6), ("u", 1e-3), ("m", 1.0), ("", 1000.0)];
    let (number, factor) =
        suffixes.iter().find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(replicas: i32, pod: &Value, modes: &[&str]) -> Option<String> {
        stated(replicas, pod, modes).map(|warning| warning.reason.to_owned())
    }

    fn stated(replicas: i32, pod: &Value, modes: &[&str]) -> Option<TemplateWarning> {
        let mut all = json!({"containers": [{"name": "main", "command": ["x"]}, {"name": "side"}]});
        all.as_object_mut().expect("an object").extend(pod.as_object().expect("an object").clone());
        let spec = json!({"replicas": replicas, "template": {"spec": all}});
        let claims = [("web-data".to_owned(), modes.iter().map(|mode| (*mode).to_owned()).collect())].into();
        let facts = ClusterFacts { claims: Some(&claims), ..ClusterFacts::default() };
        find(&serde_json::from_value(spec).expect("a spec"), &facts).into_iter().next()
    }

    #[test]
    fn a_claim_that_candidates_cannot_share_is_a_hazard() {
        let data = |extra: Value| {
            let mut pod =
                json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}}]});
            pod.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            pod
        };
        let read_only = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web-data", "readOnly": true}}]});
        let pinned = data(json!({"nodeSelector": {HOST_NAME: "node-a"}}));
        let table = [
            (2, data(json!({})), vec![ONE_POD], Some(reasons::READ_WRITE_ONCE_POD)),
            (2, data(json!({})), vec![ONE_NODE], Some(reasons::READ_WRITE_ONCE)),
            (2, data(json!({})), vec![ONE_NODE, MANY_NODES], None),
            (2, data(json!({})), vec![MANY_READERS], None),
            (2, data(json!({})), vec![ONE_NODE, MANY_READERS], Some(reasons::READ_WRITE_ONCE)),
            (2, read_only, vec![ONE_NODE, MANY_READERS], None),
            (2, pinned.clone(), vec![ONE_NODE], None),
            (2, pinned, vec![ONE_POD], Some(reasons::READ_WRITE_ONCE_POD)),
            (1, data(json!({})), vec![ONE_POD], None),
            (2, json!({}), vec![ONE_POD], None),
        ];
        for (replicas, pod, modes, expected) in table {
            assert_eq!(said(replicas, &pod, &modes).as_deref(), expected, "{replicas} {modes:?} {pod}");
        }
    }

    #[test]
    fn a_claim_that_is_not_there_yet_is_no_hazard() {
        let other = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "to-come"}}]});
        assert_eq!(said(2, &other, &[ONE_POD]), None);
    }

    #[test]
    fn a_workload_that_the_agent_may_not_signal_as_a_user_is_a_hazard() {
        for (drop, add, expected) in [
            (vec!["ALL"], vec!["SETUID", "SETGID"], true),
            (vec!["KILL"], vec![], true),
            (vec!["CAP_KILL"], vec!["CAP_SETUID"], true),
            (vec!["ALL"], vec![], false),
            (vec!["ALL"], vec!["SETUID", "KILL"], false),
            (vec!["NET_RAW"], vec![], false),
        ] {
            let context = json!({"capabilities": {"drop": drop, "add": add}});
            let stated = stated(
                1,
                &json!({"containers": [{"name": "main", "command": ["x"], "securityContext": context}]}),
                &[],
            );
            assert_eq!(
                stated.as_ref().map(|is| is.reason),
                expected.then_some(reasons::KILL_DROPPED),
                "{drop:?} {add:?}"
            );
            let advice = "add KILL to securityContext.capabilities.add, or drop SETUID too";
            assert!(
                stated.is_none_or(
                    |is| is.message.starts_with("container main: ") && is.message.ends_with(advice)
                ),
                "{drop:?} {add:?}"
            );
        }
    }

    #[test]
    fn a_workload_with_less_than_a_fifth_of_a_cpu_is_a_hazard() {
        for (limit, expected) in [
            ("199m", true),
            ("200m", false),
            ("0.1", true),
            ("1", false),
            ("1e-1", true),
            ("150000u", true),
            ("2k", false),
        ] {
            let limited =
                |name: &str| json!({"name": name, "command": ["x"], "resources": {"limits": {"cpu": limit}}});
            let gated = said(1, &json!({"containers": [limited("main"), {"name": "side"}]}), &[]);
            assert_eq!(gated.as_deref(), expected.then_some(reasons::LOW_CPU_LIMIT), "{limit}");
            assert_eq!(
                said(1, &json!({"containers": [{"name": "main", "command": ["x"]}, limited("side")]}), &[]),
                None,
                "not gated"
            );
        }
    }
}
