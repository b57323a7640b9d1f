//! Calls what the kernel offers and no safe interface covers. This is the only module with `unsafe`.
#![allow(unsafe_code)]

pub(super) mod resident;
mod start;

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::signalfd::SignalFd;
use nix::sys::stat::stat;
use nix::unistd::{ForkResult, Pid};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::shared_state::SharedState;
pub(super) use start::{Program, Ties, start, start_deputy};

/// How many links `/proc/self/task` has in a process with one thread: itself, its parent, and one entry.
const LINKS_OF_ONE_THREAD: libc::nlink_t = 3;

/// Makes a copy of this process.
///
/// # Errors
/// As fork(2); [`Errno::EBUSY`] in a process with several threads, whose copy could not even allocate memory
/// safely.
pub(super) fn fork() -> nix::Result<ForkResult> {
    if stat("/proc/self/task")?.st_nlink != LINKS_OF_ONE_THREAD {
        return Err(Errno::EBUSY);
    }
    // SAFETY: the only thread of this process is the calling one, so nothing is left half done or locked in
    // the copy.
    unsafe { nix::unistd::fork() }
}

/// Maps a new page for as long as the process lives. Processes that are forked from now on share it.
///
/// # Errors
/// As mmap(2).
pub(super) fn map_page() -> nix::Result<&'static SharedState> {
    const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<SharedState>()).expect("a page has fields");
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new anonymous mapping, at an address of the kernel's choice, disturbs no other.
    let start = unsafe { mmap_anonymous(None, LENGTH, access, MapFlags::MAP_SHARED)? };
    // SAFETY: the mapping is aligned, long enough, zeroed and never unmapped; a `SharedState` holds atomics
    // only, for which zero is a value.
    Ok(unsafe { start.cast::<SharedState>().as_ref() })
}

/// Brings these addresses into memory, and keeps them there.
///
/// # Errors
/// As mlock(2).
pub(super) fn lock(addresses: Range<usize>) -> nix::Result<()> {
    // SAFETY: locking changes no byte, whatever stands there.
    Errno::result(unsafe { libc::mlock(addresses.start as *const libc::c_void, addresses.len()) }).map(drop)
}

/// Collects a child that has ended, by a real-time signal too; `None` while it runs.
pub(super) fn collect(child: Pid) -> Option<ExitStatus> {
    let mut status = 0;
    // SAFETY: the kernel writes one status.
    let ended = unsafe { libc::waitpid(child.as_raw(), &raw mut status, libc::WNOHANG) };
    (ended == child.as_raw()).then(|| ExitStatus::from_raw(status))
}

/// Sends a signal, real-time ones included, to a child that is not collected yet.
///
/// # Errors
/// As kill(2).
pub(super) fn signal(child: Pid, number: i32) -> nix::Result<()> {
    // SAFETY: touches no memory.
    Errno::result(unsafe { libc::kill(child.as_raw(), number) }).map(drop)
}

/// Sends a signal, real-time ones included, to the process group that `leader` founds, or to `leader` alone
/// if it has not founded that yet.
///
/// # Errors
/// As kill(2).
pub(super) fn signal_group(leader: Pid, number: i32) -> nix::Result<()> {
    match signal(Pid::from_raw(-leader.as_raw()), number) {
        Err(Errno::ESRCH) => signal(leader, number),
        result => result,
    }
}

/// Registers `signals`, so that a task can wait for them without blocking the thread.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn await_signals(signals: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    // SAFETY: a `SignalFd` owns its open file, always the same one.
    Ok(unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE)? })
}

/// Registers `bell`, so that a task can wait for it without blocking the thread.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn await_bell(bell: EventFd) -> io::Result<AsyncFd<EventFd>> {
    // SAFETY: an `EventFd` owns its open file, always the same one.
    Ok(unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE)? })
}
