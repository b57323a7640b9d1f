//! Containers of which everything is killed at once, and the next one of the same pod, which shares the pod's
//! lock with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use singletonjob::contract::Role;
use singletonjob::lease::annotations::Reason;
use testkit::cgroup::Cgroup;
use testkit::observe::{await_tenure, eventually, now, tenure};
use testkit::witness::Tenure;
use tokio::time::sleep;

use crate::candidate::Candidate;
use crate::scenario::{SECOND, START, Scenario, scenario};

const LEASE: u64 = 15;
const SHORT_LEASE: u64 = 6;
/// For a container to start and for its agent to read the Lease, and for the two writes, on a machine that
/// plays several scenarios at once. The cluster scenarios measure it beside a Deployment.
const RESTART: Duration = SECOND;
const BUSY: [&str; 4] = ["--daemons", "1", "--orphans", "2"];

/// A holder that has the lock of its pod.
async fn holder(scenario: &Scenario, state: &Path, witness: &[&str]) -> (Candidate, Tenure) {
    let holder = scenario.pod(0).locked(state).start(witness).await;
    let tenure = await_tenure(&scenario.records, 1, START).await;
    // A renewal tells the token, which the write that acquired could not know.
    scenario.renewed_again().await;
    (holder, tenure)
}

async fn next_container(scenario: &Scenario, state: &Path) -> Candidate {
    scenario.pod(0).locked(state).start(&[]).await
}

/// The second start has come as soon as nothing of the first can run any more.
async fn follows_soon(scenario: &Scenario, old: &Tenure, killed: Duration) {
    let new = await_tenure(&scenario.records, 2, START).await;
    scenario.died_by(old.token, killed);
    let most = scenario.timing.kill_margin() + RESTART;
    scenario.at_most("killed to first instruction (K + 1 s)", new.first - killed, most);
    let mark = scenario.record().await.annotations.released.expect("released in its name");
    assert_eq!((mark.reason, mark.token.map(|token| token.0)), (Reason::ElectorDied, Some(old.token)));
}

/// The second start has waited for the lease.
async fn waits(scenario: &Scenario, renewed: Duration) {
    let lease = scenario.timing.lease_duration();
    let new = await_tenure(&scenario.records, 2, lease + START).await;
    scenario.at_least("last renewal to first instruction (L)", new.first - renewed, lease);
}

#[test]
fn a_standby_follows_in_seconds_when_everything_is_killed_at_once() {
    scenario("63-everything-killed", LEASE, async |scenario| {
        let state = scenario.state_volume();
        let (active, old) = holder(scenario, &state, &BUSY).await;
        let _standby = scenario.standby(scenario.pod(1)).await;
        active.signal_all(Signal::SIGKILL);
        let killed = now();
        let _next = next_container(scenario, &state).await;
        follows_soon(scenario, &old, killed).await;
    });
}

#[test]
fn the_next_container_follows_itself_where_there_is_no_standby() {
    scenario("63-killed-alone", LEASE, async |scenario| {
        let state = scenario.state_volume();
        let (active, old) = holder(scenario, &state, &BUSY).await;
        let killed = now();
        active.signal(Signal::SIGKILL);
        drop(active);
        let _next = next_container(scenario, &state).await;
        follows_soon(scenario, &old, killed).await;
    });
}

#[test]
fn a_container_killed_before_it_gave_back_leaves_that_to_the_next() {
    scenario("63-killed-again", LEASE, async |scenario| {
        let state = scenario.state_volume();
        let (active, old) = holder(scenario, &state, &[]).await;
        active.signal_all(Signal::SIGKILL);
        drop(active);
        let next = next_container(scenario, &state).await;
        next.await_role(Role::Standby).await;
        next.signal_all(Signal::SIGKILL);
        let killed = now();
        drop(next);
        let _third = next_container(scenario, &state).await;
        follows_soon(scenario, &old, killed).await;
    });
}

