//! The controller against a real API server: what it makes, what it leaves alone, and what does not wake it.

mod active;
mod events;
mod fixture;
mod policies;
mod refused;
mod removal;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, is_true, types};
use singletonjob::api::takeover::CLEARED_HOLDER;
use singletonjob::contract::{field_managers, labels, paths};
use singletonjob::lease::annotations::keys;
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;
use testkit::fixture::{PATIENCE, QUIET, USER, bind};
use tokio::time::sleep;

use fixture::Fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_gets_a_lease_then_a_role_then_candidates_and_then_nothing_new() {
    let fixture = Fixture::new("makes").await;
    fixture.apply("web", json!({"completionPolicy": "Never", "replicas": 2})).await;
    let job = fixture.settled("web", 2).await;
    let lease = fixture.api::<Lease>().get("web").await.expect("a Lease");
    assert!(Record::read(&lease).expect("a record").is_released(), "no candidate ever held it");
    assert_eq!(lease.owner_references(), [], "it outlives its SingletonJob");
    let role = fixture.api::<Role>().get("singletonjob-web").await.expect("a Role");
    assert_eq!(role.owner_references()[0].uid, lease.uid().expect("stored"));
    assert_eq!(role.rules.expect("one")[0].resource_names.as_deref(), Some(&["web".to_owned()][..]));
    let binding = fixture.api::<RoleBinding>().get("singletonjob-web").await.expect("a RoleBinding");
    assert_eq!(binding.subjects.expect("one")[0].name, "default");
    let pods = fixture.pods().await;
    assert_eq!(pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["web-1", "web-2"]);
    let spec = pods[0].spec.as_ref().expect("a spec");
    assert_eq!(
        (spec.restart_policy.as_deref(), spec.containers[0].command.as_ref().expect("one")[0].as_str()),
        (Some("Always"), paths::AGENT)
    );
    assert_eq!(pods[0].owner_references()[0].uid, job.uid().expect("stored"));
    sleep(QUIET).await;
    let before = fixture.versions().await;
    fixture
        .api::<SingletonJob>()
        .patch(
            "web",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}})),
        )
        .await
        .expect("stored");
    sleep(QUIET).await;
    let changed = before.iter().filter(|version| !bench_versions(&fixture).contains(version)).count();
    assert!(changed <= 1, "only the label that we wrote ourselves");
}

fn bench_versions(fixture: &Fixture) -> Vec<Option<String>> {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(fixture.versions()))
}

