//! The workload's first process: how it is started, and why it may fail to execute its program.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;

use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2, read};

use super::super::sys::{self, Program, Ties};

/// How much more than the agent the workload is preferred by the kernel's OOM killer.
const OOM_SCORE_STEP: i32 = 100;
const MOST_OOM_SCORE: i32 = 1000;

/// A child of this process that is not collected yet.
pub(super) struct FirstProcess {
    pub(super) pid: Pid,
    /// The reading end of a pipe: the number of an error comes if the program cannot be executed.
    exec_error: OwnedFd,
}

impl FirstProcess {
    /// Forks, and does not wait for the exec. The process dies when the last writer of `lifeline` is gone.
    ///
    /// # Errors
    /// If the kernel refuses a pipe or a process.
    pub(super) fn start(
        program: &Program,
        lifeline: BorrowedFd<'_>,
        oom_score_adj: &str,
    ) -> nix::Result<Self> {
        let (exec_error, tell_exec_error) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let ties = Ties { lifeline, exec_error: tell_exec_error.as_fd(), oom_score_adj };
        Ok(Self { pid: sys::start(program, &ties)?, exec_error })
    }

    /// Collects the process; `None` while it runs.
    pub(super) fn collect(&self) -> Option<ExitStatus> {
        sys::collect(self.pid)
    }

    /// Why the process could not execute its program, once it has ended; `None` if it could.
    pub(super) fn exec_error(&self) -> Option<io::Error> {
        let mut number = [0; size_of::<i32>()];
        let is_told = read(&self.exec_error, &mut number) == Ok(number.len());
        is_told.then(|| io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
    }
}

/// The workload's `oom_score_adj`: higher than this process's own. Empty if that cannot be read, and the
/// workload then keeps what it inherits.
pub(super) fn oom_score_adj() -> String {
    let own =
        fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    own.map_or_else(String::new, |own| (own + OOM_SCORE_STEP).min(MOST_OOM_SCORE).to_string())
}
