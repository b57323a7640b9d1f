//! An API server with the definition, a namespace, and a running controller.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{is_true, types};
use singletonjob::contract::field_managers;
use singletonjob::controller;
use singletonjob::controller::settings::Agent;
use singletonjob::lease::annotations::keys;
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;
use singletonjob::telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::control_plane::ControlPlane;

const CRD: &str = include_str!("../../crds/singletonjobs.singletonjob.dev.yaml");
/// The field manager of the user who applies specs.
pub const USER: &str = "user";
/// How long a test waits for what the controller should do.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at what is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than a reconciliation and everything that it sets off.
pub const QUIET: Duration = Duration::from_secs(3);

/// An API server with the definition, a namespace, and a running controller.
pub struct Fixture {
    /// With all rights.
    pub client: Client,
    /// Of everything that the test makes.
    pub namespace: &'static str,
    /// Of the controller.
    pub telemetry: Arc<Telemetry>,
    /// The controller that runs.
    pub controller: JoinHandle<()>,
    /// The API server and its etcd.
    pub control_plane: Arc<ControlPlane>,
}

/// Applies the definition, once for all tests, and waits until it is served.
fn define(control_plane: &ControlPlane) {
    static DEFINING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = DEFINING.lock().unwrap_or_else(PoisonError::into_inner);
    let is_served =
        || control_plane.kubectl(&["get", "singletonjobs", "--all-namespaces"], "").status.success();
    if is_served() {
        return;
    }
    let output = control_plane.kubectl(&["apply", "--server-side", "--filename", "-"], CRD);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let started = Instant::now();
    while !is_served() {
        assert!(started.elapsed() < PATIENCE, "the definition is not served");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts a controller.
pub fn start(client: &Client, telemetry: &Arc<Telemetry>) -> JoinHandle<()> {
    let agent = Agent { image: "agent:test".into(), ..Agent::default() };
    tokio::spawn(controller::run(client.clone(), agent, "controller-0".into(), telemetry.clone()))
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Fixture {
    /// On the API server that tests share.
    pub async fn new(namespace: &'static str) -> Self {
        Self::on(ControlPlane::shared(), namespace).await
    }

    /// On an API server of its own: the controllers of other tests look after every namespace, and so would
    /// this one.
    pub async fn alone(namespace: &'static str) -> Self {
        Self::on(Arc::new(ControlPlane::start()), namespace).await
    }

    async fn on(control_plane: Arc<ControlPlane>, namespace: &'static str) -> Self {
        define(&control_plane);
        let client = control_plane.client().await;
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let created = Namespace { metadata: named(namespace), ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &created).await.expect("a namespace");
        // No controller manager makes it here, and pods are not admitted without it.
        let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
        Api::namespaced(client.clone(), namespace)
            .create(&PostParams::default(), &account)
            .await
            .expect("a service account");
        let telemetry = Arc::new(Telemetry::default());
        let controller = start(&client, &telemetry);
        Self { client, namespace, telemetry, controller, control_plane }
    }

    /// Objects of one kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// All objects of one kind in the namespace.
    pub async fn all<K>(&self) -> Vec<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api::<K>().list(&ListParams::default()).await.expect("an answer").items
    }

    /// Applies a SingletonJob with `spec`, which needs no template.
    pub async fn apply(&self, name: &str, spec: Value) {
        let mut all = json!({"template": {"spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]}}});
        all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": name}, "spec": all});
        let jobs: Api<SingletonJob> = self.api();
        jobs.patch(name, &PatchParams::apply(USER).force(), &Patch::Apply(&job)).await.expect("accepted");
    }

    /// The SingletonJob as the API server has it.
    pub async fn job(&self, name: &str) -> SingletonJob {
        self.api::<SingletonJob>().get(name).await.expect("there")
    }

    /// All pods in the namespace.
    pub async fn pods(&self) -> Vec<Pod> {
        self.all().await
    }

    /// Waits until the SingletonJob is as `wanted`.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&SingletonJob) -> bool,
    ) -> SingletonJob {
        let started = Instant::now();
        loop {
            let job = self.job(name).await;
            if wanted(&job) {
                return job;
            }
            assert!(started.elapsed() < PATIENCE, "not {what}: {:#?}", job.status);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until status counts so many candidates.
    pub async fn settled(&self, name: &str, replicas: i32) -> SingletonJob {
        self.until(name, "settled", |job| {
            job.status.as_ref().is_some_and(|status| status.replicas == Some(replicas))
        })
        .await
    }

    /// resourceVersions of everything that was made.
    pub async fn versions(&self) -> Vec<Option<String>> {
        let mut versions: Vec<_> = self.pods().await.iter().map(ResourceExt::resource_version).collect();
        versions.extend(self.all::<SingletonJob>().await.iter().map(ResourceExt::resource_version));
        versions.extend(self.all::<Role>().await.iter().map(ResourceExt::resource_version));
        versions.extend(self.all::<RoleBinding>().await.iter().map(ResourceExt::resource_version));
        versions
    }

    /// Plays the agent of `pod`, which reads again where the controller was faster.
    pub async fn hold(&self, name: &str, pod: &Pod, acquire: bool) {
        loop {
            match self.try_to_hold(name, pod, acquire).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => panic!("{name} cannot be held: {error}"),
            }
        }
    }

    async fn try_to_hold(&self, name: &str, pod: &Pod, acquire: bool) -> kube::Result<Lease> {
        let leases: Api<Lease> = self.api();
        let mut lease = leases.get(name).await?;
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if acquire {
            spec.holder_identity =
                Some(Identity::new(&pod.name_any(), &pod.uid().expect("stored"), 7).to_string());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(1);
        }
        spec.renew_time = Some(now);
        let params =
            PostParams { field_manager: Some(field_managers::AGENT.to_owned()), ..PostParams::default() };
        leases.replace(name, &params, &lease).await
    }

    /// Plays an agent that writes this account of the job's run.
    pub async fn report(&self, name: &str, mut progress: Value) {
        progress["uid"] = json!(self.job(name).await.uid());
        let leases: Api<Lease> = self.api();
        let patch = json!({"metadata": {"annotations": {keys::PROGRESS: progress.to_string()}}});
        let params =
            PatchParams { field_manager: Some(field_managers::AGENT.to_owned()), ..PatchParams::default() };
        leases.patch(name, &params, &Patch::Merge(patch)).await.expect("stored");
    }

    /// Another controller in the place of this one.
    pub fn restart(&mut self) {
        self.controller.abort();
        self.controller = start(&self.client, &self.telemetry);
    }

    /// A SingletonJob under `policy` whose holder has fallen silent, as status says; the holder's pod.
    pub async fn silent(&self, name: &str, policy: &str) -> Pod {
        let takeover = json!({"unreachableHolder": {"policy": policy}});
        self.apply(
            name,
            json!({"completionPolicy": "Never", "lease": {"leaseDurationSeconds": 3}, "takeover": takeover}),
        )
        .await;
        self.settled(name, 2).await;
        let pod = self.api::<Pod>().get(&format!("{name}-1")).await.expect("there");
        self.hold(name, &pod, true).await;
        let blocked = |job: &SingletonJob| {
            job.status.as_ref().is_some_and(|status| is_true(&status.conditions, types::TAKEOVER_BLOCKED))
        };
        self.until(name, "blocked", blocked).await;
        assert!(!self.record(name).await.is_cleared());
        pod
    }

    /// What the Lease says.
    pub async fn record(&self, name: &str) -> Record {
        Record::read(&self.api::<Lease>().get(name).await.expect("there")).expect("a record")
    }

    /// Waits until the Lease says that its holder is gone, and status no longer that this is waited for.
    pub async fn cleared(&self, name: &str) {
        let started = Instant::now();
        while !self.record(name).await.is_cleared() {
            assert!(started.elapsed() < PATIENCE, "not cleared: {:#?}", self.job(name).await.status);
            sleep(Duration::from_millis(50)).await;
        }
        let free = |job: &SingletonJob| {
            job.status.as_ref().is_some_and(|status| !is_true(&status.conditions, types::TAKEOVER_BLOCKED))
        };
        self.until(name, "free to be taken", free).await;
    }

    /// Plays the scheduler and the kubelet: `pod` is ready on a node of its own in this zone.
    pub async fn place(&self, pod: &Pod, zone: &str) {
        let (name, node) = (pod.name_any(), format!("{}-{zone}", self.namespace));
        let object = serde_json::from_value(json!({"metadata": {"name": node, "labels": {"zone": zone}}}))
            .expect("a Node");
        Api::<Node>::all(self.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .expect("a new node");
        bind(pod, &node);
        let ready =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.api::<Pod>()
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(ready))
            .await
            .expect("ready");
    }

    /// The metric that counts reconciliations, as it is exposed.
    pub fn reconciles(&self) -> String {
        self.telemetry
            .metrics
            .encode()
            .lines()
            .filter(|line| line.starts_with("controller_runtime_reconcile_total"))
            .collect()
    }
}

/// As a scheduler would.
pub fn bind(pod: &Pod, node: &str) {
    let (namespace, name) = (pod.namespace().expect("stored"), pod.name_any());
    let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target});
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
    let output =
        ControlPlane::shared().kubectl(&["create", "--raw", &path, "--filename", "-"], &binding.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
