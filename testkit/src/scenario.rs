//! One scenario: a namespace and a folder of records of its own, judged at its end, and told in full when it
//! fails.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Taint};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::checkout;
use crate::cluster::{Cluster, ZONES, said};
use crate::observe::{await_object, now, read_records};
use crate::operator;
use crate::report;
use crate::scheduler::{Ground, Mode, Place, enter};
use crate::witness::Violation;

/// Where records go: in memory, so that no disk delays a beat, and seen by both nodes.
const RECORDS: &str = "/dev/shm/singletonjob-witness";
/// For every pod of a scenario to be gone.
const CLEAR_AWAY: Duration = Duration::from_secs(90);

/// From beat to beat of a witness, in microseconds: where milliseconds are measured, and where several
/// scenarios share the processors, which as many witnesses would keep busy.
const PRECISE: u32 = 20;
const CALM: u32 = 400;

/// What a scenario has to itself.
pub struct Scenario {
    /// For the report.
    pub name: &'static str,
    /// New every time.
    pub namespace: String,
    /// With all rights.
    pub client: Client,
    /// Shared with the other scenarios, which wait meanwhile.
    pub cluster: &'static Cluster,
    /// Folder of the witnesses' records.
    pub records: PathBuf,
    /// Where its pods are. It may break them where they are its own, or where it has the cluster to itself.
    pub nodes: [&'static str; 2],
    /// From beat to beat of a witness.
    pub pause_microseconds: u32,
    zone: usize,
    jobs: Mutex<Vec<PathBuf>>,
    remarks: Mutex<String>,
    allowed: Mutex<Vec<Violation>>,
}

/// Runs `body` on a cluster with the operator, while others of this kind may be going on: for what neither
/// breaks anything nor is a matter of milliseconds. Afterwards, whatever it says, no two workloads may have
/// executed at the same time.
///
/// # Panics
/// Where the scenario does, or the records show a violation.
pub fn side_by_side(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithOperator, Ground::Common, name, body);
}

/// The same, for what waits for a clock nearly all the time: it is as long as it is, and takes no
/// other's place.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn aside(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithOperator, Ground::Aside, name, body);
}

/// As [`side_by_side`], for what breaks nodes: on two that no other scenario uses.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn on_own_nodes(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithOperator, Ground::Own, name, body);
}

/// As [`side_by_side`], with the cluster to itself.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn with_operator(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithOperatorAlone, Ground::Common, name, body);
}

/// The same, and the operator is not expected to be there afterwards.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn uninstalling(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::Uninstalling, Ground::Common, name, body);
}

/// As [`side_by_side`], without the operator.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn without_operator(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithoutOperator, Ground::Common, name, body);
}

/// As [`on_own_nodes`], without the operator.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn without_operator_on_own_nodes(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithoutOperator, Ground::Own, name, body);
}

/// The same, with the cluster to itself.
///
/// # Panics
/// As [`side_by_side`] does.
pub fn without_operator_alone(name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    play(Mode::WithoutOperatorAlone, Ground::Common, name, body);
}

fn play(mode: Mode, ground: Ground, name: &'static str, body: impl AsyncFnOnce(&Scenario)) {
    let place = enter(mode, ground);
    prepare(mode);
    let pause_microseconds = if mode.is_shared() { CALM } else { PRECISE };
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let scenario = Scenario::begin(name, &place, pause_microseconds).await;
        if ground == Ground::Own {
            scenario.await_nodes().await;
        }
        let told = AssertUnwindSafe(body(&scenario)).catch_unwind().await;
        if let Err(panic) = &told {
            scenario.tell(panic.as_ref());
        }
        let judged = AssertUnwindSafe(scenario.end()).catch_unwind().await;
        if let (Err(panic), Ok(())) = (&judged, &told) {
            scenario.tell(panic.as_ref());
        }
        told.and(judged).unwrap_or_else(|panic| resume_unwind(panic));
    });
    report::noted(name, "the whole scenario", began.elapsed());
}

fn prepare(mode: Mode) {
    if mode.has_operator() {
        operator::install();
    } else {
        operator::remove();
    }
    if mode == Mode::Uninstalling {
        operator::forget();
    }
}