#[test]
fn a_container_beside_one_that_is_stopped_waits_for_the_lease() {
    scenario("64-stopped", SHORT_LEASE, async |scenario| {
        let state = scenario.state_volume();
        let (active, old) = holder(scenario, &state, &[]).await;
        let deadline = active.valid_until();
        active.signal_all(Signal::SIGSTOP);
        let renewed = scenario.renewed().await;
        let _duplicate = next_container(scenario, &state).await;
        waits(scenario, renewed).await;
        scenario.died_by(old.token, deadline.max(renewed + scenario.timing.hard_deadline()));
        assert!(scenario.said().contains("another container of this pod still has the pod's lock"));
    });
}

#[test]
fn a_lock_file_that_the_workload_removed_proves_nothing() {
    scenario("64-removed", SHORT_LEASE, async |scenario| {
        let state = scenario.state_volume();
        let (active, _) = holder(scenario, &state, &[]).await;
        fs::remove_file(state.join("lock")).expect("the agent made it");
        active.signal_all(Signal::SIGKILL);
        drop(active);
        let renewed = scenario.renewed().await;
        let _next = next_container(scenario, &state).await;
        waits(scenario, renewed).await;
    });
}

/// A container that may use a fiftieth of a processor dies slowly, PID 1 first.
#[test]
fn a_starved_container_that_is_killed_is_dead_when_the_next_one_follows() {
    scenario("65-starved", LEASE, async |scenario| {
        let state = scenario.state_volume();
        let cgroup = Cgroup::new("65-starved");
        let active = scenario.pod(0).locked(&state).within(&cgroup).start(&BUSY).await;
        let old = await_tenure(&scenario.records, 1, START).await;
        let cgroup = cgroup.limit_cpu(20);
        sleep(SECOND / 2).await;
        active.signal_all(Signal::SIGKILL);
        let killed = now();
        let lock = File::open(state.join("lock")).expect("the agent made it");
        eventually("the lock is free", START, || lock.try_lock().ok()).await;
        drop(lock);
        scenario.noted("killed to the lock being free", now() - killed);
        let freed = now();
        let _next = next_container(scenario, &state).await;
        let new = await_tenure(&scenario.records, 2, START).await;
        let most = scenario.timing.kill_margin() + RESTART;
        scenario.at_most("lock free to first instruction (K + 1 s)", new.first - freed, most);
        let last = tenure(&scenario.records, old.token).last;
        scenario.at_most(
            "lock free to last instruction",
            last.saturating_sub(freed),
            scenario.timing.kill_margin(),
        );
        drop(active);
        drop(cgroup);
    });
}

/// Of a file whose last close waits, as one of a network file system can, the kernel would free the lock long
/// before it kills the rest.
#[test]
fn no_open_file_of_the_agents_processes_can_make_their_end_wait() {
    scenario("66-open-files", SHORT_LEASE, async |scenario| {
        let state = scenario.state_volume();
        let (active, _) = holder(scenario, &state, &[]).await;
        for process in [active.first(), active.elector().await] {
            let slow: Vec<_> = open_files(process).into_iter().filter(|file| !closes_at_once(file)).collect();
            assert!(slow.is_empty(), "{process}: {slow:?}");
        }
    });
}

/// Standard input, output and error apart: they are the container runtime's.
fn open_files(process: Pid) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).expect("it lives").flatten();
    let inherited = |path: &PathBuf| ["0", "1", "2"].iter().any(|name| path.ends_with(name));
    entries.map(|entry| entry.path()).filter(|path| !inherited(path)).collect()
}

/// Whether it belongs to no file system, or to one in memory.
fn closes_at_once(file: &Path) -> bool {
    // It may have been closed since.
    let Ok(target) = fs::read_link(file) else { return true };
    let nameless = ["pipe:", "socket:", "anon_inode:"];
    nameless.iter().any(|kind| target.to_string_lossy().starts_with(kind))
        || target == Path::new("/dev/null")
        || statfs(file).is_ok_and(|of| of.filesystem_type() == TMPFS_MAGIC)
}