/// Fails where anybody else than the controller, the client that applies specs and the agents has written a
/// field of these objects.
fn assert_signed<K: kube::Resource<DynamicType = ()>>(objects: &[K]) {
    let entries = objects.iter().flat_map(|object| object.managed_fields().to_vec());
    let writers: BTreeSet<_> = entries.map(|entry| entry.manager.unwrap_or_default()).collect();
    let others: Vec<_> = writers
        .iter()
        .filter(|writer| ![field_managers::CONTROLLER, field_managers::AGENT, USER].contains(&&***writer))
        .collect();
    assert!(
        writers.contains(field_managers::CONTROLLER) && others.is_empty(),
        "{}: {writers:?}",
        K::kind(&())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_controller_writes_bears_its_name() {
    let fixture = Fixture::new("signed").await;
    fixture.apply("web", json!({"completionPolicy": "Never", "replicas": 2})).await;
    fixture.settled("web", 2).await;
    fixture.hold("web", &fixture.pods().await[0], true).await;
    fixture
        .until("web", "labelled", |job| is_true(&job.status.as_ref().expect("one").conditions, types::HELD))
        .await;
    assert_signed(&[fixture.job("web").await]);
    assert_signed(&fixture.all::<Lease>().await);
    assert_signed(&fixture.all::<Role>().await);
    assert_signed(&fixture.all::<RoleBinding>().await);
    assert_signed(&fixture.all::<PodDisruptionBudget>().await);
    assert_signed(&fixture.pods().await);
    // Events are written after the status that was waited for.
    let started = Instant::now();
    while fixture.all::<Event>().await.is_empty() {
        assert!(started.elapsed() < PATIENCE, "no event");
        sleep(Duration::from_millis(50)).await;
    }
    assert_signed(&fixture.all::<Event>().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_image_is_that_of_the_container_controller() {
    let fixture = Fixture::new("image").await;
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let mesh = json!([container("proxy", "mesh:1"), container("controller", "singletonjob:1")]);
    let renamed = json!([container("operator", "mine:1"), container("proxy", "mesh:1")]);
    for (name, containers, expected) in [("meshed", mesh, "singletonjob:1"), ("renamed", renamed, "mine:1")] {
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": containers}});
        fixture
            .api()
            .create(&PostParams::default(), &serde_json::from_value::<Pod>(pod).expect("a pod"))
            .await
            .expect("stored");
        let image =
            singletonjob::controller::own_image(&fixture.client, "image", name).await.expect("an answer");
        assert_eq!(image.as_deref(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_another_program_is_left_alone_and_reported() {
    let fixture = Fixture::new("foreign").await;
    let theirs = Lease {
        metadata: ObjectMeta { name: Some("web".into()), ..ObjectMeta::default() },
        ..Lease::default()
    };
    let theirs = fixture.api::<Lease>().create(&PostParams::default(), &theirs).await.expect("stored");
    fixture.apply("web", json!({})).await;
    let stalled = |job: &SingletonJob| {
        let conditions = job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        find_condition(&conditions, types::STALLED)
            .is_some_and(|stalled| stalled.status == "True" && stalled.reason == "ForeignObject")
    };
    fixture.until("web", "stalled", stalled).await;
    sleep(QUIET).await;
    let after = fixture.api::<Lease>().get("web").await.expect("still there");
    assert_eq!(after.resource_version(), theirs.resource_version());
    assert_eq!(fixture.pods().await.len(), 0, "no pod before the Lease");
    let events = fixture.api::<Event>().list(&ListParams::default()).await.expect("an answer");
    assert_eq!(events.iter().filter(|event| event.reason.as_deref() == Some("ForeignObject")).count(), 1);
}

fn shows_holder(job: &SingletonJob) -> bool {
    let lease = job.status.as_ref().and_then(|status| status.lease.as_ref());
    lease.is_some_and(|lease| lease.holder.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holder_shows_in_status_and_its_renewals_wake_no_reconcile() {
    let fixture = Fixture::alone("renewals").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    sleep(QUIET).await;
    let pod = fixture.pods().await.remove(0);
    fixture.hold("web", &pod, true).await;
    let job = fixture.until("web", "held", shows_holder).await;
    let status = job.status.expect("a status");
    assert_eq!(status.lease.expect("a Lease").holder.as_deref(), Some("web-1"));
    assert_eq!(status.takeovers.len(), 1);
    sleep(QUIET).await;
    let roles: Vec<_> = fixture.pods().await.iter().map(|pod| pod.labels()[labels::ROLE].clone()).collect();
    assert_eq!(roles, [labels::ROLE_ACTIVE, labels::ROLE_STANDBY]);
    let costs: Vec<_> = fixture
        .pods()
        .await
        .iter()
        .map(|pod| pod.annotations().get("controller.kubernetes.io/pod-deletion-cost").cloned())
        .collect();
    assert_eq!(costs, [Some("1000".to_owned()), None]);
    let (before, reconciles) = (fixture.versions().await, fixture.reconciles());
    for _ in 0..5 {
        fixture.hold("web", &pod, false).await;
        sleep(Duration::from_millis(400)).await;
    }
    assert_eq!((fixture.versions().await, fixture.reconciles()), (before, reconciles));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_deleted_is_made_again_in_the_name_of_its_holder() {
    let fixture = Fixture::new("again").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    let pod = fixture.pods().await.remove(0);
    fixture.hold("web", &pod, true).await;
    fixture.until("web", "held", shows_holder).await;
    fixture.api::<Lease>().delete("web", &DeleteParams::default()).await.expect("deleted");
    let started = Instant::now();
    let lease = loop {
        if let Some(lease) = fixture.api::<Lease>().get_opt("web").await.expect("an answer") {
            break lease;
        }
        assert!(started.elapsed() < PATIENCE, "not made again");
        sleep(Duration::from_millis(50)).await;
    };
    let record = Record::read(&lease).expect("a record");
    assert_eq!(record.holder.as_ref().map(Identity::pod), Some("web-1"));
    assert!(!record.is_released() && record.acquire_time.is_none());
    assert!(record.annotations.policy.is_some_and(|policy| policy.token_floor.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_outlived_its_job_goes_when_it_is_free() {
    let fixture = Fixture::new("tombstone").await;
    fixture.apply("web", json!({})).await;
    fixture.settled("web", 2).await;
    fixture.api::<SingletonJob>().delete("web", &DeleteParams::default()).await.expect("deleted");
    let started = Instant::now();
    while fixture.api::<Lease>().get_opt("web").await.expect("an answer").is_some() {
        assert!(started.elapsed() < PATIENCE, "still there");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_of_an_attempt_that_is_over_are_told_to_end_and_the_pod_stays() {
    let fixture = Fixture::new("sidecars").await;
    let container = |name: &str| json!({"name": name, "image": "busybox", "command": ["sleep", "1000"]});
    fixture.apply("web", json!({"replicas": 1, "template": {"spec": {"containers": [container("main"), container("side")]}}})).await;
    fixture.settled("web", 1).await;
    let status = |name: &str, state: Value| json!({"name": name, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let containers =
        [status("main", json!({"terminated": {"exitCode": 0}})), status("side", json!({"running": {}}))];
    let ended = json!({"status": {"phase": "Running", "containerStatuses": containers}});
    let pods: Api<Pod> = fixture.api();
    pods.patch_status("web-1", &PatchParams::default(), &Patch::Merge(ended)).await.expect("stored");
    let started = Instant::now();
    let deadline =
        async || pods.get("web-1").await.expect("it stays").spec.expect("a spec").active_deadline_seconds;
    while deadline().await != Some(1) {
        assert!(started.elapsed() < PATIENCE, "not told to end");
        sleep(Duration::from_millis(50)).await;
    }
    let leaves = async || {
        pods.get("web-1").await.expect("it stays").spec.and_then(|spec| spec.tolerations).expect("some")
    };
    while leaves().await.iter().any(|toleration| toleration.toleration_seconds.is_some()) {
        assert!(started.elapsed() < PATIENCE, "its log would go with its node");
        sleep(Duration::from_millis(50)).await;
    }
    let told = async || {
        let events = fixture.api::<Event>().list(&ListParams::default()).await.expect("an answer");
        events.iter().filter(|event| event.reason.as_deref() == Some("PodRetired")).count()
    };
    sleep(QUIET).await;
    assert_eq!(told().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unready_standby_that_has_started_lets_a_drain_take_the_holder() {
    let fixture = Fixture::new("not-ready").await;
    fixture.apply("web", json!({"completionPolicy": "Never", "standbyReadiness": "NotReady"})).await;
    fixture.settled("web", 2).await;
    let budgets: Api<PodDisruptionBudget> = fixture.api();
    let leaves = async |wanted: i32| {
        let started = Instant::now();
        let says = async || {
            budgets
                .get_opt("singletonjob-web")
                .await
                .expect("an answer")
                .and_then(|budget| budget.spec?.min_available)
        };
        while says().await != Some(IntOrString::Int(wanted)) {
            assert!(started.elapsed() < PATIENCE, "{:?} and not {wanted}", says().await);
            sleep(Duration::from_millis(50)).await;
        }
    };
    let pods = fixture.pods().await;
    fixture.place(&pods[0], "a").await;
    fixture.hold("web", &pods[0], true).await;
    leaves(1).await;
    bind(&pods[1], "not-ready-b");
    let container = json!({"name": "main", "image": "busybox", "imageID": "", "ready": false, "started": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
    let conditions = json!([{"type": "Ready", "status": "False"}]);
    let standby =
        json!({"status": {"phase": "Running", "conditions": conditions, "containerStatuses": [container]}});
    fixture
        .api::<Pod>()
        .patch_status("web-2", &PatchParams::default(), &Patch::Merge(standby))
        .await
        .expect("stored");
    let available = |job: &SingletonJob| {
        job.status.as_ref().is_some_and(|status| is_true(&status.conditions, types::STANDBY_AVAILABLE))
    };
    let job = fixture.until("web", "able to take over", available).await;
    assert_eq!(
        job.status.map(|status| (status.ready_replicas, status.ready_standbys)),
        Some((Some(1), Some(1)))
    );
    leaves(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_candidates_cannot_share_is_told_of() {
    let fixture = Fixture::new("claims").await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
    fixture.api().create(&PostParams::default(), &claim).await.expect("stored");
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"]});
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let template = json!({"spec": {"containers": [container], "volumes": volumes}});
    fixture.apply("web", json!({"template": template})).await;
    let says = |job: &SingletonJob, reason: &str| {
        let conditions = job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        find_condition(&conditions, types::TEMPLATE_HAZARDOUS).is_some_and(|hazard| hazard.reason == reason)
    };
    fixture.until("web", "told of", |job| says(job, "ReadWriteOncePod")).await;
    fixture.apply("web", json!({"template": template, "replicas": 1})).await;
    fixture
        .until("web", "told of no more", |job| job.status.is_some() && !says(job, "ReadWriteOncePod"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_heed_a_budget_of_ours_or_one_of_the_users_and_never_two() {
    let fixture = Fixture::new("budgets").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    let budgets: Api<PodDisruptionBudget> = fixture.api();
    let names = async || {
        budgets
            .list(&ListParams::default())
            .await
            .expect("an answer")
            .iter()
            .map(ResourceExt::name_any)
            .collect::<Vec<_>>()
    };
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
    fixture.apply("web", json!({"completionPolicy": "Never", "replicas": 1})).await;
    turn(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_holder_is_cleared_by_word_by_its_pods_end_or_by_a_taint() {
    let fixture = Fixture::new("silent").await;
    let jobs = fixture.api::<SingletonJob>();
    fixture.silent("manual", "Manual").await;
    for (word, clears) in [("manual-2", false), ("manual-1", true)] {
        let annotations = json!({"metadata": {"annotations": {CLEARED_HOLDER: word}}});
        jobs.patch("manual", &PatchParams::default(), &Patch::Merge(annotations)).await.expect("stored");
        if !clears {
            fixture
                .until("manual", "told what is wrong", |job| {
                    says_blocked(job, "manual-2 now, but that is not this holder")
                })
                .await;
        }
    }
    fixture.cleared("manual").await;
    let holder = fixture.record("manual").await.holder.map(|holder| holder.to_string());
    let handled = |job: &SingletonJob| {
        job.status.as_ref().is_some_and(|status| status.last_handled_cleared_holder == holder)
    };
    fixture.until("manual", "remembered", handled).await;

    let pod = fixture.silent("gone", "AfterPodGone").await;
    fixture
        .api::<Pod>()
        .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
        .await
        .expect("deleted");
    fixture.cleared("gone").await;

    let pod = fixture.silent("off", "AfterPodGone").await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-off"}});
    Api::<Node>::all(fixture.client.clone())
        .create(&PostParams::default(), &serde_json::from_value(node).expect("a node"))
        .await
        .expect("made");
    bind(&pod, "node-off");
    fixture.until("off", "told of its node", |job| says_blocked(job, "taint node node-off")).await;
    let taint = json!({"spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "value": "x", "effect": "NoExecute"}]}});
    Api::<Node>::all(fixture.client.clone())
        .patch("node-off", &PatchParams::default(), &Patch::Merge(taint))
        .await
        .expect("tainted");
    fixture.cleared("off").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_ended_for_its_own_fault_is_named_once_over_a_restart() {
    let mut fixture = Fixture::new("kubelet").await;
    fixture.apply("web", json!({"backoffLimit": 3})).await;
    fixture.settled("web", 2).await;
    let pod = fixture.pods().await.remove(0);
    fixture.hold("web", &pod, true).await;
    let drained = |provisional: Option<&str>, failures: u32| {
        json!({"uid": "", "run": 1, "starts": 1, "failures": failures, "setbacks": 0, "retryAfterSeconds": 0,
        "open": false, "tenants": [{"uid": pod.uid(), "provisional": provisional}]})
    };
    fixture.report("web", drained(Some("Interrupted"), 0)).await;
    let full = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ";
    let evicted = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": full}});
    fixture
        .api::<Pod>()
        .patch_status("web-1", &PatchParams::default(), &Patch::Merge(evicted))
        .await
        .expect("stored");
    let counts = |job: &SingletonJob| {
        job.status.as_ref().and_then(|status| status.run.as_ref()).is_some_and(|run| run.failures == 1)
    };
    fixture.until("web", "counted", counts).await;
    let named = fixture.record("web").await.annotations.run.expect("a directive").failed_pods;
    assert_eq!(
        named.iter().map(|pod| (pod.name.as_str(), pod.reason.as_str())).collect::<Vec<_>>(),
        [("web-1", "Evicted")]
    );

    fixture.restart();
    sleep(QUIET).await;
    fixture.report("web", drained(None, 1)).await;
    fixture.api::<Pod>().delete("web-1", &DeleteParams::default().grace_period(0)).await.expect("deleted");
    sleep(QUIET).await;
    assert_eq!(fixture.record("web").await.annotations.run.expect("a directive").failed_pods, named);
    assert!(counts(&fixture.job("web").await), "{:#?}", fixture.job("web").await.status);
    let events = fixture.api::<Event>().list(&ListParams::default()).await.expect("an answer");
    let told: Vec<_> = events.iter().filter(|event| event.reason.as_deref() == Some("PodFailed")).collect();
    let note = told.first().and_then(|event| event.note.as_deref()).unwrap_or_default();
    assert!(
        told.len() == 1 && note.starts_with("the kubelet ended web-1 (Evicted: Usage of EmptyDir volume"),
        "{told:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pods_of_quick_failures_stay_until_the_kubelet_knows_their_end() {
    let fixture = Fixture::new("quick").await;
    fixture.apply("web", json!({"backoffLimit": 1})).await;
    fixture.settled("web", 2).await;
    let pods = fixture.pods().await;
    let uid = fixture.job("web").await.uid();
    let tenants: Vec<_> = pods.iter().map(|pod| json!({"uid": pod.uid()})).collect();
    let progress = json!({"uid": "", "run": 1, "starts": 2, "failures": 2, "setbacks": 2, "retryAfterSeconds": 10, "open": false, "tenants": tenants});
    let by = Identity::new("web-2", &pods[1].uid().expect("stored"), 7);
    let finished = json!({"uid": uid, "run": 1, "outcome": "Failed", "reason": "BackoffLimitExceeded", "exit": {"code": 1}, "attempt": 2,
        "failures": 2, "by": by, "completionTime": "2026-01-01T00:00:00Z"});
    fixture.report("web", progress).await;
    let patch = json!({"metadata": {"annotations": {keys::FINISHED: finished.to_string()}}});
    fixture.api::<Lease>().patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.expect("stored");
    let over = |job: &SingletonJob| job.status.as_ref().is_some_and(|status| !status.runs.is_empty());
    fixture.until("web", "over", over).await;
    sleep(QUIET).await;
    let names: Vec<_> = fixture
        .pods()
        .await
        .iter()
        .map(|pod| (pod.name_any(), pod.metadata.deletion_timestamp.is_some()))
        .collect();
    assert_eq!(names, [("web-1".to_owned(), false), ("web-2".to_owned(), false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_workload_container_in_the_template_ends_no_attempt() {
    let fixture = Fixture::new("renamed").await;
    let container = |name: &str| json!({"name": name, "image": "busybox", "command": ["sleep", "1000"]});
    let template = json!({"spec": {"containers": [container("main"), container("side")]}});
    fixture.apply("web", json!({"replicas": 1, "template": template})).await;
    fixture.settled("web", 1).await;
    let pod = fixture.pods().await.remove(0);
    fixture.hold("web", &pod, true).await;
    let status = |name: &str, state: Value| json!({"name": name, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let containers =
        [status("main", json!({"running": {}})), status("side", json!({"terminated": {"exitCode": 0}}))];
    let runs = json!({"status": {"phase": "Running", "containerStatuses": containers}});
    let pods: Api<Pod> = fixture.api();
    pods.patch_status("web-1", &PatchParams::default(), &Patch::Merge(runs)).await.expect("stored");
    fixture.apply("web", json!({"replicas": 1, "template": template, "workloadContainer": "side"})).await;
    let generation = fixture.job("web").await.metadata.generation;
    fixture
        .until("web", "seen", |job| {
            job.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        })
        .await;
    sleep(QUIET).await;
    assert_eq!(
        pods.get("web-1").await.expect("it stays").spec.expect("a spec").active_deadline_seconds,
        None
    );
    assert_eq!(fixture.job("web").await.status.and_then(|status| status.replicas), Some(1), "it takes part");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_lost_its_labels_gets_them_back_and_its_holder_is_seen() {
    let fixture = Fixture::new("unlabelled").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    let pods = fixture.pods().await;
    fixture.hold("web", &pods[0], true).await;
    let held_by = |pod: &'static str| {
        move |job: &SingletonJob| {
            job.status.as_ref().and_then(|status| status.lease.as_ref()?.holder.as_deref()) == Some(pod)
        }
    };
    fixture.until("web", "held", held_by("web-1")).await;
    let leases: Api<Lease> = fixture.api();
    for lost in [
        json!({labels::MANAGED_BY: null, labels::JOB: null}),
        json!({labels::JOB: null}),
        json!({labels::MANAGED_BY: null}),
    ] {
        let patch = json!({"metadata": {"labels": lost}});
        leases.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.expect("stored");
        let started = Instant::now();
        while leases.get("web").await.expect("there").labels().len() < 2 {
            assert!(started.elapsed() < PATIENCE, "{lost} is not put back");
            sleep(Duration::from_millis(50)).await;
        }
    }
    fixture.hold("web", &pods[1], true).await;
    fixture.until("web", "held by the next", held_by("web-2")).await;
    let events = fixture.api::<Event>().list(&ListParams::default()).await.expect("an answer");
    let told = |reason: &str| events.iter().any(|event| event.reason.as_deref() == Some(reason));
    assert!(told("LeaseLabelsRestored") && !told("ForeignObject"));
}

fn says_blocked(job: &SingletonJob, part: &str) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, types::TAKEOVER_BLOCKED).is_some_and(|blocked| blocked.message.contains(part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_of_succession_follows_the_labels_of_the_nodes() {
    let fixture = Fixture::new("prefers").await;
    let zone_b = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]});
    let takeover = json!({"preferredNodes": [{"weight": 1, "preference": zone_b}]});
    fixture.apply("web", json!({"completionPolicy": "Never", "replicas": 3, "takeover": takeover})).await;
    fixture.settled("web", 3).await;
    let pods = fixture.pods().await;
    fixture.hold("web", &pods[0], true).await;
    for (pod, zone) in pods.iter().zip(["a", "c", "b"]) {
        fixture.place(pod, zone).await;
    }
    let uids = |order: [usize; 2]| order.map(|index| pods[index].uid().expect("stored"));
    succession_becomes(&fixture, &uids([2, 1]), PATIENCE).await;
    sleep(QUIET).await;
    fixture.hold("web", &pods[0], false).await;
    for (node, zone) in [("prefers-c", "b"), ("prefers-b", "c")] {
        let labels = Patch::Merge(json!({"metadata": {"labels": {"zone": zone}}}));
        let nodes = Api::<Node>::all(fixture.client.clone());
        nodes.patch(node, &PatchParams::default(), &labels).await.expect("stored");
    }
    succession_becomes(&fixture, &uids([1, 2]), Duration::from_secs(5)).await;
}

async fn succession_becomes(fixture: &Fixture, wanted: &[String], within: Duration) {
    let started = Instant::now();
    loop {
        let lease = fixture.api::<Lease>().get("web").await.expect("there");
        let said = Record::read(&lease).expect("a record").annotations.succession;
        if said == wanted {
            break;
        }
        assert!(started.elapsed() < within, "{said:?} and not {wanted:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_controller_manages_is_not_touched() {
    let fixture = Fixture::new("anothers").await;
    fixture.apply("theirs", json!({"managedBy": "example.com/other", "ttlSecondsAfterFinished": 0})).await;
    let before = fixture.job("theirs").await;
    fixture.apply("ours", json!({"managedBy": "singletonjob.dev/singletonjob-controller"})).await;
    fixture.settled("ours", 2).await;
    fixture.hold("ours", &fixture.pods().await[0], true).await;
    fixture
        .until("ours", "told of", |job| {
            job.status.as_ref().is_some_and(|status| !status.takeovers.is_empty())
        })
        .await;
    sleep(QUIET).await;
    assert_eq!(fixture.job("theirs").await.resource_version(), before.resource_version());
    assert_eq!(
        before.managed_fields().iter().map(|entry| entry.manager.as_deref()).collect::<Vec<_>>(),
        [Some(USER)]
    );
    let mut made: Vec<_> = fixture.pods().await.iter().map(ResourceExt::name_any).collect();
    made.extend(fixture.all::<Lease>().await.iter().map(ResourceExt::name_any));
    made.extend(fixture.all::<Role>().await.iter().map(ResourceExt::name_any));
    made.extend(fixture.all::<RoleBinding>().await.iter().map(ResourceExt::name_any));
    made.extend(fixture.all::<PodDisruptionBudget>().await.iter().map(ResourceExt::name_any));
    assert_eq!(
        made,
        ["ours-1", "ours-2", "ours", "singletonjob-ours", "singletonjob-ours", "singletonjob-ours"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_another_controller_manages_no_event_and_no_metric_tells() {
    let fixture = Fixture::new("untold").await;
    // Worth a warning at the first look.
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1"], "resources": {"limits": {"cpu": "100m"}}});
    let template = json!({"spec": {"containers": [container]}});
    fixture.apply("theirs", json!({"managedBy": "example.com/other", "template": template})).await;
    fixture.apply("ours", json!({"template": template})).await;
    let is_told = |job: &SingletonJob| {
        job.status.as_ref().is_some_and(|status| is_true(&status.conditions, types::TEMPLATE_HAZARDOUS))
    };
    fixture.until("ours", "told of", is_told).await;
    sleep(QUIET).await;
    let events = fixture.all::<Event>().await;
    let subjects: BTreeSet<_> = events.into_iter().filter_map(|event| event.regarding?.name).collect();
    assert_eq!(subjects.iter().collect::<Vec<_>>(), ["ours"]);
    let series = |name: &str| format!(r#"namespace="untold",name="{name}""#);
    let metrics = fixture.telemetry.metrics.encode();
    assert!(metrics.contains(&series("ours")) && !metrics.contains(&series("theirs")), "{metrics}");
}