impl Scenario {
    async fn begin(name: &'static str, place: &Place, pause_microseconds: u32) -> Self {
        let cluster = Cluster::get();
        let client = cluster.client().await;
        let namespace = format!("{name}-{:06x}", fastrand::u32(..1 << 24));
        let records = Path::new(RECORDS).join(&namespace);
        make_folder(&records);
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).expect("a Namespace");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.expect("a new namespace");
        Self {
            name,
            namespace,
            client,
            cluster,
            records,
            nodes: ZONES[place.zone],
            pause_microseconds,
            zone: place.zone,
            jobs: Mutex::default(),
            remarks: Mutex::default(),
            allowed: Mutex::default(),
        }
    }

    /// Waits until its nodes take pods: the scenario before may have broken them, and the control plane sees
    /// late that they are back.
    async fn await_nodes(&self) {
        let is_at_fault = |taint: &Taint| taint.key.starts_with("node.kubernetes.io/");
        for name in self.nodes {
            await_object::<Node, _>(
                Api::all(self.client.clone()),
                name,
                "free of faults",
                CLEAR_AWAY,
                |node| {
                    let spec = node.and_then(|node| node.spec.as_ref());
                    spec.is_some_and(|spec| {
                        !spec.taints.iter().flatten().any(is_at_fault) && spec.unschedulable != Some(true)
                    })
                },
            )
            .await;
        }
    }

    async fn end(&self) {
        self.clear_away().await;
        for records in self.all_records() {
            let mut violations = read_records(&records).violations();
            violations.retain(|violation| {
                !self.allowed.lock().unwrap_or_else(PoisonError::into_inner).contains(violation)
            });
            assert!(violations.is_empty(), "{}: {violations:#?} in {}", self.name, records.display());
        }
    }

    /// A folder for the records of one job among several; judged like the scenario's own.
    pub fn records_of(&self, job: &str) -> PathBuf {
        let records = self.records.join(job);
        make_folder(&records);
        self.jobs().push(records.clone());
        records
    }

    fn all_records(&self) -> Vec<PathBuf> {
        [std::slice::from_ref(&self.records), &self.jobs()].concat()
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a pod of this spec in the scenario's zone. To the first comes every pod that is not sent
    /// elsewhere.
    pub fn keep_in_zone(&self, pod: &mut Value) {
        if self.zone == 0 {
            return;
        }
        let zone = (self.zone + 1).to_string();
        pod["nodeSelector"]["zone"] = json!(zone);
        let toleration = json!({"key": "zone", "operator": "Equal", "value": zone, "effect": "NoSchedule"});
        match &mut pod["tolerations"] {
            Value::Array(tolerations) => tolerations.push(toleration),
            none => *none = json!([toleration]),
        }
    }

    /// Every process is gone afterwards: records do not change any more, and the next scenario has the
    /// machine to itself.
    async fn clear_away(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if let Err(error) = namespaces.delete(&self.namespace, &DeleteParams::default()).await {
            eprintln!("deleting namespace {}: {error}", self.namespace);
        }
        // The namespace takes no new pods any more; what is left is not worth the grace that its template
        // gives it.
        let pods: Api<Pod> = self.api();
        let briefly = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        if let Err(error) = pods.delete_collection(&briefly, &ListParams::default()).await {
            eprintln!("deleting the pods of {}: {error}", self.namespace);
        }
        let gone = async {
            while pods.list(&ListParams::default()).await.is_ok_and(|pods| !pods.items.is_empty()) {
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(CLEAR_AWAY, gone)
            .await
            .unwrap_or_else(|_| panic!("{}: pods are left after {CLEAR_AWAY:?}", self.namespace));
    }

    /// Objects of this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What `kubectl --namespace ...` did, whatever that was.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.cluster.kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// What `kubectl --namespace ...` said.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        said(arguments, &self.kubectl(arguments))
    }

    /// What `kubectl --namespace ... apply` said to this.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn apply(&self, manifest: &str) -> String {
        let arguments = ["--namespace", &self.namespace, "apply", "--filename", "-"];
        said(&arguments, &self.cluster.kubectl_fed(&arguments, manifest))
    }

    /// What the scenario knows to be as promised.
    pub fn allow(&self, violations: &[Violation]) {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(violations);
    }

    /// What the scenario does, for the report of its failure and on stderr as it comes.
    pub fn remark(&self, what: &str) {
        let line = format!("{:12.3} {what}\n", now().as_secs_f64());
        report::say(&line);
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
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

    /// All that explains a failure goes into `target/cluster-failures`, and here go its last words, which a
    /// backtrace pushes out of sight.
    fn tell(&self, panic: &(dyn Any + Send)) {
        let folder = checkout().join("target/cluster-failures");
        std::fs::create_dir_all(&folder).expect("target is writable");
        let file = folder.join(format!("{}.txt", self.namespace));
        std::fs::write(&file, self.report()).expect("target is writable");
        eprintln!("{} failed: {}\nwhat was seen is in {}", self.name, last_words(panic), file.display());
    }

    fn report(&self) -> String {
        let mut text =
            format!("# what was done\n{}", self.remarks.lock().unwrap_or_else(PoisonError::into_inner));
        let questions: [&[&str]; 7] = [
            &["get", "leases,pods,roles,rolebindings", "--output", "wide"],
            &["get", "events.events.k8s.io", "--sort-by", ".metadata.creationTimestamp"],
            &["describe", "pods"],
            &["describe", "singletonjobs"],
            &["get", "leases", "--output", "yaml"],
            &["get", "singletonjobs", "--output", "yaml"],
            &["get", "pods", "--output", "yaml"],
        ];
        for question in questions {
            let output = self.kubectl(question);
            let (said, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            writeln!(text, "# kubectl {}\n{said}{error}", question.join(" ")).expect("a String");
        }
        for pod in String::from_utf8_lossy(&self.kubectl(&["get", "pods", "--output", "name"]).stdout).lines()
        {
            let log = self.kubectl(&["logs", pod, "--all-containers", "--prefix", "--timestamps"]);
            writeln!(text, "# log of {pod}\n{}", String::from_utf8_lossy(&log.stdout)).expect("a String");
        }
        let question = [
            "--namespace",
            operator::NAMESPACE,
            "logs",
            "--prefix",
            "--timestamps",
            "--tail=-1",
            "--selector",
            operator::SELECTOR,
        ];
        let logs = self.cluster.kubectl(&question).stdout;
        writeln!(text, "# logs of the controllers\n{}", String::from_utf8_lossy(&logs)).expect("a String");
        for records in self.all_records() {
            writeln!(text, "# witnesses in {}\n{:#?}", records.display(), read_records(&records).all())
                .expect("a String");
        }
        text
    }
}

/// Writable for whatever user a workload runs as.
fn make_folder(folder: &Path) {
    std::fs::create_dir_all(folder).expect("shared memory is writable");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(folder, open).expect("the folder is ours");
}

fn last_words(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without words")
}
