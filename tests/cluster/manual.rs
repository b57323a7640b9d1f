//! Lease, Role and candidates as the controller would make them, made by the test: the agent alone is under
//! test.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use singletonjob::contract::{self, LeaseFile, environment, paths, pod};
use singletonjob::controller::build::rbac::VERBS;
use singletonjob::lease::annotations::{CompletionPolicy, keys};
use singletonjob::lease::record::Record;
use singletonjob::lease::timing::{Timing, TimingSpec};
use testkit::cluster::Process;
use testkit::job::IMAGE;
use testkit::lease::{self, JOB_UID};
use testkit::observe::{await_object, await_tenure, eventually};
use testkit::scenario::Scenario;
use testkit::witness::Tenure;

/// Of Lease, Role and candidates.
pub const NAME: &str = "rollup";
/// Of the gated container.
pub const CONTAINER: &str = "main";

const OPERATOR_IMAGE: &str = "ghcr.io/singletonjob/singletonjob:0.1.0";
/// Short, for stubborn workloads make every scenario wait for its end.
const GRACE_PERIOD_SECONDS: u32 = 6;
/// For a pod whose images are there, on a machine that starts others too.
pub const POD_START: Duration = Duration::from_secs(45);

/// A job without a controller.
pub struct ManualJob<'a> {
    scenario: &'a Scenario,
    /// The durations in force.
    pub timing: Timing,
}

/// A candidate pod.
pub struct Candidate<'a> {
    scenario: &'a Scenario,
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
    /// Where it is.
    pub node: &'static str,
}

impl<'a> ManualJob<'a> {
    /// A Lease of `seconds`, free at once, and the right to use it.
    pub async fn create(
        scenario: &'a Scenario,
        seconds: u64,
        completion_policy: CompletionPolicy,
        backoff_limit: u32,
    ) -> Self {
        let timing = Timing::new(&TimingSpec::of(Duration::from_secs(seconds))).expect("a lease that fits");
        let job = Self { scenario, timing };
        job.allow().await;
        let annotations = lease::annotations(timing, completion_policy, backoff_limit);
        let lease: Lease = job.post(job.lease_with("", &annotations)).await;
        job.release_as_created(lease).await;
        job
    }

    async fn allow(&self) {
        let metadata = json!({"name": NAME, "labels": labels_of_all()});
        let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [NAME],
            "verbs": VERBS}]);
        self.post::<Role>(json!({"metadata": metadata, "rules": rules})).await;
        self.post::<RoleBinding>(json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": self.scenario.namespace}],
        }))
        .await;
        // Pods are refused until the controller-manager has made it.
        let accounts = self.scenario.api::<ServiceAccount>();
        await_object(accounts, "default", "service account", POD_START, |account| account.is_some()).await;
    }

    fn lease_with(&self, holder: &str, annotations: &BTreeMap<String, String>) -> Value {
        lease::held_by(NAME, holder, self.timing, annotations)
    }

    async fn release_as_created(&self, lease: Lease) {
        let lease = lease::released_as_created(lease);
        self.scenario
            .api()
            .replace(NAME, &PostParams::default(), &lease)
            .await
            .expect("a Lease that only this test writes yet");
    }

    /// As the controller would, after a user deleted it: held by the last known holder, as long as nothing
    /// better is known.
    pub async fn recreate(&self, deleted: &Lease) {
        let mut annotations = deleted.annotations().clone();
        annotations.retain(|key, _| [keys::POLICY, keys::RUN].contains(&key.as_str()));
        let holder = deleted.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        self.post::<Lease>(self.lease_with(&holder, &annotations)).await;
    }

    /// The Lease as it is stored.
    pub async fn lease(&self) -> Lease {
        self.scenario.api().get(NAME).await.expect("the Lease is there")
    }

    /// The Lease as candidates understand it.
    pub async fn record(&self) -> Record {
        Record::read(&self.lease().await).expect("a Lease of ours")
    }

    /// Candidate `n` on `node`, with the witness started like this.
    pub async fn candidate(&self, n: u32, node: &'static str, witness: &[&str]) -> Candidate<'a> {
        let name = format!("{NAME}-{n}");
        let created: Pod = self.post(pod(&name, node, self.scenario, witness)).await;
        Candidate { scenario: self.scenario, name, uid: created.uid().expect("from the API server"), node }
    }

    /// The first candidate, running the workload, and another, ready to take over.
    pub async fn pair(&self, witness: &[&str]) -> (Candidate<'a>, Candidate<'a>, Tenure) {
        let active = self.candidate(0, self.scenario.nodes[0], witness).await;
        let tenure = await_tenure(&self.scenario.records, 1, POD_START).await;
        let standby = self.candidate(1, self.scenario.nodes[1], witness).await;
        standby.await_role(contract::Role::Standby).await;
        (active, standby, tenure)
    }

    async fn post<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + serde::de::DeserializeOwned
            + serde::Serialize,
        K: Clone + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(object).expect("a valid object");
        self.scenario.api().create(&PostParams::default(), &object).await.expect("the API server takes it")
    }
}

