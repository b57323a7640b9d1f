//! What a candidate pod looks like, by its template.
#![expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]

use k8s_openapi::api::core::v1::{Container, Toleration};
use serde_json::{Value, json};

use super::placement::lasting;
use super::*;
use crate::contract::{environment, paths, pod};

fn pod(template: Value) -> Pod {
    of(json!({"template": template}))
}

fn of(spec: Value) -> Pod {
    let job = serde_json::from_value(json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "namespace": "shop", "uid": "j"},
        "spec": spec,
    }));
    let agent = Agent {
        image: "agent:1".into(),
        pull_policy: Some("IfNotPresent".into()),
        pull_secrets: vec!["ours".into()],
        ..Agent::default()
    };
    candidate(&job.expect("a SingletonJob"), 3, "abc", &agent)
}

fn plain() -> Pod {
    pod(json!({"metadata": {"labels": {"team": "a"}}, "spec": {
        "containers": [{"name": "main", "command": ["/bin/web", "-v"], "args": ["--fast"]}], "imagePullSecrets": [{"name": "theirs"}],
    }}))
}

#[test]
fn the_agent_stands_before_command_and_args() {
    let spec = plain().spec.expect("a spec");
    let main = &spec.containers[0];
    assert_eq!(
        main.command.as_deref(),
        Some(&[paths::AGENT, "run", "--", "/bin/web", "-v", "--fast"].map(str::to_owned)[..])
    );
    assert_eq!(main.args, None);
    assert_eq!(spec.init_containers.expect("the installer")[0].name, pod::INSTALLER);
    assert_eq!(spec.automount_service_account_token, None);
}

#[test]
fn only_the_workloads_container_is_gated() {
    let beside = json!({"name": "log", "image": "log:1", "command": ["ship"], "lifecycle": {"preStop": {"exec": {"command": ["flush"]}}},
        "startupProbe": {"tcpSocket": {"port": 1}}, "livenessProbe": {"grpc": {"port": 2}}});
    let init = json!([{"name": "once", "command": ["migrate"]}, {"name": "proxy", "restartPolicy": "Always", "command": ["proxy"]}]);
    let volumes = json!([
        {"name": "scratch", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "web"}},
        {"name": "settings", "configMap": {"name": "web"}}, {"name": "keys", "secret": {"secretName": "web"}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "web"}}]}},
    ]);
    let mounts = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    let main = json!({"name": "main", "command": ["web"], "volumeMounts": mounts});
    let template =
        json!({"spec": {"containers": [beside, main], "initContainers": init, "volumes": volumes}});
    let spec = of(json!({"workloadContainer": "main", "template": template})).spec.expect("a spec");
    let as_given = |value: &Value| serde_json::from_value::<Container>(value.clone()).expect("a container");
    assert_eq!(spec.containers[0], as_given(&beside));
    assert_eq!(spec.containers[1].command.as_ref().expect("ours")[..3], [paths::AGENT, "run", "--"]);
    let kept = spec.init_containers.expect("the installer and two more");
    assert_eq!(kept[0].name, pod::INSTALLER, "so that nothing that runs on is in its way");
    assert_eq!(kept[1..], [as_given(&init[0]), as_given(&init[1])]);
    let names: Vec<_> = spec.volumes.expect("five and ours").into_iter().map(|volume| volume.name).collect();
    assert_eq!(names[..5], ["scratch", "data", "settings", "keys", "all"]);
    assert_eq!(spec.containers[1].volume_mounts.as_ref().expect("its own first")[0].name, "scratch");
}

#[test]
fn a_candidate_is_owned_labelled_and_named_by_its_number() {
    let pod = plain();
    assert_eq!((pod.name_any().as_str(), pod.labels()["team"].as_str()), ("web-3", "a"));
    assert_eq!(pod.labels()[labels::TEMPLATE_HASH], "abc");
    let owner = &pod.owner_references()[0];
    assert_eq!((owner.uid.as_str(), owner.controller), ("j", Some(true)));
}

#[test]
fn tools_learn_which_container_is_meant_and_that_a_service_may_be_moved() {
    let template = |annotations: Value| json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "main", "command": ["x"]}]}});
    let of = |kind: &str, own: Value| {
        of(json!({"completionPolicy": kind, "template": template(own)})).metadata.annotations.expect("some")
    };
    let said = |annotations: &BTreeMap<String, String>| {
        (annotations[DEFAULT_CONTAINER].clone(), annotations.get(SAFE_TO_EVICT).cloned())
    };
    assert_eq!(said(&of("Never", json!({}))), ("main".to_owned(), Some("true".to_owned())));
    assert_eq!(said(&of("OnSuccess", json!({}))), ("main".to_owned(), None));
    let own = of("Never", json!({DEFAULT_CONTAINER: "side", SAFE_TO_EVICT: "false"}));
    assert_eq!(said(&own), ("side".to_owned(), Some("false".to_owned())));
}

