//! PID 1: it outlives the elector, and nothing outlives it.
//!
//! # Guarantees
//! - At the deadline, and whenever the elector dies, everything else in the container is killed, and the
//!   container ends.
//! - The deadline holds though the elector cannot die: PID 1 has a timer of its own for it.
//! - Every signal from outside that means an end reaches the elector, though it may come before the elector
//!   is up. The one exception: of two equal signals that wait, the kernel keeps the first, so one that a
//!   process of the container has just sent to PID 1 hides it.
//! - From the elector's start until nothing else is left, PID 1 makes no call that can wait: see [`guard`].
//!
//! # What may wait
//! Before the fork nothing is held yet. After [`guard::stand`] nothing runs any more, and the last words,
//! with all that is written about them, are another process's: one that hangs is left to the kernel after
//! [`LAST_WORDS`].
//!
//! Of the elector, between its last renewal and its end, only the deciding thread matters, because its death
//! kills the workload; and it does not matter to PID 1. That thread reads and writes sockets (that of the
//! readiness probe among them), eventfds and signalfds, all non-blocking, waits in `epoll_wait`, sets two
//! timers (`timer_settime`, `timerfd_settime`), sends signals (`kill`), collects its children (`wait4` with
//! `WNOHANG`) and forks the workload, and deputies that signal for it, without waiting for their exec
//! (`fork`). It allocates memory (`brk`, `mmap`), which can wait for reclaim, and its code is not locked:
//! where it waits, PID 1 keeps the deadline. Everything else is done by threads that it never waits for: see
//! [`background`](super::background).

mod guard;
mod memory;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::TimerFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe2};

use super::deadline::{self, shared_timer};
use super::shared_state::SharedState;
use super::{sys, termination};
use crate::contract::exit_codes;
use crate::lease::annotations::Reason;
use crate::lease::clock;
use crate::lease::elector::Cause;
use crate::lease::release_orphan::Orphan;
use guard::{End, Guard};

/// For releasing in the name of a dead elector, and for saying why it died.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Between two looks at whether the last words are said.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
    /// What PID 1 must know of the elector even when it is dead.
    pub(super) page: &'static SharedState,
    /// What is amiss with this container for as long as it lives, in a sentence each.
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
/// After a death of the elector that was not its own end, and after an end in doubt about its acquisition,
/// `last_words` run in another process, for a few seconds at most.
///
/// # Errors
/// Where the kernel refuses what is needed at start-up.
pub(super) fn run(
    signals: &SignalFd,
    message: &Path,
    elector: impl FnOnce(Inheritance) -> i32,
    last_words: impl FnOnce(Orphan),
) -> Result<i32, Error> {
    let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let (listen, hold) = pipe2(OFlag::O_CLOEXEC)?;
    let (deadline, patience) = (shared_timer()?, shared_timer()?);
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
            // The reading end stays open here: the workload's claim on it would end with it.
            let watched = Watched { signals, bell: &bell, deadline: &deadline, patience: &patience, page };
            let code = match stand_guard(&watched, child) {
                End::Finished(code) => {
                    settle_doubt(signals, page, last_words);
                    code
                }
                End::Empty => conclude(signals, page, message, last_words),
            };
            drop(listen);
            Ok(code)
        }
    }
}

/// What PID 1 has to watch.
struct Watched<'a> {
    signals: &'a SignalFd,
    bell: &'a EventFd,
    deadline: &'a TimerFd,
    patience: &'a TimerFd,
    page: &'a SharedState,
}

/// A frame of its own, so that what the guard looks at stands next to what is locked of the stack.
#[inline(never)]
fn stand_guard(watched: &Watched<'_>, elector: Pid) -> End {
    let guard = Guard {
        signals: watched.signals.as_fd(),
        bell: watched.bell.as_fd(),
        deadline: watched.deadline.as_fd(),
        patience: watched.patience.as_fd(),
        elector: elector.as_raw(),
        page: watched.page,
    };
    // Where this is refused it was refused before the fork, and the elector tells of it.
    let _ = memory::lock(watched.page);
    guard::stand(&guard)
}

/// From now on signals are read, not obeyed; those that come early wait. Before, the kernel drops them, for
/// this is PID 1.
///
/// # Errors
/// Where the kernel refuses.
pub(super) fn take_signals() -> nix::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Best effort: neither is needed where the machine is well and the workload means well. What was refused, in
/// a sentence.
fn harden(page: &SharedState) -> Vec<String> {
    let _ = prctl::set_dumpable(false);
    memory::lock(page).err().map(|refused| refused.to_string()).into_iter().collect()
}

/// The elector was done. Where it does not know whether it holds the Lease it has started nothing: another
/// look is taken, and the Lease given back.
fn settle_doubt(signals: &SignalFd, page: &SharedState, last_words: impl FnOnce(Orphan)) {
    if let in_doubt @ Some(_) = page.doubt() {
        in_another_process(signals, || {
            last_words(Orphan { token: None, exit: None, cause: None, overdue: false, in_doubt });
        });
    }
}

/// The elector is dead, and nothing of what it started is left: has that said, and returns the exit code of
/// the container.
fn conclude(signals: &SignalFd, page: &SharedState, message: &Path, last_words: impl FnOnce(Orphan)) -> i32 {
    let overdue = page.is_overdue(clock::now().at.boot);
    let orphan =
        Orphan { token: page.token(), exit: page.exit(), cause: page.cause(), overdue, in_doubt: None };
    let (code, why) = epitaph(orphan);
    let speak = || {
        if page.was_candidate() {
            last_words(orphan);
        }
        if let Some(why) = why {
            termination::explain(message, why);
        }
    };
    in_another_process(signals, speak);
    code
}

/// The exit code of a container whose elector died, and why it did; nothing where the workload had ended
/// before, or was asked to.
fn epitaph(orphan: Orphan) -> (i32, Option<&'static str>) {
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

/// Waits for the end of `words`, which comes in time or is made. Nothing is said where the kernel refuses the
/// process: the Lease expires.
fn in_another_process(signals: &SignalFd, words: impl FnOnce()) {
    match sys::fork() {
        Ok(ForkResult::Child) => {
            words();
            process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => {
            let until = clock::now().at.boot + LAST_WORDS;
            while !has_ended(child) && clock::now().at.boot < until {
                // Interrupted or not, what counts is looked at afterwards.
                let _ =
                    poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], poll_timeout(LOOK_AGAIN));
                // One, however many there are: the next poll finds the others.
                let _ = signals.read_signal();
            }
            let _ = kill(child, Signal::SIGKILL);
        }
        Err(_) => {}
    }
}

/// Collects every child that has ended; whether `wanted` was among them, or is none any more.
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

fn poll_timeout(duration: Duration) -> PollTimeout {
    PollTimeout::try_from(duration.as_millis()).unwrap_or(PollTimeout::MAX)
}
