//! PID 1: it outlives the elector, and nothing outlives it.
//!
//! # Guarantees
//! - Whatever ends the elector, everything else in the container is killed, and the container ends.
//! - Every signal from outside that means an end reaches the elector, though it may come before the elector is up.
//! - No async runtime, no TLS, and no allocation between start-up and the elector's death: there is little that could fail or block.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe2, write};

use super::page::Page;
use super::{sys, termination};
use crate::contract::exit_codes;
use crate::lease::clock;
use crate::lease::last_words::Remains;

/// A quarter of the default kill margin, and less than the smallest one: what cannot be killed by then is left to the kernel, which kills
/// the whole namespace when its first process exits.
const PATIENCE: Duration = Duration::from_millis(375);
/// Between two looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// For releasing in the name of a dead elector.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Every process but the caller and PID 1.
const EVERYTHING: Pid = Pid::from_raw(-1);

/// What the elector gets from PID 1.
#[derive(Debug)]
pub(super) struct Inheritance {
    /// One byte, its number, for every signal that came from outside.
    pub(super) control: OwnedFd,
    /// The reading end of the lifeline, a pipe whose closing kills the workload.
    pub(super) listen: OwnedFd,
    /// Its only writing end: it closes when the elector dies.
    pub(super) hold: OwnedFd,
    /// What PID 1 must know of the elector even when it is dead.
    pub(super) page: &'static Page,
}

/// Becomes the fencer: runs `elector` in a process of its own, survives it, and returns the exit code of the container.
///
/// After a death of the elector that was not its own end, and after an end in doubt about its acquisition, `last_words` run in another process, for a
/// few seconds at most.
///
/// # Errors
/// Where the kernel refuses what is needed at start-up.
pub(super) fn run(
    signals: SignalFd,
    message: &Path,
    elector: impl FnOnce(Inheritance) -> i32,
    last_words: impl FnOnce(Remains),
) -> Result<i32, nix::Error> {
    let (control, forward) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let (listen, hold) = pipe2(OFlag::O_CLOEXEC)?;
    let page = sys::map_page()?;
    harden();
    match sys::fork()? {
        ForkResult::Child => {
            drop((signals, forward));
            let code = elector(Inheritance { control, listen, hold, page });
            page.mark_finished();
            process::exit(code)
        }
        ForkResult::Parent { child } => {
            drop((control, hold));
            // The reading end stays open here: the workload's claim on it would end with it.
            let code = Fencer { signals, forward, page, elector: child }.stand_guard(message, last_words);
            drop(listen);
            Ok(code)
        }
    }
}

/// From now on signals are read, not obeyed; those that come early wait. Before, the kernel drops them, for this is PID 1.
///
/// # Errors
/// Where the kernel refuses.
pub(super) fn take_signals() -> nix::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Best effort: neither is needed where the machine is well and the workload means well.
fn harden() {
    let as_touched = MlockAllFlags::MCL_CURRENT | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    let _ = mlockall(as_touched);
    let _ = prctl::set_dumpable(false);
}

struct Fencer {
    signals: SignalFd,
    forward: OwnedFd,
    page: &'static Page,
    elector: Pid,
}

impl Fencer {
    fn stand_guard(&self, message: &Path, last_words: impl FnOnce(Remains)) -> i32 {
        let status = self.outlive_elector();
        if let (WaitStatus::Exited(_, code), true) = (status, self.page.is_finished()) {
            return self.settle_doubt(code, last_words);
        }
        let overdue = self.page.is_overdue(clock::now().at.boot);
        let empty = self.empty_container(PATIENCE);
        let remains = Remains { token: self.page.token(), exit: self.page.exit(), overdue, in_doubt: None };
        if empty && self.page.was_candidate() {
            self.speak(|| last_words(remains));
        }
        report(message, remains, empty)
    }

