//! Disks, network file systems and readers of pipes that do not answer: neither the deciding thread nor PID 1
//! waits for any of them.
//!
//! A frozen file system holds its writers; a silent one takes a read, or a page fault, and never answers. A
//! process that waits for either cannot be killed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{pipe2, write};
use serde_json::json;
use singletonjob::contract::exit_codes;
use singletonjob::lease::annotations::keys;
use testkit::cgroup::Cgroup;
use testkit::disk::FrozenDisk;
use testkit::observe::{await_tenure, eventually, now};
use testkit::witness::Tenure;
use tokio::time::sleep;

use crate::candidate::{Candidate, hangs};
use crate::scenario::{END, NAME, SECOND, START, Scenario, one_shot, scenario};
use crate::silent::SilentDisk;

const LEASE: u64 = 6;
/// For the next holder's first instruction after a release, on a machine that plays several scenarios at
/// once.
const HANDOVER: Duration = SECOND;

/// A candidate on a disk, or with a reader of its log, that may stand still: that goes first, because nothing
/// that waits for it ends before.
struct On<D> {
    disk: D,
    candidate: Candidate,
}

/// A pipe that is full, and whose reader does not read.
struct FullPipe {
    _reader: OwnedFd,
    writer: OwnedFd,
}

impl FullPipe {
    fn new() -> Self {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it is open");
        while write(&writer, &[b'\n'; 4096]) != Err(Errno::EAGAIN) {}
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).expect("it is open");
        Self { _reader: reader, writer }
    }

    fn end(&self) -> OwnedFd {
        self.writer.try_clone().expect("it is open")
    }
}

/// As images have it. Only there is the guard's code what it is in a pod.
fn static_agent() -> &'static PathBuf {
    static AGENT: LazyLock<PathBuf> = LazyLock::new(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/hack/image.sh");
        let built =
            Command::new(script).arg("agent").stderr(Stdio::inherit()).output().expect("bash is installed");
        assert!(built.status.success(), "building the static agent failed");
        PathBuf::from(String::from_utf8(built.stdout).expect("a path").trim())
    });
    &AGENT
}

/// What PID 1 locks is all that it needs while it stands guard.
#[test]
fn the_guards_code_leads_nowhere_outside_of_itself() {
    let disassembled = Command::new("objdump")
        .args(["-d", "--no-show-raw-insn", "--section=resident"])
        .arg(static_agent())
        .output();
    let code = String::from_utf8(disassembled.expect("binutils are installed").stdout).expect("text");
    let instructions: Vec<_> = code.lines().filter_map(|line| line.split_once(":\t")).collect();
    let address = |text: &str| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok();
    let (first, last) = (address(instructions[0].0), address(instructions[instructions.len() - 1].0));
    assert!(instructions.len() > 100, "{code}");
    for (_, instruction) in &instructions {
        let (name, operand) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
        let leads = ["call", "j", "b."].iter().any(|start| name.starts_with(start))
            || ["b", "bl", "br", "blr"].contains(&name);
        let target = address(operand.split_whitespace().next().unwrap_or_default());
        assert!(!leads || (first..=last).contains(&target), "it leads elsewhere: {instruction}");
        assert!(!operand.contains("(%rip)"), "it needs data that are not locked: {instruction}");
    }
}

/// Nothing of the elector goes on from now.
async fn stop(candidate: &Candidate) {
    kill(candidate.elector().await, Signal::SIGSTOP).expect("it is there");
}

/// The workload dies by the deadline of its last renewal, which the elector cannot prolong any more; what
/// cannot be emptied is not given back, and the next one waits for a whole lease.
async fn dies_and_is_waited_for(scenario: &Scenario, old: &Tenure) {
    let renewed = last_renewal(scenario, old).await;
    let new = scenario.await_takeover(2, renewed).await;
    scenario.died_by(old.token, renewed + scenario.timing.hard_deadline());
    scenario.at_least(
        "last renewal to first instruction (L)",
        new.first.saturating_sub(renewed),
        scenario.timing.lease_duration(),
    );
    assert_eq!(
        scenario.record().await.annotations.released.map(|mark| mark.reason),
        None,
        "nothing is given back that cannot be emptied"
    );
}

