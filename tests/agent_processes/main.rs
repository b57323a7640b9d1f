//! The agent's processes, each as PID 1 of a PID namespace of its own, with a script in place of the Lease.
//!
//! Needs root, for the namespaces; fails where it is not.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod grpc;
mod not_pid_1;
mod probes;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::json;
use singletonjob::contract::{LeaseFile, TERMINATION_PREFIX, exit_codes};
use singletonjob::lease::clock;
use testkit::scripted_agent::{Agent, eventually, scripted_agent};

use probes::asks_in;

/// The smallest kill margin: what the arithmetic of leases grants for a kill.
const SMALLEST_KILL_MARGIN: Duration = Duration::from_millis(500);
/// What a kill takes on a machine that is not overloaded.
const USUAL_KILL: Duration = Duration::from_millis(5);
const FAR: u64 = 60_000;
/// Signals 32 and 33, which no program can set.
const OF_THE_C_LIBRARY: u64 = 0b11 << 31;

/// Held by tests that measure or need the processors for themselves.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Repeats a kill: usually fast, and never slower than the lease's arithmetic grants.
fn assert_kills_in_time(what: &str, outlive: impl Fn() -> Duration) {
    let _alone = alone();
    let mut outlived: Vec<Duration> = (0..5).map(|_| outlive()).collect();
    outlived.sort_unstable();
    println!("{what}: last instruction after {outlived:?}");
    assert!(outlived[4] < SMALLEST_KILL_MARGIN, "{what}: {outlived:?}");
    assert!(outlived[2] < USUAL_KILL, "{what}: {outlived:?}");
}

/// One that is its parent's, one that was forked twice and has left the session, one in the group but without
/// a parent.
const TREE: &str = "(setsid beat b2 &); (beat b3 &); beat b1";
const LEAVES: [&str; 3] = ["b1", "b2", "b3"];

#[test]
fn nothing_outlives_an_elector_that_is_killed() {
    assert_kills_in_time("elector killed", || {
        let mut agent = Agent::shell(FAR, TREE);
        agent.await_beats(&LEAVES);
        let killed = clock::now().at.boot;
        kill(agent.elector(), Signal::SIGKILL).unwrap();
        assert_eq!(agent.exit_code(), exit_codes::AGENT_FAILED);
        assert!(agent.read("message").contains("the elector died"), "{}", agent.read("message"));
        assert!(agent.read("facts").contains(
            "Orphan { token: Some(Version(42)), exit: None, cause: None, overdue: false, in_doubt: None }"
        ));
        agent.outlived(&LEAVES, killed)
    });
}

#[test]
fn nothing_outlives_the_deadline_of_an_elector_that_is_stopped() {
    assert_kills_in_time("elector stopped", || {
        let mut agent = Agent::shell(700, TREE);
        agent.await_beats(&LEAVES);
        kill(agent.elector(), Signal::SIGSTOP).unwrap();
        assert_eq!(agent.exit_code(), exit_codes::LEASE_LOST);
        assert!(
            agent.last_beat("b1").unwrap() > agent.deadline().saturating_sub(Duration::from_millis(200)),
            "it ran to the end"
        );
        agent.outlived(&LEAVES, agent.deadline())
    });
}

#[test]
fn an_elector_in_doubt_leaves_the_last_word_to_pid_1() {
    let mut agent = Agent::start(0, 0, &["true"]);
    assert_eq!(agent.exit_code(), exit_codes::INTERRUPTED);
    assert_eq!(
        agent.read("facts"),
        "Orphan { token: None, exit: None, cause: None, overdue: false, in_doubt: Some(Version(41)) }\n"
    );
}

