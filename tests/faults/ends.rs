//! Ends that were asked for, and workloads that do not end.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use singletonjob::contract::{Role, exit_codes};
use singletonjob::lease::annotations::{Outcome, Reason};
use testkit::disk::FrozenDisk;
use testkit::observe::{await_tenure, eventually, nothing_starts, now, tenure};
use tokio::time::sleep;

use crate::scenario::{END, SECOND, START, one_shot, scenario};

const LEASE: u64 = 6;
/// From the last instruction of a holder that gave its Lease back to the first of another, on a machine that
/// plays several scenarios at once; the cluster scenarios measure it alone.
const HANDOVER: Duration = SECOND;
/// A pod's grace period of 6 s, less the 2 s that the agent keeps.
const STOP_GRACE: Duration = Duration::from_secs(4);

#[test]
fn a_workload_that_exits_0_is_finished_in_the_write_that_releases() {
    one_shot("1-exit-0", LEASE, 6, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--seconds", "2"]).await;
        assert_eq!(active.await_end(END).await.0, 0);
        let record = scenario.record().await;
        let finished = record.annotations.finished.clone().expect("written with the release");
        assert_eq!(
            (finished.outcome, finished.token.map(|token| token.0)),
            (Outcome::Succeeded, Some(old.token))
        );
        assert!(record.is_released());
        nothing_starts(&scenario.records, 1, scenario.timing.lease_duration() + SECOND).await;
    });
}

#[test]
fn a_workload_that_fails_is_tried_again_elsewhere_with_a_higher_token() {
    one_shot("2-exit-1", LEASE, 6, async |scenario| {
        let (mut active, standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--seconds", "2", "--exit", "1"]).await;
        assert_eq!(active.await_end(END).await.0, 1);
        let new = await_tenure(&scenario.records, 2, START).await;
        assert_eq!((new.attempt, &new.pod), (2, &standby.name));
        scenario.at_most(
            "last to first instruction",
            new.first.saturating_sub(tenure(&scenario.records, old.token).last),
            HANDOVER,
        );
    });
}

#[test]
fn a_drained_holder_renews_until_its_workload_is_gone_and_then_releases() {
    scenario("34-drain", SHORT, async |scenario| {
        let witness = ["--linger-milliseconds", "3000", "--orphans", "1"];
        let (mut active, _standby, old) = scenario.pair(scenario.pod(0), scenario.pod(1), &witness).await;
        active.signal(Signal::SIGTERM);
        let (code, _) = active.await_end(END).await;
        assert_eq!(code, exit_codes::INTERRUPTED);
        let new = await_tenure(&scenario.records, 2, START).await;
        let ended = tenure(&scenario.records, old.token);
        let [(15, signalled), ..] = ended.signals[..] else { panic!("it was asked to end: {ended:?}") };
        scenario.at_least("it had its time", ended.last - signalled, SECOND * 3);
        scenario.at_most("last to first instruction", new.first.saturating_sub(ended.last), HANDOVER);
    });
}

#[test]
fn a_drained_holder_whose_elector_dies_has_neither_failed_nor_succeeded() {
    one_shot("34-drained-and-killed", LEASE, 0, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--linger-milliseconds", "3000"]).await;
        active.signal(Signal::SIGTERM);
        let told = || (!tenure(&scenario.records, old.token).signals.is_empty()).then_some(());
        eventually("the workload is told to end", START, told).await;
        kill(active.elector().await, Signal::SIGKILL).expect("it is there");
        assert_eq!(active.await_end(END).await.0, exit_codes::INTERRUPTED);
        assert_eq!(await_tenure(&scenario.records, 2, START).await.attempt, 2);
        let record = scenario.record().await;
        assert_eq!(record.annotations.released.map(|mark| mark.reason), Some(Reason::Drain));
        assert_eq!(record.annotations.progress.map(|progress| progress.failures), Some(0));
    });
}

