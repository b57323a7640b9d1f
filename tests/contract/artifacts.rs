//! What both programs agree on outside of the Lease: a candidate pod, what lies in it, and names.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::contract::{self, LeaseFile, Role, environment, exit_codes, labels, paths};
use singletonjob::controller::build::{pod, rbac};
use singletonjob::controller::names;
use singletonjob::controller::settings::Agent;
use singletonjob::lease::annotations::keys;
use singletonjob::lease::identity::{Identity, Version};

pub const POD: &str = "pod";
pub const STANDING: &str = "standing";
pub const NAMES: &str = "names";
/// The pod's container that the agent is put into.
pub const GATED: &str = "main";

pub fn all() -> BTreeMap<String, Value> {
    let artifacts = [(POD, candidate()), (STANDING, standings()), (NAMES, all_names())];
    artifacts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// With every kind of probe and hook.
pub fn job() -> SingletonJob {
    let container = json!({
        "name": GATED, "image": "ghcr.io/example/rollup:1.4", "command": ["/usr/bin/rollup"], "args": ["--all"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 5, "failureThreshold": 6},
        "livenessProbe": {"exec": {"command": ["/usr/bin/alive"]}, "initialDelaySeconds": 3, "timeoutSeconds": 2},
        "readinessProbe": {"httpGet": {"port": "http", "path": "/ready", "httpHeaders": [{"name": "Host", "value": "rollup"}]}},
        "lifecycle": {"preStop": {"exec": {"command": ["/usr/bin/flush"]}}},
    });
    let job = json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
        "metadata": {"name": "rollup", "namespace": "billing", "uid": "5f0c2f6e-0b1a-4b43-9d2f-3f1c8e7a6d51"},
        "spec": {"template": {"spec": {"terminationGracePeriodSeconds": 40, "containers": [container, {"name": "side", "image": "side"}]}}},
    });
    serde_json::from_value(job).expect("a SingletonJob")
}

/// Of the whole pod only what agents and controllers look at: the rest is the kubelet's business.
fn candidate() -> Value {
    let agent = Agent { image: "ghcr.io/singletonjob/singletonjob:any".to_owned(), ..Agent::default() };
    let pod = pod::candidate(&job(), 3, &names::template_hash(&job().spec), &agent);
    let pod = serde_json::to_value(pod).expect("plain data");
    let metadata =
        ["name", "namespace", "labels", "ownerReferences"].map(|key| (key, pod["metadata"][key].clone()));
    let container = gated(&pod);
    let seen = ["name", "command", "env", "volumeMounts", "livenessProbe", "readinessProbe", "lifecycle"];
    let container: BTreeMap<_, _> = seen.into_iter().map(|key| (key, container[key].clone())).collect();
    let installer = &pod["spec"]["initContainers"][0];
    let installer: BTreeMap<_, _> =
        ["name", "command", "volumeMounts"].into_iter().map(|key| (key, installer[key].clone())).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": BTreeMap::from(metadata),
        "spec": {"containers": [container], "initContainers": [installer], "volumes": pod["spec"]["volumes"]},
    })
}

pub fn gated(pod: &Value) -> Value {
    let containers = pod["spec"]["containers"].as_array().expect("a list");
    containers.iter().find(|container| container["name"] == GATED).expect("there").clone()
}

/// As the kubelet fills it in.
pub fn environment(gated: &Value) -> BTreeMap<String, String> {
    let filled =
        |variable: &Value| variable["value"].as_str().unwrap_or("filled-in-by-the-kubelet").to_owned();
    let variables = gated["env"].as_array().expect("a list");
    variables
        .iter()
        .map(|variable| (variable["name"].as_str().expect("a name").to_owned(), filled(variable)))
        .collect()
}

/// The arguments of every call of the agent in that container.
pub fn calls_of_the_agent(gated: &Value) -> Vec<Vec<String>> {
    let calls = [
        "/command",
        "/livenessProbe/exec/command",
        "/readinessProbe/exec/command",
        "/lifecycle/preStop/exec/command",
    ];
    let words = |call: &str| {
        serde_json::from_value::<Vec<String>>(gated.pointer(call).expect("there").clone()).expect("words")
    };
    let calls: Vec<_> = calls.into_iter().map(words).collect();
    assert!(calls.iter().all(|words| words[0] == paths::AGENT), "{calls:?}");
    calls.into_iter().map(|words| words[1..].to_vec()).collect()
}

fn standings() -> Value {
    let me = Identity::new("rollup-1", "6f1c", 7);
    let pending = LeaseFile {
        role: Role::Pending,
        identity: me.clone(),
        holder: None,
        token: None,
        valid_until_boottime_nanoseconds: None,
        started_boottime_nanoseconds: None,
        workload_pid: None,
        scheduled_time: None,
        trouble: Some("reading lease billing/rollup at https://10.0.0.1:443: Connection refused".to_owned()),
    };
    let standby = LeaseFile {
        role: Role::Standby,
        holder: Some(Identity::new("rollup-2", "77aa", 9)),
        trouble: None,
        ..pending.clone()
    };
    let active = LeaseFile {
        role: Role::Active,
        holder: Some(me),
        token: Some(Version(48_213)),
        valid_until_boottime_nanoseconds: Some(9_000_000_000_000),
        started_boottime_nanoseconds: Some(8_000_000_000_000),
        workload_pid: None,
        ..standby.clone()
    };
    let stopping = LeaseFile { role: Role::Stopping, ..active.clone() };
    json!([pending, standby, active, stopping])
}

fn all_names() -> Value {
    let by_agents = [
        environment::FENCING_TOKEN,
        environment::RUN,
        environment::ATTEMPT,
        environment::NAME,
        environment::NAMESPACE,
    ];
    let annotations = [
        keys::POLICY,
        keys::RUN,
        keys::HANDOVER,
        keys::SUCCESSION,
        keys::PROGRESS,
        keys::RELEASED,
        keys::FINISHED,
        keys::HEALTH,
    ];
    let rights: BTreeMap<_, _> = rbac::VERBS.into_iter().map(|verb| (verb, "granted")).collect();
    json!({
        "labels": {
            "name": [labels::NAME, labels::NAME_VALUE], "managedBy": [labels::MANAGED_BY, labels::MANAGED_BY_VALUE], "job": labels::JOB,
            "role": [labels::ROLE, labels::ROLE_ACTIVE, labels::ROLE_STANDBY], "templateHash": labels::TEMPLATE_HASH,
        },
        "environmentOfTheWorkload": by_agents,
        "annotationsOfTheLease": annotations,
        "standing": paths::LEASE_FILE,
        "exitCodes": {
            "usage": exit_codes::USAGE, "handOver": exit_codes::HAND_OVER, "selfTestFailed": exit_codes::SELF_TEST_FAILED, "leaseUnreadable": exit_codes::LEASE_UNREADABLE,
            "leaseLost": exit_codes::LEASE_LOST, "agentFailed": exit_codes::AGENT_FAILED, "cannotExecute": exit_codes::CANNOT_EXECUTE,
            "notFound": exit_codes::NOT_FOUND, "interrupted": exit_codes::INTERRUPTED,
        },
        "terminationPrefix": contract::TERMINATION_PREFIX,
        "rights": rights,
    })
}
