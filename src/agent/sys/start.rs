//! Starts the workload by a fork that does not wait for the exec, because a program may stand on a disk that
//! does not answer.

use std::ffi::{CString, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpid, getppid, setsid, write};

use crate::contract::exit_codes;

/// The `fcntl` command that chooses the signal for a file's readiness.
const F_SETSIG: i32 = 10;
/// How much the workload gives way to the agent, because an agent that wakes up late has to stop earlier.
const NICENESS: i32 = 5;

/// A program with its arguments and environment, as the kernel takes them.
pub(in crate::agent) struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// `arguments` begin with the program's own name, which is looked for in this process's PATH.
    ///
    /// # Errors
    /// If there is no name, or something contains a zero byte.
    pub(in crate::agent) fn new(
        arguments: &[OsString],
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> io::Result<Self> {
        if arguments.is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        let variables = environment.map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            variable
        });
        Ok(Self {
            arguments: arguments.iter().cloned().map(c_string).collect::<io::Result<_>>()?,
            environment: variables.map(c_string).collect::<io::Result<_>>()?,
        })
    }
}

fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(|_| ErrorKind::InvalidInput.into())
}

/// Makes a list of C strings, as exec(3) takes it. It is valid for as long as `strings` live.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// What binds a workload to its elector.
pub(in crate::agent) struct Ties<'a> {
    /// The reading end of a pipe; when its last writer is gone, the workload's process group is killed.
    pub(in crate::agent) lifeline: BorrowedFd<'a>,
    /// The writing end of a pipe, which gets the number of the error if the program cannot be executed.
    pub(in crate::agent) exec_error: BorrowedFd<'a>,
    /// What the kernel's OOM killer goes by, as text; the workload is to be preferred over the agent.
    pub(in crate::agent) oom_score_adj: &'a str,
}

/// Starts a process that becomes this very program, with these arguments and nothing else of ours but
/// standard output and error. Does not wait for the exec.
///
/// # Errors
/// As fork(2).
pub(in crate::agent) fn start_deputy(arguments: &Program) -> nix::Result<Pid> {
    let (arguments, environment) = (pointers(&arguments.arguments), pointers(&[]));
    // SAFETY: the child makes system calls only, until it execs or exits; it neither allocates nor locks.
    match Errno::result(unsafe { libc::fork() })? {
        0 => {
            close_on_exec_from(libc::STDERR_FILENO.cast_unsigned() + 1);
            let _ = reset_signals();
            // SAFETY: both lists end with null, and their strings live in this copy of the parent's memory.
            unsafe {
                libc::execve(c"/proc/self/exe".as_ptr(), arguments.as_ptr(), environment.as_ptr());
                libc::_exit(exit_codes::CANNOT_EXECUTE)
            }
        }
        child => Ok(Pid::from_raw(child)),
    }
}

/// Starts a process that becomes `program`, and that dies with this thread and with the last writer of the
/// lifeline. Does not wait for the exec.
///
/// The process has a session and process group of its own. It gets SIGKILL when the thread that forked it
/// ends, and its whole group gets SIGKILL when the lifeline closes. The first is lost when a program execs
/// from another thread than its first one, the second when it leaves its group. It has no blocked or ignored
/// signals, no open files but stdio, and a lower priority than ours.
///
/// # Errors
/// As fork(2). A later error is written to `ties.exec_error`, and shows in the exit code that a shell would
/// use.
pub(in crate::agent) fn start(program: &Program, ties: &Ties<'_>) -> nix::Result<Pid> {
    let (arguments, environment) = (pointers(&program.arguments), pointers(&program.environment));
    let parent = getpid();
    // SAFETY: the child makes system calls only, until it execs or exits; it neither allocates nor locks.
    match Errno::result(unsafe { libc::fork() })? {
        0 => {
            let error = match confine(ties, parent) {
                // SAFETY: both lists end with null, and their strings live in this copy of the parent's
                // memory.
                Ok(()) => unsafe {
                    libc::execvpe(arguments[0], arguments.as_ptr(), environment.as_ptr());
                    Errno::last()
                },
                Err(error) => error,
            };
            let _ = write(ties.exec_error, &(error as i32).to_ne_bytes());
            // SAFETY: ends this copy without running what the parent would run at exit.
            unsafe {
                libc::_exit(if error == Errno::ENOENT {
                    exit_codes::NOT_FOUND
                } else {
                    exit_codes::CANNOT_EXECUTE
                })
            }
        }
        child => Ok(Pid::from_raw(child)),
    }
}

fn confine(ties: &Ties<'_>, parent: Pid) -> nix::Result<()> {
    let leader = setsid()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(Errno::ESRCH);
    }
    die_with(ties.lifeline.as_fd(), leader)?;
    give_way();
    prefer_for_oom(ties.oom_score_adj);
    close_on_exec_from(libc::STDERR_FILENO.cast_unsigned() + 1);
    reset_signals()
}

/// Has the kernel send SIGKILL to the group of `leader` when the pipe's last writer is gone.
fn die_with(lifeline: BorrowedFd<'_>, leader: Pid) -> nix::Result<()> {
    fcntl(lifeline, libc::F_SETOWN, -leader.as_raw())?;
    fcntl(lifeline, F_SETSIG, libc::SIGKILL)?;
    let flags = fcntl(lifeline, libc::F_GETFL, 0)?;
    fcntl(lifeline, libc::F_SETFL, flags | libc::O_ASYNC).map(drop)
}

fn fcntl(file: BorrowedFd<'_>, command: i32, argument: i32) -> nix::Result<i32> {
    // SAFETY: the file is open, and these commands take an integer.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, argument) })
}

fn give_way() {
    // SAFETY: touches no memory. A failure is no reason not to start: priority is a courtesy.
    unsafe { libc::nice(NICENESS) };
}

/// Has the OOM killer prefer this process, at best. That matters only if memory runs out, and then PID 1
/// handles every case. A process that no other may trace may not change its own score, so it can be traced
/// for that moment.
fn prefer_for_oom(score: &str) {
    let traceable = prctl::set_dumpable(true);
    // SAFETY: the path is a C string; the bytes are the text's.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, score.as_ptr().cast(), score.len());
            libc::close(file);
        }
    }
    if traceable.is_ok() {
        let _ = prctl::set_dumpable(false);
    }
}

/// Has all files from `first` on closed by the exec. Older kernels than 5.9 lack the call. There the files
/// stay as their openers marked them, and all of ours are marked.
fn close_on_exec_from(first: u32) {
    // SAFETY: touches no memory, and closes nothing before the exec.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

fn reset_signals() -> nix::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the default disposition refers to no code of ours. SIGKILL, SIGSTOP and the C library's own
        // refuse, and need it not.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()
}
