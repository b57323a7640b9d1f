//! The controller's program as its Deployment runs it, against a real API server: with its own rights and its
//! probes, from start to end.

mod program;
mod requests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Container, Namespace, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use program::Program;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, types};
use singletonjob::contract::labels;
use singletonjob::lease::annotations::keys;
use testkit::audit::{Audit, AuditEvent};
use testkit::control_plane::ControlPlane;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

const INSTALL: &str = include_str!("../../manifests/install.yaml");
const SYSTEM: &str = "singletonjob-system";
const NAME: &str = "singletonjob-controller";
const USER: &str = "system:serviceaccount:singletonjob-system:singletonjob-controller";
/// In the template of every job.
const PASSWORD: &str = "correct horse battery staple";
const PATIENCE: Duration = Duration::from_secs(40);
/// Longer than a reconciliation and everything that it sets off.
const QUIET: Duration = Duration::from_secs(3);

/// An API server with the operator installed but for its pods, and a namespace of users. One at a time: there
/// is one election.
struct Fixture {
    control_plane: Arc<ControlPlane>,
    client: Client,
    namespace: &'static str,
    audit: Audit,
    _alone: MutexGuard<'static, ()>,
}

impl Fixture {
    async fn new(namespace: &'static str) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let control_plane = ControlPlane::shared();
        let client = control_plane.client().await;
        let audit = Audit::begin(control_plane.audit_log());
        let fixture = Self { control_plane, client, namespace, audit, _alone: alone };
        fixture.install().await;
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let created = Namespace { metadata: named(namespace), ..Namespace::default() };
        Api::all(fixture.client.clone()).create(&PostParams::default(), &created).await.expect("a namespace");
        // No controller manager makes it here, and pods are not admitted without it.
        let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
        fixture.api().create(&PostParams::default(), &account).await.expect("a service account");
        fixture
    }

