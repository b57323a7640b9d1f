//! Processors, processes, memory and disk that run out.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use singletonjob::contract::{Role, exit_codes};
use testkit::cgroup::Cgroup;
use testkit::observe::{await_tenure, eventually, nothing_starts, now, tenure};
use testkit::witness::Tenure;
use tokio::time::{sleep, timeout};

use crate::candidate::Candidate;
use crate::scenario::{END, SECOND, START, Scenario, one_shot, scenario};

const LEASE: u64 = 6;
/// For the agent, and a little for a workload.
const MEMORY: u64 = 64 << 20;
/// For a thousand processes to be started on a busy machine.
const MANY_START: Duration = Duration::from_secs(60);

/// Stops the elector: the deadline passes, and whatever runs is to be dead within the margin.
async fn is_fenced(scenario: &Scenario, active: &mut Candidate, old: &Tenure) {
    // The agent writes its deadline into a file a moment after it has set the timer: it is stopped just after
    // it wrote, and not between the two.
    let before = active.valid_until();
    eventually("a renewal is told", scenario.timing.lease_duration(), || {
        (active.valid_until() > before).then_some(())
    })
    .await;
    kill(active.elector().await, Signal::SIGSTOP).expect("it is there");
    let deadline = active.valid_until();
    let (code, message) = active.await_end(END).await;
    let ended = now();
    assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
    let last = tenure(&scenario.records, old.token).last;
    scenario.at_most(
        "deadline to last instruction (K)",
        last.saturating_sub(deadline),
        scenario.timing.kill_margin(),
    );
    scenario.noted("deadline to the end of the container", ended.saturating_sub(deadline));
}

#[test]
fn a_starved_agent_holds_nothing_past_its_deadline() {
    scenario("25-cpu-quota", 15, async |scenario| {
        let cgroup = Cgroup::new("starved").limit_cpu(50);
        let busy = "for n in $(seq 31); do (while :; do :; done) & done; exec witness --stubborn --spin";
        let active = scenario.pod(0).within(&cgroup).shell(busy).await;
        let old = await_tenure(&scenario.records, 1, MANY_START).await;
        let _standby = scenario.pod(1).start(&[]).await;
        nothing_starts(&scenario.records, 1, SECOND).await;
        tokio::join!(sleep(scenario.timing.lease_duration()), says_so_or_gives_up(scenario, &old));
        drop(active);
    });
}

/// What it notices it says with its next renewal; without one, or when it is too late to hold anything,
/// another candidate holds the Lease, which has nothing to complain of.
async fn says_so_or_gives_up(scenario: &Scenario, old: &Tenure) {
    let told = async {
        loop {
            let record = scenario.record().await;
            let holds = record.holder.as_ref().is_some_and(|holder| holder.pod() == old.pod);
            if !holds || record.annotations.health.is_some_and(|health| !health.warnings.is_empty()) {
                return;
            }
            sleep(SECOND / 10).await;
        }
    };
    timeout(scenario.timing.lease_duration() * 2, told)
        .await
        .expect("an agent that is late says so, or gives the Lease up");
}

#[test]
fn a_fork_bomb_is_fenced() {
    scenario("26-fork-bomb", LEASE, async |scenario| {
        let cgroup = Cgroup::new("bomb").limit_processes(200).limit_cpu(500);
        let bomb = "(bomb() { bomb | bomb & }; sleep 1; bomb) 2>/dev/null & exec witness --stubborn";
        let mut active = scenario.pod(0).within(&cgroup).shell(bomb).await;
        let old = await_tenure(&scenario.records, 1, START).await;
        eventually("the bomb has gone off", START, || (cgroup.population() > 100).then_some(())).await;
        is_fenced(scenario, &mut active, &old).await;
        assert_eq!(cgroup.population(), 0);
    });
}

#[test]
fn a_thousand_processes_that_left_their_parents_are_fenced() {
    scenario("27-thousand", 15, async |scenario| {
        let cgroup = Cgroup::new("thousand");
        let script = "for n in $(seq 1000); do (setsid sleep 600 &); done; exec witness --stubborn --daemons 3 --orphans 3";
        let mut active = scenario.pod(0).within(&cgroup).shell(script).await;
        let old = await_tenure(&scenario.records, 1, MANY_START).await;
        eventually("all have started", MANY_START, || (cgroup.population() > 1000).then_some(())).await;
        is_fenced(scenario, &mut active, &old).await;
        assert_eq!(cgroup.population(), 0);
    });
}

#[test]
fn a_workload_that_takes_all_memory_loses_one_attempt() {
    one_shot("30-workload-out-of-memory", LEASE, 3, async |scenario| {
        let cgroup = Cgroup::new("memory").limit_memory(MEMORY);
        let greedy = "witness --stubborn & until [ -e go ]; do sleep 0.01; done; exec tail /dev/zero";
        let mut active = scenario.pod(0).within(&cgroup).shell(greedy).await;
        await_tenure(&scenario.records, 1, START).await;
        let standby = scenario.pod(1).start(&["--seconds", "1"]).await;
        standby.await_role(Role::Standby).await;
        fs::write(active.path("go"), "").expect("a writable directory");
        assert_eq!(
            active.await_end(END).await.0,
            128 + libc::SIGKILL,
            "as a kubelet expects it of OOMKilled"
        );
        assert_eq!(await_tenure(&scenario.records, 2, START).await.attempt, 2);
        let record = scenario.record().await;
        assert_eq!(record.annotations.progress.map(|progress| progress.failures), Some(1));
    });
}

#[test]
fn an_elector_that_the_kernel_kills_for_its_memory_takes_everything_along() {
    one_shot("30-elector-out-of-memory", LEASE, 3, async |scenario| {
        let cgroup = Cgroup::new("memory").limit_memory(MEMORY);
        let greedy =
            "witness --stubborn --daemons 1 & until [ -e go ]; do sleep 0.01; done; tail /dev/zero; wait";
        let mut active = scenario.pod(0).within(&cgroup).shell(greedy).await;
        let old = await_tenure(&scenario.records, 1, START).await;
        let standby = scenario.pod(1).start(&["--seconds", "1"]).await;
        standby.await_role(Role::Standby).await;
        let elector = active.elector().await;
        fs::write(format!("/proc/{elector}/oom_score_adj"), "1000").expect("it is there");
        fs::write(active.path("go"), "").expect("a writable directory");
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::AGENT_FAILED, "{message}");
        let new = await_tenure(&scenario.records, 2, START).await;
        assert!(new.token > old.token && new.attempt == 2, "one attempt was lost: {new:?}");
    });
}

#[test]
fn on_a_full_disk_it_is_fenced_all_the_same() {
    scenario("31-full-disk", LEASE, async |scenario| {
        let fill =
            "cat /dev/zero >/var/run/singletonjob/rubbish 2>/dev/null; exec witness --stubborn --daemons 1";
        let mut active = scenario.pod(0).state_size("64k").shell(fill).await;
        let old = await_tenure(&scenario.records, 1, START).await;
        let first = active.standing().expect("written before the disk was full");
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        assert!(
            fs::write(active.inside("/var/run/singletonjob/more"), vec![0; 65_536]).is_err(),
            "the disk is full"
        );
        assert_eq!(
            active.standing().map(|now| now.identity),
            Some(first.identity),
            "what was written last can still be read"
        );
        let renewed = scenario.renewed().await;
        kill(active.elector().await, Signal::SIGSTOP).expect("it is there");
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        // One more renewal may have come between.
        scenario
            .died_by(old.token, renewed + scenario.timing.retry_period() + scenario.timing.hard_deadline());
    });
}
