//! The workload: started at most once, asked to end, killed, and collected.
//!
//! Everything here runs on the elector's main thread, because the workload dies with the *thread* that forked
//! it.

mod deputies;
mod environment;
mod exit;
mod first_process;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::deputy::Recipients;
use super::shared_state::{SharedState, to_nanoseconds};
use super::sys::{self, Program};
use super::termination::Explainer;
use crate::contract::exit_codes;
use crate::lease::annotations::{Exit, Reason};
use crate::lease::clock;
use crate::lease::elector::{Cause, Fact, Start};
use deputies::Deputies;
use exit::{may_miss_pid_1, to_exit};
use first_process::FirstProcess;

/// The pause between the first two kills; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How long a kill waits for a deputy to have signalled, which is a process that is executed anew.
const DEPUTY_WITHIN: Duration = Duration::from_millis(500);

/// A command, and the process that came of it.
pub(super) struct Workload {
    command: super::Command,
    explainer: Explainer,
    lifeline: OwnedFd,
    page: &'static SharedState,
    facts: UnboundedSender<Fact>,
    oom_score_adj: String,
    started: Cell<Option<Started>>,
    /// The first process, until it is collected.
    first: RefCell<Option<FirstProcess>>,
    stop_signal: Cell<i32>,
    is_told_to_end: Cell<bool>,
    /// Whether the kubelet's hook may end the workload.
    is_expected_to_end: Cell<bool>,
    deputies: Deputies,
}

/// A start that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// When, on CLOCK_BOOTTIME.
    pub(super) at: Duration,
    /// The first process, which leads the workload's process group.
    pub(super) pid: i32,
}

