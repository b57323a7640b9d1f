//! The witness itself: what it writes must be what happened, or nothing that is measured with it means
//! anything.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use singletonjob::lease::clock;
use testkit::witness::{Record, Records};

fn start(directory: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witness"));
    command.args(arguments).env("WITNESS_DIRECTORY", directory).stdout(Stdio::null());
    command
        .env("SINGLETONJOB_FENCING_TOKEN", "41")
        .env("SINGLETONJOB_RUN", "1")
        .env("SINGLETONJOB_ATTEMPT", "2");
    command.spawn().expect("the witness starts")
}

fn await_records(directory: &Path, number: usize) -> Records {
    let begun = Instant::now();
    loop {
        let records = Records::read(directory).expect("a directory");
        if records.all().len() == number {
            return records;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no {number} records within 10 s: {records:?}");
        sleep(Duration::from_millis(1));
    }
}

/// When the only tenure last ran, once that is later than `moment`.
fn await_last(directory: &Path, moment: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let tenures = Records::read(directory).expect("a directory").tenures();
        if let Some(last) = tenures.first().map(|tenure| tenure.last).filter(|last| *last > moment) {
            return last;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not run on: {tenures:?}");
        sleep(Duration::from_millis(1));
    }
}

fn only(directory: &Path) -> Record {
    await_records(directory, 1).all()[0].clone()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it runs");
}

fn boot() -> Duration {
    clock::now().at.boot
}

#[test]
fn a_witness_that_ends_by_itself_says_when_and_how() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = boot();
    let status = start(directory.path(), &["--seconds", "0.1", "--exit", "3"]).wait().expect("it ends");
    let record = only(directory.path());
    assert_eq!((status.code(), record.token, record.run, record.attempt), (Some(3), 41, 1, 2));
    assert!(before < record.first && record.last < boot());
    assert!(record.last - record.first >= Duration::from_millis(100));
    assert_eq!(record.exit, Some((3, record.last)));
}

#[test]
fn a_killed_witness_leaves_its_last_instruction_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = start(directory.path(), &["--spin"]);
    let early = boot();
    let beats = await_last(directory.path(), early);
    signal(&child, Signal::SIGKILL);
    child.wait().expect("it is dead");
    let record = only(directory.path());
    assert!(
        record.last >= beats && beats > early && record.last < boot(),
        "{record:?}, and seen at {beats:?}"
    );
    assert_eq!(record.exit, None);
}

#[test]
fn signals_are_recorded_and_lingered_after() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = start(directory.path(), &["--linger-milliseconds", "50"]);
    await_records(directory.path(), 1);
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    let record = only(directory.path());
    let [(15, at)] = record.signals[..] else { panic!("one SIGTERM was sent: {record:?}") };
    assert!(record.last - at >= Duration::from_millis(50));
}

#[test]
fn a_file_ends_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = start(directory.path(), &["--until", "end"]);
    await_records(directory.path(), 1);
    std::fs::write(directory.path().join("end"), "").expect("a file");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn daemons_beat_on_when_their_parent_has_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = start(directory.path(), &["--seconds", "0.05", "--daemons", "2"]);
    child.wait().expect("it ends");
    let ended = boot();
    let records = await_records(directory.path(), 3);
    let daemons: Vec<_> = records.all().iter().filter(|record| !record.is_main).collect();
    assert_eq!(daemons.len(), 2);
    let last = await_last(directory.path(), ended);
    end_daemons(directory.path());
    assert!(last > ended, "the tenure lasts as long as any of its processes");
}

/// They end only when killed, and their pids are in the names of their records.
fn end_daemons(directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if Record::open(&entry.path()).is_ok_and(|record| !record.is_main) {
            let pid = name.rsplit('-').next().and_then(|pid| pid.parse().ok()).expect("a pid");
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        }
    }
}

#[test]
fn a_witness_without_a_token_says_who_should_have_started_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_witness")).output().expect("it runs");
    assert_eq!(output.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&output.stderr).contains("singletonjob-agent"));
}
