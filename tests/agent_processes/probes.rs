//! Probes that have no answer, each asked as the kubelet asks it: of a program in the container, about a
//! workload that runs.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use singletonjob::contract::{LeaseFile, Role, exit_codes};
use singletonjob::lease::clock;
use singletonjob::lease::identity::{Identity, Version};
use tempfile::TempDir;
use testkit::scripted_agent::eventually;

/// Beside which the state directory is that of the test: the machine's own is not touched.
pub(super) const INSIDE: &str = r#"mount -t tmpfs none /run && mkdir /run/singletonjob && mount --bind "$0" /run/singletonjob && touch /run/agent \
    && mount --bind "$AGENT" /run/agent && exec "$@""#;
/// The agent, where every user finds it.
pub(super) const PROGRAM: &str = "/run/agent";
/// The same as a user of its own, who can have one process.
const ALONE: &str =
    r#"chmod 777 /run/singletonjob; exec setpriv --reuid 54321 --clear-groups prlimit --nproc=1 "$@""#;
/// The command's parent is the process that was to answer.
const STOPS: &str = "kill -STOP $PPID; sleep 60";
const DIES: &str = "kill -KILL $PPID; sleep 60";

/// A container whose workload has just been started.
pub(super) struct Container(TempDir);

impl Container {
    pub(super) fn new() -> Self {
        let container = Self(tempfile::tempdir().expect("a temporary directory"));
        let standing = LeaseFile {
            role: Role::Active,
            identity: Identity::new("web-1", "6f1c", 7),
            holder: None,
            token: Some(Version(7)),
            valid_until_boottime_nanoseconds: None,
            started_boottime_nanoseconds: u64::try_from(clock::now().at.boot.as_nanos()).ok(),
            workload_pid: None,
            scheduled_time: None,
            trouble: None,
        };
        fs::write(container.path().join("lease.json"), serde_json::to_vec(&standing).expect("JSON"))
            .expect("a writable directory");
        container
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Whether the probe that runs this script succeeds.
    fn succeeds(&self, kind: &str, script: &str, more: &Value) -> bool {
        self.succeeds_by(&[], kind, script, more)
    }

    /// The same, of an agent that is started by this command.
    fn succeeds_by(&self, starter: &[&str], kind: &str, script: &str, more: &Value) -> bool {
        let output = self.asked_by(starter, kind, script, more);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        output.status.success()
    }

    fn asked_by(&self, starter: &[&str], kind: &str, script: &str, more: &Value) -> Output {
        self.asks(starter, kind, &json!({"exec": {"command": ["sh", "-c", script]}}), more)
    }

    pub(super) fn asks(&self, starter: &[&str], kind: &str, handler: &Value, more: &Value) -> Output {
        asks_in(self.path(), starter, kind, handler, more)
    }
}

/// What a probe says that is started by this command, where the state directory is this one.
pub(super) fn asks_in(
    directory: &Path,
    starter: &[&str],
    kind: &str,
    handler: &Value,
    more: &Value,
) -> Output {
    let mut probe = json!({"probe": handler, "timeoutSeconds": 1});
    probe.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", INSIDE]).arg(directory).args(starter).arg(PROGRAM);
    command.env("AGENT", env!("CARGO_BIN_EXE_singletonjob-agent"));
    command.args(["probe", kind, &probe.to_string()]).output().expect("unshare of util-linux is installed")
}

#[test]
fn a_readiness_attempt_without_an_answer_is_one_failure_of_several() {
    for hangs in [STOPS, DIES] {
        let container = Container::new();
        let is_ready = |script| {
            container.succeeds("readiness", script, &json!({"thresholds": {"success": 1, "failure": 3}}))
        };
        assert_eq!(
            ["true", hangs, hangs, hangs, "true"].map(is_ready),
            [true, true, true, false, true],
            "{hangs}"
        );
    }
}

#[test]
fn without_thresholds_an_attempt_without_an_answer_has_failed() {
    assert!(!Container::new().succeeds("readiness", STOPS, &json!({})));
}

#[test]
fn a_liveness_attempt_without_an_answer_counts_once_there_was_time() {
    let says = |startup: &str, seconds: u32| {
        let container = Container::new();
        let startup = json!({"probe": {"exec": {"command": ["sh", "-c", startup]}}, "timeoutSeconds": 1});
        let is_alive = container.succeeds(
            "liveness",
            STOPS,
            &json!({"startup": startup, "startupBudgetSeconds": seconds}),
        );
        (is_alive, container.path().join("unhealthy").exists())
    };
    assert_eq!(says(STOPS, 600), (true, false), "it may come up yet");
    assert_eq!(says("true", 600), (false, true), "it has come up");
    assert_eq!(says(STOPS, 0), (false, true), "it did not come up");
}

#[test]
fn a_command_may_say_more_than_is_shown_of_it() {
    assert!(Container::new().succeeds("readiness", "head -c 1000000 /dev/zero", &json!({})));
}

#[test]
fn a_command_that_says_something_without_end_has_no_answer_in_time() {
    let began = clock::now().at.boot;
    assert!(!Container::new().succeeds("readiness", "yes", &json!({})));
    assert!(clock::now().at.boot - began < Duration::from_secs(5));
}

#[test]
fn a_readiness_probe_that_cannot_start_a_process_is_one_failure() {
    let container = Container::new();
    let is_ready = |starter: &[&str]| {
        container.succeeds_by(
            starter,
            "readiness",
            "true",
            &json!({"thresholds": {"success": 1, "failure": 3}}),
        )
    };
    let alone: &[&str] = &["sh", "-c", ALONE, "sh"];
    assert_eq!([&[], alone, alone, alone].map(is_ready), [true, true, true, false]);
}

/// The process whose number this file says, as the machine knows it.
fn await_end(file: &Path) {
    let pid: i32 = fs::read_to_string(file).expect("it was written").trim().parse().expect("a number");
    let stat = format!("/proc/{pid}/stat");
    eventually("the process is dead", || {
        fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn what_a_killed_attempt_has_started_is_killed_too() {
    let container = Container::new();
    assert!(!container.succeeds(
        "readiness",
        "echo $$ > /run/singletonjob/command; kill -KILL $PPID; exec sleep 60",
        &json!({})
    ));
    await_end(&container.path().join("command"));
}

#[test]
fn an_attempt_does_not_outlive_its_probe() {
    let container = Container::new();
    let kill_probe =
        "echo $PPID > /run/singletonjob/attempt; kill -KILL $(cut -d' ' -f4 /proc/$PPID/stat); sleep 20";
    let output = container.asked_by(&[], "readiness", kill_probe, &json!({"timeoutSeconds": 20}));
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
    await_end(&container.path().join("attempt"));
}

/// How many files are there after an agent was started that finds no credentials.
fn left_after_a_start(namespaces: &[&str]) -> usize {
    let container = Container::new();
    let variables =
        ["NAMESPACE", "NAME", "UID", "POD_NAME", "POD_UID"].map(|name| (format!("SINGLETONJOB_{name}"), "x"));
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .args(["sh", "-c", INSIDE])
        .arg(container.path())
        .arg(PROGRAM)
        .args(["run", "--", "true"]);
    command.env("AGENT", env!("CARGO_BIN_EXE_singletonjob-agent")).envs(variables);
    let output = command
        .env("SINGLETONJOB_TERMINATION_MESSAGE_PATH", "/run/message")
        .output()
        .expect("unshare of util-linux is installed");
    assert_eq!(
        output.status.code(),
        Some(exit_codes::LEASE_UNREADABLE),
        "there are no credentials: {output:?}"
    );
    fs::read_dir(container.path()).expect("it is there").count()
}

#[test]
fn what_an_earlier_container_left_is_gone_before_the_first_request() {
    assert_eq!(left_after_a_start(&["--mount", "--pid", "--fork"]), 0);
    assert_eq!(
        left_after_a_start(&["--mount"]),
        1,
        "a second agent in a container takes nothing from the first"
    );
}