    /// Again where the definition is not served yet.
    async fn install(&self) {
        eventually("installed", async || {
            let applied = self
                .control_plane
                .kubectl(&["apply", "--server-side", "--filename", "-"], INSTALL)
                .status
                .success();
            applied
                && self
                    .control_plane
                    .kubectl(&["get", "singletonjobs", "--all-namespaces"], "")
                    .status
                    .success()
        })
        .await;
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), SYSTEM);
        leases.delete(NAME, &DeleteParams::default()).await.ok();
    }

    /// A replica, in a pod as the Deployment would make it.
    async fn start(&self, pod: &str) -> Program {
        self.start_with(pod, &self.token().await).await
    }

    /// The same, for a test that has to know its token.
    async fn start_with(&self, pod: &str, token: &str) -> Program {
        self.start_as(pod, token, &[]).await
    }

    /// The same, with these variables too.
    async fn start_as(&self, pod: &str, token: &str, variables: &[(&str, String)]) -> Program {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), SYSTEM);
        let template = deployments.get(NAME).await.expect("installed").spec.template;
        let metadata = ObjectMeta { name: Some(pod.to_owned()), ..ObjectMeta::default() };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let stored = Pod { metadata, spec: template.spec, ..Pod::default() };
        pods.create(&PostParams::default(), &stored).await.expect("a pod");
        Program::start(pod, SYSTEM, &self.control_plane.kubeconfig_with_token(token), variables)
    }

    async fn token(&self) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), SYSTEM);
        let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
        let answer =
            accounts.create_token_request(NAME, &PostParams::default(), &request).await.expect("a token");
        answer.status.and_then(|status| status.token).expect("answered with a token")
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn apply(&self, name: &str, replicas: u32) {
        self.apply_with(name, json!({"completionPolicy": "Never", "replicas": replicas})).await;
    }

    async fn apply_with(&self, name: &str, more: Value) {
        let secret = json!([{"name": "PASSWORD", "value": PASSWORD}]);
        let container =
            json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "env": secret});
        let claimed = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}});
        let mut spec = json!({"template": {"spec": {"containers": [container], "volumes": [claimed]}}});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": name}, "spec": spec});
        let jobs: Api<SingletonJob> = self.api();
        jobs.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&job)).await.expect("accepted");
    }

    async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default()).await.expect("an answer").items
    }

    /// The container that installs the agent in a candidate.
    async fn installer(&self) -> Container {
        let containers = self.pods().await.remove(0).spec.and_then(|spec| spec.init_containers);
        containers.expect("an installer").remove(0)
    }

    /// Waits until there are so many candidates, and status says so.
    async fn settled(&self, name: &str, replicas: usize) {
        eventually("settled", async || {
            let job = self.api::<SingletonJob>().get(name).await.expect("there");
            let known = job.status.and_then(|status| status.replicas);
            self.pods().await.len() == replicas
                && known.is_some_and(|known| usize::try_from(known) == Ok(replicas))
        })
        .await;
    }

    /// Plays the agent of `pod`.
    async fn hold(&self, name: &str, pod: &Pod) {
        let now = MicroTime(Timestamp::now());
        let holder = format!("{}_{}_7", pod.name_any(), pod.uid().expect("stored"));
        let spec =
            json!({"holderIdentity": holder, "acquireTime": now, "renewTime": now, "leaseTransitions": 1});
        let leases: Api<Lease> = self.api();
        leases
            .patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec})))
            .await
            .expect("only this test writes");
    }

    async fn active_pods(&self) -> Vec<Pod> {
        let active = ListParams::default().labels("singletonjob.dev/role=active");
        self.api::<Pod>().list(&active).await.expect("an answer").items
    }

    /// As a scheduler would.
    async fn bind_holder_to_a_node(&self) {
        let pod = self.active_pods().await[0].name_any();
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": "node-x"});
        let binding =
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target});
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/binding", self.namespace);
        let output =
            self.control_plane.kubectl(&["create", "--raw", &path, "--filename", "-"], &binding.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The kubelet, which is not there, has not started it for a long time.
    async fn let_holder_hang(&self) {
        let active = self.active_pods().await;
        let scheduled =
            json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"phase": "Pending", "conditions": [scheduled]}});
        self.api::<Pod>()
            .patch_status(&active[0].name_any(), &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("stored");
        let asks = async || {
            self.audit
                .events(USER)
                .iter()
                .flat_map(AuditEvent::needs)
                .any(|need| need == (String::new(), "events".to_owned(), "list".to_owned()))
        };
        eventually("asking why it hangs", asks).await;
    }

    /// Says that a one-shot has finished, as its holder would.
    async fn finish(&self, name: &str) {
        let uid = self.api::<SingletonJob>().get(name).await.expect("there").uid();
        let now = jiff::Timestamp::now().to_string();
        let finished = json!({"uid": uid, "run": 1, "outcome": "Succeeded", "reason": "Completed", "attempt": 1, "failures": 0,
                              "by": "gone-1_u_1", "startTime": now, "completionTime": now});
        let patch = json!({"metadata": {"annotations": {keys::FINISHED: finished.to_string()}}});
        self.api::<Lease>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("stored");
    }

    /// Takes a label off the Lease, and waits until the controller has put it back: the second time, an Event
    /// counts it.
    async fn lose_labels(&self, name: &str) {
        let leases = self.api::<Lease>();
        let without = json!({"metadata": {"labels": {labels::MANAGED_BY: null}}});
        leases.patch(name, &PatchParams::default(), &Patch::Merge(without)).await.expect("stored");
        let is_back =
            async || leases.get(name).await.expect("there").labels().contains_key(labels::MANAGED_BY);
        eventually("labelled again", is_back).await;
    }

    /// How often the controller has written in the users' namespace.
    fn writes(&self) -> usize {
        let events = self.audit.events(USER);
        events.iter().filter(|event| event.is_write() && event.namespace() == self.namespace).count()
    }

    /// Group, resource and verb of everything that the controller may do.
    async fn granted(&self) -> BTreeSet<(String, String, String)> {
        let role = Api::<ClusterRole>::all(self.client.clone()).get(NAME).await.expect("installed");
        let mut granted = BTreeSet::new();
        for rule in role.rules.unwrap_or_default() {
            for (group, resource) in
                pairs(&rule.api_groups.unwrap_or_default(), &rule.resources.unwrap_or_default())
            {
                granted.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
        granted
    }
}

fn pairs(groups: &[String], resources: &[String]) -> Vec<(String, String)> {
    groups
        .iter()
        .flat_map(|group| resources.iter().map(|resource| (group.clone(), resource.clone())))
        .collect()
}

async fn eventually(what: &str, wanted: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !wanted().await {
        assert!(started.elapsed() < PATIENCE, "not {what}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn leads(program: &Program) {
    eventually("leading", async || {
        program
            .get("/metrics")
            .1
            .contains("leader_election_master_status{name=\"singletonjob-controller\"} 1")
    })
    .await;
    eventually("ready", async || program.get("/readyz").0 == 200).await;
}

fn patch(spec: &Value) -> Patch<Value> {
    Patch::Merge(json!({"spec": spec}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_life_needs_every_right_that_it_was_given_and_no_other() {
    let fixture = Fixture::new("rights").await;
    let token = fixture.token().await;
    let mut program = fixture.start_with("rights-1", &token).await;
    leads(&program).await;
    becomes_held(&fixture).await;
    mends_what_was_changed(&fixture).await;
    leaves_a_foreign_role_alone(&fixture).await;
    let held = r#"singletonjob_held{namespace="rights",name="web"} 1"#;
    eventually("told of", async || program.get("/metrics").1.contains(held)).await;
    for _twice in 0..2 {
        fixture.lose_labels("web").await;
    }
    fixture.bind_holder_to_a_node().await;
    fixture.let_holder_hang().await;
    becomes_blocked(&fixture).await;
    is_cleared_away(&fixture).await;
    program.terminate();
    assert_eq!(program.ended_within(PATIENCE), Some(0), "{}", program.log());
    used_its_rights_and_its_name(&fixture).await;
    let log = program.log();
    assert!(log.contains("TRACE") && ![&*token, PASSWORD].iter().any(|secret| log.contains(secret)), "{log}");
}

/// A job with a standby: guarded by a budget, its active pod labelled.
async fn becomes_held(fixture: &Fixture) {
    fixture.apply("web", 2).await;
    fixture.settled("web", 2).await;
    let agent = fixture.installer().await;
    assert_eq!(
        agent.image.as_deref(),
        Some("ghcr.io/singletonjob/singletonjob:0.1.0"),
        "the controller's own"
    );
    fixture.hold("web", &fixture.pods().await[0]).await;
    let budgets = fixture.api::<PodDisruptionBudget>();
    eventually("guarded", async || budgets.get_opt("singletonjob-web").await.expect("an answer").is_some())
        .await;
    eventually("labelled", async || fixture.active_pods().await.len() == 1).await;
}

/// A user changes what the controller has made.
async fn mends_what_was_changed(fixture: &Fixture) {
    let (name, params) = ("singletonjob-web", PatchParams::default());
    let (roles, bindings) = (fixture.api::<Role>(), fixture.api::<RoleBinding>());
    let budgets = fixture.api::<PodDisruptionBudget>();
    roles.patch(name, &params, &Patch::Merge(json!({"rules": []}))).await.expect("stored");
    bindings.patch(name, &params, &Patch::Merge(json!({"subjects": []}))).await.expect("stored");
    let fewer = json!({"spec": {"minAvailable": 0}});
    budgets.patch(name, &params, &Patch::Merge(fewer)).await.expect("stored");
    eventually("mended", async || {
        let role = roles.get(name).await.expect("there");
        let binding = bindings.get(name).await.expect("there");
        let budget = budgets.get(name).await.expect("there").spec.and_then(|spec| spec.min_available);
        let has_some = |many: Option<usize>| many.is_some_and(|many| many > 0);
        has_some(role.rules.map(|rules| rules.len()))
            && has_some(binding.subjects.map(|subjects| subjects.len()))
            && budget == Some(IntOrString::Int(1))
    })
    .await;
}

/// Another client's Role has a name that a job needs.
async fn leaves_a_foreign_role_alone(fixture: &Fixture) {
    let metadata = ObjectMeta { name: Some("singletonjob-taken".to_owned()), ..ObjectMeta::default() };
    let theirs = Role { metadata, rules: None };
    let theirs = fixture.api::<Role>().create(&PostParams::default(), &theirs).await.expect("a Role");
    fixture.apply("taken", 2).await;
    eventually("reported", async || {
        let job = fixture.api::<SingletonJob>().get("taken").await.expect("there");
        let conditions = job.status.map(|status| status.conditions).unwrap_or_default();
        find_condition(&conditions, types::STALLED).is_some_and(|stalled| stalled.reason == "ForeignObject")
    })
    .await;
    let after = fixture.api::<Role>().get("singletonjob-taken").await.expect("there");
    assert_eq!(after.resource_version(), theirs.resource_version());
    assert!(fixture.pods().await.iter().all(|pod| !pod.name_any().starts_with("taken")));
}

/// Its holder falls silent under a policy that asks for the pod and its node.
async fn becomes_blocked(fixture: &Fixture) {
    let (jobs, budgets) = (fixture.api::<SingletonJob>(), fixture.api::<PodDisruptionBudget>());
    let strict = json!({"replicas": 1, "takeover": {"unreachableHolder": {"policy": "AfterPodGone"}}});
    jobs.patch("web", &PatchParams::default(), &patch(&strict)).await.expect("stored");
    fixture.settled("web", 1).await;
    eventually("guarded no more", async || {
        budgets.get_opt("singletonjob-web").await.expect("an answer").is_none()
    })
    .await;
    eventually("asking after the silent holder and its node", async || {
        let conditions =
            jobs.get("web").await.expect("there").status.map(|status| status.conditions).unwrap_or_default();
        find_condition(&conditions, types::TAKEOVER_BLOCKED)
            .is_some_and(|blocked| blocked.message.contains("taint node node-x"))
    })
    .await;
}

/// Another job finishes, and its time to live is over.
async fn is_cleared_away(fixture: &Fixture) {
    fixture.apply_with("gone", json!({"replicas": 0, "ttlSecondsAfterFinished": 0})).await;
    eventually("made", async || fixture.api::<Lease>().get_opt("gone").await.expect("an answer").is_some())
        .await;
    fixture.finish("gone").await;
    eventually("cleared away", async || {
        fixture.api::<Lease>().get_opt("gone").await.expect("an answer").is_none()
    })
    .await;
}

/// Nothing was refused, every right was needed, and every write bears the controller's name.
async fn used_its_rights_and_its_name(fixture: &Fixture) {
    let events = fixture.audit.events(USER);
    let refused: Vec<_> = events.iter().filter(|event| matches!(event.code(), 401 | 403)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<_> = events.iter().flat_map(AuditEvent::needs).collect();
    assert_eq!(used, fixture.granted().await);
    let writes_fields = |event: &&AuditEvent| event.is_write() && event.verb != "delete";
    let unsigned: Vec<_> =
        events.iter().filter(writes_fields).filter(|event| event.field_manager() != NAME).collect();
    assert!(unsigned.is_empty(), "in another name: {unsigned:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_own_lease_bears_its_name_alone() {
    let fixture = Fixture::new("own").await;
    let program = fixture.start("own-1").await;
    leads(&program).await;
    let leases: Api<Lease> = Api::namespaced(fixture.client.clone(), SYSTEM);
    let acquired = leases.get(NAME).await.expect("there");
    // A renewal is a write too.
    eventually("renewed", async || {
        leases.get(NAME).await.expect("there").resource_version() != acquired.resource_version()
    })
    .await;
    let renewed = leases.get(NAME).await.expect("there");
    let writers: BTreeSet<_> =
        renewed.managed_fields().iter().map(|entry| entry.manager.clone().unwrap_or_default()).collect();
    assert_eq!(writers.iter().collect::<Vec<_>>(), [NAME]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_is_told_of_the_installer_is_in_its_pods() {
    let fixture = Fixture::new("told").await;
    let resources = json!({"requests": {"cpu": "30m"}, "limits": {"cpu": "60m", "memory": "32Mi"}});
    let context = json!({"runAsUser": 7, "readOnlyRootFilesystem": true});
    let variables = [
        ("AGENT_INSTALLER_RESOURCES", resources.to_string()),
        ("AGENT_INSTALLER_SECURITY_CONTEXT", context.to_string()),
        ("AGENT_IMAGE_PULL_POLICY", "Never".to_owned()),
    ];
    let program = fixture.start_as("told-1", &fixture.token().await, &variables).await;
    leads(&program).await;
    fixture.apply("web", 1).await;
    fixture.settled("web", 1).await;
    let installer = fixture.installer().await;
    assert_eq!(installer.image_pull_policy.as_deref(), Some("Never"));
    let made = serde_json::to_value(installer).expect("JSON");
    let requests = json!({"cpu": "30m", "memory": "32Mi"});
    assert_eq!(
        made["resources"],
        json!({"requests": requests, "limits": resources["limits"]}),
        "requests are defaulted from limits"
    );
    assert_eq!(made["securityContext"], context);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_from_a_dead_one_writes_nothing_and_goes_on() {
    let fixture = Fixture::new("again").await;
    let mut first = fixture.start("again-1").await;
    leads(&first).await;
    let second = fixture.start("again-2").await;
    fixture.apply("web", 2).await;
    fixture.settled("web", 2).await;
    fixture.hold("web", &fixture.pods().await[0]).await;
    sleep(QUIET).await;
    eventually("standing by", async || second.get("/readyz").0 == 200).await;
    assert!(!second.get("/metrics").1.contains("singletonjob_held"), "only the leader tells of jobs");
    let before = fixture.writes();
    first.kill();
    leads(&second).await;
    eventually("looked at", async || second.get("/metrics").1.contains(r#"result="success"#)).await;
    sleep(QUIET).await;
    assert_eq!(fixture.writes(), before, "{}", second.log());
    fixture.apply("web", 3).await;
    fixture.settled("web", 3).await;
    assert_eq!((second.get("/healthz").0, second.get("/readyz").0), (200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_rights_leaves_at_once() {
    let fixture = Fixture::new("uninstalled").await;
    let mut program = fixture.start("uninstalled-1").await;
    leads(&program).await;
    let bindings: Api<ClusterRoleBinding> = Api::all(fixture.client.clone());
    bindings.delete(NAME, &DeleteParams::default()).await.expect("deleted");
    // The API server's authorizer hears of it by a watch.
    let may = ["auth", "can-i", "update", "leases", "--namespace", SYSTEM, "--as", USER];
    eventually("without rights", async || !fixture.control_plane.kubectl(&may, "").status.success()).await;
    program.terminate();
    assert_eq!(program.ended_within(PATIENCE), Some(0), "{}", program.log());
    let log = program.log();
    assert!(log.contains("leaving without giving the Lease singletonjob-controller back"), "{log}");
    assert!(!log.contains("no answer within"), "it did not wait for what is refused: {log}");
}

#[tokio::test]
async fn a_replica_that_starts_during_an_outage_waits_for_its_end() {
    let nowhere = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
        "clusters": [{"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": ""}}],
    });
    let kubeconfig = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(kubeconfig.path(), nowhere.to_string()).expect("a temporary file");
    let mut program = Program::start("outage-1", SYSTEM, kubeconfig.path(), &[]);
    eventually("said", async || program.log().contains("the API server is out of reach; asking again")).await;
    assert_eq!(
        (program.get("/healthz").0, program.get("/readyz").0),
        (200, 503),
        "a restart would mend nothing"
    );
    let asked = |log: String| log.matches("asking again").count();
    let before = asked(program.log());
    program.terminate();
    assert_eq!(program.ended_within(PATIENCE), Some(0), "{}", program.log());
    assert!(asked(program.log()) <= before + 1, "it asks no more: {}", program.log());
}

#[test]
fn a_variable_of_no_use_is_answered_in_one_line() {
    let answer =
        |name, value| Program::answer_to(&[("POD_NAME", "a-1"), ("POD_NAMESPACE", "system"), (name, value)]);
    let table = [
        ("LISTEN_ADDRESS", "foo", r#"LISTEN_ADDRESS "foo": use ADDRESS:PORT, for example 0.0.0.0:8080"#),
        ("LOG_LEVEL", "loud", r#"LOG_LEVEL "loud": use error, warn, info, debug, trace or off"#),
        ("LOG_FORMAT", "xml", r#"LOG_FORMAT "xml": use json or text"#),
        ("AGENT_IMAGE_PULL_POLICY", "", r#"AGENT_IMAGE_PULL_POLICY "": use Always, IfNotPresent or Never"#),
        ("POD_NAME", "", r#"POD_NAME "": use the pod's metadata.name, through the downward API"#),
    ];
    for (name, value, line) in table {
        assert_eq!(answer(name, value), (Some(64), format!("singletonjob-controller: {line}\n")));
    }
}
