//! Told late, told the past, or never told: what a controller believes is not what is there.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;

use super::agents;
use super::door::{Tide, undisturbed};
use super::stage::{Controller, Stage};
use super::story::{SERVICE, serves, service};
use super::theatre::Theatre;

/// Longer than a reconciliation and everything that it sets off.
const QUIET: Duration = Duration::from_secs(3);

/// What the watches of pods and Leases would begin with.
struct Past {
    pods: Value,
    leases: Value,
}

impl Past {
    async fn now(stage: &Stage) -> Self {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=singletonjob-controller");
        let pods = stage.api::<Pod>().list(&ours).await.expect("an answer");
        let leases = stage.api::<Lease>().list(&ours).await.expect("an answer");
        Self { pods: json!(pods), leases: json!(leases) }
    }

    /// A controller that takes this for the present, until the tide turns.
    fn control(&self, stage: &Stage) -> Controller {
        let door = stage.door(undisturbed());
        door.remember("pods", &self.pods);
        door.remember("leases", &self.leases);
        door.turn(Tide::Late);
        Controller::behind(door)
    }
}

/// A service with two candidates, and its controller.
async fn opened(theatre: &Theatre, namespace: &str) -> (Stage, Controller) {
    let stage = theatre.stage(namespace).await;
    let controller = Controller::behind(stage.door(undisturbed()));
    stage.apply(SERVICE, &service("one", 2)).await;
    serves(&stage, "one", 2).await.expect("served");
    (stage, controller)
}

/// Whoever stood by holds the Lease; the name of its pod.
async fn change_hands(stage: &Stage) -> String {
    loop {
        let lease = stage.api::<Lease>().get(SERVICE).await.expect("there");
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let pods = stage.world.pods(&stage.namespace, SERVICE);
        let standby = pods.iter().find(|pod| !holder.starts_with(&pod.name_any())).expect("a standby");
        if stage
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
async fn touch(stage: &Stage) {
    let touched = json!({"metadata": {"labels": {"touched": "yes"}}});
    stage
        .api::<SingletonJob>()
        .patch(SERVICE, &PatchParams::default(), &Patch::Merge(touched))
        .await
        .expect("stored");
}

/// Names and uids of all pods, and the uid of the Lease.
async fn present(stage: &Stage) -> (Vec<(String, Option<String>)>, Option<String>) {
    let pods = stage.api::<Pod>().list(&ListParams::default()).await.expect("an answer");
    let lease = stage.api::<Lease>().get_opt(SERVICE).await.expect("an answer");
    (pods.iter().map(|pod| (pod.name_any(), pod.uid())).collect(), lease.and_then(|lease| lease.uid()))
}

async fn names(stage: &Stage) -> Vec<String> {
    present(stage).await.0.into_iter().map(|(name, _)| name).collect()
}

fn no_misdeeds(stage: &Stage) {
    assert_eq!(stage.ledger.misdeeds(), Vec::<String>::new());
}

#[test]
fn one_that_starts_before_there_was_anything_makes_nothing_a_second_time() {
    let theatre = Theatre::shared();
    theatre.runtime.block_on(async {
        let blank = theatre.stage("stale-blank").await;
        let past = Past::now(&blank).await;
        let (stage, controller) = opened(&theatre, "stale-nothing").await;
        drop(controller);
        let before = present(&stage).await;
        let controller = past.control(&stage);
        touch(&stage).await;
        tokio::time::sleep(QUIET).await;
        assert_eq!(present(&stage).await, before, "while it is told nothing");
        controller.door.turn(Tide::Flowing);
        serves(&stage, "one", 2).await.expect("served");
        assert_eq!(present(&stage).await, before, "when it is told everything");
        no_misdeeds(&stage);
    });
}

/// Scaled down, a controller that knows the holder as the standby that it was leaves it alone, and so does
/// one that knows better.
async fn spares(stage: &Stage, controller: &Controller, holder: &str) {
    tokio::time::sleep(QUIET).await;
    assert!(names(stage).await.iter().any(|name| name == holder), "deleted as the standby that it was");
    controller.door.turn(Tide::Flowing);
    serves(stage, "one", 1).await.expect("served");
    assert_eq!(names(stage).await, [holder]);
    no_misdeeds(stage);
}

#[test]
fn one_that_starts_in_the_past_deletes_no_holder_of_today() {
    let theatre = Theatre::shared();
    theatre.runtime.block_on(async {
        let (stage, controller) = opened(&theatre, "stale-past").await;
        let past = Past::now(&stage).await;
        drop(controller);
        let holder = change_hands(&stage).await;
        stage.apply(SERVICE, &service("one", 1)).await;
        let controller = past.control(&stage);
        spares(&stage, &controller, &holder).await;
    });
}

#[test]
fn one_that_is_told_late_deletes_no_holder_of_today() {
    let theatre = Theatre::shared();
    theatre.runtime.block_on(async {
        let (stage, controller) = opened(&theatre, "stale-late").await;
        controller.door.turn(Tide::Late);
        let holder = change_hands(&stage).await;
        stage.apply(SERVICE, &service("one", 1)).await;
        spares(&stage, &controller, &holder).await;
    });
}

#[test]
fn what_happens_and_is_undone_unseen_changes_nothing() {
    let theatre = Theatre::shared();
    theatre.runtime.block_on(async {
        let (stage, controller) = opened(&theatre, "unseen").await;
        controller.door.turn(Tide::Lost);
        come_and_go(&stage).await;
        change_hands(&stage).await;
        let holder = change_hands(&stage).await;
        let before = present(&stage).await;
        controller.door.turn(Tide::Flowing);
        touch(&stage).await;
        tokio::time::sleep(QUIET).await;
        serves(&stage, "one", 2).await.expect("served");
        assert_eq!(present(&stage).await, before);
        let shown =
            stage.world.job(&stage.namespace, SERVICE).and_then(|job| job.status.clone()?.lease?.holder);
        assert_eq!(shown, Some(holder));
        no_misdeeds(&stage);
    });
}

/// A third candidate appears, and vanishes.
async fn come_and_go(stage: &Stage) {
    let pods = stage.api::<Pod>();
    let mut pod = stage.world.pods(&stage.namespace, SERVICE).remove(0);
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
fn candidates_and_a_change_of_hands_that_nobody_told_of_are_made_good() {
    let theatre = Theatre::shared();
    theatre.runtime.block_on(async {
        let (stage, controller) = opened(&theatre, "unseen-loss").await;
        controller.door.turn(Tide::Lost);
        let holder = change_hands(&stage).await;
        let lost = names(&stage).await.into_iter().find(|name| *name != holder).expect("a standby");
        stage.api::<Pod>().delete(&lost, &DeleteParams::default()).await.expect("deleted");
        controller.door.turn(Tide::Flowing);
        serves(&stage, "one", 2).await.expect("served");
        let names = names(&stage).await;
        assert!(names.contains(&holder) && !names.contains(&lost), "{names:?}");
        no_misdeeds(&stage);
    });
}
