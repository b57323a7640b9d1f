//! How soon a workload is dead when its deadline has passed and its elector does not lift a finger; in a
//! program of its own, so that nothing else is measured along.
//!
//! Needs root, for namespaces and control groups; fails where it is not. Medians and worst cases go to
//! `target/deadline-report.txt`.

mod disturbance;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use singletonjob::contract::exit_codes;
use singletonjob::lease::clock;
use testkit::cgroup::Cgroup;
use testkit::disk::FrozenDisk;
use testkit::report;
use testkit::scripted_agent::{Agent, children, eventually, scripted_agent};

use disturbance::Watch;

/// Within this the workload's last instruction comes after the deadline.
const KILL: Duration = Duration::from_millis(5);
/// Of a lease of 5 s or less; the default lease has three times as much.
const SMALLEST_KILL_MARGIN: Duration = Duration::from_millis(500);
const RUNS: usize = 100;
/// Runs are repeated in which the machine itself was late.
const MOST_RUNS: usize = 300;
/// What a thread without anything to do wakes up late by, on a machine that can be measured on.
const UNDISTURBED: Duration = Duration::from_millis(1);
/// From before the deadline on: a processor that is away when it comes was away already.
const LEAD: Duration = Duration::from_millis(5);
/// In milliseconds: for namespaces and processes to come up.
const DEADLINE: u64 = 800;
/// Of electors that cannot die.
const HUNG_RUNS: usize = 20;
const STARVED_RUNS: usize = 12;
const STARVED_DEADLINE: u64 = 8000;

/// Held by every test: the others would be measured along.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `run` returns, by several threads, until `enough` says so; sorted.
fn repeat<T: Ord + Send>(
    threads: usize,
    enough: impl Fn(&[T]) -> bool + Sync,
    run: impl Fn() -> T + Sync,
) -> Vec<T> {
    scripted_agent();
    let all = Mutex::new(Vec::new());
    let results = || all.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough(&results()) {
                    let result = run();
                    results().push(result);
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_unstable();
    all
}

/// As every container has one; without it the kernel would schedule the agent together with this test, and
/// its workload on its own.
fn admit(cgroup: &Cgroup, agent: &Agent) {
    let elector = agent.elector();
    let workload = eventually("the workload runs", || children(elector).first().copied());
    for process in [agent.first, elector, workload] {
        cgroup.admit(process);
    }
}

/// Stops the elector and waits for the end; how long `leaves` lived on after the deadline.
fn outlived(agent: &mut Agent, leaves: &[&str]) -> Duration {
    kill(agent.elector(), Signal::SIGSTOP).expect("it is there");
    assert_eq!(agent.exit_code(), exit_codes::LEASE_LOST);
    agent.outlived(leaves, agent.deadline())
}

/// One run with a stopped elector: how long its workload lived on, and whether that can be blamed on others.
fn stopped() -> (Duration, bool) {
    let cgroup = Cgroup::new("idle");
    let mut agent = Agent::shell(DEADLINE, "exec beat b1");
    agent.await_beats(&["b1"]);
    admit(&cgroup, &agent);
    let watch = Watch::begin(agent.deadline().saturating_sub(LEAD));
    let outlived = outlived(&mut agent, &["b1"]);
    (outlived, watch.end() > UNDISTURBED)
}

#[test]
fn a_workload_dies_5_ms_after_its_stopped_electors_deadline_100_times() {
    let _alone = alone();
    let undisturbed = |runs: &[(Duration, bool)]| runs.iter().filter(|(_, disturbed)| !disturbed).count();
    let all = repeat(2, |runs| undisturbed(runs) >= RUNS || runs.len() >= MOST_RUNS, stopped);
    let worst = all.iter().map(|(outlived, _)| *outlived).max().expect("there were runs");
    report::at_most("elector-stopped", "worst of all, disturbed or not (K)", worst, SMALLEST_KILL_MARGIN);
    let (number, good) = (all.len(), undisturbed(&all));
    assert!(good >= RUNS, "the machine is too busy to measure on: of {number} runs {good} were undisturbed");
    let measured: Vec<_> =
        all.into_iter().filter(|(_, disturbed)| !disturbed).map(|(outlived, _)| outlived).collect();
    report::noted("elector-stopped", "deadline to last instruction, median", measured[measured.len() / 2]);
    report::at_most(
        "elector-stopped",
        "deadline to last instruction, worst of 100",
        measured[measured.len() - 1],
        KILL,
    );
}

/// Agents of which only PID 1 can keep the deadline, and the disk that their electors wait for; it goes on
/// before they are waited for.
struct Hung {
    disk: FrozenDisk,
    agents: Mutex<Vec<(Agent, Cgroup)>>,
}

impl Hung {
    /// One run: how long the workload lived on, and whether that can be blamed on others.
    fn run(&self) -> (Duration, bool) {
        let cgroup = Cgroup::new("hung");
        let agent = Agent::shell(HUNG_DEADLINE, "exec beat b1");
        agent.await_beats(&["b1"]);
        admit(&cgroup, &agent);
        agent.hang_on(&self.disk.file());
        let elector = agent.elector();
        eventually("the elector hangs", || is_unkillable(elector).then_some(()));
        let watch = Watch::begin(agent.deadline().saturating_sub(LEAD));
        thread::sleep(agent.deadline().saturating_sub(clock::now().at.boot) + KILL * 2);
        let disturbed = watch.end() > UNDISTURBED;
        thread::sleep(SMALLEST_KILL_MARGIN);
        assert!(is_unkillable(elector), "it was killed, and has not died");
        let outlived = agent.outlived(&["b1"], agent.deadline());
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).push((agent, cgroup));
        (outlived, disturbed)
    }
}

