//! Runs the work of a probe in a process of its own. Whatever that reads or starts may hang, and the probe
//! ends all the same.
//!
//! # Guarantees
//! - The caller gets an answer within the limit and a few milliseconds.
//! - It does not wait for a process that it has killed, because a process that sleeps in the kernel does not
//!   die.
//! - No such process has the caller's own output, because the container runtime waits for every process that
//!   has it.
//! - The subprocess does not outlive its caller. What it has started does not outlive a subprocess that was
//!   killed.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, getpid, getppid, pipe2, read, setpgid};

use super::super::{poll, sys};
use crate::lease::clock;

/// How often the caller looks whether the subprocess has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// As much as a kubelet shows of a probe's output. The caller reads what comes after that and throws it away,
/// because its writer must not wait, nor fail.
const MOST_OUTPUT: usize = 10 << 10;
/// How often the caller reads before it looks at everything else again: a command that writes without end
/// must not hide the time limit.
const MOST_READS: usize = 64;

/// A subprocess that runs.
struct Subprocess {
    child: Pid,
    output: OwnedFd,
    forwarded: usize,
}

/// Why the subprocess gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The kernel refused a process or a pipe.
    #[error("starting the probe: {0}")]
    Refused(#[from] Errno),
    /// The work took longer than this limit.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The container may be short of memory, or the workload kills what it finds.
    #[error("the probe was killed before it had an answer")]
    Killed,
}

/// Runs `act` in a process of its own, forwards its output, and returns its exit code.
///
/// # Errors
/// [`Unanswered`] if the kernel refuses the process, or the process does not exit within `limit`.
pub(super) fn within(limit: Duration, act: impl FnOnce() -> i32) -> Result<i32, Unanswered> {
    let (output, own) = output()?;
    let probe = getpid();
    match sys::fork()? {
        ForkResult::Child => {
            drop(output);
            let is_apart = end_with(probe)
                .and_then(|()| setpgid(Pid::from_raw(0), Pid::from_raw(0)))
                .and_then(|()| detach(own));
            process::exit(is_apart.map_or(1, |()| act()))
        }
        ForkResult::Parent { child } => {
            drop(own);
            Subprocess { child, output, forwarded: 0 }.watch(limit)
        }
    }
}

/// Makes a pipe. Its reading end does not block; its writing end does, because programs expect that of their
/// output.
fn output() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (output, own) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((output, own))
}

/// Has the kernel kill this process when the probe dies, because a kubelet that kills a probe wants no
/// answer.
fn end_with(probe: Pid) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The probe may have died before.
    if getppid() == probe { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Replaces this process's output, which is its parent's, by the pipe.
fn detach(own: OwnedFd) -> nix::Result<()> {
    dup2_stdout(&own)?;
    dup2_stderr(&own)?;
    drop(own);
    Ok(())
}

impl Subprocess {
    fn watch(mut self, limit: Duration) -> Result<i32, Unanswered> {
        let until = clock::now().at.boot + limit;
        loop {
            poll::await_readable(self.output.as_fd(), POLL_INTERVAL);
            self.forward();
            match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if clock::now().at.boot < until => {}
                Ok(WaitStatus::StillAlive) => {
                    let _ = killpg(self.child, Signal::SIGKILL);
                    return Err(Unanswered::Late(limit));
                }
                Ok(WaitStatus::Exited(_, code)) => {
                    self.forward();
                    return Ok(code);
                }
                Ok(_) | Err(_) => {
                    let _ = killpg(self.child, Signal::SIGKILL);
                    return Err(Unanswered::Killed);
                }
            }
        }
    }

    /// Copies what the subprocess has written so far to this process's own output.
    fn forward(&mut self) {
        let mut written = [0; 1024];
        for _ in 0..MOST_READS {
            let Ok(length @ 1..) = read(&self.output, &mut written) else { return };
            let shown = length.min(MOST_OUTPUT - self.forwarded);
            self.forwarded += shown;
            // The container runtime may not read any more.
            let _ = io::stdout().write_all(&written[..shown]);
        }
    }
}
