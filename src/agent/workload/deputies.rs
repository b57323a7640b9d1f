//! The elector's side of [`deputy`]: starts processes that signal what this one may not, and collects them.

use std::cell::RefCell;
use std::ffi::OsString;

use nix::unistd::Pid;

use super::super::deputy::{self, Recipients};
use super::super::sys::{self, Program};

/// The deputies that run.
pub(super) struct Deputies {
    /// Whether only a deputy can signal a workload that has become another user.
    are_needed: bool,
    running: RefCell<Vec<Pid>>,
}

impl Deputies {
    /// No deputy runs yet.
    pub(super) fn new() -> Self {
        Self { are_needed: deputy::is_needed(), running: RefCell::default() }
    }

    /// Whether this process lacks the capability to signal other users' processes.
    pub(super) fn are_needed(&self) -> bool {
        self.are_needed
    }

    /// Whether every deputy has ended.
    pub(super) fn are_gone(&self) -> bool {
        self.running.borrow().is_empty()
    }

    /// Has a deputy send signal `number` to `target`; does nothing if no deputy is needed.
    pub(super) fn send(&self, number: i32, target: Recipients) {
        if !self.are_needed {
            return;
        }
        let arguments = ["singletonjob-agent", "signal", &number.to_string(), &target.number().to_string()]
            .map(OsString::from);
        let started =
            Program::new(&arguments, std::iter::empty()).and_then(|program| Ok(sys::start_deputy(&program)?));
        match started {
            Ok(deputy) => self.running.borrow_mut().push(deputy),
            Err(error) => {
                tracing::warn!(%error, "cannot start a process that signals the workload; the pod's limit on processes may be too low");
            }
        }
    }

    /// Collects deputies that have ended.
    pub(super) fn collect(&self) {
        self.running.borrow_mut().retain(|deputy| sys::collect(*deputy).is_none());
    }
}
