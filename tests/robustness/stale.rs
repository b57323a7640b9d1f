//! Told late, told the past, or never told: what a controller believes is not what is there.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;

use super::agents;
use super::fault_proxy::{Tide, undisturbed};
use super::fixture::{Controller, Fixture};
use super::harness::Harness;
use super::lifecycle::{SERVICE, serves, service};

/// Longer than a reconciliation and everything that it sets off.
const QUIET: Duration = Duration::from_secs(3);

/// Longer than a watch takes to begin anew, and much shorter than any look without an event.
const SOON: Duration = Duration::from_secs(10);

/// What the watches of pods and Leases would begin with.
struct Past {
    pods: Value,
    leases: Value,
}

impl Past {
    async fn now(fixture: &Fixture) -> Self {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=singletonjob-controller");
        let pods = fixture.api::<Pod>().list(&ours).await.expect("an answer");
        let leases = fixture.api::<Lease>().list(&ours).await.expect("an answer");
        Self { pods: json!(pods), leases: json!(leases) }
    }

    /// A controller that takes this for the present, until the tide turns.
    fn control(&self, fixture: &Fixture) -> Controller {
        let proxy = fixture.proxy(undisturbed());
        proxy.remember("pods", &self.pods);
        proxy.remember("leases", &self.leases);
        proxy.turn(Tide::Late);
        Controller::behind(proxy)
    }
}

/// A service with two candidates, and its controller.
async fn opened(harness: &Harness, namespace: &str) -> (Fixture, Controller) {
    let fixture = harness.fixture(namespace).await;
    let controller = Controller::behind(fixture.proxy(undisturbed()));
    fixture.apply(SERVICE, &service("one", 2)).await;
    serves(&fixture, "one", 2).await.expect("served");
    (fixture, controller)
}

/// The standby holds the Lease; the name of its pod.
async fn change_hands(fixture: &Fixture) -> String {
    loop {
        let lease = fixture.api::<Lease>().get(SERVICE).await.expect("there");
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let pods = fixture.world.pods(&fixture.namespace, SERVICE);
        let standby = pods.iter().find(|pod| !holder.starts_with(&pod.name_any())).expect("a standby");
        if fixture
            .api::<Lease>()
            .replace(SERVICE, &PostParams::default(), &agents::taken(&lease, standby))
            .await
            .is_ok()
        {
            return standby.name_any();
        }
    }
}

/// Gives the controller a reason to look.
async fn touch(fixture: &Fixture) {
    let touched = json!({"metadata": {"labels": {"touched": "yes"}}});
    fixture
        .api::<SingletonJob>()
        .patch(SERVICE, &PatchParams::default(), &Patch::Merge(touched))
        .await
        .expect("stored");
}

/// Names and uids of all pods, and the uid of the Lease.
async fn present(fixture: &Fixture) -> (Vec<(String, Option<String>)>, Option<String>) {
    let pods = fixture.api::<Pod>().list(&ListParams::default()).await.expect("an answer");
    let lease = fixture.api::<Lease>().get_opt(SERVICE).await.expect("an answer");
    (pods.iter().map(|pod| (pod.name_any(), pod.uid())).collect(), lease.and_then(|lease| lease.uid()))
}

async fn names(fixture: &Fixture) -> Vec<String> {
    present(fixture).await.0.into_iter().map(|(name, _)| name).collect()
}

fn no_violations(fixture: &Fixture) {
    assert_eq!(fixture.ledger.violations(), Vec::<String>::new());
}

#[test]
fn one_that_starts_before_there_was_anything_makes_nothing_a_second_time() {
    let harness = Harness::shared();
    harness.runtime.block_on(async {
        let blank = harness.fixture("stale-blank").await;
        let past = Past::now(&blank).await;
        let (fixture, controller) = opened(&harness, "stale-nothing").await;
        drop(controller);
        let before = present(&fixture).await;
        let controller = past.control(&fixture);
        touch(&fixture).await;
        tokio::time::sleep(QUIET).await;
        assert_eq!(present(&fixture).await, before, "while it is told nothing");
        controller.proxy.turn(Tide::Flowing);
        serves(&fixture, "one", 2).await.expect("served");
        assert_eq!(present(&fixture).await, before, "when it is told everything");
        no_violations(&fixture);
    });
}

/// Scaled down, a controller that knows the holder as the standby that it was leaves it alone, and so does
/// one that knows better.
async fn spares(fixture: &Fixture, controller: &Controller, holder: &str) {
    tokio::time::sleep(QUIET).await;
    assert!(names(fixture).await.iter().any(|name| name == holder), "deleted as the standby that it was");
    controller.proxy.turn(Tide::Flowing);
    serves(fixture, "one", 1).await.expect("served");
    assert_eq!(names(fixture).await, [holder]);
    no_violations(fixture);
}

