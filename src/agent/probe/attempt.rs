//! One attempt at a probe, in a process of its own: whatever it reads or starts may hang, and the probe ends all the same.
//!
//! # Guarantees
//! The caller gets an answer within the limit and a few milliseconds. It does not wait for a process that it has killed, because one that
//! sleeps in the kernel does not die; and no such process has the caller's own output, because the container runtime waits for whoever has it.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdout, pipe2, read, setpgid};

use super::super::sys;
use crate::lease::clock;

/// Between two looks at whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// As much as a kubelet shows of a probe's output.
const MOST_OUTPUT: usize = 10 << 10;

/// An attempt that is under way.
struct Attempt {
    child: Pid,
    output: OwnedFd,
    forwarded: usize,
}

/// What `act` returns as an exit code, run in a process of its own, whose output is passed on; `None` if that takes longer than `limit`.
///
/// # Errors
/// Where the kernel refuses a process or a pipe.
pub(super) fn within(limit: Duration, act: impl FnOnce() -> i32) -> io::Result<Option<i32>> {
    let (output, own) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    match sys::fork()? {
        ForkResult::Child => {
            drop(output);
            let is_apart = setpgid(Pid::from_raw(0), Pid::from_raw(0)).and_then(|()| detach(own));
            process::exit(is_apart.map_or(1, |()| act()))
        }
        ForkResult::Parent { child } => {
            drop(own);
            Ok(Attempt { child, output, forwarded: 0 }.watch(limit))
        }
    }
}

/// From now on this process has the pipe for its output, and not what its parent has.
fn detach(own: OwnedFd) -> nix::Result<()> {
    dup2_stdout(&own)?;
    dup2_stderr(&own)?;
    drop(own);
    Ok(())
}

impl Attempt {
    fn watch(mut self, limit: Duration) -> Option<i32> {
        let until = clock::now().at.boot + limit;
        loop {
            // Interrupted or not, what counts is looked at afterwards.
            let _ = poll(&mut [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)], poll_timeout(LOOK_AGAIN));
            self.forward();
            match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if clock::now().at.boot < until => {}
                Ok(WaitStatus::StillAlive) => {
                    let _ = killpg(self.child, Signal::SIGKILL);
                    return None;
                }
                Ok(WaitStatus::Exited(_, code)) => {
                    self.forward();
                    return Some(code);
                }
                Ok(_) | Err(_) => return Some(1),
            }
        }
    }

    /// What it has said so far, to where its parent's output goes.
    fn forward(&mut self) {
        let mut said = [0; 1024];
        while self.forwarded < MOST_OUTPUT {
            match read(&self.output, &mut said) {
                Ok(0) | Err(Errno::EAGAIN) => return,
                Ok(length) => {
                    self.forwarded += length;
                    // Without a reader there is nobody to tell.
                    let _ = io::stdout().write_all(&said[..length]);
                }
                Err(_) => return,
            }
        }
    }
}

fn poll_timeout(duration: Duration) -> PollTimeout {
    PollTimeout::try_from(duration.as_millis()).unwrap_or(PollTimeout::MAX)
}
