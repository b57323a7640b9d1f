//! The agent is PID 1 of the gated container. It holds or waits for the Lease, and starts, supervises and
//! kills the workload.
//!
//! # Guarantees
//! - The workload runs only while the elector holds the Lease, and is dead when the elector's deadline has
//!   passed. Three guards ensure that. A kernel timer kills the elector, whose death kills the workload. PID
//!   1, by a timer of its own, kills everything even if the elector cannot die. The end of PID 1 has the
//!   kernel kill what is left.
//! - When the elector dies, of whatever cause, nothing in the container outlives it by more than a fraction
//!   of the kill margin.
//! - The Lease is given back only after the process tree is empty.
//!
//! # The process tree
//! ```text
//! PID 1  fencer    reaps, passes on signals, kills everything at the deadline or when the elector is dead, then releases the Lease for it
//!  └─ elector      the lease client and the decisions; a kernel timer kills it at the deadline
//!      └─ workload  own session and process group; dies with the elector
//! ```
//!
//! # Layout
//! - [`config`]: what the pod tells the agent. [`install`](mod@install): how the agent gets into the
//!   container.
//! - `self_test`: whether this container can be fenced. `fencer`: PID 1. `shared_state`: what the elector
//!   leaves behind for it. `deadline`: their two timers. `pod_lock`: what proves their death to the pod's
//!   next container.
//! - [`elector`]: the elector process. Its parts are `connection`, `monitors`, `workload`, `lease_file`,
//!   `termination` and `log`. `background`: what may wait. `whole_file`: files that are replaced whole.
//!   `deputy`: signals to other users' processes.
//! - [`probe`]: the probes of the gated container. `notify`: how they tell the elector how the workload
//!   fares. `poll`: how a process waits for a file, but not for long. `sys`: everything `unsafe`.

mod background;
pub mod config;
mod connection;
mod deadline;
mod deputy;
pub mod elector;
mod fencer;
pub mod install;
mod lease_file;
mod log;
mod monitors;
mod notify;
mod pod_lock;
mod poll;
pub mod probe;
mod self_test;
mod shared_state;
mod sys;
mod termination;
mod whole_file;
mod workload;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::ops::AsyncFnOnce;
use std::path::PathBuf;
use std::process;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::contract::probe::Kind;
use crate::contract::usage::first_paragraph;
use crate::contract::{exit_codes, field_managers};
use crate::lease::driver;
use crate::lease::elector::{Candidate, Ending, Fact, PodLock};
use crate::lease::release_orphan::{self, Orphan};
use crate::lease::store::Place;
use config::Config;
use elector::Container;
use pod_lock::LockFile;

/// Program and arguments of the workload.
pub type Command = Vec<OsString>;

/// Runs a workload only while this container holds the Lease of its SingletonJob.
#[derive(Debug, Parser)]
#[command(name = "singletonjob-agent", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Copy this program into a directory
    Install {
        /// An emptyDir that the gated container mounts
        directory: PathBuf,
    },
    /// Be PID 1 of the gated container: wait for the Lease, then run the workload
    Run {
        /// The workload
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Signal as the users that processes of the container belong to; the agent itself starts this
    #[command(hide = true)]
    Signal {
        /// The signal's number
        number: i32,
        /// A process, the number of a process group with a minus before it, or 0 for everything but the agent
        #[arg(allow_negative_numbers = true)]
        target: i32,
    },
    /// Probe the workload where it runs; elsewhere answer for the standby
    Probe {
        /// Which of the container's probes this is
        kind: Kind,
        /// The probe as JSON
        probe: String,
    },
}

/// Runs the program by its arguments and environment, and returns its exit code.
pub fn main() -> i32 {
    match Arguments::try_parse() {
        Ok(Arguments { task }) => perform(task),
        Err(error) => reject_arguments(&error),
    }
}

fn perform(task: Task) -> i32 {
    match task {
        Task::Install { directory } => exit_code(install::install(&directory)),
        Task::Run { command } => run(command),
        Task::Signal { number, target } => deputy::run(number, deputy::Recipients::read(target)),
        Task::Probe { kind, probe } => match serde_json::from_str(&probe) {
            Ok(probe) => probe::run(kind, &probe),
            Err(error) => usage(&format!("the probe {probe:?} is not one: {error}")),
        },
    }
}

fn run(command: Command) -> i32 {
    let config = match Config::read(|name| env::var_os(name)) {
        Ok(config) => config,
        Err(error) => return usage(&error.to_string()),
    };
    // The kubelet may probe before the elector is there: the probes would believe what an earlier container
    // has left. In another process than PID 1 the files may be those of a live agent.
    if process::id() == 1 {
        config.leftovers().iter().for_each(|path| drop(fs::remove_file(path)));
    }
    // At once rather than at the first request; the elector reads them again, for itself.
    if let Err(error) = connection::config() {
        termination::explain(&config.termination_message, &error.to_string());
        return exit_codes::LEASE_UNREADABLE;
    }
    let decide = async |candidate: Candidate, facts, container: &mut Container| {
        decide(&config, candidate, facts, container).await
    };
    supervise(&config, command, decide, |dead, orphan| release_orphan(&config, &dead, orphan))
}

