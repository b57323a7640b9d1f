//! Processes, containers and nodes that die.

use std::thread::spawn;
use std::time::Duration;

use futures::future::join_all;
use nix::sys::signal::{Signal, kill};
use singletonjob::contract::exit_codes;
use singletonjob::lease::annotations::Reason;
use testkit::observe::{await_tenure, nothing_starts, now, tenure};
use testkit::report;

use crate::candidate::Candidate;
use crate::scenario::{END, SECOND, START, Scenario, one_shot, scenario};

const LEASE: u64 = 6;
/// The shortest that there is.
const SHORT_LEASE: u64 = 3;
/// From the death of an elector whose PID 1 lives to the first instruction elsewhere, on a machine that plays
/// several scenarios at once; the cluster scenarios measure it alone.
const ELECTOR_DEATH: Duration = SECOND;
const CRASHES: u32 = 10;

#[test]
fn when_the_elector_is_killed_everything_dies_and_another_runs_at_once() {
    scenario("3-elector-killed", LEASE, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--daemons", "2", "--orphans", "2"]).await;
        let killed = now();
        kill(active.elector().await, Signal::SIGKILL).expect("it is there");
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::AGENT_FAILED, "{message}");
        let new = await_tenure(&scenario.records, 2, START).await;
        scenario.died_by(old.token, killed);
        scenario.at_most("killed to first instruction elsewhere", new.first - killed, ELECTOR_DEATH);
        let mark = scenario.record().await.annotations.released.expect("released in its name");
        assert_eq!((mark.reason, mark.token.map(|token| token.0)), (Reason::ElectorDied, Some(old.token)));
    });
}

/// Each with a Lease of its own: of one whose holders fail again and again the next start is put off.
#[test]
fn a_crashed_container_is_replaced_within_the_lease_mostly_in_300_ms() {
    let several = || (0..CRASHES / 2).map(|_| crash()).collect::<Vec<_>>();
    let elsewhere = spawn(several);
    let here = several();
    let mut takeovers = [elsewhere.join().expect("no crash is without a successor"), here].concat();
    takeovers.sort_unstable();
    let (median, most) = (takeovers[takeovers.len() / 2], Duration::from_secs(SHORT_LEASE) + SECOND * 3 / 10);
    report::at_most("4-crash", "median (L + 0.3 s)", median, most);
}

/// From the crash to the first instruction elsewhere.
fn crash() -> Duration {
    let mut takeover = Duration::ZERO;
    scenario("4-crash", SHORT_LEASE, async |scenario| {
        let (active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--daemons", "1"]).await;
        let killed = now();
        active.signal(Signal::SIGKILL);
        let new = scenario.await_takeover(2, killed).await;
        scenario.died_by(old.token, killed);
        takeover = new.first - killed;
    });
    takeover
}

#[test]
fn a_node_without_power_is_replaced_within_the_lease() {
    scenario("5-power-off", LEASE, async |scenario| {
        let wire = scenario.wire().await;
        let (active, _standby, old) =
            scenario.pair(scenario.pod(0).through(wire.address), scenario.pod(1), &[]).await;
        wire.cut().await;
        active.signal_all(Signal::SIGKILL);
        let killed = now();
        scenario.await_takeover(2, killed).await;
        scenario.died_by(old.token, killed);
    });
}

/// What a memory controller with `memory.oom.group` does to a container.
#[test]
fn a_container_whose_every_process_is_killed_at_once_loses_one_attempt() {
    one_shot("30-whole-container", SHORT_LEASE, 3, async |scenario| {
        let (active, _standby, _) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--orphans", "1"]).await;
        let killed = now();
        active.signal_all(Signal::SIGKILL);
        let new = scenario.await_takeover(2, killed).await;
        assert_eq!(new.attempt, 2, "one attempt was lost");
        assert_eq!(scenario.record().await.annotations.progress.map(|progress| progress.failures), Some(1));
    });
}

#[test]
fn a_container_that_is_started_again_in_the_same_pod_waits_like_any_other() {
    scenario("40-restart", SHORT_LEASE, async |scenario| {
        let first = scenario.pod(0).start(&[]).await;
        let old = await_tenure(&scenario.records, 1, START).await;
        first.signal(Signal::SIGKILL);
        drop(first);
        let renewed = scenario.renewed().await;
        let _second = scenario.pod(0).start(&[]).await;
        let new = await_tenure(&scenario.records, 2, START).await;
        assert!(new.token > old.token);
        scenario.at_least(
            "last renewal to first instruction (L)",
            new.first - renewed,
            scenario.timing.lease_duration(),
        );
    });
}

#[test]
fn of_two_containers_of_one_pod_one_runs() {
    scenario("39-duplicate", SHORT_LEASE, async |scenario| {
        let both = [same_pod(scenario).await, same_pod(scenario).await];
        let first = await_tenure(&scenario.records, 1, START).await;
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
        let holder = scenario.record().await.holder.expect("one of them");
        let electors = join_all(both.iter().map(Candidate::elector)).await;
        let active = both
            .iter()
            .position(|one| one.standing().is_some_and(|standing| standing.identity == holder))
            .expect("one of them");
        let killed = now();
        kill(electors[active], Signal::SIGKILL).expect("it is there");
        let new = await_tenure(&scenario.records, 2, START).await;
        scenario.noted("killed to first instruction", new.first - killed);
        assert!(tenure(&scenario.records, first.token).last < new.first);
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

async fn same_pod(scenario: &Scenario) -> Candidate {
    scenario.pod(0).start(&[]).await
}
