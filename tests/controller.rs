//! The controller against a real API server: what it makes, what it leaves alone, and what does not wake it.

#[path = "support/control_plane.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod control_plane;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, is_true, types};
use singletonjob::api::takeover::CLEARED_HOLDER;
use singletonjob::contract::{labels, paths};
use singletonjob::controller;
use singletonjob::controller::settings::Agent;
use singletonjob::lease::record::{Identity, Record};
use singletonjob::telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const CRD: &str = include_str!("../crds/singletonjobs.singletonjob.dev.yaml");
const PATIENCE: Duration = Duration::from_secs(40);
/// Longer than a reconciliation and everything that it sets off.
const QUIET: Duration = Duration::from_secs(3);

/// An API server with the definition, a namespace, and a running controller.
struct Bench {
    client: Client,
    namespace: &'static str,
    telemetry: Arc<Telemetry>,
    controller: JoinHandle<()>,
    _control_plane: Arc<ControlPlane>,
}

/// Applies the definition, once for all tests, and waits until it is served.
fn define(control_plane: &ControlPlane) {
    static DEFINING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = DEFINING.lock().unwrap_or_else(PoisonError::into_inner);
    let is_served = || control_plane.kubectl(&["get", "singletonjobs", "--all-namespaces"], "").status.success();
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

impl Drop for Bench {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Bench {
    async fn new(namespace: &'static str) -> Self {
        Self::on(ControlPlane::shared(), namespace).await
    }

    /// On an API server of its own: the controllers of other tests look after every namespace, and so would this one.
    async fn alone(namespace: &'static str) -> Self {
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
        Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &account).await.expect("a service account");
        let telemetry = Arc::new(Telemetry::default());
        let agent = Agent { image: "agent:test".into(), pull_policy: None, pull_secrets: Vec::new() };
        let controller = tokio::spawn(controller::run(client.clone(), agent, "controller-0".into(), telemetry.clone()));
        Self { client, namespace, telemetry, controller, _control_plane: control_plane }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn apply(&self, name: &str, spec: Value) {
        let mut all = json!({"template": {"spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]}}});
        all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": name}, "spec": all});
        let jobs: Api<SingletonJob> = self.api();
        jobs.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&job)).await.expect("accepted");
    }

    async fn job(&self, name: &str) -> SingletonJob {
        self.api::<SingletonJob>().get(name).await.expect("there")
    }

    async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default()).await.expect("an answer").items
    }

    /// Waits until the SingletonJob is as `wanted`.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&SingletonJob) -> bool) -> SingletonJob {
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

    async fn settled(&self, name: &str, replicas: i32) -> SingletonJob {
        self.until(name, "settled", |job| job.status.as_ref().is_some_and(|status| status.replicas == Some(replicas))).await
    }

    /// resourceVersions of everything that was made.
    async fn versions(&self) -> Vec<Option<String>> {
        let all = ListParams::default();
        let mut versions: Vec<_> = self.pods().await.iter().map(ResourceExt::resource_version).collect();
        versions.extend(self.api::<SingletonJob>().list(&all).await.expect("an answer").iter().map(ResourceExt::resource_version));
        versions.extend(self.api::<Role>().list(&all).await.expect("an answer").iter().map(ResourceExt::resource_version));
        versions.extend(self.api::<RoleBinding>().list(&all).await.expect("an answer").iter().map(ResourceExt::resource_version));
        versions
    }

    /// Plays the agent of `pod`.
    async fn hold(&self, name: &str, pod: &Pod, acquire: bool) {
        let leases: Api<Lease> = self.api();
        let mut lease = leases.get(name).await.expect("there");
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if acquire {
            spec.holder_identity = Some(Identity::new(&pod.name_any(), &pod.uid().expect("stored"), 7).to_string());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(1);
        }
        spec.renew_time = Some(now);
        leases.replace(name, &PostParams::default(), &lease).await.expect("nobody else writes");
    }

    /// A SingletonJob under `policy` whose holder has fallen silent, as status says; the holder's pod.
    async fn silent(&self, name: &str, policy: &str) -> Pod {
        let takeover = json!({"unreachableHolder": {"policy": policy}});
        self.apply(name, json!({"completionPolicy": "Never", "lease": {"leaseDurationSeconds": 3}, "takeover": takeover})).await;
        self.settled(name, 2).await;
        let pod = self.api::<Pod>().get(&format!("{name}-1")).await.expect("there");
        self.hold(name, &pod, true).await;
        let blocked = |job: &SingletonJob| job.status.as_ref().is_some_and(|status| is_true(&status.conditions, types::TAKEOVER_BLOCKED));
        self.until(name, "blocked", blocked).await;
        assert!(!self.record(name).await.is_cleared());
        pod
    }

    async fn record(&self, name: &str) -> Record {
        Record::read(&self.api::<Lease>().get(name).await.expect("there")).expect("a record")
    }

    /// Waits until the Lease says that its holder is gone, and status no longer that this is waited for.
    async fn cleared(&self, name: &str) {
        let started = Instant::now();
        while !self.record(name).await.is_cleared() {
            assert!(started.elapsed() < PATIENCE, "not cleared: {:#?}", self.job(name).await.status);
            sleep(Duration::from_millis(50)).await;
        }
        let free = |job: &SingletonJob| job.status.as_ref().is_some_and(|status| !is_true(&status.conditions, types::TAKEOVER_BLOCKED));
        self.until(name, "free to be taken", free).await;
    }

    /// Plays the scheduler and the kubelet: `pod` is ready on a node of its own in this zone.
    async fn place(&self, pod: &Pod, zone: &str) {
        let (name, node) = (pod.name_any(), format!("{}-{zone}", self.namespace));
        let object = serde_json::from_value(json!({"metadata": {"name": node, "labels": {"zone": zone}}})).expect("a Node");
        Api::<Node>::all(self.client.clone()).create(&PostParams::default(), &object).await.expect("a new node");
        bind(pod, &node);
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.api::<Pod>().patch_status(&name, &PatchParams::default(), &Patch::Merge(ready)).await.expect("ready");
    }

    fn reconciles(&self) -> String {
        self.telemetry.metrics.encode().lines().filter(|line| line.starts_with("controller_runtime_reconcile_total")).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_gets_a_free_lease_then_a_role_then_its_candidates_and_a_second_look_changes_nothing() {
    let bench = Bench::new("makes").await;
    bench.apply("web", json!({"completionPolicy": "Never", "replicas": 2})).await;
    let job = bench.settled("web", 2).await;
    let lease = bench.api::<Lease>().get("web").await.expect("a Lease");
    assert!(Record::read(&lease).expect("a record").is_released(), "nobody ever held it");
    assert_eq!(lease.owner_references(), [], "it outlives its SingletonJob");
    let role = bench.api::<Role>().get("singletonjob-web").await.expect("a Role");
    assert_eq!(role.owner_references()[0].uid, lease.uid().expect("stored"));
    assert_eq!(role.rules.expect("one")[0].resource_names.as_deref(), Some(&["web".to_owned()][..]));
    let binding = bench.api::<RoleBinding>().get("singletonjob-web").await.expect("a RoleBinding");
    assert_eq!(binding.subjects.expect("one")[0].name, "default");
    let pods = bench.pods().await;
    assert_eq!(pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["web-1", "web-2"]);
    let spec = pods[0].spec.as_ref().expect("a spec");
    assert_eq!(
        (spec.restart_policy.as_deref(), spec.containers[0].command.as_ref().expect("one")[0].as_str()),
        (Some("Always"), paths::AGENT)
    );
    assert_eq!(pods[0].owner_references()[0].uid, job.uid().expect("stored"));
    sleep(QUIET).await;
    let before = bench.versions().await;
    bench
        .api::<SingletonJob>()
        .patch("web", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}})))
        .await
        .expect("stored");
    sleep(QUIET).await;
    let changed = before.iter().filter(|version| !bench_versions(&bench).contains(version)).count();
    assert!(changed <= 1, "only the label that we wrote ourselves");
}

