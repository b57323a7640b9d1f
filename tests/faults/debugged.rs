//! A process in the container that the agent cannot kill: one of root, beside an agent of an ordinary user.

use std::fs;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use singletonjob::contract::exit_codes;
use singletonjob::lease::annotations::{Outcome, Reason};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;
use testkit::observe::{await_tenure, eventually, nothing_starts, now};

use crate::candidate::Candidate;
use crate::scenario::{END, SECOND, START, Scenario, one_shot};

const LEASE: u64 = 6;

/// Two candidates, the first of which is debugged.
async fn debugged(scenario: &Scenario, witness: &[&str]) -> (Candidate, Candidate, Debugger) {
    let pods = [0, 1].map(|number| scenario.pod(number).by_ordinary_user());
    let [active, standby] = pods;
    let (active, standby, _) = scenario.pair(active, standby, witness).await;
    let debugger = Debugger(active.debug().await);
    (active, standby, debugger)
}

/// What was started in a container from outside.
struct Debugger(Child);

impl Debugger {
    /// It ends with the container.
    async fn await_end(&mut self) {
        eventually("the debugger is killed by the kernel", SECOND * 2, || {
            self.0.try_wait().expect("our child")
        })
        .await;
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the end of the first candidate, by itself or because it was told to; the Lease that it leaves
/// behind, which it still holds.
async fn ends(scenario: &Scenario, active: &mut Candidate, debugger: &mut Debugger, code: i32) -> Record {
    assert_eq!(active.await_end(END).await.0, code);
    debugger.await_end().await;
    let record = scenario.record().await;
    assert_eq!(record.holder.as_ref().map(Identity::pod), Some(active.name.as_str()), "it is not given back");
    assert_eq!(
        record.annotations.progress.as_ref().map(|progress| progress.open),
        Some(false),
        "it is told how the attempt has ended"
    );
    record
}

/// The workload ends by itself now.
fn let_end(scenario: &Scenario) {
    fs::write(scenario.records.join("end"), "").expect("a writable directory");
}

/// When the next attempt began, which has waited for the lease.
async fn is_followed(scenario: &Scenario) -> Record {
    let recorded = scenario.renewed().await;
    let lease = scenario.timing.lease_duration();
    let new = await_tenure(&scenario.records, 2, lease + START).await;
    scenario.at_least("recorded to first instruction (L)", new.first.saturating_sub(recorded), lease);
    scenario.at_most(
        "recorded to first instruction (L + 1 s)",
        new.first.saturating_sub(recorded),
        lease + SECOND,
    );
    scenario.record().await
}

#[test]
fn a_run_that_succeeds_while_it_is_debugged_is_finished_and_not_run_again() {
    one_shot("62-debugged-exit-0", LEASE, 6, async |scenario| {
        let (mut active, _standby, mut debugger) = debugged(scenario, &["--until", "end"]).await;
        let_end(scenario);
        let record = ends(scenario, &mut active, &mut debugger, 0).await;
        assert_eq!(record.annotations.finished.map(|finished| finished.outcome), Some(Outcome::Succeeded));
        nothing_starts(&scenario.records, 1, scenario.timing.lease_duration() + SECOND).await;
    });
}

#[test]
fn an_attempt_that_fails_while_it_is_debugged_counts_once() {
    one_shot("62-debugged-exit-1", LEASE, 6, async |scenario| {
        let (mut active, _standby, mut debugger) =
            debugged(scenario, &["--until", "end", "--exit", "1"]).await;
        let_end(scenario);
        let record = ends(scenario, &mut active, &mut debugger, 1).await;
        fs::remove_file(scenario.records.join("end")).expect("it is ours");
        assert_eq!(record.annotations.progress.map(|progress| progress.failures), Some(1));
        let next = is_followed(scenario).await;
        assert_eq!(
            next.annotations.progress.map(|progress| (progress.failures, progress.starts)),
            Some((1, 2))
        );
    });
}

#[test]
fn a_drain_of_what_is_debugged_costs_no_attempt() {
    one_shot("62-debugged-drain", LEASE, 0, async |scenario| {
        let (mut active, _standby, mut debugger) = debugged(scenario, &[]).await;
        let asked = now();
        active.signal(Signal::SIGTERM);
        let record = ends(scenario, &mut active, &mut debugger, exit_codes::INTERRUPTED).await;
        scenario.at_most(
            "asked to the end of the container",
            now().saturating_sub(asked),
            Duration::from_secs(3),
        );
        assert_eq!(record.annotations.health.and_then(|health| health.stopping), Some(Reason::Drain));
        let next = is_followed(scenario).await;
        assert_eq!(
            next.annotations.progress.map(|progress| (progress.failures, progress.starts)),
            Some((0, 2))
        );
    });
}
