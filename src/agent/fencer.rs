//! The fencer is PID 1: it outlives the elector, and nothing outlives it.
//!
//! # Guarantees
//! - At the deadline, and whenever the elector dies, everything else in the container is killed, and the
//!   container ends.
//! - The deadline holds even if the elector cannot die: PID 1 has a timer of its own for it.
//! - Every signal from outside that means an end reaches the elector, even if it comes before the elector is
//!   up. There is one exception. The kernel keeps only the first of two equal signals that wait, so a signal
//!   that a process of the container has just sent to PID 1 hides the same one from outside.
//! - From the elector's start until nothing else is left, PID 1 makes no call that can wait: see [`guard`].
//!
//! # What may wait
//! Before the fork nothing is held yet. After [`guard::stand`] nothing runs any more. Another process then
//! releases the Lease and writes all that there is to write about it. If it hangs, it is left to the kernel
//! after [`RELEASE_WITHIN`].
//!
//! Between the elector's last renewal and its end only its deciding thread matters, because the death of that
//! thread kills the workload. It does not matter to PID 1. The thread
//! - reads and writes sockets (that of the readiness probe among them), eventfds and signalfds, all
//!   non-blocking, and waits in `epoll_wait`;
//! - sets two timers (`timer_settime`, `timerfd_settime`), sends signals (`kill`) and collects its children
//!   (`wait4` with `WNOHANG`);
//! - forks the workload, and deputies that signal for it, without waiting for their exec (`fork`);
//! - allocates memory (`brk`, `mmap`), which can wait for reclaim. Its code is not locked either. Where it
//!   waits, PID 1 keeps the deadline.
//!
//! Everything else is done by threads that it never waits for: see [`background`](super::background).

mod guard;
mod memory;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::TimerFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe2};

use super::deadline::{self, shared_timer};
use super::shared_state::SharedState;
use super::{poll, sys, termination};
use crate::contract::exit_codes;
use crate::lease::annotations::Reason;
use crate::lease::clock;
use crate::lease::elector::Cause;
use crate::lease::release_orphan::Orphan;
use guard::{End, Guard};

/// How long another process may take to release the Lease for a dead elector, and to explain its death.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);
/// How often PID 1 looks whether that process has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What the elector gets from PID 1.
#[derive(Debug)]
pub(super) struct Inheritance {
    /// Rings when a signal has come from outside; the page says which.
    pub(super) bell: EventFd,
    /// The reading end of the lifeline, a pipe whose closing kills the workload.
    pub(super) listen: OwnedFd,
    /// Its only writing end: it closes when the elector dies.
    pub(super) hold: OwnedFd,
    /// PID 1's timer, which the elector keeps moving.
    pub(super) deadline: TimerFd,
    /// What PID 1 must know of the elector even after its death.
    pub(super) page: &'static SharedState,
    /// Faults of this container that last as long as it lives, in a sentence each.
    pub(super) warnings: Vec<String>,
}

/// PID 1 could not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A call that it needs was refused.
    #[error(transparent)]
    Kernel(#[from] nix::Error),
    /// The timer for the deadline was refused.
    #[error(transparent)]
    Timer(#[from] deadline::Error),
}

/// Becomes the fencer: runs `elector` in a process of its own, survives it, and returns the exit code of the
/// container.
///
/// Runs `release_orphan` in another process, for a few seconds at most, if the elector died before it was
/// done, or ended in doubt about its acquisition.
///
/// # Errors
/// If the kernel refuses what is needed at start-up.
pub(super) fn run(
    signals: &SignalFd,
    message: &Path,
    elector: impl FnOnce(Inheritance) -> i32,
    release_orphan: impl FnOnce(Orphan),
) -> Result<i32, Error> {
    let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let (listen, hold) = pipe2(OFlag::O_CLOEXEC)?;
    let (deadline, kill_timer) = (shared_timer()?, shared_timer()?);
    let page = sys::map_page()?;
    let warnings = harden(page);
    match sys::fork()? {
        ForkResult::Child => {
            let code = elector(Inheritance { bell, listen, hold, deadline, page, warnings });
            page.mark_finished();
            process::exit(code)
        }
        ForkResult::Parent { child } => {
            drop(hold);
            let watched =
                Watched { signals, bell: &bell, deadline: &deadline, kill_timer: &kill_timer, page };
            let code = outlive(&watched, child, message, release_orphan);
            // The reading end stays open until here: the workload's claim on it would end with it.
            drop(listen);
            Ok(code)
        }
    }
}

/// Watches until the elector and all that it started are gone, and returns the exit code of the container.
fn outlive(watched: &Watched<'_>, elector: Pid, message: &Path, release_orphan: impl FnOnce(Orphan)) -> i32 {
    match stand_guard(watched, elector) {
        End::Finished(code) => {
            settle_doubt(watched.signals, watched.page, release_orphan);
            code
        }
        End::Empty => conclude(watched, message, release_orphan),
    }
}

/// What PID 1 has to watch.
struct Watched<'a> {
    signals: &'a SignalFd,
    bell: &'a EventFd,
    deadline: &'a TimerFd,
    kill_timer: &'a TimerFd,
    page: &'a SharedState,
}