#[test]
fn what_a_workload_leaves_behind_is_gone_when_it_is_said_to_be() {
    let mut agent = Agent::shell(
        FAR,
        "(setsid beat b2 &); (beat b3 &); while ! [ -s b2 ] || ! [ -s b3 ]; do sleep 0.01; done",
    );
    assert_eq!(agent.exit_code(), 0);
    let facts = agent.read("facts");
    assert!(facts.contains("WorkloadEnded(Code(0))\nTreeEmpty"), "{facts}");
    assert!(agent.last_beat("b2").is_some() && agent.last_beat("b3").is_some());
    assert!(!facts.contains("Orphan"), "an elector that is done needs no last words: {facts}");
}

#[test]
fn exit_codes_and_signals_of_the_workload_pass_through() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)] {
        assert_eq!(Agent::shell(FAR, script).exit_code(), code, "{script}");
    }
}

#[test]
fn a_command_that_cannot_run_ends_as_in_a_shell_and_says_so() {
    for (command, code) in
        [("/no/such/program", exit_codes::NOT_FOUND), ("/etc/passwd", exit_codes::CANNOT_EXECUTE)]
    {
        let mut agent = Agent::start(FAR, 0, &[command]);
        assert_eq!(agent.exit_code(), code);
        let message = agent.read("message");
        assert!(message.starts_with(&format!("singletonjob-agent: cannot start {command:?}: ")), "{message}");
    }
}

#[test]
fn a_signal_from_outside_is_what_the_workload_gets() {
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGQUIT, "QUIT")] {
        let mut agent =
            Agent::shell(FAR, &format!("trap 'exit 5' {name}; echo > ready; while :; do sleep 0.01; done"));
        eventually("the trap is set", || agent.path("ready").exists().then_some(()));
        kill(agent.first, signal).unwrap();
        assert_eq!(agent.exit_code(), 5, "{name}");
    }
}

#[test]
fn a_signal_from_inside_reaches_the_first_process_and_is_no_drain() {
    let traps = "for name in HUP TERM QUIT WINCH RTMIN; do trap \"echo $name >> heard\" $name; done";
    let mut agent = Agent::start(
        FAR,
        0,
        &["bash", "-c", &format!("{traps}; echo > ready; until [ -e go ]; do sleep 0.01; done; exit 3")],
    );
    eventually("the traps are set", || agent.path("ready").exists().then_some(()));
    for name in ["HUP", "TERM", "QUIT", "WINCH", "RTMIN"] {
        agent.inside(&["bash", "-c", &format!("kill -{name} 1")]);
        eventually(name, || agent.read("heard").lines().any(|line| line == name).then_some(()));
    }
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(agent.exit_code(), 3);
    assert!(!agent.read("facts").contains("Drain"), "{}", agent.read("facts"));
}

/// As many as it takes for PID 1 to find a signal whenever it looks, beside a daemon in its own session that
/// beat before.
fn flooded(deadline: u64, then: &str) -> Agent {
    let flood = format!("{} flood", scripted_agent().display());
    let daemon = "(setsid beat b2 &); until [ -s b2 ]; do sleep 0.01; done";
    let floods = format!("for _ in 1 2 3 4; do {flood} & done; sleep 0.3; echo > flooded");
    let agent = Agent::shell(deadline, &format!("trap '' HUP; {daemon}; {floods}; {then}"));
    eventually("PID 1 is flooded", || agent.path("flooded").exists().then_some(()));
    agent
}

#[test]
fn nothing_outlives_the_deadline_though_pid_1_is_flooded_with_signals() {
    let _alone = alone();
    for _ in 0..5 {
        let mut agent = flooded(3_000, "beat b1");
        assert_eq!(agent.exit_code(), exit_codes::LEASE_LOST);
        let outlived = agent.outlived(&["b1", "b2"], agent.deadline());
        assert!(outlived < SMALLEST_KILL_MARGIN, "{outlived:?}");
    }
}