/// One that was under way may still be stored.
async fn last_renewal(scenario: &Scenario, old: &Tenure) -> Duration {
    sleep(scenario.timing.request_deadline()).await;
    let record = scenario.record().await;
    assert_eq!(record.holder.map(|holder| holder.pod().to_owned()), Some(old.pod.clone()));
    scenario.renewed().await
}

/// A holder whose state is on a disk that was frozen since, a standby, and the holder's tenure.
async fn on_a_frozen_state(scenario: &Scenario) -> (On<FrozenDisk>, Candidate, Tenure) {
    let disk = FrozenDisk::new(&scenario.directory_of("disk"));
    let pod = scenario.pod(0).state(disk.mount());
    let (candidate, standby, old) =
        scenario.pair(pod, scenario.pod(1), &["--stubborn", "--daemons", "1"]).await;
    let holder = On { disk, candidate };
    holder.disk.freeze();
    let elector = holder.candidate.elector().await;
    eventually("a thread of the elector hangs", START, || hangs(elector).then_some(())).await;
    (holder, standby, old)
}

#[test]
fn a_state_volume_that_is_frozen_is_not_noticed() {
    scenario("56-frozen-state", LEASE, async |scenario| {
        let (holder, _standby, _) = on_a_frozen_state(scenario).await;
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
        holder.disk.thaw();
        scenario.nothing_happens(SECOND).await;
    });
}

#[test]
fn a_holder_whose_state_volume_is_frozen_is_dead_by_its_deadline() {
    scenario("56-frozen-state-stopped", LEASE, async |scenario| {
        let (mut holder, _standby, old) = on_a_frozen_state(scenario).await;
        stop(&holder.candidate).await;
        dies_and_is_waited_for(scenario, &old).await;
        assert!(!holder.candidate.has_ended(), "the kernel has not let go of it");
        holder.disk.thaw();
        assert_eq!(holder.candidate.await_end(END).await.0, exit_codes::AGENT_FAILED);
    });
}

/// A holder whose program's pages are gone since, and come back no more.
async fn on_a_silent_program(
    scenario: &Scenario,
    is_stopped: bool,
) -> (On<(SilentDisk, Cgroup)>, Candidate, Tenure) {
    let disk = SilentDisk::with_program(&scenario.directory_of("disk"), static_agent());
    let cgroup = Cgroup::new("silent");
    let pod = scenario.pod(0).agent(disk.program()).within(&cgroup);
    let (candidate, standby, old) =
        scenario.pair(pod, scenario.pod(1), &["--stubborn", "--daemons", "1"]).await;
    let holder = On { disk: (disk, cgroup), candidate };
    scenario.renewed_again().await;
    if is_stopped {
        stop(&holder.candidate).await;
    }
    holder.disk.0.fall_silent();
    holder.disk.1.reclaim();
    (holder, standby, old)
}

#[test]
fn an_elector_that_waits_for_a_page_of_its_program_outlives_its_workload() {
    scenario("57-silent-program", LEASE, async |scenario| {
        let (holder, _standby, old) = on_a_silent_program(scenario, false).await;
        let elector = holder.candidate.elector().await;
        eventually("the elector asks for a page", START, || (holder.disk.0.unanswered() > 0).then_some(()))
            .await;
        dies_and_is_waited_for(scenario, &old).await;
        assert!(hangs(elector), "it was killed, and cannot die");
        drop(holder.disk);
    });
}

#[test]
fn a_stopped_elector_whose_program_is_gone_outlives_its_workload() {
    scenario("57-silent-program-stopped", LEASE, async |scenario| {
        let (holder, _standby, old) = on_a_silent_program(scenario, true).await;
        dies_and_is_waited_for(scenario, &old).await;
        drop(holder.disk);
    });
}

#[test]
fn a_termination_log_that_hangs_delays_no_release() {
    one_shot("58-frozen-termination-log", LEASE, 3, async |scenario| {
        let disk = FrozenDisk::new(&scenario.directory_of("disk"));
        std::fs::write(disk.file(), "").expect("not frozen yet");
        disk.freeze();
        let message = disk.file();
        let _ended =
            On { disk, candidate: scenario.pod(0).message(&message).command(&["/no/such/program"]).await };
        eventually("it has failed", START, || said_nothing_found(scenario)).await;
        let failed = now();
        let _standby = scenario.pod(1).start(&["--seconds", "1"]).await;
        let new = await_tenure(&scenario.records, 1, START).await;
        assert_eq!(new.attempt, 2);
        scenario.at_most("failed to first instruction", new.first.saturating_sub(failed), HANDOVER * 2);
    });
}

