//! The only module with `unsafe`: what the kernel offers and no safe interface covers.
#![allow(unsafe_code)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::stat::stat;
use nix::unistd::{ForkResult, Pid, getppid, setsid};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::page::Page;

/// `fcntl` command: which signal tells of a file's readiness.
const F_SETSIG: i32 = 10;
/// What the workload gives way by, next to the agent: an agent that wakes up late has to stop earlier.
const NICENESS: i32 = 5;
/// Links of `/proc/self/task` in a process with one thread: itself, its parent, and one entry.
const LINKS_OF_ONE_THREAD: u64 = 3;

/// A copy of this process.
///
/// # Errors
/// As fork(2); [`Errno::EBUSY`] in a process with several threads, whose copy could not even allocate memory safely.
pub(super) fn fork() -> nix::Result<ForkResult> {
    if stat("/proc/self/task")?.st_nlink != LINKS_OF_ONE_THREAD {
        return Err(Errno::EBUSY);
    }
    // SAFETY: the only thread of this process is the calling one, so nothing is left half done or locked in the copy.
    unsafe { nix::unistd::fork() }
}

/// A new page, shared with whatever is forked from now on, for as long as the process lives.
///
/// # Errors
/// As mmap(2).
pub(super) fn map_page() -> nix::Result<&'static Page> {
    const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<Page>()).expect("a page has fields");
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new anonymous mapping, at an address of the kernel's choice, disturbs no other.
    let start = unsafe { mmap_anonymous(None, LENGTH, access, MapFlags::MAP_SHARED)? };
    // SAFETY: the mapping is aligned, long enough, zeroed and never unmapped; a `Page` holds atomics only, for which zero is a value.
    Ok(unsafe { start.cast::<Page>().as_ref() })
}

/// Makes what `command` starts a workload that dies with this thread, and with the last writer of `lifeline`.
///
/// A session and process group of its own; SIGKILL when the thread that forked it ends, and SIGKILL to the whole group when the pipe closes
/// whose reading end `lifeline` is: the first is lost when a program execs from another thread than its first one, the second when it leaves
/// its group. No blocked or ignored signals; no open files but stdio; a lower priority than ours.
pub(super) fn confine(command: &mut Command, lifeline: OwnedFd, parent: Pid) {
    let become_workload = move || {
        let leader = setsid()?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(Errno::ESRCH.into());
        }
        die_with(lifeline.as_fd(), leader)?;
        give_way();
        close_on_exec_from(libc::STDERR_FILENO.cast_unsigned() + 1);
        reset_signals()?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only; it neither allocates nor locks.
    unsafe { command.pre_exec(become_workload) };
}

/// SIGKILL to the group of `leader` when the pipe's last writer is gone.
fn die_with(lifeline: BorrowedFd<'_>, leader: Pid) -> io::Result<()> {
    fcntl(lifeline, libc::F_SETOWN, -leader.as_raw())?;
    fcntl(lifeline, F_SETSIG, libc::SIGKILL)?;
    let flags = fcntl(lifeline, libc::F_GETFL, 0)?;
    fcntl(lifeline, libc::F_SETFL, flags | libc::O_ASYNC)?;
    Ok(())
}

fn fcntl(file: BorrowedFd<'_>, command: i32, argument: i32) -> nix::Result<i32> {
    // SAFETY: the file is open, and these commands take an integer.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) })
}

fn give_way() {
    // SAFETY: touches no memory. A failure is no reason not to start: priority is a courtesy.
    unsafe { libc::nice(NICENESS) };
}

/// Older kernels than 5.9 lack the call: there the files stay as their openers marked them, and all of ours are marked.
fn close_on_exec_from(first: u32) {
    // SAFETY: touches no memory, and closes nothing before the exec.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

fn reset_signals() -> nix::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the default disposition refers to no code of ours. SIGKILL, SIGSTOP and the C library's own refuse, and need it not.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()
}

/// Sends a signal, real-time ones included, to the process group that `leader` founded.
///
/// # Errors
/// As kill(2).
pub(super) fn signal_group(leader: Pid, number: i32) -> nix::Result<()> {
    // SAFETY: touches no memory.
    Errno::result(unsafe { libc::kill(-leader.as_raw(), number) }).map(drop)
}

/// To wait for the signals of `signals` without blocking the thread.
///
/// # Errors
/// Where the kernel refuses.
pub(super) fn await_signals(signals: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    // SAFETY: a `SignalFd` owns its open file, always the same one.
    Ok(unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE)? })
}