/// Decides about the Lease, until the elector's end.
async fn decide(
    config: &Config,
    candidate: Candidate,
    facts: UnboundedReceiver<Fact>,
    container: &mut Container,
) -> Ending {
    let connection = match connection::kept_current() {
        Ok(connection) => connection,
        Err(error) => return Ending::Unreadable(error.to_string()),
    };
    let ended = driver::run(connection, place(config), candidate, facts, container).await;
    ended.unwrap_or_else(|error| Ending::Unreadable(error.to_string()))
}

fn place(config: &Config) -> Place<'_> {
    Place { namespace: &config.namespace, name: &config.name, field_manager: field_managers::AGENT }
}

/// Releases the Lease of a dead elector, at best: a Lease that is not released expires.
fn release_orphan(config: &Config, dead: &Candidate, orphan: Orphan) {
    let released = connection::config().map_err(|error| error.to_string()).and_then(|connection| {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let release = release_orphan::release(connection, place(config), dead, orphan);
        runtime.block_on(release).map_err(|error| error.to_string())
    });
    if let Err(error) = released {
        eprintln!("{}cannot release the Lease for the dead elector, it will expire: {error}", log::PREFIX);
    }
}

/// Is PID 1: listens for signals at once, tests the container, runs the elector, which runs `decide`, and
/// after its death `release_orphan`. Returns the exit code of the container.
///
/// `decide` gets a candidate of its own, what happens in the container, and the container that carries out
/// its orders. `release_orphan` runs in a process of its own. It runs only after an elector died that may
/// have held the Lease, when nothing else runs any more.
pub fn supervise<Decide>(
    config: &Config,
    command: Command,
    decide: Decide,
    release_orphan: impl FnOnce(Candidate, Orphan),
) -> i32
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let message = &config.termination_message;
    let signals = fencer::take_signals();
    if let Err(error) = self_test::run() {
        termination::explain(message, &error.to_string());
        return exit_codes::SELF_TEST_FAILED;
    }
    let (lock_file, lock) = take_lock(config);
    let candidate = Candidate { lock, ..config.candidate() };
    let dead = candidate.clone();
    let elector = |inheritance| elector::run(inheritance, config, candidate, lock_file, command, decide);
    let release_orphan = |orphan: Orphan| {
        if let (true, Some(file)) = (orphan.overdue, lock_file) {
            let _ = file.unsign();
        }
        release_orphan(dead, orphan);
    };
    let ended = signals
        .map_err(fencer::Error::from)
        .and_then(|signals| fencer::run(&signals, message, elector, release_orphan));
    ended.unwrap_or_else(|error| termination::explain_failed_start(message, &error))
}

/// Takes the pod's lock, if the pod has one.
fn take_lock(config: &Config) -> (Option<&'static LockFile>, Option<PodLock>) {
    let taken = config.pod_lock.as_deref().map(|path| pod_lock::take(path, config));
    match taken.transpose() {
        Ok(taken) => taken.unzip(),
        Err(why) => {
            eprintln!(
                "{}{why}; after a crash of this container the next one waits for the lease",
                log::PREFIX
            );
            (None, None)
        }
    }
}

fn exit_code<E: std::fmt::Display>(result: Result<(), E>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}{error}", log::PREFIX);
            1
        }
    }
}

fn reject_arguments(error: &clap::Error) -> i32 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{error}");
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            usage("what is to be done is missing: install, run or probe")
        }
        _ => usage(&first_paragraph(&error.to_string())),
    }
}

/// Reports a usage error, and returns its exit code. PID 1 ends its container with it and so explains that,
/// because the controller would otherwise take the end for an attempt of the workload.
fn usage(what: &str) -> i32 {
    let why = format!("{what} (see --help)");
    if process::id() == 1 {
        termination::explain(&config::termination_message(|name| env::var_os(name)), &why);
    } else {
        eprintln!("{}{why}", log::PREFIX);
    }
    exit_codes::USAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(arguments: &[&str]) -> String {
        let program = ["singletonjob-agent"].iter().chain(arguments);
        first_paragraph(&Arguments::try_parse_from(program).expect_err("wrong on purpose").to_string())
    }

    #[test]
    fn a_wrong_argument_is_answered_in_one_line() {
        assert_eq!(error_of(&["run", "--lease-name"]), "unexpected argument '--lease-name' found");
        assert_eq!(error_of(&["run"]), "the following required arguments were not provided: <COMMAND>...");
    }

    #[test]
    fn what_follows_the_dashes_is_the_workloads() {
        let parsed = Arguments::try_parse_from(["singletonjob-agent", "run", "--", "web", "--help", "-v"])
            .expect("fine");
        assert!(matches!(parsed.task, Task::Run { command } if command == ["web", "--help", "-v"]));
    }
}
