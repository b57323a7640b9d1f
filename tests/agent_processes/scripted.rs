//! The agent's processes with a script in place of the Lease, and a workload that leaves a trace.
//!
//! `scripted-agent run DIRECTORY DEADLINE_MS START_AFTER_MS COMMAND...` is PID 1: it arms the deadline,
//! starts the command, and notes in `DIRECTORY/facts` what it hears. Once `DIRECTORY/hang` names a file, its
//! elector writes there, which on a frozen disk does not return. With a deadline of zero it starts nothing
//! and ends without knowing whether it holds the Lease. `scripted-agent beat FILE` writes the time to the
//! file, over and over. `scripted-agent flood` sends SIGHUP to PID 1, over and over.

use std::env;
use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use singletonjob::agent::config::Config;
use singletonjob::agent::elector::Container;
use singletonjob::agent::supervise;
use singletonjob::contract::{environment, exit_codes};
use singletonjob::lease::annotations::Exit;
use singletonjob::lease::clock;
use singletonjob::lease::driver::WorkloadHost;
use singletonjob::lease::elector::{Candidate, Ending, Fact, Order, Role, Start, View};
use singletonjob::lease::identity::Version;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// Of the shortest leases.
const KILL_MARGIN: Duration = Duration::from_millis(500);

fn main() {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((task, rest)) if task == "run" => exit(run(rest)),
        Some((task, rest)) if task == "beat" => beat(Path::new(&rest[0])),
        Some((task, _)) if task == "flood" => flood(),
        _ => exit(exit_codes::USAGE),
    }
}

/// The last time written is that of the last instruction, to within a few microseconds.
fn beat(path: &Path) -> ! {
    let file = File::create(path).expect("a writable file");
    loop {
        let now = u64::try_from(clock::now().at.boot.as_nanos()).expect("not before the year 2554");
        file.write_at(&now.to_le_bytes(), 0).expect("a writable file");
        thread::sleep(Duration::from_micros(20));
    }
}

/// PID 1 is there as long as this is.
fn flood() -> ! {
    loop {
        let _ = kill(Pid::from_raw(1), Signal::SIGHUP);
    }
}

fn run(arguments: &[OsString]) -> i32 {
    let milliseconds = |at: usize| {
        Duration::from_millis(arguments[at].to_str().and_then(|text| text.parse().ok()).expect("a number"))
    };
    let directory = PathBuf::from(&arguments[0]);
    let script =
        Script { directory: directory.clone(), deadline: milliseconds(1), start_after: milliseconds(2) };
    let config = Config {
        namespace: "tests".into(),
        name: "scripted".into(),
        job_uid: "1".into(),
        pod_name: "scripted-1".into(),
        pod_uid: "2".into(),
        termination_grace_period: Duration::from_secs(30),
        termination_message: directory.join("message"),
        state_directory: directory.clone(),
        pod_lock: env::var_os(environment::POD_LOCK).map(PathBuf::from),
    };
    let decide = async |candidate: Candidate, facts, container: &mut Container| {
        script.play(candidate, facts, container).await
    };
    supervise(&config, arguments[3..].to_vec(), decide, |_, orphan| note(&directory, &orphan))
}

struct Script {
    directory: PathBuf,
    deadline: Duration,
    start_after: Duration,
}

impl Script {
    async fn play(
        &self,
        candidate: Candidate,
        mut facts: UnboundedReceiver<Fact>,
        container: &mut Container,
    ) -> Ending {
        if self.deadline.is_zero() {
            return Ending::InDoubt(Version(41));
        }
        let now = clock::now().at;
        let (token, valid_until) = (Some(Version(42)), Some(now.boot + self.deadline));
        container.publish(&View {
            role: Role::Active,
            holder: Some(candidate.identity),
            token,
            valid_until,
            trouble: None,
        });
        container.execute(Order::ArmDeadline { at: now.boot + self.deadline, kill_margin: KILL_MARGIN });
        note(&self.directory, &format!("deadline {}", (now.boot + self.deadline).as_nanos()));
        sleep(self.start_after).await;
        container.execute(Order::Start(Start {
            token: Version(42),
            run: 3,
            scheduled_time: Timestamp::from_second(1_774_746_000).ok(),
            attempt: 2,
            within: self.deadline,
            since: now,
        }));
        drop(spawn_local(hang_on_request(self.directory.join("hang"))));
        let mut exit = None;
        while let Some(fact) = facts.recv().await {
            if !matches!(fact, Fact::Lateness(_)) {
                note(&self.directory, &fact);
            }
            match fact {
                Fact::Drain => container.execute(Order::Terminate),
                Fact::NotStarted => container.execute(Order::Kill),
                Fact::WorkloadEnded(code) => {
                    exit = Some(code);
                    container.execute(Order::Kill);
                }
                Fact::TreeEmpty => break,
                Fact::Unhealthy | Fact::Ready | Fact::Lateness(_) => {}
            }
        }
        container.execute(Order::DisarmDeadline);
        exit.map_or(Ending::Interrupted, |exit: Exit| Ending::Exited(exit))
    }
}

/// On the thread that decides, as a mistake in it would.
async fn hang_on_request(request: PathBuf) {
    loop {
        if let Ok(file) = fs::read_to_string(&request) {
            fs::write(file, "x").expect("a disk that is frozen, and goes on later");
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// In one piece, because tests read while this writes.
fn note(directory: &Path, what: &dyn Debug) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(directory.join("facts"))
        .expect("a writable directory");
    file.write_all(format!("{what:?}\n").as_bytes()).expect("a writable file");
}