/// Stands guard in a frame of its own, so that what the guard looks at stands next to what is locked of the
/// stack.
#[inline(never)]
fn stand_guard(watched: &Watched<'_>, elector: Pid) -> End {
    let guard = Guard {
        signals: watched.signals.as_fd(),
        bell: watched.bell.as_fd(),
        deadline: watched.deadline.as_fd(),
        kill_timer: watched.kill_timer.as_fd(),
        elector: elector.as_raw(),
        page: watched.page,
    };
    // If the kernel refuses this, it has refused it before the fork too, and the elector logs that.
    let _ = memory::lock(watched.page);
    guard::stand(&guard)
}

/// Has the kernel keep signals until they are read. Before this call it drops them, because this is PID 1.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn take_signals() -> nix::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Forbids other processes to trace this one, and locks its memory, at best. Neither is needed if the machine
/// is well and the workload means well. Returns what was refused, in a sentence.
fn harden(page: &SharedState) -> Vec<String> {
    let _ = prctl::set_dumpable(false);
    memory::lock(page).err().map(|refused| refused.to_string()).into_iter().collect()
}

/// Has the Lease given back if the elector ended without knowing whether it holds it. Such an elector has
/// started nothing.
fn settle_doubt(signals: &SignalFd, page: &SharedState, release_orphan: impl FnOnce(Orphan)) {
    if let in_doubt @ Some(_) = page.doubt() {
        in_another_process(signals, || {
            release_orphan(Orphan { token: None, exit: None, cause: None, overdue: false, in_doubt });
        });
    }
}

/// Has the Lease released and the end explained, after the elector has died and nothing of what it started is
/// left. Returns the exit code of the container.
fn conclude(watched: &Watched<'_>, message: &Path, release_orphan: impl FnOnce(Orphan)) -> i32 {
    let page = watched.page;
    let overdue = page.is_overdue(clock::now().at.boot);
    let orphan =
        Orphan { token: page.token(), exit: page.exit(), cause: page.cause(), overdue, in_doubt: None };
    let (code, why) = outcome_of(orphan);
    in_another_process(watched.signals, || {
        if page.was_candidate() {
            release_orphan(orphan);
        }
        if let Some(why) = why {
            termination::explain(message, why);
        }
    });
    code
}

/// The exit code of a container whose elector died, and why it did. `None` if the workload had ended before,
/// or was asked to.
fn outcome_of(orphan: Orphan) -> (i32, Option<&'static str>) {
    match orphan {
        Orphan { cause: Some(Cause::Exceeded), .. } => (exit_codes::INTERRUPTED, None),
        Orphan { cause: Some(Cause::Release(reason)), .. } if reason != Reason::LeaseLost => {
            (exit_codes::INTERRUPTED, None)
        }
        Orphan { cause: Some(Cause::Release(_)), exit: Some(_), .. } => {
            (exit_codes::LEASE_LOST, Some("the Lease could not be renewed in time"))
        }
        Orphan { exit: Some(exit), .. } => (exit.code(), None),
        Orphan { overdue: true, .. } => (
            exit_codes::LEASE_LOST,
            Some(
                "the Lease could not be renewed in time and the workload did not stop by itself: it was killed",
            ),
        ),
        Orphan { .. } => (
            exit_codes::AGENT_FAILED,
            Some("the elector died: everything was killed; its log, just before, may say why"),
        ),
    }
}

/// Runs `act` in another process, and kills that if it does not end in time. Does nothing if the kernel
/// refuses the process: the Lease expires.
fn in_another_process(signals: &SignalFd, act: impl FnOnce()) {
    match sys::fork() {
        Ok(ForkResult::Child) => {
            act();
            process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => {
            await_end(signals, child);
            let _ = kill(child, Signal::SIGKILL);
        }
        Err(_) => {}
    }
}

fn await_end(signals: &SignalFd, child: Pid) {
    let until = clock::now().at.boot + RELEASE_WITHIN;
    while !has_ended(child) && clock::now().at.boot < until {
        poll::await_readable(signals.as_fd(), POLL_INTERVAL);
        // One, however many there are: the next poll finds the others.
        let _ = signals.read_signal();
    }
}

/// Collects every child that has ended. Whether `wanted` was among them, or is no child any more.
fn has_ended(wanted: Pid) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Err(Errno::ECHILD) => return true,
            Ok(status) if status.pid() == Some(wanted) => return true,
            // Another child, or one that a real-time signal ended, whose status has no name.
            Ok(_) | Err(_) => {}
        }
    }
}
