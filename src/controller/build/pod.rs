//! A candidate pod: the template, with the agent in front of the workload.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource,
    EnvVar, EnvVarSource, KeyToPath, LocalObjectReference, ObjectFieldSelector, Pod, PodSpec,
    ProjectedVolumeSource, ServiceAccountTokenProjection, Toleration, TopologySpreadConstraint, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::{Resource, ResourceExt};

use super::{installer, probes};
use crate::api::SingletonJob;
use crate::contract::{environment, labels, paths, pod};
use crate::controller::names;
use crate::controller::settings::Agent;

const DEFAULT_GRACE_PERIOD: i64 = 30;
/// The kubelet renews the token long before.
const TOKEN_SECONDS: i64 = 3600;
const SAFE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The candidate with this number.
pub fn candidate(job: &SingletonJob, number: i64, template_hash: &str, agent: &Agent) -> Pod {
    let mut spec = job.spec.template.spec.clone().unwrap_or_default();
    spec.restart_policy = Some(job.spec.restart_policy().to_owned());
    let installer = installer::installer(agent, &spec, job.spec.workload());
    let grace_period = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_PERIOD);
    if let Some(index) = job.spec.workload_index() {
        gate(&mut spec.containers[index], job, grace_period);
    }
    spec.init_containers.get_or_insert_default().insert(0, installer);
    spec.volumes.get_or_insert_default().extend(volumes());
    add_pull_secrets(&mut spec, agent);
    spread(&mut spec, job);
    tolerate(&mut spec);
    Pod { metadata: metadata(job, number, template_hash), spec: Some(spec), status: None }
}

/// The template as it is, under a number that no candidate has.
pub fn template(job: &SingletonJob) -> Pod {
    let template = job.spec.template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(format!("{}-0", job.name_any())),
        namespace: job.namespace(),
        labels: metadata.labels,
        annotations: metadata.annotations,
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec, status: None }
}

fn metadata(job: &SingletonJob, number: i64, template_hash: &str) -> ObjectMeta {
    let template = job.spec.template.metadata.clone().unwrap_or_default();
    let mut all_labels = names::pod_labels(job);
    all_labels.insert(labels::ROLE.to_owned(), labels::ROLE_STANDBY.to_owned());
    all_labels.insert(labels::TEMPLATE_HASH.to_owned(), template_hash.to_owned());
    ObjectMeta {
        name: Some(format!("{}-{number}", job.name_any())),
        namespace: job.namespace(),
        labels: Some(all_labels),
        annotations: Some(annotations(job, template.annotations.unwrap_or_default())),
        owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// What tools read: kubectl, which container is meant; autoscalers, that a pod may be moved whose successor
/// stands by. The template's own words win.
fn annotations(job: &SingletonJob, mut theirs: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = format!("{},{}", pod::AGENT_VOLUME, pod::STATE_VOLUME);
    theirs
        .entry(SAFE_VOLUMES.to_owned())
        .and_modify(|theirs| *theirs = format!("{theirs},{ours}"))
        .or_insert(ours);
    if let Some(gated) = job.spec.workload() {
        theirs.entry(DEFAULT_CONTAINER.to_owned()).or_insert_with(|| gated.name.clone());
    }
    if job.spec.is_service() {
        theirs.entry(SAFE_TO_EVICT.to_owned()).or_insert_with(|| "true".to_owned());
    }
    if job.spec.workload().is_some_and(probes::report_readiness) {
        theirs.insert(labels::READINESS.to_owned(), labels::READINESS_REPORTED.to_owned());
    }
    theirs
}

/// Puts the agent before the workload.
fn gate(container: &mut Container, job: &SingletonJob, grace_period: i64) {
    let mut command = vec![paths::AGENT.to_owned(), "run".to_owned(), "--".to_owned()];
    command.extend(container.command.take().unwrap_or_default());
    command.extend(container.args.take().unwrap_or_default());
    container.command = Some(command);
    probes::rewrite(container, grace_period, job.spec.standby_readiness);
    let message_path =
        container.termination_message_path.clone().unwrap_or_else(|| paths::TERMINATION_MESSAGE.to_owned());
    let ours = environment(job, grace_period, message_path);
    let env = container.env.get_or_insert_default();
    env.retain(|theirs| ours.iter().all(|ours| ours.name != theirs.name));
    env.splice(0..0, ours);
    container.volume_mounts.get_or_insert_default().extend([
        mount(pod::AGENT_VOLUME, paths::AGENT_DIRECTORY, true),
        mount(pod::CREDENTIALS_VOLUME, paths::CREDENTIALS, true),
        mount(pod::STATE_VOLUME, paths::STATE_DIRECTORY, false),
    ]);
}

fn environment(job: &SingletonJob, grace_period: i64, message_path: String) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    let field = |name: &str, path: &str| EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field(path)), ..EnvVarSource::default() }),
    };
    vec![
        value(environment::NAME, job.name_any()),
        value(environment::NAMESPACE, job.namespace().unwrap_or_default()),
        value(environment::JOB_UID, job.uid().unwrap_or_default()),
        field(environment::POD_NAME, "metadata.name"),
        field(environment::POD_UID, "metadata.uid"),
        field(environment::POD_IP, "status.podIP"),
        value(environment::TERMINATION_GRACE_PERIOD_SECONDS, grace_period.to_string()),
        value(environment::TERMINATION_MESSAGE_PATH, message_path),
    ]
}

