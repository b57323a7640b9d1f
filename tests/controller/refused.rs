//! What the API server refuses: asked for seldom, said at once, and nothing else of it.

use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, is_true, types};
use tokio::time::sleep;

use crate::bench::{Bench, PATIENCE, QUIET};

/// Within the first pause of the controller, with the time that its first requests take.
const FIRST_PAUSE: Duration = Duration::from_secs(8);

fn says(job: &SingletonJob, type_: &str, reason: &str) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, type_).is_some_and(|condition| condition.status == "True" && condition.reason == reason)
}

fn is_ready_for(job: &SingletonJob, reason: &str) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, types::READY).is_some_and(|ready| ready.reason == reason)
}

impl Bench {
    /// As the quota controller leaves it.
    async fn allow_pods(&self, many: &str) {
        let quota: ResourceQuota =
            serde_json::from_value(json!({"metadata": {"name": "few"}, "spec": {"hard": {"pods": many}}})).expect("a quota");
        let quotas: Api<ResourceQuota> = self.api();
        let applied = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": quota.spec});
        quotas.patch("few", &PatchParams::apply("user").force(), &Patch::Apply(applied)).await.expect("stored");
        let status = json!({"status": {"hard": {"pods": many}, "used": {"pods": "0"}}});
        quotas.patch_status("few", &PatchParams::default(), &Patch::Merge(status)).await.expect("stored");
    }

