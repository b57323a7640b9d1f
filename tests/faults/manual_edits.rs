//! A Lease that others than its candidates write.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use singletonjob::contract::exit_codes;
use singletonjob::lease::annotations::{CompletionPolicy, keys};
use singletonjob::lease::timing::{Timing, TimingSpec};
use testkit::lease;
use testkit::observe::{await_tenure, boot_time, now, tenure};
use testkit::witness::Tenure;
use tokio::time::sleep;

use crate::scenario::{END, NAME, SECOND, START, Scenario, scenario};

const LEASE: u64 = 6;
/// For a holder to hear that its Lease is gone, and to kill.
const AT_ONCE: Duration = Duration::from_millis(500);

async fn delete(scenario: &Scenario) {
    scenario.api::<Lease>().delete(NAME, &DeleteParams::default()).await.expect("the Lease is there");
}

async fn patch(scenario: &Scenario, patch: serde_json::Value) {
    let patch = Patch::Merge(patch);
    scenario.api::<Lease>().patch(NAME, &PatchParams::default(), &patch).await.expect("an administrator may");
}

/// The old workload is dead at once, and no other starts before a lease has passed.
async fn is_waited_for(scenario: &Scenario, old: &Tenure, lost: Duration) {
    let new = scenario.await_takeover(2, lost).await;
    let ended = tenure(&scenario.records, old.token);
    scenario.at_most("lost to last instruction", ended.last.saturating_sub(lost), AT_ONCE);
    scenario.at_least("lost to first instruction (L)", new.first - lost, scenario.timing.lease_duration());
}

#[test]
fn a_lease_that_the_controller_has_made_again_is_waited_for() {
    scenario("43-deleted", LEASE, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn"]).await;
        let mut annotations = scenario.lease().await.metadata.annotations.unwrap_or_default();
        annotations.retain(|key, _| [keys::POLICY, keys::RUN].contains(&key.as_str()));
        let lost = now();
        delete(scenario).await;
        scenario.post::<Lease>(lease::held_by(NAME, &old.pod, scenario.timing, &annotations)).await;
        is_waited_for(scenario, &old, lost).await;
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
    });
}

#[test]
fn a_lease_that_was_deleted_and_made_again_empty_by_a_user_is_waited_for() {
    scenario("44-recreated-empty", LEASE, async |scenario| {
        let (_active, _standby, old) = scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn"]).await;
        let annotations = lease::annotations(scenario.timing, CompletionPolicy::Never, 0);
        let lost = now();
        delete(scenario).await;
        scenario.post::<Lease>(lease::held_by(NAME, "", scenario.timing, &annotations)).await;
        is_waited_for(scenario, &old, lost).await;
    });
}

#[test]
fn a_lease_that_is_gone_ends_its_holder_and_none_starts_without_one() {
    scenario("42-gone", LEASE, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn"]).await;
        let lost = now();
        delete(scenario).await;
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        assert!(message.contains("was deleted"), "{message}");
        let ended = tenure(&scenario.records, old.token);
        scenario.at_most("lost to last instruction", ended.last.saturating_sub(lost), AT_ONCE);
        testkit::observe::nothing_starts(&scenario.records, 1, scenario.timing.lease_duration() * 2).await;
    });
}

#[test]
fn a_lease_that_a_user_emptied_is_waited_for() {
    scenario("45-emptied", LEASE, async |scenario| {
        let (_active, _standby, old) = scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn"]).await;
        let lost = now();
        patch(scenario, json!({"spec": {"holderIdentity": ""}})).await;
        is_waited_for(scenario, &old, lost).await;
    });
}

#[test]
fn a_lease_that_others_write_all_the_time_is_renewed_and_expires() {
    scenario("45-churn", LEASE, async |scenario| {
        let (active, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        churn(scenario, scenario.timing.lease_duration() * 2).await;
        scenario.nothing_happens(Duration::ZERO).await;
        active.signal(nix::sys::signal::Signal::SIGKILL);
        let killed = now();
        let wait = scenario.timing.lease_duration() + SECOND;
        let (new, ()) = tokio::join!(await_tenure(&scenario.records, 2, wait + START), churn(scenario, wait));
        scenario.at_most("killed to first instruction (L + 1 s)", new.first - killed, wait);
    });
}

/// Ten writes a second, none of which concerns a candidate.
async fn churn(scenario: &Scenario, time: Duration) {
    let until = now() + time;
    while now() < until {
        patch(
            scenario,
            json!({"metadata": {"annotations": {"example.com/churn": now().as_nanos().to_string()}}}),
        )
        .await;
        sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_duration_of_1_s_written_by_hand_shortens_no_wait() {
    scenario("45-duration", LEASE, async |scenario| {
        let (active, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        active.signal(nix::sys::signal::Signal::SIGKILL);
        let renewed = scenario.renewed().await;
        patch(scenario, json!({"spec": {"leaseDurationSeconds": 1}})).await;
        let new = await_tenure(&scenario.records, 2, scenario.timing.lease_duration() + START).await;
        scenario.at_least(
            "last renewal to first instruction (L)",
            new.first - renewed,
            scenario.timing.lease_duration(),
        );
    });
}

#[test]
fn a_candidate_that_knew_a_longer_lease_waits_for_that_when_shortened() {
    scenario("47-shortened", 15, async |scenario| {
        let wire = scenario.wire().await;
        let (active, _standby, _) =
            scenario.pair(scenario.pod(0).through(wire.address), scenario.pod(1), &[]).await;
        wire.cut().await;
        sleep(SECOND / 2).await;
        let short = Timing::new(&TimingSpec::of(SECOND * 3)).expect("a lease that fits");
        let mut lease = scenario.lease().await;
        let renewed =
            boot_time(lease.spec.as_ref().and_then(|spec| spec.renew_time.clone()).expect("held").0);
        let policy =
            lease::annotations(short, CompletionPolicy::Never, 0).remove(keys::POLICY).expect("a policy");
        lease.metadata.annotations.get_or_insert_default().insert(keys::POLICY.to_owned(), policy);
        scenario.api().replace(NAME, &PostParams::default(), &lease).await.expect("the holder is cut off");
        let new = await_tenure(&scenario.records, 2, scenario.timing.lease_duration() + START).await;
        scenario.at_least(
            "last renewal to first instruction (the longer L)",
            new.first - renewed,
            scenario.timing.lease_duration(),
        );
        drop(active);
    });
}
