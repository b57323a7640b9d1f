//! One scenario: a namespace, a Lease and a folder of records of its own, judged at its end, and told in full
//! when it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use singletonjob::contract;
use singletonjob::controller::build::rbac::VERBS;
use singletonjob::lease::annotations::CompletionPolicy;
use singletonjob::lease::record::Record;
use singletonjob::lease::timing::{Timing, TimingSpec};
use tempfile::TempDir;
use testkit::control_plane::ControlPlane;
use testkit::observe::{await_tenure, boot_time, eventually, nothing_starts, now, read_records, tenure};
use testkit::witness::Tenure;
use testkit::{lease, report};
use tokio::runtime;
use tokio::time::sleep;

use crate::candidate::{Candidate, Pod};
use crate::gateway::Gateway;
use crate::wire::Wire;

/// Of Lease, Role and service account.
pub const NAME: &str = "rollup";
/// In memory, so that no disk delays a beat.
const RECORDS: &str = "/dev/shm";
/// For a candidate on a busy machine to start its workload.
pub const START: Duration = Duration::from_secs(20);
/// For a container to end that was told to, or has reason to.
pub const END: Duration = Duration::from_secs(20);
pub const SECOND: Duration = Duration::from_secs(1);
/// For a kill, on a machine that plays several scenarios at once; a fraction of the smallest margin.
/// `tests/deadline` measures it alone.
const KILL: Duration = Duration::from_millis(100);

/// What a scenario has to itself.
pub struct Scenario {
    /// For the report.
    pub name: &'static str,
    /// New every time.
    pub namespace: String,
    /// With all rights.
    pub client: Client,
    /// Folder of the witnesses' records.
    pub records: PathBuf,
    /// The durations in force.
    pub timing: Timing,
    /// Perhaps shared with other scenarios.
    pub control_plane: Arc<ControlPlane>,
    memory: TempDir,
    directory: TempDir,
}

/// A service with a lease of so many seconds.
///
/// # Panics
/// Where `body` does, or the records show a violation.
pub fn scenario(name: &'static str, seconds: u64, body: impl AsyncFnOnce(&Scenario)) {
    play(name, ControlPlane::shared(), seconds, CompletionPolicy::Never, 0, body);
}

/// A one-shot that is forgiven `backoff_limit` failures.
///
/// # Panics
/// As [`scenario`] does.
pub fn one_shot(name: &'static str, seconds: u64, backoff_limit: u32, body: impl AsyncFnOnce(&Scenario)) {
    play(name, ControlPlane::shared(), seconds, CompletionPolicy::OnSuccess, backoff_limit, body);
}

/// # Panics
/// As [`scenario`] does.
pub fn play(
    name: &'static str,
    control_plane: Arc<ControlPlane>,
    seconds: u64,
    completion_policy: CompletionPolicy,
    backoff_limit: u32,
    body: impl AsyncFnOnce(&Scenario),
) {
    let began = Instant::now();
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let scenario = Scenario::begin(name, control_plane, seconds).await;
        scenario.make_job(completion_policy, backoff_limit).await;
        let told = AssertUnwindSafe(body(&scenario)).catch_unwind().await;
        // Every candidate belongs to the body, and is gone with it.
        let violations = read_records(&scenario.records).violations();
        assert!(!scenario.said().contains(&scenario.token()), "{name}: a token is in a log");
        if told.is_err() || !violations.is_empty() {
            scenario.tell();
        }
        assert!(violations.is_empty(), "{name}: {violations:#?}");
        told.unwrap_or_else(|panic| resume_unwind(panic));
    });
    report::noted(name, "the whole scenario", began.elapsed());
}

impl Scenario {
    async fn begin(name: &'static str, control_plane: Arc<ControlPlane>, seconds: u64) -> Self {
        let memory = tempfile::Builder::new()
            .prefix("singletonjob-faults-")
            .tempdir_in(RECORDS)
            .expect("shared memory");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let records = memory.path().join("records");
        fs::create_dir(&records).expect("shared memory is writable");
        for folder in [memory.path(), directory.path(), &records] {
            // Workloads may run as other users.
            fs::set_permissions(folder, PermissionsExt::from_mode(0o1777)).expect("ours");
        }
        let timing = Timing::new(&TimingSpec::of(Duration::from_secs(seconds))).expect("a lease that fits");
        let namespace = format!("{name}-{:06x}", fastrand::u32(..1 << 24));
        let client = control_plane.client().await;
        Self { name, namespace, client, records, timing, control_plane, memory, directory }
    }