    /// Refuses to have objects like `probe` made or changed in this namespace, from when this returns.
    async fn refuse(&self, name: &str, resource: &str, probe: Value) {
        let group = probe["apiVersion"].as_str().and_then(|version| version.split('/').next()).expect("a group");
        let rule = json!({"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resource]});
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
        let try_out = ["create", "--namespace", self.namespace, "--dry-run=server", "--filename", "-"];
        let started = Instant::now();
        while self.control_plane.kubectl(&try_out, &probe.to_string()).status.success() {
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
        let log = fs::read_to_string(self.control_plane.audit_log()).expect("a log");
        let requests = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_one = |request: &Value| {
            let object = &request["objectRef"];
            request["verb"] == "create" && object["resource"] == resource && object["namespace"] == self.namespace
        };
        requests.filter(is_one).count()
    }

    async fn touch(&self, name: &str) {
        let patch = json!({"metadata": {"annotations": {"touched": "yes"}}});
        self.api::<SingletonJob>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("stored");
    }

    async fn events(&self, reason: &str) -> usize {
        let events = self.api::<Event>().list(&ListParams::default()).await.expect("an answer");
        events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_pod_is_asked_for_once_and_uses_up_no_number() {
    let bench = Bench::alone("quota").await;
    bench.allow_pods("0").await;
    bench.apply("web", json!({"completionPolicy": "Never", "replicas": 3})).await;
    bench.until("web", "refused", |job| is_ready_for(job, "FailedCreate")).await;
    // The Lease that was made in the same look shows in the next one.
    sleep(QUIET).await;
    let refused = bench.job("web").await;
    sleep(FIRST_PAUSE - QUIET).await;
    let later = bench.job("web").await;
    assert_eq!(later.resource_version(), refused.resource_version(), "nothing new is said");
    assert_eq!((bench.asked_to_make("pods"), bench.events("StandbyUnavailable").await), (1, 1));
    assert_eq!(later.status.and_then(|status| status.last_candidate_number), None);
    bench.allow_pods("9").await;
    bench.touch("web").await;
    bench.settled("web", 3).await;
    assert_eq!(bench.pods().await.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["web-1", "web-2", "web-3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_no_retry_makes_acceptable_are_each_quoted() {
    let bench = Bench::new("unacceptable").await;
    let limits = json!({"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]}});
    let limits: LimitRange = serde_json::from_value(limits).expect("a LimitRange");
    bench.api().create(&PostParams::default(), &limits).await.expect("stored");
    let resources = json!({"limits": {"memory": "64Mi"}});
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "resources": resources});
    let with = |extra: Value| {
        let mut spec = json!({"containers": [container]});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        json!({"completionPolicy": "Never", "template": {"spec": spec}})
    };
    bench.apply("large", with(json!({}))).await;
    bench.apply("nobody", with(json!({"serviceAccountName": "nobody"}))).await;
    for (job, words) in [("large", "maximum memory usage per Container is 1Mi"), ("nobody", "serviceaccount \"nobody\" not found")] {
        let quotes = |job: &SingletonJob| {
            let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            find_condition(conditions, types::STANDBY_AVAILABLE).is_some_and(|standby| standby.message.contains(words))
        };
        bench.until(job, words, quotes).await;
    }
    assert_eq!(bench.pods().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_limit_range_admits_of_the_workload_it_admits_of_the_installer() {
    let bench = Bench::new("ratio").await;
    let limits = json!({"metadata": {"name": "ratio"}, "spec": {"limits": [{"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}}]}});
    bench.api().create(&PostParams::default(), &serde_json::from_value::<LimitRange>(limits).expect("a LimitRange")).await.expect("stored");
    let resources = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}});
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "resources": resources});
    bench.apply("web", json!({"completionPolicy": "Never", "template": {"spec": {"containers": [container]}}})).await;
    bench.settled("web", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_have_its_role_binding_is_stalled_and_says_what_to_do() {
    let bench = Bench::alone("unbound").await;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "probe"});
    let probe =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "probe"}, "roleRef": role});
    bench.refuse("unbound", "rolebindings", probe).await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    let job = bench.until("web", "stalled", |job| says(job, types::STALLED, "RoleBindingRefused")).await;
    let status = job.status.expect("a status");
    assert!(!is_true(&status.conditions, types::READY));
    let message = find_condition(&status.conditions, types::OBJECT_REFUSED).expect("told").message.clone();
    assert!(message.contains("no rolebindings here") && message.contains("service account"), "{message}");
    sleep(QUIET).await;
    assert_eq!((bench.pods().await.len(), bench.events("ObjectRefused").await), (0, 1));
    bench.allow("unbound");
    sleep(QUIET).await;
    bench.touch("web").await;
    let job = bench.settled("web", 2).await;
    assert_eq!(find_condition(&job.status.expect("a status").conditions, types::OBJECT_REFUSED), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_lease_stalls_the_job_and_a_refused_budget_does_not() {
    let bench = Bench::new("unleased").await;
    let probe = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "probe"}});
    bench.refuse("no-leases", "leases", probe).await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    bench.until("web", "stalled", |job| says(job, types::STALLED, "LeaseRefused")).await;
    let bench = Bench::new("unguarded").await;
    let probe = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "probe"}, "spec": {}});
    bench.refuse("no-budgets", "poddisruptionbudgets", probe).await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    bench.settled("web", 2).await;
    let pods = bench.pods().await;
    bench.place(&pods[0], "a").await;
    bench.hold("web", &pods[0], true).await;
    let job = bench.until("web", "held", |job| is_ready_for(job, "Held")).await;
    assert!(is_true(&job.status.expect("a status").conditions, types::READY));
    bench.until("web", "told", |job| says(job, types::OBJECT_REFUSED, "PodDisruptionBudgetRefused")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_being_deleted_is_left_alone() {
    let bench = Bench::alone("leaving").await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    bench.settled("web", 2).await;
    // No controller manager takes its content away here.
    Api::<Namespace>::all(bench.client.clone()).delete("leaving", &DeleteParams::default()).await.expect("accepted");
    sleep(QUIET).await;
    let (job, asked) = (bench.job("web").await, bench.asked_to_make("pods"));
    bench.api::<RoleBinding>().delete("singletonjob-web", &DeleteParams::default()).await.expect("deleted");
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for pod in bench.pods().await {
        bench.api::<Pod>().delete(&pod.name_any(), &at_once).await.expect("deleted");
    }
    sleep(FIRST_PAUSE).await;
    let said = bench.job("web").await.status.map(|status| status.conditions);
    assert!(bench.asked_to_make("pods") <= asked + 1 && bench.asked_to_make("events") <= 2, "it is asked for nothing more");
    assert_eq!(said.is_some(), job.status.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_controllers_own_status_wakes_nothing() {
    let bench = Bench::alone("awake").await;
    bench.apply("web", json!({"completionPolicy": "Never"})).await;
    bench.settled("web", 2).await;
    sleep(QUIET).await;
    let before = bench.reconciles();
    let status = json!({"status": {"missedRuns": 7}});
    bench.api::<SingletonJob>().patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.expect("stored");
    sleep(QUIET).await;
    assert_eq!(bench.reconciles(), before);
    bench.touch("web").await;
    let started = Instant::now();
    while bench.reconciles() == before {
        assert!(started.elapsed() < PATIENCE, "a change of its annotations wakes it");
        sleep(Duration::from_millis(100)).await;
    }
}
