//! The recipes of `docs/not-pid-1.md`, and what they are instead of.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use singletonjob::contract::paths;
use testkit::scripted_agent::{Agent, eventually, scripted_agent};

use crate::FAR;
use crate::probes::{INSIDE, PROGRAM};

const PAGE: &str = include_str!("../../docs/not-pid-1.md");

/// The lines of the block whose first line this is.
fn recipe(first: &str) -> String {
    let start = PAGE.find(&format!("\n{first}\n")).unwrap_or_else(|| panic!("{first} is not in the page"));
    let lines: Vec<&str> = PAGE[start..].lines().skip(2).take_while(|line| *line != "```").collect();
    lines.join("\n") + "\n"
}

/// A script of that content in the agent's directory, where this agent keeps what is in /var/run/singletonjob
/// otherwise.
fn script(agent: &Agent, name: &str, content: &str) -> String {
    let path = agent.path(name);
    let content =
        content.replace(paths::STATE_DIRECTORY, agent.path("").to_str().unwrap().trim_end_matches('/'));
    fs::write(&path, format!("#!/bin/sh\n{content}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_workloads_output_and_environment_are_found_by_its_pid() {
    let workload =
        "exec > output; until [ -e go ]; do sleep 0.01; done; test $$ = $(./workload-pid.sh) && exit 3";
    let mut agent = Agent::start(FAR, 0, &["env", "MINE=yes", "sh", "-c", workload]);
    eventually("it is told", || agent.read("lease.json").contains("workloadPid").then_some(()));
    let pid = script(&agent, "workload-pid.sh", &recipe("# workload-pid.sh"));
    eventually("its output goes to the file", || agent.path("output").exists().then_some(()));
    agent.inside(&["sh", "-c", &format!("echo dump done >> /proc/$({pid})/fd/1; kill -0 $({pid})")]);
    assert_eq!(agent.read("output"), "dump done\n");
    agent.inside(&["sh", "-c", &format!("xargs -0 < /proc/$({pid})/environ | grep -q MINE=yes")]);
    agent.inside(&["sh", "-c", "! xargs -0 < /proc/1/environ | grep -q MINE=yes"]);
    let without_ptrace =
        "exec setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace sh -c '! (echo > /proc/1/fd/1)'";
    agent.inside(&["sh", "-c", without_ptrace]);
    fs::write(agent.path("go"), "").unwrap();
    assert_eq!(agent.exit_code(), 3);
}

#[test]
fn a_hook_that_signals_pid_1_ends_the_workload_as_it_means_to() {
    let traps = "trap 'echo graceful; exit 0' QUIT; trap 'echo hard; exit 0' TERM";
    let mut agent = Agent::start(
        FAR,
        0,
        &["sh", "-c", &format!("exec > output; {traps}; echo > ready; while :; do sleep 0.01; done")],
    );
    eventually("the traps are set", || agent.path("ready").exists().then_some(()));
    agent.inside(&["sh", "-c", "kill -QUIT 1"]);
    assert_eq!((agent.exit_code(), agent.read("output").as_str()), (0, "graceful\n"));
}

#[test]
fn a_workload_that_its_hook_ends_was_drained_and_did_not_end_by_itself() {
    let mut agent =
        Agent::start(FAR, 0, &["sh", "-c", "trap 'exit 0' QUIT; echo > ready; while :; do sleep 0.01; done"]);
    eventually("the trap is set", || agent.path("ready").exists().then_some(()));
    eventually("it is told", || agent.read("lease.json").contains("workloadPid").then_some(()));
    let hook = r#"{"isHook": true, "probe": {"exec": {"command": ["sh", "-c", "kill -QUIT 1"]}}, "timeoutSeconds": 5}"#;
    let program = format!("AGENT={}", env!("CARGO_BIN_EXE_singletonjob-agent"));
    let state = agent.path("");
    let inside = ["env", &program, "unshare", "--mount", "sh", "-c", INSIDE, state.to_str().unwrap()];
    agent.begin_inside(&[&inside[..], &[PROGRAM, "probe", "readiness", hook]].concat());
    assert_eq!(agent.exit_code(), 0);
    let facts = agent.read("facts");
    let (drain, end) = (facts.find("Drain\n"), facts.find("WorkloadEnded(Code(0))"));
    assert!(drain.is_some() && drain < end, "{facts}");
}

#[test]
fn a_directory_of_services_runs_under_s6_svscan_and_ends_with_it() {
    assert!(PAGE.contains("command: [s6-svscan, /etc/services.d]"));
    let start = "until [ -e go ]; do sleep 0.01; done; exec s6-svscan services";
    let mut agent = Agent::start(FAR, 0, &["sh", "-c", start]);
    for name in ["b1", "b2"] {
        fs::create_dir_all(agent.path(&format!("services/{name}"))).unwrap();
        let beat = format!("exec {} beat {}\n", scripted_agent().display(), agent.path(name).display());
        script(&agent, &format!("services/{name}/run"), &beat);
    }
    fs::write(agent.path("go"), "").unwrap();
    agent.await_beats(&["b1", "b2"]);
    kill(agent.first, Signal::SIGTERM).unwrap();
    assert_eq!(agent.exit_code(), 0, "s6 is a package of Debian: hack/cluster/packages.sh installs it");
}