fn is_unkillable(process: Pid) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") D "))
}

/// In milliseconds: for the elector to hang, too.
const HUNG_DEADLINE: u64 = 1500;

#[test]
fn a_workload_dies_5_ms_after_its_unkillable_electors_deadline_20_times() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let hung = Hung { disk: FrozenDisk::new(folder.path()), agents: Mutex::default() };
    hung.disk.freeze();
    let undisturbed = |runs: &[(Duration, bool)]| runs.iter().filter(|(_, disturbed)| !disturbed).count();
    let all = repeat(2, |runs| undisturbed(runs) >= HUNG_RUNS || runs.len() >= HUNG_RUNS * 3, || hung.run());
    let worst = all.iter().map(|(outlived, _)| *outlived).max().expect("there were runs");
    report::at_most("elector-unkillable", "worst of all, disturbed or not (K)", worst, SMALLEST_KILL_MARGIN);
    let good: Vec<_> =
        all.iter().filter(|(_, disturbed)| !disturbed).map(|(outlived, _)| *outlived).collect();
    assert!(
        good.len() >= HUNG_RUNS,
        "the machine is too busy to measure on: of {} runs {} were undisturbed",
        all.len(),
        good.len()
    );
    report::noted("elector-unkillable", "deadline to last instruction, median", good[good.len() / 2]);
    report::at_most(
        "elector-unkillable",
        "deadline to last instruction, worst of 20",
        good[good.len() - 1],
        KILL,
    );
    hung.disk.thaw();
}

#[test]
fn a_workload_of_16_busy_threads_is_dead_within_the_margin() {
    let _alone = alone();
    let all = repeat(4, |runs| runs.len() >= STARVED_RUNS, starved);
    report::noted("cpu-200m", "deadline to last instruction, median", all[all.len() / 2]);
    report::at_most(
        "cpu-200m",
        "deadline to last instruction, worst of 12 (K)",
        all[all.len() - 1],
        SMALLEST_KILL_MARGIN,
    );
}

fn starved() -> Duration {
    let cgroup = Cgroup::new("busy").limit_cpu(200);
    let busy = "until [ -e go ]; do sleep 0.01; done; for n in $(seq 16); do (while :; do :; done) & done; beat b2 & exec beat b1";
    let mut agent = Agent::shell(STARVED_DEADLINE, busy);
    admit(&cgroup, &agent);
    fs::write(agent.path("go"), "").expect("a writable directory");
    agent.await_beats(&["b1", "b2"]);
    outlived(&mut agent, &["b1", "b2"])
}