/// Shorter than the drain above takes: without renewals another candidate would start.
const SHORT: u64 = 3;

#[test]
fn a_workload_that_ignores_sigterm_is_killed_when_its_grace_is_over() {
    scenario("28-stubborn", LEASE, async |scenario| {
        let witness = ["--stubborn", "--daemons", "1"];
        let (mut active, _standby, old) = scenario.pair(scenario.pod(0), scenario.pod(1), &witness).await;
        let asked = now();
        active.signal(Signal::SIGTERM);
        active.await_end(END).await;
        let ended = tenure(&scenario.records, old.token);
        scenario.at_most("asked to last instruction", ended.last - asked, STOP_GRACE + SECOND / 2);
        let new = await_tenure(&scenario.records, 2, START).await;
        scenario.at_most("last to first instruction", new.first.saturating_sub(ended.last), HANDOVER);
    });
}

#[test]
fn a_candidate_told_to_end_while_it_begins_runs_and_holds_nothing() {
    scenario("35-early-sigterm", LEASE, async |scenario| {
        for milliseconds in [0, 20, 40, 80, 120, 160, 200, 300, 400] {
            let mut candidate = scenario.pod(milliseconds).start(&[]).await;
            // Before this a signal is lost: the kernel keeps from a first process what it does not listen to.
            eventually("the agent listens", START, || candidate.listens().then_some(())).await;
            sleep(Duration::from_millis(milliseconds.into())).await;
            candidate.signal(Signal::SIGTERM);
            assert_eq!(candidate.await_end(END).await.0, exit_codes::INTERRUPTED);
            let record = scenario.record().await;
            assert!(record.is_released(), "after {milliseconds} ms: {record:?}");
        }
        let _last = scenario.pod(1000).start(&[]).await;
        let before = testkit::observe::read_records(&scenario.records).tenures().len();
        await_tenure(&scenario.records, before.max(1), START).await;
        assert_ne!(
            scenario.record().await.annotations.released.map(|mark| mark.reason),
            Some(Reason::LeaseLost)
        );
    });
}

#[test]
fn a_workload_that_hangs_in_the_kernel_is_followed_after_a_full_lease() {
    scenario("29-hangs-in-kernel", LEASE, async |scenario| {
        let disk = FrozenDisk::new(&scenario.directory_of("disk"));
        let script = format!(
            "witness --stubborn & until [ -e go ]; do sleep 0.01; done; exec dd if=/dev/zero of={} count=1",
            disk.file().display()
        );
        let mut active = scenario.pod(0).shell(&script).await;
        await_tenure(&scenario.records, 1, START).await;
        let _standby = scenario.standby(scenario.pod(1)).await;
        disk.freeze();
        std::fs::write(active.path("go"), "").expect("a writable directory");
        eventually("the workload hangs in the kernel", START, || active.hangs().then_some(())).await;
        active.signal(Signal::SIGTERM);
        sleep(STOP_GRACE + SECOND).await;
        let renewed = scenario.renewed().await;
        let new = await_tenure(&scenario.records, 2, END + scenario.timing.lease_duration()).await;
        scenario.at_least(
            "last renewal to first instruction (L)",
            new.first.saturating_sub(renewed),
            scenario.timing.lease_duration(),
        );
        let mark = scenario.record().await.annotations.released;
        assert_eq!(mark.map(|mark| mark.reason), None, "no agent gave back what it could not empty");
        disk.thaw();
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::AGENT_FAILED, "{message}");
    });
}

#[test]
fn a_standby_that_is_told_to_end_ends_and_the_holder_does_not_notice() {
    scenario("34-standby-drained", LEASE, async |scenario| {
        let (active, mut standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        standby.signal(Signal::SIGTERM);
        assert_eq!(standby.await_end(END).await.0, exit_codes::INTERRUPTED);
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        active.await_role(Role::Active).await;
    });
}