fn said_nothing_found(scenario: &Scenario) -> Option<()> {
    scenario.said().contains("cannot start \"/no/such/program\"").then_some(())
}

#[test]
fn a_holder_whose_termination_log_is_frozen_is_dead_by_its_deadline() {
    scenario("58-frozen-termination-log-stopped", LEASE, async |scenario| {
        let disk = FrozenDisk::new(&scenario.directory_of("disk"));
        std::fs::write(disk.file(), "").expect("not frozen yet");
        disk.freeze();
        let pod = scenario.pod(0).message(&disk.file());
        let (candidate, _standby, old) = scenario.pair(pod, scenario.pod(1), &["--stubborn"]).await;
        let mut holder = On { disk, candidate };
        stop(&holder.candidate).await;
        let renewed = last_renewal(scenario, &old).await;
        // All that is left can be killed, so the Lease is given back: what hangs is the message about it.
        await_tenure(&scenario.records, 2, END).await;
        scenario.died_by(old.token, renewed + scenario.timing.hard_deadline());
        holder.disk.thaw();
        assert_eq!(holder.candidate.await_end(END).await.0, exit_codes::LEASE_LOST);
    });
}

/// Every reading of the Lease makes the agent complain from now on.
async fn write_nonsense(scenario: &Scenario) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {keys::HANDOVER: "nonsense"}}}));
    scenario.api::<Lease>().patch(NAME, &PatchParams::default(), &patch).await.expect("an administrator may");
}

/// A holder whose log is not read, not even to make room; its workload writes elsewhere.
async fn with_a_full_log(scenario: &Scenario) -> (On<FullPipe>, Candidate, Tenure) {
    let log = FullPipe::new();
    let candidate =
        scenario.pod(0).log(log.end()).shell("exec witness --stubborn --daemons 1 >/dev/null 2>&1").await;
    let old = await_tenure(&scenario.records, 1, START).await;
    (On { disk: log, candidate }, scenario.standby(scenario.pod(1)).await, old)
}

#[test]
fn a_log_that_is_not_read_delays_no_renewal() {
    scenario("59-full-log", LEASE, async |scenario| {
        let (holder, _standby, _) = with_a_full_log(scenario).await;
        write_nonsense(scenario).await;
        let elector = holder.candidate.elector().await;
        eventually("a thread of it waits for the reader", START, || waits_for_a_reader(elector.as_raw()))
            .await;
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
    });
}

fn waits_for_a_reader(process: i32) -> Option<()> {
    let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten();
    let waits = |thread: std::fs::DirEntry| {
        std::fs::read_to_string(thread.path().join("wchan")).is_ok_and(|place| place.contains("pipe_write"))
    };
    threads.any(waits).then_some(())
}

#[test]
fn a_holder_whose_log_is_not_read_is_dead_by_its_deadline() {
    scenario("59-full-log-stopped", LEASE, async |scenario| {
        let (mut holder, _standby, old) = with_a_full_log(scenario).await;
        write_nonsense(scenario).await;
        stop(&holder.candidate).await;
        let renewed = last_renewal(scenario, &old).await;
        await_tenure(&scenario.records, 2, END).await;
        scenario.died_by(old.token, renewed + scenario.timing.hard_deadline());
        assert_eq!(
            holder.candidate.await_end(END).await.0,
            exit_codes::LEASE_LOST,
            "though its last line is never written"
        );
    });
}

/// A liveness probe with a timeout of a second, asked in `candidate` as a container runtime does it: its exit
/// code, and how long it took until no process had its output any more.
fn probe(candidate: &Candidate, command: &[&str]) -> (Option<i32>, Duration) {
    let asked = json!({"probe": {"exec": {"command": command}}, "timeoutSeconds": 1}).to_string();
    let began = now();
    let inside = ["--target", &candidate.first().to_string(), "--mount", "--pid", "--"].map(str::to_owned);
    let output = Command::new("nsenter")
        .args(inside)
        .arg(env!("CARGO_BIN_EXE_singletonjob-agent"))
        .args(["probe", "liveness", &asked])
        .output();
    (output.expect("nsenter of util-linux is installed").status.code(), now() - began)
}

