//! What the API server refuses: asked for seldom, said at once, and nothing else of it.

use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, is_true, types};
use testkit::fixture::{PATIENCE, QUIET};
use tokio::time::sleep;

use crate::fixture::Fixture;

/// Within the first pause of the controller, with the time that its first requests take.
const FIRST_PAUSE: Duration = Duration::from_secs(8);

fn conditions(job: &SingletonJob) -> &[Condition] {
    job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

fn says(job: &SingletonJob, type_: &str, reason: &str) -> bool {
    find_condition(conditions(job), type_)
        .is_some_and(|condition| condition.status == "True" && condition.reason == reason)
}

fn is_ready_for(job: &SingletonJob, reason: &str) -> bool {
    find_condition(conditions(job), types::READY).is_some_and(|ready| ready.reason == reason)
}

impl Fixture {
    /// As the quota controller leaves it.
    async fn allow_pods(&self, many: &str) {
        let quota: ResourceQuota =
            serde_json::from_value(json!({"metadata": {"name": "few"}, "spec": {"hard": {"pods": many}}}))
                .expect("a quota");
        let quotas: Api<ResourceQuota> = self.api();
        let applied = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": quota.spec});
        quotas
            .patch("few", &PatchParams::apply("user").force(), &Patch::Apply(applied))
            .await
            .expect("stored");
        let status = json!({"status": {"hard": {"pods": many}, "used": {"pods": "0"}}});
        quotas.patch_status("few", &PatchParams::default(), &Patch::Merge(status)).await.expect("stored");
    }

    /// Refuses to have objects like `probe` made or changed in this namespace, from when this returns.
    async fn refuse(&self, name: &str, resource: &str, probe: Value) {
        let group =
            probe["apiVersion"].as_str().and_then(|version| version.split('/').next()).expect("a group");
        let create = ["create", "--namespace", self.namespace, "--dry-run=server", "--filename", "-"];
        self.deny(name, &["CREATE", "UPDATE"], (group, resource), (&create, &probe.to_string())).await;
    }

    /// Refuses what `operations` does to objects of this kind in this namespace, from when this returns: then
    /// kubectl cannot `try_out` either.
    pub async fn deny(
        &self,
        name: &str,
        operations: &[&str],
        (group, resource): (&str, &str),
        try_out: (&[&str], &str),
    ) {
        let rule = json!({"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource]});
        let validation = json!({"expression": "false", "message": format!("no {resource} here")});
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}});
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}});
        let matching = json!({"namespaceSelector": selector});
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": matching}});
        for object in [policy, binding] {
            let output = self.control_plane.kubectl(&["apply", "--filename", "-"], &object.to_string());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let started = Instant::now();
        while self.control_plane.kubectl(try_out.0, try_out.1).status.success() {
            assert!(started.elapsed() < PATIENCE, "the policy is not in force");
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn allow(&self, name: &str) {
        let output = self.control_plane.kubectl(&["delete", "validatingadmissionpolicybinding", name], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Requests to make `resource` in this namespace.
    fn asked_to_make(&self, resource: &str) -> usize {
        self.created(resource, false)
    }

    /// Requests to validate a pod without making it.
    fn asked_to_validate(&self) -> usize {
        self.created("pods", true)
    }

    fn created(&self, resource: &str, dry_run: bool) -> usize {
        let log = fs::read_to_string(self.control_plane.audit_log()).expect("a log");
        let requests = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_one = |request: &Value| {
            let object = &request["objectRef"];
            let is_dry = request["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"));
            let is_about = object["resource"] == resource && object["namespace"] == self.namespace;
            request["verb"] == "create" && is_about && is_dry == dry_run
        };
        requests.filter(is_one).count()
    }

    /// Reconciliations that have ended.
    fn looks(&self) -> u32 {
        let metrics = self.telemetry.metrics.encode();
        let results = metrics.lines().filter(|line| line.starts_with("controller_runtime_reconcile_total"));
        results.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
    }

    async fn touch(&self, name: &str) {
        let patch = json!({"metadata": {"annotations": {"touched": "yes"}}});
        self.api::<SingletonJob>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("stored");
    }

    async fn events(&self, reason: &str) -> usize {
        let events = self.api::<Event>().list(&ListParams::default()).await.expect("an answer");
        events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_pod_is_asked_for_once_and_uses_up_no_number() {
    let fixture = Fixture::alone("quota").await;
    fixture.allow_pods("0").await;
    fixture.apply("web", json!({"completionPolicy": "Never", "replicas": 3})).await;
    fixture.until("web", "refused", |job| is_ready_for(job, "FailedCreate")).await;
    // The Lease that was made in the same look shows in the next one.
    sleep(QUIET).await;
    let refused = fixture.job("web").await;
    sleep(FIRST_PAUSE - QUIET).await;
    let later = fixture.job("web").await;
    assert_eq!(later.resource_version(), refused.resource_version(), "nothing new is said");
    assert_eq!((fixture.asked_to_make("pods"), fixture.events("StandbyUnavailable").await), (1, 1));
    assert_eq!(later.status.and_then(|status| status.last_candidate_number), None);
    fixture.allow_pods("9").await;
    fixture.touch("web").await;
    fixture.settled("web", 3).await;
    assert_eq!(
        fixture.pods().await.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["web-1", "web-2", "web-3"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_no_retry_makes_acceptable_are_each_quoted() {
    let fixture = Fixture::new("unacceptable").await;
    let limits = json!({"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]}});
    let limits: LimitRange = serde_json::from_value(limits).expect("a LimitRange");
    fixture.api().create(&PostParams::default(), &limits).await.expect("stored");
    let resources = json!({"limits": {"memory": "64Mi"}});
    let container =
        json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "resources": resources});
    let with = |extra: Value| {
        let mut spec = json!({"containers": [container]});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        json!({"completionPolicy": "Never", "template": {"spec": spec}})
    };
    fixture.apply("large", with(json!({}))).await;
    fixture.apply("absent", with(json!({"serviceAccountName": "absent"}))).await;
    for (job, words) in [
        ("large", "maximum memory usage per Container is 1Mi"),
        ("absent", "serviceaccount \"absent\" not found"),
    ] {
        let quotes = |job: &SingletonJob| {
            find_condition(conditions(job), types::STANDBY_AVAILABLE)
                .is_some_and(|standby| standby.message.contains(words))
        };
        fixture.until(job, words, quotes).await;
    }
    assert_eq!(fixture.pods().await.len(), 0);
}

/// Its probe, which is the agent's business in the pods that are made, names no port.
fn with_port(port: u32, suspend: bool) -> Value {
    let probe = json!({"httpGet": {"path": "/", "port": port}});
    let container =
        json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "livenessProbe": probe});
    json!({"completionPolicy": "Never", "suspend": suspend, "template": {"spec": {"containers": [container]}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_no_job_could_have_stalls_in_the_api_servers_words() {
    let fixture = Fixture::alone("invalid-template").await;
    fixture.apply("web", with_port(70_000, false)).await;
    fixture.apply("later", with_port(70_000, true)).await;
    for name in ["web", "later"] {
        let job = fixture.until(name, "stalled", |job| says(job, types::STALLED, "InvalidTemplate")).await;
        let stalled = find_condition(&job.status.expect("a status").conditions, types::STALLED)
            .expect("just seen")
            .message
            .clone();
        assert!(
            stalled.contains("livenessProbe.httpGet.port") && stalled.contains("correct spec.template"),
            "{stalled}"
        );
    }
    sleep(QUIET).await;
    assert_eq!(
        (fixture.pods().await.len(), fixture.asked_to_make("pods"), fixture.asked_to_validate()),
        (0, 0, 2)
    );
    assert_eq!(
        (fixture.events("InvalidTemplate").await, fixture.events("StandbyUnavailable").await),
        (2, 0),
        "each is told once"
    );
    // It would be validated again while others are counted.
    fixture.api::<SingletonJob>().delete("later", &DeleteParams::default()).await.expect("deleted");
    fixture.apply("web", with_port(8080, false)).await;
    let job = fixture.settled("web", 2).await;
    assert!(!is_true(&job.status.expect("a status").conditions, types::STALLED));
    let asked = fixture.asked_to_validate();
    fixture.touch("web").await;
    sleep(QUIET).await;
    assert_eq!(fixture.asked_to_validate(), asked, "what pods are made from is not validated again");
    fixture.apply("web", with_port(70_000, false)).await;
    fixture.until("web", "stalled", |job| says(job, types::STALLED, "InvalidTemplate")).await;
    sleep(QUIET).await;
    assert_eq!(fixture.pods().await.len(), 2, "the pods of the template before stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_pod_that_is_invalid_is_told_as_an_invalid_template() {
    let fixture = Fixture::alone("invalid-first").await;
    // Without probes, so that the pod itself shows what is invalid.
    let ports = json!([{"containerPort": 70_000}]);
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "ports": ports});
    let template = json!({"spec": {"containers": [container]}});
    fixture.apply("web", json!({"completionPolicy": "Never", "template": template})).await;
    let job = fixture.until("web", "stalled", |job| says(job, types::STALLED, "InvalidTemplate")).await;
    let stalled = find_condition(conditions(&job), types::STALLED).expect("just seen");
    assert!(stalled.message.contains("spec.template: spec.containers[0].ports[0]"), "{}", stalled.message);
    sleep(QUIET).await;
    assert_eq!((fixture.asked_to_make("pods"), fixture.asked_to_validate()), (1, 1), "asked for once");
    assert_eq!((fixture.events("InvalidTemplate").await, fixture.events("StandbyUnavailable").await), (1, 0));
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_template_stalls_a_job_within_two_seconds() {
    let fixture = Fixture::alone("invalid-soon").await;
    let began = Instant::now();
    fixture.apply("first", json!({"completionPolicy": "Never"})).await;
    fixture.settled("first", 2).await;
    // On a machine that takes longer for what is right, more is granted for what is wrong.
    let most = began.elapsed().as_secs().max(2);
    fixture.apply("web", with_port(70_000, false)).await;
    let job = fixture.until("web", "stalled", |job| says(job, types::STALLED, "InvalidTemplate")).await;
    let stalled = find_condition(conditions(&job), types::STALLED).expect("just seen");
    let took = stalled
        .last_transition_time
        .0
        .duration_since(job.metadata.creation_timestamp.as_ref().expect("stored").0);
    assert!(took.as_secs().unsigned_abs() <= most, "{took}, in whole seconds");
    assert!(
        stalled.message.contains("must be between 1 and 65535"),
        "the API server's words: {}",
        stalled.message
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_template_of_a_schedule_makes_no_pod() {
    let fixture = Fixture::alone("invalid-later").await;
    let probe = json!({"tcpSocket": {"port": 70_000}});
    let container =
        json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "livenessProbe": probe});
    let template = json!({"spec": {"containers": [container]}});
    fixture.apply("nightly", json!({"schedule": {"cron": "0 0 1 1 *"}, "template": template})).await;
    fixture.until("nightly", "stalled", |job| says(job, types::STALLED, "InvalidTemplate")).await;
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "web"}});
    let output = fixture
        .control_plane
        .kubectl(&["create", "--namespace", fixture.namespace, "--filename", "-"], &lease.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fixture.apply("web", json!({"completionPolicy": "Never", "template": template})).await;
    fixture.until("web", "stalled", |job| says(job, types::STALLED, "ForeignObject")).await;
    fixture.control_plane.kubectl(&["delete", "lease", "web", "--namespace", fixture.namespace], "");
    fixture.touch("web").await;
    fixture.until("web", "stalled", |job| says(job, types::STALLED, "InvalidTemplate")).await;
    assert_eq!(fixture.pods().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_limit_range_admits_of_the_workload_it_admits_of_the_installer() {
    let fixture = Fixture::new("ratio").await;
    let limits = json!({"metadata": {"name": "ratio"}, "spec": {"limits": [{"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}}]}});
    fixture
        .api()
        .create(&PostParams::default(), &serde_json::from_value::<LimitRange>(limits).expect("a LimitRange"))
        .await
        .expect("stored");
    let resources = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}});
    let container =
        json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "resources": resources});
    fixture
        .apply("web", json!({"completionPolicy": "Never", "template": {"spec": {"containers": [container]}}}))
        .await;
    fixture.settled("web", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_have_its_role_binding_is_stalled_and_says_what_to_do() {
    let fixture = Fixture::alone("unbound").await;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "probe"});
    let probe = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "probe"}, "roleRef": role});
    fixture.refuse("unbound", "rolebindings", probe).await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    let job = fixture.until("web", "stalled", |job| says(job, types::STALLED, "RoleBindingRefused")).await;
    let status = job.status.expect("a status");
    assert!(!is_true(&status.conditions, types::READY));
    let message = find_condition(&status.conditions, types::OBJECT_REFUSED).expect("told").message.clone();
    assert!(message.contains("no rolebindings here") && message.contains("service account"), "{message}");
    sleep(QUIET).await;
    assert_eq!((fixture.pods().await.len(), fixture.events("ObjectRefused").await), (0, 1));
    fixture.allow("unbound");
    sleep(QUIET).await;
    fixture.touch("web").await;
    let job = fixture.settled("web", 2).await;
    assert_eq!(find_condition(&job.status.expect("a status").conditions, types::OBJECT_REFUSED), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_lease_stalls_the_job_and_a_refused_budget_does_not() {
    let fixture = Fixture::new("unleased").await;
    let probe =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "probe"}});
    fixture.refuse("no-leases", "leases", probe).await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.until("web", "stalled", |job| says(job, types::STALLED, "LeaseRefused")).await;
    let fixture = Fixture::new("unguarded").await;
    let probe = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "probe"}, "spec": {}});
    fixture.refuse("no-budgets", "poddisruptionbudgets", probe).await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    let pods = fixture.pods().await;
    fixture.place(&pods[0], "a").await;
    fixture.hold("web", &pods[0], true).await;
    let job = fixture.until("web", "held", |job| is_ready_for(job, "Held")).await;
    assert!(is_true(&job.status.expect("a status").conditions, types::READY));
    fixture.until("web", "told", |job| says(job, types::OBJECT_REFUSED, "PodDisruptionBudgetRefused")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_being_deleted_is_left_alone() {
    let fixture = Fixture::alone("leaving").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    // No controller manager takes its content away here.
    Api::<Namespace>::all(fixture.client.clone())
        .delete("leaving", &DeleteParams::default())
        .await
        .expect("accepted");
    sleep(QUIET).await;
    let (before, asked) = (conditions(&fixture.job("web").await).to_vec(), fixture.asked_to_make("pods"));
    fixture.api::<RoleBinding>().delete("singletonjob-web", &DeleteParams::default()).await.expect("deleted");
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for pod in fixture.pods().await {
        fixture.api::<Pod>().delete(&pod.name_any(), &at_once).await.expect("deleted");
    }
    sleep(FIRST_PAUSE).await;
    assert!(
        fixture.asked_to_make("pods") <= asked + 1 && fixture.asked_to_make("events") <= 2,
        "it is asked for nothing more"
    );
    assert_eq!(conditions(&fixture.job("web").await), before, "nothing is said of what cannot be made there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_controllers_own_status_wakes_nothing() {
    let fixture = Fixture::alone("awake").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    sleep(QUIET).await;
    let before = fixture.reconciles();
    let status = json!({"status": {"missedRuns": 7}});
    fixture
        .api::<SingletonJob>()
        .patch_status("web", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("stored");
    sleep(QUIET).await;
    assert_eq!(fixture.reconciles(), before);
    fixture.touch("web").await;
    let started = Instant::now();
    while fixture.reconciles() == before {
        assert!(started.elapsed() < PATIENCE, "a change of its annotations wakes it");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_job_beside_an_earlier_lease_is_looked_at_seldom() {
    let fixture = Fixture::alone("never-comes").await;
    fixture.apply("web", json!({})).await;
    fixture.settled("web", 2).await;
    // Held, so that the Lease outlives its SingletonJob for a while.
    fixture.hold("web", &fixture.pods().await[0], true).await;
    let earlier = fixture.api::<Lease>().get("web").await.expect("there").uid();
    fixture.api::<SingletonJob>().delete("web", &DeleteParams::default()).await.expect("deleted");
    fixture.apply("web", json!({"schedule": {"cron": "0 0 31 2 *"}})).await;
    fixture.until("web", "refused", |job| says(job, types::STALLED, "InvalidSpec")).await;
    sleep(QUIET).await;
    let before = fixture.looks();
    sleep(QUIET).await;
    assert!(fixture.looks() - before <= 2, "{} reconciliations in {QUIET:?}", fixture.looks() - before);
    assert_eq!(fixture.api::<Lease>().get("web").await.expect("it stays").uid(), earlier);
}