fn bench_versions(bench: &Bench) -> Vec<Option<String>> {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(bench.versions()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_somebody_else_is_left_alone_and_reported() {
    let bench = Bench::new("foreign").await;
    let theirs = Lease { metadata: ObjectMeta { name: Some("web".into()), ..ObjectMeta::default() }, ..Lease::default() };
    let theirs = bench.api::<Lease>().create(&PostParams::default(), &theirs).await.expect("stored");
    bench.apply("web", json!({})).await;
    let stalled = |job: &SingletonJob| {
        let conditions = job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        find_condition(&conditions, types::STALLED).is_some_and(|stalled| stalled.status == "True" && stalled.reason == "ForeignObject")
    };
    bench.until("web", "stalled", stalled).await;
    sleep(QUIET).await;
    let after = bench.api::<Lease>().get("web").await.expect("still there");
    assert_eq!(after.resource_version(), theirs.resource_version());
    assert_eq!(bench.pods().await.len(), 0, "no pod before the Lease");
    let events = bench.api::<Event>().list(&ListParams::default()).await.expect("an answer");
    assert_eq!(events.iter().filter(|event| event.reason.as_deref() == Some("ForeignObject")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_shows_in_status_and_its_renewals_wake_nobody() {
    let bench = Bench::alone("renewals").await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    bench.settled("web", 2).await;
    sleep(QUIET).await;
    let pod = bench.pods().await.remove(0);
    bench.hold("web", &pod, true).await;
    let shown =
        |job: &SingletonJob| job.status.as_ref().and_then(|status| status.lease.as_ref()).is_some_and(|lease| lease.holder.is_some());
    let job = bench.until("web", "held", shown).await;
    let status = job.status.expect("a status");
    assert_eq!(status.lease.expect("a Lease").holder.as_deref(), Some("web-1"));
    assert_eq!(status.takeovers.len(), 1);
    sleep(QUIET).await;
    let roles: Vec<_> = bench.pods().await.iter().map(|pod| pod.labels()[labels::ROLE].clone()).collect();
    assert_eq!(roles, [labels::ROLE_ACTIVE, labels::ROLE_STANDBY]);
    let (before, reconciles) = (bench.versions().await, bench.reconciles());
    for _ in 0..5 {
        bench.hold("web", &pod, false).await;
        sleep(Duration::from_millis(400)).await;
    }
    assert_eq!((bench.versions().await, bench.reconciles()), (before, reconciles));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_deleted_is_made_again_in_the_name_of_its_holder() {
    let bench = Bench::new("again").await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    bench.settled("web", 2).await;
    let pod = bench.pods().await.remove(0);
    bench.hold("web", &pod, true).await;
    let shown =
        |job: &SingletonJob| job.status.as_ref().and_then(|status| status.lease.as_ref()).is_some_and(|lease| lease.holder.is_some());
    bench.until("web", "held", shown).await;
    bench.api::<Lease>().delete("web", &DeleteParams::default()).await.expect("deleted");
    let started = Instant::now();
    let lease = loop {
        if let Some(lease) = bench.api::<Lease>().get_opt("web").await.expect("an answer") {
            break lease;
        }
        assert!(started.elapsed() < PATIENCE, "not made again");
        sleep(Duration::from_millis(50)).await;
    };
    let record = Record::read(&lease).expect("a record");
    assert_eq!(record.holder.as_ref().map(Identity::pod), Some("web-1"));
    assert!(!record.is_released() && record.acquire_time.is_none());
    assert!(record.notes.policy.is_some_and(|policy| policy.token_floor.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_outlived_its_job_goes_when_it_is_free() {
    let bench = Bench::new("tombstone").await;
    bench.apply("web", json!({})).await;
    bench.settled("web", 2).await;
    bench.api::<SingletonJob>().delete("web", &DeleteParams::default()).await.expect("deleted");
    let started = Instant::now();
    while bench.api::<Lease>().get_opt("web").await.expect("an answer").is_some() {
        assert!(started.elapsed() < PATIENCE, "still there");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_of_an_attempt_that_is_over_are_told_to_end_and_the_pod_stays() {
    let bench = Bench::new("sidecars").await;
    let container = |name: &str| json!({"name": name, "image": "busybox", "command": ["sleep", "1000"]});
    bench.apply("web", json!({"replicas": 1, "template": {"spec": {"containers": [container("main"), container("side")]}}})).await;
    bench.settled("web", 1).await;
    let status = |name: &str, state: Value| json!({"name": name, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let containers = [status("main", json!({"terminated": {"exitCode": 0}})), status("side", json!({"running": {}}))];
    let ended = json!({"status": {"phase": "Running", "containerStatuses": containers}});
    let pods: Api<Pod> = bench.api();
    pods.patch_status("web-1", &PatchParams::default(), &Patch::Merge(ended)).await.expect("stored");
    let started = Instant::now();
    let deadline = async || pods.get("web-1").await.expect("it stays").spec.expect("a spec").active_deadline_seconds;
    while deadline().await != Some(1) {
        assert!(started.elapsed() < PATIENCE, "not told to end");
        sleep(Duration::from_millis(50)).await;
    }
    let told = async || {
        let events = bench.api::<Event>().list(&ListParams::default()).await.expect("an answer");
        events.iter().filter(|event| event.reason.as_deref() == Some("PodRetired")).count()
    };
    sleep(QUIET).await;
    assert_eq!(told().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_heed_a_budget_of_ours_or_one_of_the_users_and_never_two() {
    let bench = Bench::new("budgets").await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    let budgets: Api<PodDisruptionBudget> = bench.api();
    let names =
        async || budgets.list(&ListParams::default()).await.expect("an answer").iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    let turn = async |wanted: &[&str]| {
        let started = Instant::now();
        while names().await != wanted {
            assert!(started.elapsed() < PATIENCE, "{:?} and not {wanted:?}", names().await);
            sleep(Duration::from_millis(50)).await;
        }
    };
    turn(&["singletonjob-web"]).await;
    let theirs = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "theirs"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"singletonjob.dev/name": "web"}}}});
    let theirs = serde_json::from_value(theirs).expect("a PodDisruptionBudget");
    budgets.create(&PostParams::default(), &theirs).await.expect("stored");
    turn(&["theirs"]).await;
    budgets.delete("theirs", &DeleteParams::default()).await.expect("deleted");
    turn(&["singletonjob-web"]).await;
    bench.apply("web", json!({"completionPolicy": "Never", "replicas": 1})).await;
    turn(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_holder_is_cleared_by_a_persons_word_by_its_pods_end_and_by_a_taint_of_its_node() {
    let bench = Bench::new("silent").await;
    let jobs = bench.api::<SingletonJob>();
    bench.silent("manual", "Manual").await;
    for (word, clears) in [("manual-2", false), ("manual-1", true)] {
        let annotations = json!({"metadata": {"annotations": {CLEARED_HOLDER: word}}});
        jobs.patch("manual", &PatchParams::default(), &Patch::Merge(annotations)).await.expect("stored");
        if !clears {
            bench.until("manual", "told what is wrong", |job| says_blocked(job, "manual-2, is not about this holder")).await;
        }
    }
    bench.cleared("manual").await;
    let holder = bench.record("manual").await.holder.map(|holder| holder.to_string());
    let handled = |job: &SingletonJob| job.status.as_ref().is_some_and(|status| status.last_handled_cleared_holder == holder);
    bench.until("manual", "remembered", handled).await;

    let pod = bench.silent("gone", "AfterPodGone").await;
    bench.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.expect("deleted");
    bench.cleared("gone").await;

    let pod = bench.silent("off", "AfterPodGone").await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-off"}});
    Api::<Node>::all(bench.client.clone())
        .create(&PostParams::default(), &serde_json::from_value(node).expect("a node"))
        .await
        .expect("made");
    bind(&pod, "node-off");
    bench.until("off", "told of its node", |job| says_blocked(job, "taint node node-off")).await;
    let taint = json!({"spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "value": "x", "effect": "NoExecute"}]}});
    Api::<Node>::all(bench.client.clone()).patch("node-off", &PatchParams::default(), &Patch::Merge(taint)).await.expect("tainted");
    bench.cleared("off").await;
}

fn says_blocked(job: &SingletonJob, part: &str) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, types::TAKEOVER_BLOCKED).is_some_and(|blocked| blocked.message.contains(part))
}

/// As a scheduler would.
fn bind(pod: &Pod, node: &str) {
    let (namespace, name) = (pod.namespace().expect("stored"), pod.name_any());
    let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target});
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
    let output = ControlPlane::shared().kubectl(&["create", "--raw", &path, "--filename", "-"], &binding.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_of_succession_follows_the_labels_of_the_nodes() {
    let bench = Bench::new("prefers").await;
    let zone_b = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]});
    let takeover = json!({"preferredNodes": [{"weight": 1, "preference": zone_b}]});
    bench.apply("web", json!({"completionPolicy": "Never", "replicas": 3, "takeover": takeover})).await;
    bench.settled("web", 3).await;
    let pods = bench.pods().await;
    bench.hold("web", &pods[0], true).await;
    for (pod, zone) in pods.iter().zip(["a", "c", "b"]) {
        bench.place(pod, zone).await;
    }
    let wanted: Vec<_> = [2, 1].map(|index: usize| pods[index].uid().expect("stored")).into();
    let started = Instant::now();
    loop {
        let lease = bench.api::<Lease>().get("web").await.expect("there");
        let said = Record::read(&lease).expect("a record").notes.succession;
        if said == wanted {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{said:?} and not {wanted:?}");
        sleep(Duration::from_millis(50)).await;
    }
}