/// Its timeout and a second.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_probe_ends_in_time_whatever_it_starts() {
    scenario("61-probes", LEASE, async |scenario| {
        let disk = FrozenDisk::new(&scenario.directory_of("disk"));
        let (candidate, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        let holder = On { disk, candidate };
        assert_eq!(probe(&holder.candidate, &["true"]).0, Some(0));
        holder.disk.freeze();
        let writes = format!("echo > {}", holder.disk.file().display());
        for hangs in ["sleep 600", "sleep 600 & wait", "trap '' TERM; sleep 600 & sleep 600", &writes] {
            let (code, took) = probe(&holder.candidate, &["sh", "-c", hangs]);
            assert_eq!(code, Some(1), "{hangs}");
            scenario.at_most("a probe that hangs", took, PROBE_WITHIN);
        }
        assert!(holder.candidate.hangs(), "what it started is still there, and nothing waits for it");
    });
}

#[test]
fn a_probe_ends_in_time_whatever_it_reads() {
    scenario("61-probe-silent-state", LEASE, async |scenario| {
        let disk = SilentDisk::with_program(&scenario.directory_of("disk"), static_agent());
        let (candidate, _standby, _) = scenario.pair(scenario.pod(0), scenario.pod(1), &[]).await;
        let holder = On { disk, candidate };
        let folder = holder.disk.program().parent().expect("a folder").to_owned();
        let first = holder.candidate.first().to_string();
        let covered = Command::new("nsenter")
            .args(["--target", &first, "--mount", "mount", "--bind"])
            .arg(folder)
            .arg("/var/run/singletonjob")
            .status();
        assert!(
            covered.is_ok_and(|status| status.success()),
            "no process can read the agent's state any more"
        );
        holder.disk.fall_silent();
        let (code, took) = probe(&holder.candidate, &["true"]);
        assert_eq!(code, Some(1));
        scenario.at_most("a probe that cannot read", took, PROBE_WITHIN);
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        drop(holder.disk);
    });
}

/// Every place at once, the workload's own disk too.
async fn on_nothing_that_answers(scenario: &Scenario, is_stopped: bool) {
    let frozen = FrozenDisk::new(&scenario.directory_of("frozen"));
    let silent = SilentDisk::with_program(&scenario.directory_of("silent"), static_agent());
    let (cgroup, log) = (Cgroup::new("silent"), FullPipe::new());
    let pod = scenario
        .pod(0)
        .state(frozen.mount())
        .message(&frozen.file())
        .log(log.end())
        .agent(silent.program())
        .within(&cgroup);
    std::fs::write(frozen.file(), "").expect("not frozen yet");
    let writes = format!(
        "until [ -e go ]; do sleep 0.01; done; exec dd if=/dev/zero of={}/own count=1",
        frozen.mount().display()
    );
    let candidate = pod.shell(&format!("witness --stubborn >/dev/null 2>&1 & {writes}")).await;
    let old = await_tenure(&scenario.records, 1, START).await;
    let holder = On { disk: (frozen, silent, log), candidate };
    let _standby = scenario.standby(scenario.pod(1)).await;
    write_nonsense(scenario).await;
    scenario.renewed_again().await;
    if is_stopped {
        stop(&holder.candidate).await;
    }
    std::fs::write(holder.candidate.path("go"), "").expect("a writable directory");
    holder.disk.0.freeze();
    holder.disk.1.fall_silent();
    cgroup.reclaim();
    dies_and_is_waited_for(scenario, &old).await;
    drop(holder.disk);
    drop(holder.candidate);
}

#[test]
fn where_nothing_answers_the_workload_is_dead_by_its_deadline() {
    scenario("60-nothing-answers", LEASE, async |scenario| on_nothing_that_answers(scenario, false).await);
}

#[test]
fn where_nothing_answers_a_stopped_electors_workload_dies_in_time() {
    scenario("60-nothing-answers-stopped", LEASE, async |scenario| {
        on_nothing_that_answers(scenario, true).await;
    });
}
