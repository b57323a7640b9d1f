//! Between an agent and its API server.

use std::time::Duration;

use singletonjob::contract::{Role, exit_codes};
use testkit::observe::{await_tenure, nothing_starts, now};
use testkit::witness::Tenure;
use tokio::time::sleep;

use crate::candidate::Candidate;
use crate::scenario::{END, SECOND, START, Scenario, scenario};
use crate::wire::{Direction, Wire};

/// Short; long enough for a graceful stop.
const LEASE: u64 = 6;
/// For what was on its way when a fault began.
const IN_FLIGHT: Duration = Duration::from_millis(300);

async fn pair_on(scenario: &Scenario, wire: &Wire, witness: &[&str]) -> (Candidate, Candidate, Tenure) {
    scenario.pair(scenario.pod(0).through(wire.address), scenario.pod(1), witness).await
}

/// The holder has just lost its API server in some way: it ends in time and says so, and the standby takes
/// over within `takeover`.
async fn ends_and_is_replaced(
    scenario: &Scenario,
    active: &mut Candidate,
    old: &Tenure,
    lost: Duration,
    takeover: Duration,
) {
    sleep(IN_FLIGHT).await;
    let deadline = active.valid_until();
    let new = await_tenure(&scenario.records, 2, takeover + START).await;
    scenario.died_by(old.token, deadline);
    scenario.at_most("lost to first instruction", new.first - lost, takeover);
    let (code, message) = active.await_end(END).await;
    assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
    assert!(message.contains("could not be renewed in time"), "{message}");
}

#[test]
fn a_holder_that_is_cut_off_has_ended_when_another_starts() {
    scenario("6-cut-off", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (mut active, _standby, old) =
            pair_on(scenario, &wire, &["--daemons", "1", "--orphans", "1"]).await;
        wire.cut().await;
        ends_and_is_replaced(scenario, &mut active, &old, now(), scenario.timing.lease_duration() + SECOND)
            .await;
        wire.mend().await;
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

#[test]
fn a_holder_whose_answers_are_lost_counts_on_nothing_it_was_not_told() {
    scenario("7-answers-lost", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (mut active, _standby, old) = pair_on(scenario, &wire, &["--stubborn"]).await;
        wire.swallow(Direction::Answers).await;
        // One more renewal may be stored without the holder hearing of it.
        let takeover = scenario.timing.lease_duration() + scenario.timing.retry_period() + SECOND;
        ends_and_is_replaced(scenario, &mut active, &old, now(), takeover).await;
    });
}

#[test]
fn a_holder_whose_requests_are_lost_stops_though_its_watch_is_open() {
    scenario("8-requests-lost", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (mut active, _standby, old) = pair_on(scenario, &wire, &["--stubborn"]).await;
        wire.swallow(Direction::Requests).await;
        ends_and_is_replaced(scenario, &mut active, &old, now(), scenario.timing.lease_duration() + SECOND)
            .await;
    });
}

#[test]
fn answers_that_come_just_before_they_would_be_too_late_are_good_enough() {
    scenario("9-late-answers", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (_active, _standby, _) = pair_on(scenario, &wire, &[]).await;
        wire.delay(Direction::Answers, scenario.timing.request_deadline().mul_f64(0.7)).await;
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
    });
}

#[test]
fn answers_that_always_come_too_late_end_the_holder() {
    scenario("9-too-late-answers", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (mut active, _standby, old) = pair_on(scenario, &wire, &[]).await;
        wire.delay(Direction::Answers, scenario.timing.request_deadline() + SECOND / 5).await;
        let takeover = scenario.timing.lease_duration() + scenario.timing.renew_deadline() + SECOND;
        ends_and_is_replaced(scenario, &mut active, &old, now(), takeover).await;
    });
}

#[test]
fn an_api_server_gone_for_less_than_the_renew_deadline_is_not_noticed() {
    scenario("10-briefly-gone", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let standby = scenario.pod(1).through(wire.address);
        let (_active, _standby, _) = scenario.pair(scenario.pod(0).through(wire.address), standby, &[]).await;
        wire.refuse().await;
        sleep(scenario.timing.renew_deadline() - scenario.timing.retry_period() - SECOND).await;
        wire.mend().await;
        scenario.nothing_happens(scenario.timing.lease_duration() + SECOND).await;
    });
}

#[test]
fn an_api_server_gone_beyond_the_deadline_ends_the_workload() {
    scenario("11-long-gone", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let standby = scenario.pod(1).through(wire.address);
        let (active, _standby, old) =
            scenario.pair(scenario.pod(0).through(wire.address), standby, &["--stubborn"]).await;
        wire.refuse().await;
        sleep(IN_FLIGHT).await;
        let deadline = active.valid_until();
        nothing_starts(&scenario.records, 1, scenario.timing.lease_duration() + SECOND).await;
        scenario.died_by(old.token, deadline);
        wire.mend().await;
        scenario.await_takeover(2, now()).await;
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

#[test]
fn connections_that_are_reset_again_and_again_are_made_anew() {
    scenario("14-resets", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (_active, _standby, _) = pair_on(scenario, &wire, &[]).await;
        for _ in 0..5 {
            wire.reset().await;
            sleep(SECOND / 2).await;
            wire.mend().await;
            sleep(SECOND * 2).await;
        }
        scenario.nothing_happens(SECOND).await;
    });
}

#[test]
fn answers_that_come_in_small_pieces_are_read_to_their_end() {
    scenario("slow-body", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (_active, _standby, _) = pair_on(scenario, &wire, &[]).await;
        wire.slice(100, Duration::from_millis(15)).await;
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
    });
}

#[test]
fn a_standby_that_is_cut_off_takes_nothing_and_stands_by_again() {
    scenario("standby-cut-off", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let standby = scenario.pod(1).through(wire.address);
        let (_active, standby, _) = scenario.pair(scenario.pod(0), standby, &[]).await;
        wire.cut().await;
        scenario.nothing_happens(scenario.timing.lease_duration() + SECOND).await;
        assert!(
            standby
                .standing()
                .expect("it has read its Lease")
                .trouble
                .is_some_and(|why| why.contains("no answer within"))
        );
        wire.mend().await;
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        let standing = standby.await_role(Role::Standby).await;
        assert_eq!(standing.trouble, None);
    });
}