impl Workload {
    /// A workload that is not started yet. It will die when the pipe closes whose reading end `lifeline` is.
    pub(super) fn new(
        command: super::Command,
        explainer: Explainer,
        lifeline: OwnedFd,
        page: &'static SharedState,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        Self {
            command,
            explainer,
            lifeline,
            page,
            facts,
            oom_score_adj: first_process::oom_score_adj(),
            started: Cell::default(),
            first: RefCell::default(),
            stop_signal: Cell::new(libc::SIGTERM),
            is_told_to_end: Cell::default(),
            is_expected_to_end: Cell::default(),
            deputies: Deputies::new(),
        }
    }

    /// Chooses what [`Self::terminate`] sends: the signal that came from outside, which the maker of the
    /// image chose.
    pub(super) fn set_stop_signal(&self, number: i32) {
        self.stop_signal.set(number);
    }

    /// Starts the workload, and does not wait for its program to be found and read. `None` if it was not
    /// started, because the time allowed for that has passed or the kernel refused.
    pub(super) fn start(&self, start: &Start) -> Option<Started> {
        match Program::new(&self.command, environment::of(start)) {
            Ok(program) => self.fork(&program, start),
            Err(error) => self.fail(&error),
        }
    }

    /// When the workload was started, in nanoseconds of CLOCK_BOOTTIME; `None` before that.
    pub(super) fn started(&self) -> Option<u64> {
        self.started.get().map(|started| to_nanoseconds(started.at))
    }

    fn fork(&self, program: &Program, start: &Start) -> Option<Started> {
        let now = clock::now().at;
        if now.elapsed_for_holder(start.since) >= start.within {
            self.tell(Fact::NotStarted);
            return None;
        }
        match FirstProcess::start(program, self.lifeline.as_fd(), &self.oom_score_adj) {
            Ok(first) => {
                self.started.set(Some(Started { at: now.boot, pid: first.pid.as_raw() }));
                self.first.replace(Some(first));
                self.started.get()
            }
            Err(error) => self.fail(&error.into()),
        }
    }

    /// Reports the exit code that a shell would: a program that is not there is an end like any other.
    fn fail(&self, error: &io::Error) -> Option<Started> {
        self.explain(error);
        let code = if error.kind() == io::ErrorKind::NotFound {
            exit_codes::NOT_FOUND
        } else {
            exit_codes::CANNOT_EXECUTE
        };
        self.ended(Exit::Code(code));
        None
    }

    fn explain(&self, error: &io::Error) {
        let program = self.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        self.explainer.explain(format!(
            "cannot start {program:?}: {error}; correct `command` in the template, or the image"
        ));
    }

    /// Notes that the kubelet ends the container, beginning with a hook: if the workload ends now, it has not
    /// ended by itself.
    pub(super) fn expect_end(&self) {
        self.is_expected_to_end.set(true);
    }

    /// Asks the workload to end.
    pub(super) fn terminate(&self) {
        let Some(started) = self.started.get() else { return };
        self.is_told_to_end.set(true);
        match sys::signal_group(Pid::from_raw(started.pid), self.stop_signal.get()) {
            Err(Errno::EPERM) if !self.deputies.are_needed() => tracing::warn!(
                "the workload has become another user and cannot be asked to end: run the container as the user that it becomes, or add the \
                 capability KILL to it; the container is ended with it, and the Lease expires"
            ),
            Err(error) => tracing::debug!(%error, "the kernel signals no process of the workload's group"),
            Ok(()) => {}
        }
        self.deputies.send(self.stop_signal.get(), Recipients::Group(started.pid));
    }

    /// Passes a signal on to the first process. It was sent to PID 1, which the workload may take itself for.
    /// Does nothing if the first process does not run.
    pub(super) fn pass_on(&self, number: i32) {
        let Some(first) = self.first.borrow().as_ref().map(|first| first.pid) else { return };
        match sys::signal(first, number) {
            // One at a time: a process that signals without end must not use up what the pod may have of
            // processes.
            Err(Errno::EPERM) if self.deputies.are_needed() && self.deputies.are_gone() => {
                self.deputies.send(number, Recipients::Process(first.as_raw()));
            }
            Err(error) => tracing::warn!(%error, number, "cannot pass a signal on to the workload"),
            Ok(()) => {}
        }
    }

    /// Kills everything in the container but PID 1 and this process, until nothing else is left.
    ///
    /// The first kill comes before this returns. The future goes on until nothing is left, and reports that.
    pub(super) fn kill(self: &Rc<Self>) -> impl Future<Output = ()> + use<> {
        let workload = Rc::clone(self);
        let mut is_empty = workload.kill_once();
        async move {
            let mut pause = FIRST_PAUSE;
            while !is_empty {
                workload.await_deputy().await;
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                is_empty = workload.kill_once();
            }
            workload.tell(Fact::TreeEmpty);
        }
    }

    /// Whether nothing was left to kill.
    fn kill_once(&self) -> bool {
        self.is_told_to_end.set(true);
        let is_empty = kill(Pid::from_raw(-1), Signal::SIGKILL) == Err(Errno::ESRCH);
        self.collect();
        is_empty
    }

    /// Gives a deputy a moment for what this process cannot do: the next kill kills the deputy.
    async fn await_deputy(&self) {
        self.deputies.send(libc::SIGKILL, Recipients::All);
        let until = clock::now().at.boot + DEPUTY_WITHIN;
        while !self.deputies.are_gone() && clock::now().at.boot < until {
            sleep(FIRST_PAUSE).await;
            self.collect();
        }
    }

    /// Collects the first process if it has ended. PID 1 collects all others, because they lose their
    /// parents.
    pub(super) fn collect(&self) {
        self.deputies.collect();
        let status = self.first.borrow().as_ref().and_then(FirstProcess::collect);
        let Some(status) = status else { return };
        let exit = to_exit(status);
        match self.first.take().and_then(|first| first.exec_error()) {
            Some(error) => self.explain(&error),
            None => self.hint(exit),
        }
        self.ended(exit);
    }

    /// Tells the reader of the log that the workload may have failed because it is not PID 1.
    fn hint(&self, exit: Exit) {
        let Some(started) = self.started.get() else { return };
        let ran = clock::now().at.boot.saturating_sub(started.at);
        let is_its_own = !self.is_told_to_end.get() && !self.is_expected_to_end.get();
        if is_its_own && may_miss_pid_1(exit, ran) {
            tracing::info!(
                "the workload ended {} ms after its start; it is not PID 1 of its container: docs/not-pid-1.md says what differs",
                ran.as_millis()
            );
        }
    }

    fn ended(&self, exit: Exit) {
        if self.is_expected_to_end.get() {
            self.page.set_cause(Cause::Release(Reason::Drain));
            self.tell(Fact::Drain);
        }
        self.page.set_exit(exit);
        self.tell(Fact::WorkloadEnded(exit));
    }

    fn tell(&self, fact: Fact) {
        // The elector no longer listens once the end is decided.
        let _ = self.facts.send(fact);
    }
}
