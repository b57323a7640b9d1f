//! One attempt at a probe, in a process of its own: whatever it reads or starts may hang, and the probe ends
//! all the same.
//!
//! # Guarantees
//! The caller gets an answer within the limit and a few milliseconds. It does not wait for a process that it
//! has killed, because one that sleeps in the kernel does not die; and no such process has the caller's own
//! output, because the container runtime waits for every process that has it. The attempt does not outlive
//! its caller, and what it has started does not outlive an attempt that was killed.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, getpid, getppid, pipe2, read, setpgid};

use super::super::sys;
use crate::lease::clock;

/// Between two looks at whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// As much as a kubelet shows of a probe's output. What comes after that is read and thrown away: its writer
/// must not wait, nor fail.
const MOST_OUTPUT: usize = 10 << 10;
/// How often the probe reads before it looks at everything else again: a command that writes without end must
/// not hide the time limit.
const MOST_READS: usize = 64;

/// An attempt that is under way.
struct Attempt {
    child: Pid,
    output: OwnedFd,
    forwarded: usize,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The kernel refused a process or a pipe.
    #[error("starting the probe: {0}")]
    Refused(#[from] Errno),
    /// It took longer than this.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The container may be short of memory, or the workload kills what it finds.
    #[error("the probe was killed before it had an answer")]
    Killed,
}

/// What `act` returns as an exit code, run in a process of its own, whose output is passed on.
///
/// # Errors
/// [`Unanswered`], where the process is not there, or does not exit within `limit`.
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
            Attempt { child, output, forwarded: 0 }.watch(limit)
        }
    }
}

/// The end that is read, which does not block, and the one that is written: that blocks, as programs expect
/// it of their output.
fn output() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (output, own) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((output, own))
}

/// The kernel kills this attempt when the probe dies, because the kubelet that kills a probe wants no answer.
fn end_with(probe: Pid) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // It may have died before.
    if getppid() == probe { Ok(()) } else { Err(Errno::ESRCH) }
}

/// From now on this process has the pipe for its output, and not what its parent has.
fn detach(own: OwnedFd) -> nix::Result<()> {
    dup2_stdout(&own)?;
    dup2_stderr(&own)?;
    drop(own);
    Ok(())
}

impl Attempt {
    fn watch(mut self, limit: Duration) -> Result<i32, Unanswered> {
        let until = clock::now().at.boot + limit;
        loop {
            // Interrupted or not, what counts is looked at afterwards.
            let _ =
                poll(&mut [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)], poll_timeout(LOOK_AGAIN));
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

    /// What it has said so far, to where its parent's output goes.
    fn forward(&mut self) {
        let mut said = [0; 1024];
        for _ in 0..MOST_READS {
            let Ok(length @ 1..) = read(&self.output, &mut said) else { return };
            let shown = length.min(MOST_OUTPUT - self.forwarded);
            self.forwarded += shown;
            // The container runtime may not read any more.
            let _ = io::stdout().write_all(&said[..shown]);
        }
    }
}

fn poll_timeout(duration: Duration) -> PollTimeout {
    PollTimeout::try_from(duration.as_millis()).unwrap_or(PollTimeout::MAX)
}
