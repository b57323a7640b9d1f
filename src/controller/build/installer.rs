//! Builds the init container that copies the agent into the pod. A cluster that admits the gated container
//! admits it too.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSpec, ResourceRequirements, SeccompProfile, SecurityContext, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::contract::{paths, pod};
use crate::controller::settings::Agent;

/// The user of the agent's image. The installer runs as this user if the pod would make it root.
const USER: i64 = 65532;
/// Resources that a LimitRange or a quota may ask of every container. The installer needs no device.
const ORDINARY: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The installer of a pod of `spec`. It requests the resources of the `gated` container, because a
/// LimitRange, a quota or a policy that admits the one then admits the other. A pod needs no more for it,
/// because the two never run at the same time. The resources and the security context of `agent` win.
pub fn installer(agent: &Agent, spec: &PodSpec, gated: Option<&Container>) -> Container {
    Container {
        name: pod::INSTALLER.into(),
        image: Some(agent.image.clone()),
        image_pull_policy: agent.pull_policy.clone(),
        command: Some(
            ["/usr/bin/singletonjob-agent", "install", paths::AGENT_DIRECTORY].map(str::to_owned).to_vec(),
        ),
        resources: agent.installer_resources.clone().or_else(|| gated?.resources.as_ref().map(like)),
        security_context: agent.installer_security_context.clone().or_else(|| Some(security_context(spec))),
        volume_mounts: Some(vec![VolumeMount {
            name: pod::AGENT_VOLUME.into(),
            mount_path: paths::AGENT_DIRECTORY.into(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// The ordinary resources of the `gated` container.
fn like(gated: &ResourceRequirements) -> ResourceRequirements {
    let ordinary = |all: &Option<BTreeMap<String, Quantity>>| {
        let ordinary = all.iter().flatten().filter(|(name, _)| ORDINARY.contains(&name.as_str()));
        Some(ordinary.map(|(name, quantity)| (name.clone(), quantity.clone())).collect::<BTreeMap<_, _>>())
            .filter(|some| !some.is_empty())
    };
    ResourceRequirements {
        requests: ordinary(&gated.requests),
        limits: ordinary(&gated.limits),
        claims: None,
    }
}

/// The security context that the restricted Pod Security Standard requires. The user is the image's, or the
/// one that the cluster chooses for the pod, as OpenShift does.
fn security_context(spec: &PodSpec) -> SecurityContext {
    let is_root = spec.security_context.as_ref().is_some_and(|context| context.run_as_user == Some(0));
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        run_as_user: is_root.then_some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: Value) -> Container {
        by(&Agent::default(), spec)
    }

    fn by(agent: &Agent, spec: Value) -> Container {
        let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
        installer(agent, &spec, spec.containers.first())
    }

    #[test]
    fn what_the_operator_is_told_of_it_wins() {
        let resources: ResourceRequirements =
            serde_json::from_value(json!({"limits": {"memory": "16Mi"}})).expect("resources");
        let context: SecurityContext = serde_json::from_value(json!({"runAsUser": 7})).expect("a context");
        let agent = Agent {
            installer_resources: Some(resources.clone()),
            installer_security_context: Some(context.clone()),
            ..Agent::default()
        };
        let installer =
            by(&agent, json!({"containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]}));
        assert_eq!((installer.resources, installer.security_context), (Some(resources), Some(context)));
    }

    #[test]
    fn it_asks_for_what_the_gated_container_asks_for_and_for_no_device() {
        let resources =
            json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m", "nvidia.com/gpu": "1"}});
        let installer = of(json!({"containers": [{"name": "main", "resources": resources}]}));
        let expected = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}});
        assert_eq!(serde_json::to_value(installer.resources).expect("JSON"), expected);
        assert_eq!(of(json!({"containers": [{"name": "main"}]})).resources, None, "none there, none here");
    }

    #[test]
    fn its_user_is_the_images_unless_the_pod_makes_it_root() {
        let user = |context: Value| {
            let spec = json!({"containers": [{"name": "main"}], "securityContext": context});
            of(spec).security_context.and_then(|context| context.run_as_user)
        };
        assert_eq!(
            [json!({}), json!({"runAsUser": 1000}), json!({"runAsUser": 0})].map(user),
            [None, None, Some(USER)]
        );
    }
}