    async fn make_job(&self, completion_policy: CompletionPolicy, backoff_limit: u32) {
        let namespace =
            serde_json::from_value(json!({"metadata": {"name": self.namespace}})).expect("a Namespace");
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("a new namespace");
        self.post::<ServiceAccount>(json!({"metadata": {"name": NAME}})).await;
        self.allow().await;
        fs::create_dir(self.credentials()).expect("a writable directory");
        let [certificate, _] = self.control_plane.identity();
        fs::copy(certificate, self.credentials().join("ca.crt")).expect("readable");
        self.rotate_token(None).await;
        let annotations = lease::annotations(self.timing, completion_policy, backoff_limit);
        let created = self.post::<Lease>(lease::held_by(NAME, "", self.timing, &annotations)).await;
        let released = lease::released_as_created(created);
        self.api()
            .replace(NAME, &PostParams::default(), &released)
            .await
            .expect("a Lease that only this test writes yet");
    }

    /// What the controller allows the candidates of one job; returns when the API server knows.
    pub async fn allow(&self) {
        self.make_role(&VERBS).await;
        self.post::<RoleBinding>(json!({
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": self.namespace}],
        }))
        .await;
        eventually("the candidates' rights are known", START, || {
            self.may("update", "leases/rollup").then_some(())
        })
        .await;
    }

