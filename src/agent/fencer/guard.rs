//! PID 1 stands guard from the elector's start until no other process is left. It waits for signals, for the
//! elector's death and for the deadline, and kills.
//!
//! # Guarantees
//! - At the deadline PID 1 kills everything, even if the elector sleeps in the kernel and cannot die.
//! - Nothing here waits for a disk, a network file system, a pipe's reader or the kernel's reclaim of memory.
//!   The code stands in one section of the program that [`memory`](super::memory) has locked, with the stack
//!   and the shared page, and makes these system calls only:
//!
//! | system call | why it cannot wait |
//! |---|---|
//! | `ppoll` of two files | waits for the signalfd or the timer, which is what it is for; two entries fit on the kernel's stack |
//! | `read` of a signalfd or timerfd | both are non-blocking and belong to no file system |
//! | `signalfd4` on the signalfd | changes which signals that hands out, and allocates nothing |
//! | `write` to an eventfd | non-blocking; it adds to a counter and allocates nothing, as a pipe would |
//! | `wait4` with `WNOHANG` | frees what is left of a child, and allocates nothing |
//! | `kill(-1, SIGKILL)` | marks processes; SIGKILL needs no queue entry |
//! | `timerfd_settime` | moves a timer that exists already |
//! | `exit_group` | the last one; whatever it closes comes after every SIGKILL |

#![expect(clippy::inline_always, reason = "a call would lead out of the section")]

use std::os::fd::BorrowedFd;

use super::super::shared_state::SharedState;
use super::super::sys::resident::{self, ReceivedSignal, resident};
use crate::contract::exit_codes;

/// How often PID 1 looks at what is left, in nanoseconds.
const POLL_INTERVAL: u32 = 5_000_000;
/// The bits of signals that end no process by default: SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP, SIGTTIN,
/// SIGTTOU.
const HARMLESS: u64 = bit(libc::SIGCHLD)
    | bit(libc::SIGCONT)
    | bit(libc::SIGURG)
    | bit(libc::SIGWINCH)
    | bit(libc::SIGTSTP)
    | bit(libc::SIGTTIN)
    | bit(libc::SIGTTOU);

const ALL_SIGNALS: u64 = u64::MAX;
/// How many signals are taken before PID 1 looks at everything else again: as many as there are.
const MOST_TAKEN: u32 = u64::BITS;
/// How many ended children are collected before PID 1 looks at everything else again. Processes of the
/// container can end faster than this one looks.
const MOST_REAPED: u32 = 64;

const fn bit(signal: i32) -> u64 {
    1 << signal
}

/// What PID 1 watches.
pub(super) struct Guard<'a> {
    /// A signalfd for every signal.
    pub(super) signals: BorrowedFd<'a>,
    /// An eventfd that wakes the elector when a signal has come from outside.
    pub(super) bell: BorrowedFd<'a>,
    /// A timerfd, moved by the elector.
    pub(super) deadline: BorrowedFd<'a>,
    /// A timerfd, not set yet.
    pub(super) kill_timer: BorrowedFd<'a>,
    /// The elector, as wait(2) numbers it.
    pub(super) elector: i32,
    /// The page that is shared with the elector.
    pub(super) page: &'a SharedState,
}

/// How the guard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The elector was done, and exited with this code.
    Finished(i32),
    /// The elector died, or its deadline passed; nothing but this process is left.
    Empty,
}

resident! {
    /// Returns when the elector is done, or when its death or its deadline has been followed by the death of
    /// all others.
    ///
    /// If something is left a quarter of the kill margin later, it ends this process, so that the kernel
    /// takes the rest. It explains nothing then, because writing can wait.
    pub(super) fn stand(guard: &Guard<'_>) -> End {
        loop {
            pass_signals_on(guard);
            let reaped = reap(guard.elector);
            if reaped.elector >= 0 {
                if guard.page.is_finished() && libc::WIFEXITED(reaped.elector) {
                    return End::Finished(libc::WEXITSTATUS(reaped.elector));
                }
                break;
            }
            if resident::has_expired(guard.deadline) {
                break;
            }
            if reaped.all {
                resident::wait(guard.signals, guard.deadline, None);
            }
        }
        empty(guard);
        End::Empty
    }
}

