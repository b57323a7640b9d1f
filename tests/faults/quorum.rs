//! A store of three members, of which some fail or cannot speak to the others.

use std::sync::Arc;
use std::time::Duration;

use singletonjob::contract::{Role, exit_codes};
use singletonjob::lease::annotations::CompletionPolicy;
use testkit::control_plane::ControlPlane;
use testkit::observe::{eventually, nothing_starts, now};
use tokio::time::sleep;

use crate::candidate::Candidate;
use crate::scenario::{END, SECOND, START, Scenario, play};
use crate::store::Store;

/// Short; long enough for a graceful stop.
const LEASE: u64 = 6;
/// The default: what users have.
const DEFAULT_LEASE: u64 = 15;
/// For what was on its way when a fault began.
const IN_FLIGHT: Duration = Duration::from_millis(300);
/// The member that is going to be a minority.
const MINORITY: usize = 2;

/// A service whose API server is bound to member 0.
fn on_members(name: &'static str, seconds: u64, body: impl AsyncFnOnce(&Scenario, &Store)) {
    let store = Store::start();
    let control_plane = Arc::new(ControlPlane::on(&store.endpoint(0)));
    play(name, control_plane, seconds, CompletionPolicy::Never, 0, async |scenario| {
        body(scenario, &store).await;
    });
}

/// The members speak to each other again, and this candidate hears of it.
async fn stands_by_again(scenario: &Scenario, candidate: &Candidate) {
    let mended = now();
    let is_well = || {
        candidate.standing().filter(|standing| standing.role == Role::Standby && standing.trouble.is_none())
    };
    eventually("it stands by again", START, is_well).await;
    scenario.noted("mended to a standby that reads its Lease", now() - mended);
}

#[test]
fn a_change_of_the_stores_leader_is_not_noticed() {
    on_members("12-leader-changes", DEFAULT_LEASE, async |scenario, store| {
        store.lead(0);
        let (_active, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        store.lead(1);
        scenario.nothing_happens(SECOND * 4).await;
        store.kill(1);
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        store.restart(1);
        store.lead(1);
        scenario.nothing_happens(SECOND * 4).await;
    });
}

#[test]
fn a_store_without_a_quorum_ends_the_workload_and_one_runs_afterwards() {
    on_members("12-no-quorum", LEASE, async |scenario, store| {
        let (active, _standby, old) = scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn"]).await;
        store.kill(1);
        store.kill(2);
        sleep(IN_FLIGHT).await;
        let deadline = active.valid_until();
        nothing_starts(&scenario.records, 1, scenario.timing.lease_duration() + SECOND * 2).await;
        scenario.died_by(old.token, deadline);
        store.restart(1);
        scenario.await_takeover(2, now()).await;
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

#[test]
fn a_holder_on_a_minority_member_has_ended_when_another_starts() {
    on_members("12-holder-in-minority", LEASE, async |scenario, store| {
        let minority = scenario.control_plane.beside(&store.endpoint(MINORITY));
        let there = |pod: u32| scenario.pod(pod).through(minority.address());
        // The member that leads is cut off: what it is told it still writes down, as if the others could
        // agree.
        store.lead(MINORITY);
        let (mut active, _standby, old) = scenario.pair(there(0), scenario.pod(1), &["--stubborn"]).await;
        let stale = scenario.standby(there(2)).await;
        store.cut(MINORITY);
        let cut = now();
        sleep(IN_FLIGHT).await;
        let deadline = active.valid_until();
        let new = scenario.await_takeover(2, cut).await;
        assert_eq!(new.pod, "rollup-1");
        scenario.died_by(old.token, deadline);
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        nothing_starts(&scenario.records, 2, scenario.timing.lease_duration() * 2).await;
        store.mend(MINORITY);
        stands_by_again(scenario, &stale).await;
        nothing_starts(&scenario.records, 2, scenario.timing.lease_duration()).await;
        scenario.one_runs();
    });
}

#[test]
fn a_standby_whose_api_server_is_on_a_minority_member_takes_nothing() {
    on_members("12-standby-in-minority", DEFAULT_LEASE, async |scenario, store| {
        let minority = scenario.control_plane.beside(&store.endpoint(MINORITY));
        store.lead(MINORITY);
        let standby = scenario.pod(1).through(minority.address());
        let (_active, standby, _) = scenario.pair(scenario.pod(0), standby, &[]).await;
        store.cut(MINORITY);
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
        assert!(standby.standing().expect("it has read its Lease").trouble.is_some());
        store.mend(MINORITY);
        stands_by_again(scenario, &standby).await;
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
    });
}