impl Candidate<'_> {
    /// Processes of the gated container; PID 1 first, then the elector.
    pub fn processes(&self) -> Vec<Process> {
        self.scenario.cluster.processes(&self.uid, CONTAINER)
    }

    /// The process that holds the Lease: the agent's own child.
    pub fn elector(&self) -> Process {
        let processes = self.processes();
        let fencer = processes.first().filter(|process| process.pid_inside == 1).expect("PID 1");
        let elector = processes.iter().find(|process| process.parent == fencer.pid);
        elector.unwrap_or_else(|| panic!("no child of PID 1: {processes:?}")).clone()
    }

    /// Sends a signal to every process of the gated container.
    pub fn signal_all(&self, signal: Signal) {
        for process in self.processes() {
            process.signal(signal);
        }
    }

    /// What the agent says in the file for its workload, if it runs and has said something.
    fn standing(&self) -> Option<LeaseFile> {
        let listing = self.scenario.cluster.find_processes(&self.uid, CONTAINER);
        let fencer = listing.first()?.pid;
        let file = std::fs::read(format!("/proc/{fencer}/root{}", paths::LEASE_FILE)).ok()?;
        serde_json::from_slice(&file).ok()
    }

    /// Waits until the agent says that it is this.
    pub async fn await_role(&self, role: contract::Role) -> LeaseFile {
        self.await_role_within(POD_START, role).await
    }

    /// The same, where it takes its time.
    pub async fn await_role_within(&self, deadline: Duration, role: contract::Role) -> LeaseFile {
        let standing = || self.standing().filter(|standing| standing.role == role);
        eventually(&format!("{} becoming {role:?}", self.name), deadline, standing).await
    }

    /// As a user would.
    pub async fn delete(&self) {
        self.scenario
            .api::<Pod>()
            .delete(&self.name, &DeleteParams::default())
            .await
            .expect("the pod is there");
    }

    /// Waits until the gated container has ended; returns its exit code and termination message.
    pub async fn await_end(&self, deadline: Duration) -> (i32, String) {
        let ended =
            await_object(self.scenario.api::<Pod>(), &self.name, "its container ended", deadline, |pod| {
                terminated(pod).is_some()
            });
        terminated(ended.await.as_ref()).expect("just seen")
    }
}

fn terminated(pod: Option<&Pod>) -> Option<(i32, String)> {
    let statuses = pod?.status.as_ref()?.container_statuses.as_ref()?;
    let state = statuses.iter().find(|status| status.name == CONTAINER)?.state.as_ref()?;
    state.terminated.as_ref().map(|end| (end.exit_code, end.message.clone().unwrap_or_default()))
}

/// Not the controller's: an operator that is installed at the same time must leave these alone.
fn labels_of_all() -> Value {
    lease::labels_of(NAME)
}

/// A pod into which the agent was injected.
fn pod(name: &str, node: &str, scenario: &Scenario, witness: &[&str]) -> Value {
    let command = [&[paths::AGENT, "run", "--", "/bin/witness"], witness].concat();
    json!({
        "metadata": {"name": name, "labels": labels_of_all()},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_PERIOD_SECONDS,
            "initContainers": [{
                "name": pod::INSTALLER, "image": OPERATOR_IMAGE, "imagePullPolicy": "IfNotPresent",
                "command": ["singletonjob-agent", "install", paths::AGENT_DIRECTORY],
                "volumeMounts": [{"name": pod::AGENT_VOLUME, "mountPath": paths::AGENT_DIRECTORY}],
            }],
            "containers": [{
                "name": CONTAINER, "image": IMAGE, "imagePullPolicy": "Never",
                "command": command,
                "env": environment_of(scenario),
                "volumeMounts": [
                    {"name": pod::AGENT_VOLUME, "mountPath": paths::AGENT_DIRECTORY, "readOnly": true},
                    {"name": pod::CREDENTIALS_VOLUME, "mountPath": paths::CREDENTIALS, "readOnly": true},
                    {"name": pod::STATE_VOLUME, "mountPath": paths::STATE_DIRECTORY},
                    {"name": "records", "mountPath": "/witness"},
                ],
            }],
            "volumes": [
                {"name": pod::AGENT_VOLUME, "emptyDir": {"medium": "Memory"}},
                {"name": pod::STATE_VOLUME, "emptyDir": {"medium": "Memory"}},
                {"name": pod::CREDENTIALS_VOLUME, "projected": {"sources": credentials()}},
                {"name": "records", "hostPath": {"path": scenario.records, "type": "Directory"}},
            ],
        },
    })
}

fn environment_of(scenario: &Scenario) -> Value {
    let of_pod = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    json!([
        {"name": "WITNESS_PAUSE_MICROSECONDS", "value": scenario.pause_microseconds.to_string()},
        {"name": environment::NAME, "value": NAME},
        {"name": environment::NAMESPACE, "value": scenario.namespace},
        {"name": environment::JOB_UID, "value": JOB_UID},
        {"name": environment::POD_NAME, "valueFrom": of_pod("metadata.name")},
        {"name": environment::POD_UID, "valueFrom": of_pod("metadata.uid")},
        {"name": environment::TERMINATION_GRACE_PERIOD_SECONDS, "value": GRACE_PERIOD_SECONDS.to_string()},
        {"name": environment::TERMINATION_MESSAGE_PATH, "value": paths::TERMINATION_MESSAGE},
    ])
}

fn credentials() -> Value {
    json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ])
}