#[test]
fn pull_secrets_are_merged() {
    let secrets = plain().spec.expect("a spec").image_pull_secrets.expect("two");
    assert_eq!(secrets.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["theirs", "ours"]);
}

#[test]
fn candidates_leave_a_lost_node_soon_and_spread_unless_told_otherwise() {
    let spec = plain().spec.expect("a spec");
    assert_eq!(spec.tolerations.map(|tolerations| tolerations.len()), Some(2));
    assert_eq!(spec.topology_spread_constraints.map(|constraints| constraints.len()), Some(1));
    let own = pod(json!({"spec": {
        "containers": [{"name": "main", "command": ["x"]}], "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
    }}));
    let spec = own.spec.expect("a spec");
    assert_eq!(spec.tolerations.map(|tolerations| tolerations.len()), Some(1));
    assert_eq!(spec.topology_spread_constraints, None);
}

#[test]
fn a_lost_node_is_left_after_30_s_and_one_out_of_service_at_once() {
    let tolerations = |own: Value| {
        let pod =
            pod(json!({"spec": {"containers": [{"name": "main", "command": ["x"]}], "tolerations": own}}));
        let seconds = |is: Toleration| {
            (is.key.unwrap_or_default(), is.effect.unwrap_or_default(), is.toleration_seconds)
        };
        pod.spec
            .and_then(|spec| spec.tolerations)
            .unwrap_or_default()
            .into_iter()
            .map(seconds)
            .collect::<Vec<_>>()
    };
    let for_seconds = |key: &str, seconds| (key.to_owned(), "NoExecute".to_owned(), seconds);
    let [not_ready, unreachable] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let mut default = tolerations(json!([]));
    default.sort();
    assert_eq!(
        default,
        [for_seconds(not_ready, Some(30)), for_seconds(unreachable, Some(30))],
        "and no other taint"
    );
    let own = json!({"key": not_ready, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
    assert_eq!(
        tolerations(json!([own])),
        [for_seconds(not_ready, Some(5)), for_seconds(unreachable, Some(30))]
    );
    assert_eq!(
        tolerations(json!([{"operator": "Exists"}])),
        [(String::new(), String::new(), None)],
        "it is to stay whatever happens"
    );
}

#[test]
fn a_pod_that_has_ended_stays_on_a_lost_node_for_its_log() {
    let ours = plain().spec.and_then(|spec| spec.tolerations).expect("two");
    assert!(lasting(ours).iter().all(|toleration| toleration.toleration_seconds.is_none()));
    let own = Toleration { toleration_seconds: Some(5), ..names::toleration(names::UNREACHABLE[0], false) };
    assert_eq!(lasting(vec![own.clone()]), [own], "the template's own word stands");
}

#[test]
fn the_environment_holds_names_only_and_ours_win() {
    let pod = pod(json!({"spec": {"terminationGracePeriodSeconds": 7, "containers": [{
        "name": "main", "command": ["x"], "terminationMessagePath": "/tmp/end", "env": [{"name": environment::NAME, "value": "forged"}],
    }]}}));
    let env = pod.spec.expect("a spec").containers[0].env.clone().expect("ours");
    let value = |name: &str| {
        env.iter().find(|variable| variable.name == name).and_then(|variable| variable.value.as_deref())
    };
    assert_eq!(value(environment::NAME), Some("web"));
    assert_eq!(value(environment::TERMINATION_GRACE_PERIOD_SECONDS), Some("7"));
    assert_eq!(value(environment::TERMINATION_MESSAGE_PATH), Some("/tmp/end"));
    assert_eq!(value(environment::JOB_UID), Some("j"));
    assert_eq!(value(environment::POD_LOCK), Some(paths::POD_LOCK));
}

#[test]
fn a_pod_of_another_runtime_has_no_lock() {
    let pod = pod(
        json!({"spec": {"runtimeClassName": "gvisor", "containers": [{"name": "main", "command": ["x"]}]}}),
    );
    let env = pod.spec.expect("a spec").containers[0].env.clone().expect("ours");
    assert!(env.iter().all(|variable| variable.name != environment::POD_LOCK), "{env:?}");
}
