//! Tests whether this container can be fenced reliably. A candidate that cannot be fenced never acquires the
//! Lease.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getpid;

use super::deadline::{self, Deadline, shared_timer};

/// The inode that the kernel gives the first PID namespace of a machine.
const NAMESPACE_OF_THE_MACHINE: &str = "pid:[4026531836]";
/// Any signal that is ignored by default: for an instant our parent's death would send it.
const HARMLESS: Signal = Signal::SIGCHLD;

/// What is missing, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nothing that outlives PID 1 would be killed with it.
    #[error(
        "the agent has pid {0}, not 1: it must be the container's first process; remove hostPID and shareProcessNamespace"
    )]
    NotFirst(i32),
    /// `kill(-1)` would reach the whole machine.
    #[error("the container shares the node's PID namespace; remove hostPID")]
    NamespaceOfTheMachine,
    /// `/proc` is another namespace's, or not there.
    #[error("/proc does not show this container's processes (/proc/self is {0:?}); mount its own /proc")]
    ForeignProc(String),
    /// The workload could not be stopped in time if the agent hung.
    #[error(transparent)]
    Timer(#[from] deadline::Error),
    /// The workload would outlive the agent.
    #[error(
        "the kernel does not keep PR_SET_PDEATHSIG ({0}); use a container runtime that does, such as runc"
    )]
    ParentDeathSignal(Errno),
}

/// Tests everything that fencing needs.
///
/// # Errors
/// The first [`Error`] found.
pub(super) fn run() -> Result<(), Error> {
    first_process()?;
    own_namespace()?;
    Deadline::new(shared_timer()?)?;
    parent_death_signal().map_err(Error::ParentDeathSignal)
}

fn first_process() -> Result<(), Error> {
    match getpid().as_raw() {
        1 => Ok(()),
        pid => Err(Error::NotFirst(pid)),
    }
}

fn own_namespace() -> Result<(), Error> {
    if fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|namespace| namespace == Path::new(NAMESPACE_OF_THE_MACHINE))
    {
        return Err(Error::NamespaceOfTheMachine);
    }
    match fs::read_link("/proc/self") {
        Ok(pid) if pid == Path::new("1") => Ok(()),
        Ok(pid) => Err(Error::ForeignProc(pid.display().to_string())),
        Err(error) => Err(Error::ForeignProc(error.to_string())),
    }
}

fn parent_death_signal() -> Result<(), Errno> {
    prctl::set_pdeathsig(HARMLESS)?;
    let kept = prctl::get_pdeathsig()?;
    prctl::set_pdeathsig(None)?;
    if kept == Some(HARMLESS) { Ok(()) } else { Err(Errno::ENOSYS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_the_first_is_refused_with_what_to_change() {
        let refusal = run().expect_err("tests are not PID 1").to_string();
        assert!(refusal.contains("not 1") && refusal.contains("hostPID"), "{refusal}");
    }

    #[test]
    fn the_parent_death_signal_reads_back_here() {
        assert_eq!(parent_death_signal(), Ok(()));
    }
}
