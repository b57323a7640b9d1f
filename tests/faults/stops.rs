//! Processes and containers that stand still and come back.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use singletonjob::contract::exit_codes;
use testkit::cgroup::Cgroup;
use testkit::observe::{await_tenure, nothing_starts, now, read_records, tenure};

use crate::scenario::{END, SECOND, START, scenario};

const LEASE: u64 = 6;
/// What daemons that left the workload's group may run for when a container is continued that was frozen as a
/// whole.
const LAST_MOMENTS: Duration = Duration::from_millis(50);

#[test]
fn a_stopped_elector_is_killed_by_the_kernel_with_all_it_started() {
    scenario("21-elector-stopped", LEASE, async |scenario| {
        let witness = ["--stubborn", "--daemons", "2", "--orphans", "2"];
        let (mut active, _standby, old) = scenario.pair(scenario.pod(0), scenario.pod(1), &witness).await;
        kill(active.elector().await, Signal::SIGSTOP).expect("it is there");
        let deadline = active.valid_until();
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        scenario.died_by(old.token, deadline);
        let ended = tenure(&scenario.records, old.token);
        assert!(ended.last + SECOND > deadline, "it runs to its deadline");
        await_tenure(&scenario.records, 2, START).await;
    });
}

#[test]
fn what_was_stopped_as_a_whole_and_continued_late_does_not_run_again() {
    scenario("22-container-stopped", LEASE, async |scenario| {
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1), &["--stubborn", "--orphans", "2"]).await;
        active.signal_all(Signal::SIGSTOP);
        let stopped = now();
        scenario.await_takeover(2, stopped).await;
        nothing_starts(&scenario.records, 2, scenario.timing.lease_duration()).await;
        active.signal_all(Signal::SIGCONT);
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        assert!(tenure(&scenario.records, old.token).last <= stopped, "it executed after the stop");
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

#[test]
fn what_was_frozen_and_thawed_late_does_not_run_again() {
    scenario("22-container-frozen", LEASE, async |scenario| {
        let cgroup = Cgroup::new("frozen");
        let active = scenario.pod(0).within(&cgroup);
        let (mut active, _standby, old) =
            scenario.pair(active, scenario.pod(1), &["--stubborn", "--orphans", "2"]).await;
        cgroup.freeze();
        let frozen = now();
        scenario.await_takeover(2, frozen).await;
        nothing_starts(&scenario.records, 2, scenario.timing.lease_duration()).await;
        cgroup.thaw();
        active.await_end(END).await;
        let ended = tenure(&scenario.records, old.token);
        scenario.at_most("frozen to last instruction", ended.last.saturating_sub(frozen), LAST_MOMENTS);
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

#[test]
fn a_container_that_is_frozen_for_a_moment_goes_on() {
    scenario("22-container-frozen-briefly", LEASE, async |scenario| {
        let cgroup = Cgroup::new("briefly");
        let (_active, _standby, _) =
            scenario.pair(scenario.pod(0).within(&cgroup), scenario.pod(1), &[]).await;
        for _ in 0..3 {
            cgroup.freeze();
            nothing_starts(&scenario.records, 1, SECOND).await;
            cgroup.thaw();
            nothing_starts(&scenario.records, 1, SECOND * 3).await;
        }
        assert_eq!(read_records(&scenario.records).tenures().len(), 1);
    });
}

#[test]
fn a_standby_that_was_stopped_counts_nothing_when_it_is_continued() {
    scenario("standby-stopped", LEASE, async |scenario| {
        let (_active, standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        standby.signal_all(Signal::SIGSTOP);
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
        standby.signal_all(Signal::SIGCONT);
        scenario.nothing_happens(scenario.timing.lease_duration() + SECOND).await;
    });
}