    /// The elector was done. It started nothing where it does not know whether it holds the Lease: who looks once more gives it back.
    fn settle_doubt(&self, code: i32, last_words: impl FnOnce(Remains)) -> i32 {
        let in_doubt = self.page.doubt();
        if in_doubt.is_some() && self.empty_container(PATIENCE) {
            self.speak(|| last_words(Remains { token: None, exit: None, overdue: false, in_doubt }));
        }
        code
    }

    fn outlive_elector(&self) -> WaitStatus {
        loop {
            while let Ok(Some(signal)) = self.signals.read_signal() {
                if means_the_end(&signal) {
                    // A full pipe holds thousands of signals that the elector has not read: one more would tell it nothing.
                    let _ = write(&self.forward, &signal.ssi_signo.to_le_bytes()[..1]);
                }
            }
            if let Some(status) = reap(self.elector) {
                return status;
            }
            self.wait_for_signal(PollTimeout::NONE);
        }
    }

    /// Kills until nothing is left but this process; whether that was reached in time.
    fn empty_container(&self, patience: Duration) -> bool {
        let until = clock::now().at.boot + patience;
        loop {
            if kill(EVERYTHING, Signal::SIGKILL) == Err(Errno::ESRCH) {
                return true;
            }
            reap(self.elector);
            let left = until.saturating_sub(clock::now().at.boot);
            if left.is_zero() {
                return false;
            }
            self.wait_for_signal(poll_timeout(left.min(LOOK_AGAIN)));
            while let Ok(Some(_)) = self.signals.read_signal() {}
        }
    }

    /// Runs `words` in another process and waits for its end, which comes in time or is made.
    fn speak(&self, words: impl FnOnce()) {
        match sys::fork() {
            Ok(ForkResult::Child) => {
                words();
                process::exit(0)
            }
            Ok(ForkResult::Parent { child }) => {
                let until = clock::now().at.boot + LAST_WORDS;
                while reap(child).is_none() && clock::now().at.boot < until {
                    self.wait_for_signal(poll_timeout(LOOK_AGAIN));
                    while let Ok(Some(_)) = self.signals.read_signal() {}
                }
            }
            Err(error) => eprintln!("singletonjob-agent: cannot release the Lease for the dead elector, it will expire: fork: {error}"),
        }
    }

    fn wait_for_signal(&self, timeout: PollTimeout) {
        // Interrupted or not, every caller looks for itself afterwards.
        let _ = poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], timeout);
    }
}

/// Collects every child that has ended; the status of `wanted` where it was among them.
fn reap(wanted: Pid) -> Option<WaitStatus> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return found,
            Ok(status) if status.pid() == Some(wanted) => found = Some(status),
            // Another child, or one that a real-time signal ended, whose status has no name.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Whether a signal comes from outside the container (inside senders have a pid here) and would end a process that does not catch it.
fn means_the_end(signal: &siginfo) -> bool {
    const HARMLESS: [i32; 7] = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    signal.ssi_pid == 0 && !HARMLESS.contains(&signal.ssi_signo.cast_signed())
}

fn poll_timeout(duration: Duration) -> PollTimeout {
    PollTimeout::try_from(duration.as_millis() + 1).unwrap_or(PollTimeout::MAX)
}

/// The exit code of a container whose elector died, and why.
fn report(message: &Path, remains: Remains, empty: bool) -> i32 {
    let (code, why) = match remains {
        _ if !empty => (
            exit_codes::AGENT_FAILED,
            "the elector died, and not everything could be killed: the kernel kills the rest; the Lease expires by itself",
        ),
        Remains { exit: Some(exit), .. } => return exit.code(),
        Remains { overdue: true, .. } => {
            (exit_codes::LEASE_LOST, "the Lease could not be renewed in time and the workload did not stop by itself: it was killed")
        }
        Remains { .. } => (exit_codes::AGENT_FAILED, "the elector died: everything was killed; its log, just before, may say why"),
    };
    termination::explain(message, why);
    code
}