resident! {
    /// Kills until nothing is left but this process, and ends this one too if that takes too long.
    fn empty(guard: &Guard<'_>) {
        resident::set_timer(guard.kill_timer, guard.page.kill_wait());
        while !resident::kill_all() {
            let reaped = reap(guard.elector);
            if resident::has_expired(guard.kill_timer) {
                resident::exit(exit_codes::AGENT_FAILED);
            }
            let _ = resident::take_signal(guard.signals);
            if reaped.all {
                resident::wait(guard.signals, guard.kill_timer, Some(POLL_INTERVAL));
            }
        }
    }
}

resident! {
    /// Tells the elector of every signal that came from outside and means an end, and of those that are the
    /// workload's.
    ///
    /// Takes each signal once at most; a signal that came again is taken the next time. The kernel hands out
    /// the lowest number first. So a process that sends SIGHUP without end would otherwise hide SIGTERM, and
    /// keep this process from all else that it watches.
    fn pass_signals_on(guard: &Guard<'_>) {
        let mut left = ALL_SIGNALS;
        let mut taken = 0;
        while taken < MOST_TAKEN && let Some(signal) = resident::take_signal(guard.signals) {
            left &= !mask_of(signal);
            taken += 1;
            resident::hand_out(guard.signals, left);
            pass_on(guard, signal);
        }
        if taken > 0 {
            resident::hand_out(guard.signals, ALL_SIGNALS);
        }
    }
}

#[inline(always)]
fn pass_on(guard: &Guard<'_>, signal: ReceivedSignal) {
    if means_the_end(signal) {
        guard.page.note_signal(signal.number);
    } else if is_for_the_workload(signal) {
        guard.page.note_signal_from_inside(signal.number);
    } else {
        return;
    }
    resident::wake(guard.bell);
}

/// A set of signals that holds this one only, as the kernel has it.
#[inline(always)]
fn mask_of(signal: ReceivedSignal) -> u64 {
    1 << (signal.number.wrapping_sub(1) & (u64::BITS - 1))
}

/// What one round of collecting children has found.
#[derive(Clone, Copy)]
struct Reaped {
    /// The elector's status, or -1 if it was not among them.
    elector: i32,
    /// Whether no other child has ended.
    all: bool,
}

resident! {
    /// Collects children that have ended, and leaves those that are too many to the next round.
    fn reap(elector: i32) -> Reaped {
        let mut status = -1;
        for _ in 0..MOST_REAPED {
            let Some(ended) = resident::reap() else { return Reaped { elector: status, all: true } };
            if ended.child == elector {
                status = ended.status;
            }
        }
        Reaped { elector: status, all: false }
    }
}

/// Whether a signal comes from outside the container and would end a process that does not catch it. Senders
/// inside the container have a pid here.
#[inline(always)]
fn means_the_end(signal: ReceivedSignal) -> bool {
    signal.sender == 0 && signal.number < u64::BITS && HARMLESS & (1 << signal.number) == 0
}

/// Whether a process of the container has sent a signal that is meant for the workload, as with
/// `kill -HUP 1`. SIGCHLD is not, because the kernel sends it.
#[inline(always)]
fn is_for_the_workload(signal: ReceivedSignal) -> bool {
    signal.sender != 0 && signal.number != libc::SIGCHLD.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_from_inside_is_the_workloads_but_the_end_of_a_child() {
        let is_passed_on = |number: i32, sender| {
            is_for_the_workload(ReceivedSignal { number: number.cast_unsigned(), sender })
        };
        assert!(
            [libc::SIGTERM, libc::SIGHUP, libc::SIGWINCH, 64]
                .into_iter()
                .all(|number| is_passed_on(number, 7))
        );
        assert!(!is_passed_on(libc::SIGCHLD, 7) && !is_passed_on(libc::SIGTERM, 0));
    }

    #[test]
    fn signals_from_inside_and_signals_that_end_nothing_are_no_end() {
        let outside =
            |number: i32| means_the_end(ReceivedSignal { number: number.cast_unsigned(), sender: 0 });
        assert!(
            [libc::SIGTERM, libc::SIGQUIT, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1]
                .into_iter()
                .all(outside)
        );
        assert!(![libc::SIGCHLD, libc::SIGWINCH, libc::SIGCONT, libc::SIGURG].into_iter().any(outside));
        assert!(!means_the_end(ReceivedSignal { number: libc::SIGTERM.cast_unsigned(), sender: 7 }));
    }
}
