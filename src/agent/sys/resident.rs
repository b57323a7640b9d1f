//! System calls without the C library, for code that must not touch a page of memory that it has not locked.
//!
//! Each is inlined into its caller. Functions that are declared by [`resident!`] stand together in one
//! section of the program, and [`text`] returns its addresses, so that it can be locked as a whole.

#![expect(clippy::inline_always, reason = "a call would lead out of the section")]
#![expect(clippy::cast_possible_truncation, reason = "process ids fit into 22 bits")]

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use syscalls::{Errno, Sysno, syscall};

/// -1 in a register, which means every process, or every child.
const ALL: usize = usize::MAX;

/// Puts a function into the section [`text`]. It calls nothing but such functions and what is inlined into
/// it; a test of the program holds it to that.
macro_rules! resident {
    ($(#[$attribute:meta])* $visibility:vis fn $($function:tt)*) => {
        $(#[$attribute])*
        #[allow(unsafe_code)]
        // SAFETY: an executable section of its own, like any that the compiler chooses.
        #[unsafe(link_section = "resident")]
        #[inline(never)]
        $visibility fn $($function)*
    };
}
pub(in crate::agent) use resident;

unsafe extern "C" {
    #[link_name = "__start_resident"]
    static START: u8;
    #[link_name = "__stop_resident"]
    static END: u8;
}

/// The addresses of the functions that are declared by [`resident!`].
pub(in crate::agent) fn text() -> Range<usize> {
    // The linker defines both, as long as something of the section is used.
    black_box(anchor as fn());
    (&raw const START) as usize..(&raw const END) as usize
}

resident! {
    fn anchor() {}
}

/// A signal that was read from a signalfd.
#[derive(Clone, Copy)]
pub(in crate::agent) struct ReceivedSignal {
    /// Its number.
    pub(in crate::agent) number: u32,
    /// The pid of its sender; 0 if that is outside this PID namespace.
    pub(in crate::agent) sender: u32,
}

/// Takes one signal that waits at a non-blocking signalfd; `None` if none does.
#[inline(always)]
pub(in crate::agent) fn take_signal(signals: BorrowedFd<'_>) -> Option<ReceivedSignal> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let length = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the kernel writes no more than `length` bytes, and reads none.
    let read = unsafe { syscall!(Sysno::read, signals.as_raw_fd(), info.as_mut_ptr(), length) };
    if read != Ok(length) {
        return None;
    }
    let info = info.as_ptr();
    // SAFETY: all of it was written.
    Some(unsafe { ReceivedSignal { number: (*info).ssi_signo, sender: (*info).ssi_pid } })
}

/// Has a signalfd hand out the signals of this set only; the others stay pending.
#[inline(always)]
pub(in crate::agent) fn hand_out(signals: BorrowedFd<'_>, set: u64) {
    // SAFETY: the kernel reads one set. It refuses nothing of this, because the file is a signalfd.
    let _ = unsafe { syscall!(Sysno::signalfd4, signals.as_raw_fd(), &raw const set, size_of::<u64>(), 0) };
}

/// Whether a non-blocking timerfd has expired since it was last set or looked at.
#[inline(always)]
pub(in crate::agent) fn has_expired(timer: BorrowedFd<'_>) -> bool {
    let mut count = MaybeUninit::<u64>::uninit();
    // SAFETY: the kernel writes at most the eight bytes.
    unsafe { syscall!(Sysno::read, timer.as_raw_fd(), count.as_mut_ptr(), size_of::<u64>()) }.is_ok()
}

/// Sets a timerfd to expire after so many nanoseconds, less than a second.
#[inline(always)]
pub(in crate::agent) fn set_timer(timer: BorrowedFd<'_>, nanoseconds: u32) {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec { tv_sec: 0, tv_nsec: i64::from(nanoseconds.clamp(1, 999_999_999)) };
    let setting = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: the kernel reads one setting, and is given no room for the earlier one. It refuses nothing of
    // this.
    let _ = unsafe { syscall!(Sysno::timerfd_settime, timer.as_raw_fd(), 0, &raw const setting, 0) };
}

/// Wakes the reader of a non-blocking eventfd.
#[inline(always)]
pub(in crate::agent) fn wake(event: BorrowedFd<'_>) {
    let one = 1_u64;
    // SAFETY: the kernel reads eight bytes. A count that is full wakes its reader all the same.
    let _ = unsafe { syscall!(Sysno::write, event.as_raw_fd(), &raw const one, size_of::<u64>()) };
}

/// Waits until one of two files can be read, or for so many nanoseconds, less than a second. `None` sets no
/// limit. It may return sooner.
#[inline(always)]
pub(in crate::agent) fn wait(first: BorrowedFd<'_>, second: BorrowedFd<'_>, nanoseconds: Option<u32>) {
    let watched =
        |file: BorrowedFd<'_>| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut files = [watched(first), watched(second)];
    let limit = libc::timespec { tv_sec: 0, tv_nsec: i64::from(nanoseconds.unwrap_or(0)) };
    let limit = if nanoseconds.is_some() { (&raw const limit) as usize } else { 0 };
    // SAFETY: the kernel writes into the two entries; the limit is on this stack, or null. The mask is null.
    let _ = unsafe { syscall!(Sysno::ppoll, files.as_mut_ptr(), 2, limit, 0, 0) };
}

/// A child that has ended, with its status as wait(2) has it.
#[derive(Clone, Copy)]
pub(in crate::agent) struct EndedChild {
    /// Its pid.
    pub(in crate::agent) child: i32,
    /// Its status.
    pub(in crate::agent) status: i32,
}

/// Collects one child that has ended; `None` if there is none.
#[inline(always)]
pub(in crate::agent) fn reap() -> Option<EndedChild> {
    let mut status = 0_i32;
    // SAFETY: the kernel writes one status; it is given no room for resource usage.
    let child = unsafe { syscall!(Sysno::wait4, ALL, &raw mut status, libc::WNOHANG, 0) };
    match child {
        Ok(child) if child > 0 => Some(EndedChild { child: child.cast_signed() as i32, status }),
        _ => None,
    }
}

/// Sends SIGKILL to every process of this PID namespace but its first and the caller. Whether there was none.
#[inline(always)]
pub(in crate::agent) fn kill_all() -> bool {
    // SAFETY: touches no memory of this process.
    let killed = unsafe { syscall!(Sysno::kill, ALL, libc::SIGKILL) };
    killed == Err(Errno::ESRCH)
}

/// Ends this process at once: nothing is flushed, and nothing is run at exit.
#[inline(always)]
pub(in crate::agent) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: does not return.
        let _ = unsafe { syscall!(Sysno::exit_group, code) };
    }
}