#[test]
fn a_drain_is_heard_though_pid_1_is_flooded_with_a_lower_signal() {
    let _alone = alone();
    let mut agent = flooded(FAR, "trap 'exit 5' TERM; echo > ready; while :; do sleep 0.01; done");
    eventually("the trap is set", || agent.path("ready").exists().then_some(()));
    kill(agent.first, Signal::SIGTERM).unwrap();
    assert_eq!(agent.exit_code(), 5);
}

#[test]
fn the_workload_finds_its_first_process_where_it_reads_about_the_lease() {
    let mut agent = Agent::shell(FAR, "echo $$ > mine; until [ -e go ]; do sleep 0.01; done");
    let mine = eventually("it runs", || agent.read("mine").trim().parse::<i32>().ok());
    let told = eventually("it is told", || {
        serde_json::from_str::<LeaseFile>(&agent.read("lease.json")).ok()?.workload_pid
    });
    assert_eq!(told, mine);
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(agent.exit_code(), 0);
}

#[test]
fn signals_to_the_agent_and_signals_that_end_nothing_mean_nothing() {
    let mut agent = Agent::shell(
        FAR,
        "kill -TERM 2; kill -STOP 1; kill -KILL 1; echo > sent; while ! [ -e go ]; do sleep 0.01; done; exit 3",
    );
    eventually("the signals are sent", || agent.path("sent").exists().then_some(()));
    kill(agent.first, Signal::SIGCONT).unwrap();
    kill(agent.first, Signal::SIGWINCH).unwrap();
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(agent.exit_code(), 3);
    assert!(!agent.read("facts").contains("Drain"));
}

#[test]
fn a_signal_that_comes_before_the_start_is_remembered() {
    let mut agent = Agent::start(FAR, 300, &["sleep", "60"]);
    agent.deadline();
    kill(agent.first, Signal::SIGTERM).unwrap();
    assert_eq!(agent.exit_code(), 128 + libc::SIGTERM);
    assert!(agent.read("facts").contains("Drain"));
}

#[test]
fn a_drain_is_the_workloads_fault_once_enough_liveness_probes_have_failed() {
    for (answers, heard) in [
        (["false"; 3].as_slice(), "Unhealthy\nDrain\n"),
        (&["false"; 2], "Drain\n"),
        (&["false", "false", "false", "true"], "Drain\n"),
    ] {
        let mut agent = Agent::start(FAR, 0, &["sleep", "60"]);
        eventually("the workload's start is told", || {
            serde_json::from_str::<LeaseFile>(&agent.read("lease.json")).ok()?.started_boottime_nanoseconds
        });
        for answer in answers {
            let handler = json!({"exec": {"command": [answer]}});
            let asked = asks_in(&agent.path(""), &[], "liveness", &handler, &json!({"failureThreshold": 3}));
            assert_eq!(asked.status.success(), *answer == "true", "{asked:?}");
        }
        kill(agent.first, Signal::SIGTERM).unwrap();
        agent.exit_code();
        let facts = agent.read("facts");
        let facts = facts.split_once('\n').expect("the deadline is the first").1;
        assert!(facts.starts_with(heard), "{answers:?}: {facts}");
    }
}

#[test]
fn a_workload_that_could_only_be_started_too_late_is_not_started() {
    // The deadline kills the elector while it sleeps; had it woken up in time, it would have refused.
    let mut agent = Agent::start(100, 400, &["touch", "started"]);
    assert_eq!(agent.exit_code(), exit_codes::LEASE_LOST);
    assert!(!agent.path("started").exists());
}