    async fn make_role(&self, verbs: &[&str]) {
        let rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [NAME], "verbs": verbs});
        self.post::<Role>(json!({"metadata": {"name": NAME}, "rules": [rule]})).await;
    }

    /// Leaves the candidates nothing but this; returns when the API server knows.
    pub async fn allow_only(&self, verbs: &[&str]) {
        self.api::<Role>().delete(NAME, &DeleteParams::default()).await.expect("it is there");
        self.make_role(verbs).await;
        let known = || VERBS.iter().all(|verb| self.may(verb, "leases/rollup") == verbs.contains(verb));
        eventually("the candidates' rights are known", START, || known().then_some(())).await;
    }

    /// Whether candidates may do that.
    pub fn may(&self, verb: &str, what: &str) -> bool {
        let question = ["--namespace", &self.namespace, "auth", "can-i", verb, what, "--as", &self.user()];
        self.control_plane.kubectl(&question, "").status.success()
    }

    /// Whom the API server takes candidates for.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{NAME}", self.namespace)
    }

    /// A new token where candidates look for one; bound to this object, if any, and worthless without it.
    pub async fn rotate_token(&self, bound_to: Option<Value>) {
        let request =
            json!({"spec": {"audiences": [], "expirationSeconds": 3600, "boundObjectRef": bound_to}});
        let request: TokenRequest = serde_json::from_value(request).expect("a request");
        let accounts = self.api::<ServiceAccount>();
        let granted =
            accounts.create_token_request(NAME, &PostParams::default(), &request).await.expect("a token");
        let new = self.credentials().join("token.new");
        fs::write(&new, granted.status.and_then(|status| status.token).expect("a token"))
            .expect("a writable directory");
        fs::rename(new, self.credentials().join("token")).expect("a writable directory");
    }

    /// What every candidate has mounted.
    pub fn credentials(&self) -> PathBuf {
        self.memory.path().join("credentials")
    }

    /// For what a candidate leaves behind; another one for every container of a pod.
    pub fn directory_of(&self, pod: &str) -> PathBuf {
        let directory =
            (1..100).map(|n| self.directory.path().join(format!("{pod}.{n}"))).find(|path| !path.exists());
        let directory = directory.expect("no pod has a hundred containers");
        fs::create_dir(&directory).expect("a writable directory");
        directory
    }

    /// Candidate `n`.
    pub fn pod(&self, n: u32) -> Pod<'_> {
        Pod::new(self, &format!("{NAME}-{n}"), self.control_plane.address())
    }

    /// The first candidate, running its workload, and another, ready to take over.
    pub async fn pair(
        &self,
        active: Pod<'_>,
        standby: Pod<'_>,
        witness: &[&str],
    ) -> (Candidate, Candidate, Tenure) {
        let active = active.start(witness).await;
        let tenure = await_tenure(&self.records, 1, START).await;
        (active, self.standby(standby).await, tenure)
    }

    /// A candidate that is ready to take over.
    pub async fn standby(&self, pod: Pod<'_>) -> Candidate {
        let standby = pod.start(&[]).await;
        standby.await_role(contract::Role::Standby).await;
        standby
    }

    /// A way to the API server that can be spoiled.
    pub async fn wire(&self) -> Wire {
        Wire::to(self.control_plane.address()).await
    }

    /// An API server whose answers can be spoiled.
    pub async fn gateway(&self) -> Gateway {
        Gateway::before(&self.control_plane).await
    }

    /// Objects of this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn post<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(object).expect("a valid object");
        self.api().create(&PostParams::default(), &object).await.expect("the API server takes it")
    }

    /// The Lease as it is stored.
    pub async fn lease(&self) -> Lease {
        self.api().get(NAME).await.expect("the Lease is there")
    }

    /// The Lease as candidates understand it.
    pub async fn record(&self) -> Record {
        Record::read(&self.lease().await).expect("a Lease of ours")
    }

    /// When the renewal that is stored now was about to be sent, in `CLOCK_BOOTTIME`.
    pub async fn renewed(&self) -> Duration {
        boot_time(self.record().await.renew_time.expect("held"))
    }

    /// Waits for one more renewal.
    pub async fn renewed_again(&self) {
        let before = self.record().await.renew_time;
        let until = now() + self.timing.lease_duration();
        while self.record().await.renew_time == before {
            assert!(now() < until, "it is not renewed");
            sleep(SECOND / 50).await;
        }
    }

    /// Waits for the workload's start number `number`; the standby that it is took over within `lease` plus a
    /// second of `lost`.
    pub async fn await_takeover(&self, number: usize, lost: Duration) -> Tenure {
        let lease = self.timing.lease_duration();
        let new = await_tenure(&self.records, number, lease + START).await;
        self.at_most("lost to first instruction (L + 1 s)", new.first.saturating_sub(lost), lease + SECOND);
        new
    }

    /// The workload of this token is dead, and was when its deadline had passed.
    #[track_caller]
    pub fn died_by(&self, token: u128, deadline: Duration) {
        let ended = tenure(&self.records, token);
        self.at_most("deadline to last instruction", ended.last.saturating_sub(deadline), KILL);
    }

    /// For so long the first start remains the only one, and its workload does not notice anything.
    pub async fn nothing_happens(&self, time: Duration) {
        nothing_starts(&self.records, 1, time).await;
        let only = read_records(&self.records).tenures().remove(0);
        assert!(
            now().saturating_sub(only.last) < SECOND && only.signals.is_empty(),
            "it was disturbed: {only:?}"
        );
    }

    /// The workload that was started last is running.
    #[track_caller]
    pub fn one_runs(&self) {
        let last = read_records(&self.records).tenures().pop().expect("something was started");
        assert!(now().saturating_sub(last.last) < SECOND, "nothing runs: {last:?}");
    }

    /// See [`report::noted`].
    pub fn noted(&self, what: &str, measured: Duration) {
        report::noted(self.name, what, measured);
    }

    /// See [`report::at_most`].
    #[track_caller]
    pub fn at_most(&self, what: &str, measured: Duration, most: Duration) {
        report::at_most(self.name, what, measured, most);
    }

    /// See [`report::at_least`].
    #[track_caller]
    pub fn at_least(&self, what: &str, measured: Duration, least: Duration) {
        report::at_least(self.name, what, measured, least);
    }

    /// The volume of one pod, in memory as the controller has it.
    pub fn state_volume(&self) -> PathBuf {
        let folder = self.memory.path().join("state");
        fs::create_dir(&folder).expect("a writable directory");
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("ours");
        folder
    }

    /// What every container has logged, and why it ended.
    pub fn said(&self) -> String {
        let containers = fs::read_dir(self.directory.path()).expect("ours").flatten();
        let told = containers.map(|container| {
            let read = |file| fs::read_to_string(container.path().join(file)).unwrap_or_default();
            format!(
                "# {}: log, then termination message\n{}{}\n",
                container.path().display(),
                read("log"),
                read("message")
            )
        });
        told.collect()
    }

    fn token(&self) -> String {
        fs::read_to_string(self.credentials().join("token")).expect("readable")
    }

    /// All that explains a failure.
    fn tell(&self) {
        eprintln!("{}", self.said());
        let lease = self
            .control_plane
            .kubectl(&["--namespace", &self.namespace, "get", "lease", NAME, "--output", "yaml"], "");
        eprintln!("# Lease\n{}", String::from_utf8_lossy(&lease.stdout));
        eprintln!("# witnesses\n{:#?}", read_records(&self.records).tenures());
    }
}