fn field(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector { api_version: Some("v1".into()), field_path: path.into() }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// The agent's program and what it writes are in memory: neither a page fault nor a write waits for a disk of
/// the node.
fn volumes() -> [Volume; 3] {
    let empty_dir = |name: &str, megabytes: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".into()),
            size_limit: Some(Quantity(megabytes.into())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let credentials =
        Volume { name: pod::CREDENTIALS_VOLUME.into(), projected: Some(credentials()), ..Volume::default() };
    [empty_dir(pod::AGENT_VOLUME, "64Mi"), credentials, empty_dir(pod::STATE_VOLUME, "16Mi")]
}

/// What Kubernetes would mount by itself, were it not turned off by `automountServiceAccountToken`.
fn credentials() -> ProjectedVolumeSource {
    let token = ServiceAccountTokenProjection {
        path: "token".into(),
        expiration_seconds: Some(TOKEN_SECONDS),
        ..ServiceAccountTokenProjection::default()
    };
    let certificate = ConfigMapProjection {
        name: "kube-root-ca.crt".into(),
        items: Some(vec![KeyToPath { key: "ca.crt".into(), path: "ca.crt".into(), ..KeyToPath::default() }]),
        optional: None,
    };
    let namespace = DownwardAPIVolumeFile {
        path: "namespace".into(),
        field_ref: Some(field("metadata.namespace")),
        ..DownwardAPIVolumeFile::default()
    };
    ProjectedVolumeSource {
        // Readable for any user that the workload's container may run as.
        default_mode: Some(0o444),
        sources: Some(vec![
            VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
            VolumeProjection { config_map: Some(certificate), ..VolumeProjection::default() },
            VolumeProjection {
                downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
                ..VolumeProjection::default()
            },
        ]),
        ..ProjectedVolumeSource::default()
    }
}

fn add_pull_secrets(spec: &mut PodSpec, agent: &Agent) {
    let secrets = spec.image_pull_secrets.get_or_insert_default();
    for secret in &agent.pull_secrets {
        if secrets.iter().all(|known| known.name != *secret) {
            secrets.push(LocalObjectReference { name: secret.clone() });
        }
    }
}

/// Over nodes, softly, unless the template has its own ideas.
fn spread(spec: &mut PodSpec, job: &SingletonJob) {
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

fn tolerate(spec: &mut PodSpec) {
    let tolerations = spec.tolerations.get_or_insert_default();
    for taint in names::UNREACHABLE {
        if tolerations.iter().all(|theirs| theirs.key.as_deref().is_some_and(|key| key != taint)) {
            tolerations.push(names::toleration(taint, false));
        }
    }
}

/// `tolerations` of a candidate that has ended: it stays for its log, whatever becomes of its node, until
/// that is removed.
pub fn lasting(tolerations: Vec<Toleration>) -> Vec<Toleration> {
    let lasting = |toleration: Toleration| {
        let ours = names::UNREACHABLE.into_iter().find(|taint| toleration == names::toleration(taint, false));
        ours.map_or(toleration, |taint| names::toleration(taint, true))
    };
    tolerations.into_iter().map(lasting).collect()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
        let as_given =
            |value: &Value| serde_json::from_value::<Container>(value.clone()).expect("a container");
        assert_eq!(spec.containers[0], as_given(&beside));
        assert_eq!(spec.containers[1].command.as_ref().expect("ours")[..3], [paths::AGENT, "run", "--"]);
        let kept = spec.init_containers.expect("the installer and two more");
        assert_eq!(kept[0].name, pod::INSTALLER, "so that nothing that runs on is in its way");
        assert_eq!(kept[1..], [as_given(&init[0]), as_given(&init[1])]);
        let names: Vec<_> =
            spec.volumes.expect("five and ours").into_iter().map(|volume| volume.name).collect();
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
            of(json!({"completionPolicy": kind, "template": template(own)}))
                .metadata
                .annotations
                .expect("some")
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
            let pod = pod(
                json!({"spec": {"containers": [{"name": "main", "command": ["x"]}], "tolerations": own}}),
            );
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
        let own =
            json!({"key": not_ready, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
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
        let own =
            Toleration { toleration_seconds: Some(5), ..names::toleration(names::UNREACHABLE[0], false) };
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
    }
}
