//! Says as a condition what in a template hinders a takeover. What that is, the API crate decides.

use crate::api::SingletonJob;
use crate::api::checks::template_warnings::{self, ClusterFacts};
use crate::api::conditions::{Statement, types};
use crate::controller::observe::Observed;

/// Whether all that decides is known: the API server has told how the template's claims may be mounted.
pub fn is_known(job: &SingletonJob, observed: &Observed) -> bool {
    observed.claims.is_some() || job.spec.volume_claims().next().is_none()
}

/// `TemplateHazardous`; `None` if there is nothing to say.
pub fn statement(job: &SingletonJob, observed: &Observed) -> Option<Statement> {
    let warnings = template_warnings::find(&job.spec, &facts(observed));
    let messages: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    Some(Statement::yes(types::TEMPLATE_HAZARDOUS, warnings.first()?.reason, messages.join("; ")))
}

fn facts(observed: &Observed) -> ClusterFacts<'_> {
    let alive = observed.candidates.iter().filter(|candidate| candidate.is_alive());
    let beside = alive.flat_map(|candidate| &candidate.beside).map(String::as_str);
    ClusterFacts { claims: observed.claims.as_ref(), beside: beside.collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::conditions::reasons;
    use crate::controller::observe::candidate::Candidate;

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
}
