//! Warns of what in a template hinders a takeover. The controller does not refuse it, because a user may want
//! it so.

use crate::api::SingletonJob;
use crate::api::conditions::{Statement, reasons, types};
use crate::controller::observe::Observed;
use crate::controller::observe::candidate::Candidate;
use crate::controller::observe::volume_claims::{self, VolumeClaims};

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

/// One reason to think again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hazard {
    reason: &'static str,
    message: String,
}

/// Whether all that decides is known: the API server has told how the template's claims may be mounted.
pub fn is_known(job: &SingletonJob, observed: &Observed) -> bool {
    observed.claims.is_some() || volume_claims::of(job).next().is_none()
}

/// `TemplateHazardous`; `None` if there is nothing to say.
pub fn statement(job: &SingletonJob, observed: &Observed) -> Option<Statement> {
    let template_warnings = observed
        .claims
        .iter()
        .flat_map(|claims| shared_claims(job, claims))
        .chain(little_cpu(job))
        .chain(no_kill(job))
        .chain(proxy(observed));
    let template_warnings: Vec<_> = template_warnings.collect();
    let messages: Vec<_> = template_warnings.iter().map(|hazard| hazard.message.as_str()).collect();
    Some(Statement::yes(types::TEMPLATE_HAZARDOUS, template_warnings.first()?.reason, messages.join("; ")))
}

fn shared_claims(job: &SingletonJob, claims: &VolumeClaims) -> impl Iterator<Item = Hazard> {
    let is_alone = job.spec.replicas < 2;
    volume_claims::of(job).filter(move |_| !is_alone).filter_map(|(volume, claim)| {
        let modes = claims.get(&claim.claim_name)?;
        let may = |mode: &str| modes.iter().any(|is| is == mode);
        let is_shared =
            may(MANY_NODES) || (may(MANY_READERS) && (claim.read_only == Some(true) || !may(ONE_NODE)));
        if may(ONE_POD) {
            Some(for_one_pod(volume, &claim.claim_name))
        } else {
            (may(ONE_NODE) && !is_shared && !is_on_one_node(job))
                .then(|| for_one_node(volume, &claim.claim_name))
        }
    })
}

fn for_one_pod(volume: &str, claim: &str) -> Hazard {
    let message = format!(
        "volume {volume}: the claim {claim} is for one pod at a time ({ONE_POD}), so no standby starts while the holder's pod is there; use a \
         claim with {MANY_NODES}, or set spec.replicas to 1"
    );
    Hazard { reason: reasons::READ_WRITE_ONCE_POD, message }
}

fn for_one_node(volume: &str, claim: &str) -> Hazard {
    let message = format!(
        "volume {volume}: the claim {claim} is for one node at a time ({ONE_NODE}), so no standby starts on another node than the holder's; \
         use a claim with {MANY_NODES}, or keep all candidates on one node by a nodeSelector for {HOST_NAME}"
    );
    Hazard { reason: reasons::READ_WRITE_ONCE, message }
}

fn is_on_one_node(job: &SingletonJob) -> bool {
    let spec = job.spec.template.spec.as_ref();
    let selects = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        spec.node_selector.iter().any(|labels| labels.contains_key(HOST_NAME))
    };
    spec.is_some_and(|spec| spec.node_name.is_some() || selects(spec))
}

fn little_cpu(job: &SingletonJob) -> Option<Hazard> {
    let container = job.spec.workload()?;
    let limit = container.resources.as_ref()?.limits.as_ref()?.get("cpu")?;
    let message = format!(
        "container {}: limited to {} of a CPU, the agent may wake up too late to keep the Lease; set the limit to 200m or more, or leave it \
         out",
        container.name, limit.0
    );
    (thousandths(&limit.0)? < LEAST_CPU).then_some(Hazard { reason: reasons::LOW_CPU_LIMIT, message })
}

/// A container runtime lets a process change its user by default, and signal other users.
fn no_kill(job: &SingletonJob) -> Option<Hazard> {
    let container = job.spec.workload()?;
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
    (drops("KILL") && !drops("SETUID")).then_some(Hazard { reason: reasons::KILL_DROPPED, message })
}

/// The kubelet ends ordinary containers all at once, and a holder whose proxy has gone cannot give the Lease
/// back.
fn proxy(observed: &Observed) -> Option<Hazard> {
    let alive = || observed.candidates.iter().filter(|candidate| candidate.is_alive());
    let has =
        |proxy: &str| alive().any(|candidate: &Candidate| candidate.beside.iter().any(|name| name == proxy));
    let (proxy, annotation) = PROXIES.into_iter().find(|(proxy, _)| has(proxy))?;
    let message = format!(
        "container {proxy}: the mesh injects it as an ordinary container, so it may stop before the workload has, and the Lease cannot be given \
         back; let it inject a native sidecar: add {annotation}: \"true\" to the template's annotations"
    );
    Some(Hazard { reason: reasons::PROXY_NOT_NATIVE, message })
}

/// None for suffixes that make a number large.
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
        stated(replicas, pod, modes).map(|statement| statement.reason)
    }

    fn stated(replicas: i32, pod: &Value, modes: &[&str]) -> Option<Statement> {
        let mut all = json!({"containers": [{"name": "main", "command": ["x"]}, {"name": "side"}]});
        all.as_object_mut().expect("an object").extend(pod.as_object().expect("an object").clone());
        let job = json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web"},
            "spec": {"replicas": replicas, "template": {"spec": all}},
        });
        let claims = [("web-data".to_owned(), modes.iter().map(|mode| (*mode).to_owned()).collect())].into();
        let observed = Observed { claims: Some(claims), ..Observed::default() };
        statement(&serde_json::from_value(job).expect("a SingletonJob"), &observed)
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
                stated.as_ref().map(|is| is.reason.as_str()),
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
    fn a_mesh_proxy_that_is_an_ordinary_container_is_a_hazard() {
        let stated = |containers: Value, init: Value| {
            let pod = json!({"metadata": {"name": "web-1"}, "spec": {"containers": containers, "initContainers": init}});
            let candidate = Candidate::read(&serde_json::from_value(pod).expect("a pod"));
            let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web"},
                "spec": {"template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}}}});
            let observed = Observed { candidates: vec![candidate], ..Observed::default() };
            statement(&serde_json::from_value(job).expect("a SingletonJob"), &observed)
        };
        for (proxy, line) in [
            ("istio-proxy", "add sidecar.istio.io/nativeSidecar: \"true\" to the template's annotations"),
            (
                "linkerd-proxy",
                "add config.beta.linkerd.io/proxy-enable-native-sidecar: \"true\" to the template's annotations",
            ),
        ] {
            let container = json!({"name": proxy});
            let hazard = stated(json!([{"name": "main"}, container]), json!([])).expect(proxy);
            assert_eq!(hazard.reason, reasons::PROXY_NOT_NATIVE);
            assert!(
                hazard.message.starts_with(&format!("container {proxy}: ")) && hazard.message.ends_with(line),
                "{}",
                hazard.message
            );
            assert_eq!(
                stated(json!([{"name": "main"}]), json!([container])),
                None,
                "{proxy} is a native sidecar"
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