#[test]
fn a_workload_starts_clean() {
    let script = "cat /proc/self/status > status; env > environment; nice > nice; cat lease.json > standing; \
                  cat /proc/$$/oom_score_adj > oom; cut -d' ' -f1,5,6 /proc/$$/stat > ids; exec > files; ls /proc/$$/fd";
    let mut agent = Agent::shell(FAR, &format!("until [ -s lease.json ]; do sleep 0.01; done; {script}"));
    assert_eq!(agent.exit_code(), 0);
    let status = agent.read("status");
    for set in ["SigBlk", "SigIgn"] {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap().trim_start_matches(":\t");
        assert_eq!(u64::from_str_radix(line, 16).unwrap() & !OF_THE_C_LIBRARY, 0, "{set} {line}");
    }
    let files = agent.read("files");
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(agent.read("nice").trim(), "5");
    let ids: Vec<String> = agent.read("ids").split_whitespace().map(str::to_owned).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "leader of its group and session: {ids:?}");
    assert_ne!(agent.read("oom"), fs::read_to_string("/proc/self/oom_score_adj").unwrap());
    let environment = agent.read("environment");
    for variable in [
        "SINGLETONJOB_FENCING_TOKEN=42",
        "SINGLETONJOB_RUN=3",
        "SINGLETONJOB_ATTEMPT=2",
        "SINGLETONJOB_SCHEDULED_TIME=2026-03-29T01:00:00Z",
    ] {
        assert!(environment.contains(variable), "{environment}");
    }
    let standing: LeaseFile = serde_json::from_str(&agent.read("standing")).unwrap();
    assert_eq!(standing.token.map(|token| token.0), Some(42));
}

#[test]
fn a_container_knows_nothing_of_an_earlier_one() {
    let mut agent = Agent::start_over(FAR, |state| {
        for name in ["readiness", "up", "unhealthy"] {
            fs::write(state.join(name), "left").unwrap();
        }
    });
    eventually("nothing is left", || {
        ["readiness", "up", "unhealthy"].iter().all(|name| !agent.path(name).exists()).then_some(())
    });
    kill(agent.first, Signal::SIGTERM).unwrap();
    agent.exit_code();
    assert!(!agent.read("facts").contains("Unhealthy"));
}

/// Like [`Agent`], for what it has said when it has ended.
fn ended(program: &Path, arguments: &[&str], state: &Path) -> Output {
    fs::write(state.join("message"), "").unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program).args(arguments);
    unshare.env("SINGLETONJOB_TERMINATION_MESSAGE_PATH", state.join("message")).output().unwrap()
}

#[test]
fn no_line_of_the_log_looks_like_a_termination_message() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().to_str().unwrap();
    let output = ended(scripted_agent(), &["run", state, "60000", "0", "/no/such/program"], directory.path());
    let (log, message) = (
        String::from_utf8_lossy(&output.stderr),
        fs::read_to_string(directory.path().join("message")).unwrap(),
    );
    assert!(message.starts_with(TERMINATION_PREFIX), "{message}");
    assert!(log.contains("singletonjob-agent starts") && log.contains("cannot start"), "{log}");
    assert!(log.lines().all(|line| line.starts_with("[singletonjob-agent] ")), "{log}");
}

#[test]
fn an_agent_that_does_not_understand_its_pod_says_so() {
    for (arguments, why) in
        [(&["run", "--", "true"][..], "is not set"), (&["run", "--faster", "--", "true"], "--faster")]
    {
        let directory = tempfile::tempdir().unwrap();
        let output = ended(Path::new(env!("CARGO_BIN_EXE_singletonjob-agent")), arguments, directory.path());
        let message = fs::read_to_string(directory.path().join("message")).unwrap();
        assert_eq!(output.status.code(), Some(exit_codes::USAGE));
        assert!(message.starts_with(TERMINATION_PREFIX) && message.contains(why), "{message}");
    }
}

#[test]
fn a_container_that_cannot_be_fenced_says_so_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("message"), "").unwrap();
    let status = Command::new(scripted_agent())
        .arg("run")
        .arg(directory.path())
        .args(["1000", "0", "true"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(exit_codes::SELF_TEST_FAILED));
    let message = fs::read_to_string(directory.path().join("message")).unwrap();
    assert!(
        message.starts_with("singletonjob-agent: the agent has pid ") && message.contains("hostPID"),
        "{message}"
    );
}