#[test]
fn one_that_starts_in_the_past_deletes_no_holder_of_today() {
    let harness = Harness::shared();
    harness.runtime.block_on(async {
        let (fixture, controller) = opened(&harness, "stale-past").await;
        let past = Past::now(&fixture).await;
        drop(controller);
        let holder = change_hands(&fixture).await;
        fixture.apply(SERVICE, &service("one", 1)).await;
        let controller = past.control(&fixture);
        spares(&fixture, &controller, &holder).await;
    });
}

#[test]
fn one_that_is_told_late_deletes_no_holder_of_today() {
    let harness = Harness::shared();
    harness.runtime.block_on(async {
        let (fixture, controller) = opened(&harness, "stale-late").await;
        controller.proxy.turn(Tide::Late);
        let holder = change_hands(&fixture).await;
        fixture.apply(SERVICE, &service("one", 1)).await;
        spares(&fixture, &controller, &holder).await;
    });
}

#[test]
fn what_happens_and_is_undone_unseen_changes_nothing() {
    let harness = Harness::shared();
    harness.runtime.block_on(async {
        let (fixture, controller) = opened(&harness, "unseen").await;
        controller.proxy.turn(Tide::Lost);
        come_and_go(&fixture).await;
        change_hands(&fixture).await;
        let holder = change_hands(&fixture).await;
        let before = present(&fixture).await;
        controller.proxy.turn(Tide::Flowing);
        touch(&fixture).await;
        tokio::time::sleep(QUIET).await;
        serves(&fixture, "one", 2).await.expect("served");
        assert_eq!(present(&fixture).await, before);
        let shown =
            fixture.world.job(&fixture.namespace, SERVICE).and_then(|job| job.status.clone()?.lease?.holder);
        assert_eq!(shown, Some(holder));
        no_violations(&fixture);
    });
}

/// A third candidate appears, and vanishes.
async fn come_and_go(fixture: &Fixture) {
    let pods = fixture.api::<Pod>();
    let mut pod = fixture.world.pods(&fixture.namespace, SERVICE).remove(0);
    let kept = pod.metadata;
    pod.metadata = ObjectMeta {
        name: Some(format!("{SERVICE}-77")),
        labels: kept.labels,
        owner_references: kept.owner_references,
        ..ObjectMeta::default()
    };
    pods.create(&PostParams::default(), &pod).await.expect("stored");
    pods.delete(&format!("{SERVICE}-77"), &DeleteParams::default()).await.expect("deleted");
}

#[test]
fn candidates_and_a_change_of_hands_that_went_unseen_are_made_good() {
    let harness = Harness::shared();
    harness.runtime.block_on(async {
        let (fixture, controller) = opened(&harness, "unseen-loss").await;
        controller.proxy.turn(Tide::Lost);
        let holder = change_hands(&fixture).await;
        let lost = names(&fixture).await.into_iter().find(|name| *name != holder).expect("a standby");
        fixture.api::<Pod>().delete(&lost, &DeleteParams::default()).await.expect("deleted");
        controller.proxy.turn(Tide::Flowing);
        serves(&fixture, "one", 2).await.expect("served");
        let names = names(&fixture).await;
        assert!(names.contains(&holder) && !names.contains(&lost), "{names:?}");
        no_violations(&fixture);
    });
}

/// Deletes the object that lets candidates use their Lease, and waits until there is another one.
async fn is_made_again<K>(fixture: &Fixture, controller: &Controller)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (objects, name) = (fixture.api::<K>(), format!("singletonjob-{SERVICE}"));
    controller.proxy.turn(Tide::Lost);
    objects.delete(&name, &DeleteParams::default()).await.expect("deleted");
    controller.proxy.turn(Tide::Flowing);
    let started = Instant::now();
    while objects.get_opt(&name).await.expect("an answer").is_none() {
        assert!(started.elapsed() < SOON, "no {} is made again", K::kind(&()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_role_or_a_binding_that_went_unseen_is_made_again_at_once() {
    let harness = Harness::shared();
    harness.runtime.block_on(async {
        let (fixture, controller) = opened(&harness, "unseen-access").await;
        is_made_again::<Role>(&fixture, &controller).await;
        is_made_again::<RoleBinding>(&fixture, &controller).await;
        no_violations(&fixture);
    });
}
