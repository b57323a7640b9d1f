//! The workload: started at most once, asked to end, killed, and collected.
//!
//! Everything here runs on the elector's main thread: the workload dies with the *thread* that forked it.

use std::cell::{Cell, RefCell};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2, read};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::deputy::{self, Target};
use super::shared_state::{SharedState, to_nanoseconds};
use super::sys::{self, Program, Ties};
use super::termination::Explainer;
use crate::contract::{environment, exit_codes};
use crate::lease::annotations::{Exit, Reason};
use crate::lease::clock;
use crate::lease::elector::{Cause, Fact, Start};

/// What the kernel's memory killer should prefer over us, by.
const OOM_SCORE_STEP: i32 = 100;
const MOST_OOM_SCORE: i32 = 1000;
/// Between two kills, at first.
const FIRST_REPEAT: Duration = Duration::from_millis(1);
const SLOWEST_REPEAT: Duration = Duration::from_millis(50);
/// For a deputy to have signalled: it is a process that is executed anew.
const DEPUTY_WITHIN: Duration = Duration::from_millis(500);
/// A workload that fails so soon after its start may have expected to be PID 1.
const SOON: Duration = Duration::from_secs(5);
/// Known to the agent only.
const NOT_FOR_THE_WORKLOAD: [&str; 5] = [
    environment::POD_NAME,
    environment::POD_UID,
    environment::POD_IP,
    environment::TERMINATION_GRACE_PERIOD_SECONDS,
    environment::TERMINATION_MESSAGE_PATH,
];

/// A command, and the process that came of it.
pub(super) struct Workload {
    command: super::Command,
    explainer: Explainer,
    lifeline: OwnedFd,
    page: &'static SharedState,
    facts: UnboundedSender<Fact>,
    oom_score_adj: String,
    first: RefCell<Option<First>>,
    leader: Cell<Option<Pid>>,
    started: Cell<Option<Started>>,
    is_told_to_end: Cell<bool>,
    /// Whether the kubelet's hook may end it.
    is_expected_to_end: Cell<bool>,
    stop_signal: Cell<i32>,
    /// Whether what has become another user can be signalled by a deputy only.
    needs_deputy: bool,
    deputies: RefCell<Vec<Pid>>,
}

/// A start that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// When, on CLOCK_BOOTTIME.
    pub(super) at: Duration,
    /// As which process.
    pub(super) pid: i32,
}

/// Its first process, until that is collected.
struct First {
    pid: Pid,
    /// The number of an error, if it could not execute the program.
    failure: OwnedFd,
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
            oom_score_adj: preferred_oom_score(),
            first: RefCell::default(),
            leader: Cell::default(),
            started: Cell::default(),
            is_told_to_end: Cell::default(),
            is_expected_to_end: Cell::default(),
            stop_signal: Cell::new(libc::SIGTERM),
            needs_deputy: deputy::is_needed(),
            deputies: RefCell::default(),
        }
    }

    /// What [`Self::terminate`] sends: the signal that came from outside, which is the one that the image's
    /// maker chose.
    pub(super) fn set_stop_signal(&self, number: i32) {
        self.stop_signal.set(number);
    }

    /// Starts it, unless the time allowed for that has passed; `None` if it was not started. Does not wait
    /// for its program to be found and read.
    pub(super) fn start(&self, start: &Start) -> Option<Started> {
        match Program::new(&self.command, environment_of(start)) {
            Ok(program) => self.fork(&program, start),
            Err(error) => self.fail(&error),
        }
    }

    /// When it was started, in nanoseconds of CLOCK_BOOTTIME; `None` before that.
    pub(super) fn started(&self) -> Option<u64> {
        self.started.get().map(|started| to_nanoseconds(started.at))
    }

    fn fork(&self, program: &Program, start: &Start) -> Option<Started> {
        let now = clock::now().at;
        if now.elapsed_for_holder(start.since) >= start.within {
            self.tell(Fact::NotStarted);
            return None;
        }
        match self.start_process(program) {
            Ok(first) => {
                self.leader.set(Some(first.pid));
                self.started.set(Some(Started { at: now.boot, pid: first.pid.as_raw() }));
                self.first.replace(Some(first));
                self.started.get()
            }
            Err(error) => self.fail(&error.into()),
        }
    }

    fn start_process(&self, program: &Program) -> nix::Result<First> {
        let (failure, tell_failure) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let ties = Ties {
            lifeline: self.lifeline.as_fd(),
            failure: tell_failure.as_fd(),
            oom_score_adj: &self.oom_score_adj,
        };
        Ok(First { pid: sys::start(program, &ties)?, failure })
    }

    /// Reported as a shell does: no program is an end like any other.
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

    /// The kubelet ends the container, beginning with a hook: if the workload ends now, it has not ended by
    /// itself.
    pub(super) fn expect_end(&self) {
        self.is_expected_to_end.set(true);
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        let Some(leader) = self.leader.get() else { return };
        self.is_told_to_end.set(true);
        match sys::signal_group(leader, self.stop_signal.get()) {
            Err(Errno::EPERM) if !self.needs_deputy => tracing::warn!(
                "the workload has become another user and cannot be asked to end: run the container as the user that it becomes, or add the \
                 capability KILL to it; the container is ended with it, and the Lease expires"
            ),
            Err(error) => tracing::debug!(%error, "the kernel signals no process of the workload's group"),
            Ok(()) => {}
        }
        self.send_deputy(self.stop_signal.get(), Target::Group(leader.as_raw()));
    }

    /// Sends its first process what was meant for it and sent to PID 1: it is not PID 1 itself. Nothing where
    /// it does not run.
    pub(super) fn pass_on(&self, number: i32) {
        let Some(first) = self.first.borrow().as_ref().map(|first| first.pid) else { return };
        match sys::signal(first, number) {
            // One at a time: a process that signals without end must not use up what the pod may have of
            // processes.
            Err(Errno::EPERM) if self.needs_deputy && self.deputies.borrow().is_empty() => {
                self.send_deputy(number, Target::Process(first.as_raw()));
            }
            Err(error) => tracing::warn!(%error, number, "cannot pass a signal on to the workload"),
            Ok(()) => {}
        }
    }

    /// Has another process signal what this one may not, if it is so.
    fn send_deputy(&self, number: i32, target: Target) {
        if !self.needs_deputy {
            return;
        }
        let arguments = ["singletonjob-agent", "signal", &number.to_string(), &target.number().to_string()]
            .map(OsString::from);
        let started =
            Program::new(&arguments, std::iter::empty()).and_then(|program| Ok(sys::start_deputy(&program)?));
        match started {
            Ok(deputy) => self.deputies.borrow_mut().push(deputy),
            Err(error) => {
                tracing::warn!(%error, "cannot start a process that signals the workload; the pod's limit on processes may be too low");
            }
        }
    }

    /// Kills everything in the container but PID 1 and this process, until nothing else is left.
    ///
    /// The first kill comes before this returns; the future goes on to the end, and tells it.
    pub(super) fn kill(self: &Rc<Self>) -> impl Future<Output = ()> + use<> {
        let workload = Rc::clone(self);
        let mut empty = workload.kill_once();
        async move {
            let mut repeat = FIRST_REPEAT;
            while !empty {
                workload.await_deputy().await;
                sleep(repeat).await;
                repeat = (repeat * 2).min(SLOWEST_REPEAT);
                empty = workload.kill_once();
            }
            workload.tell(Fact::TreeEmpty);
        }
    }

    fn kill_once(&self) -> bool {
        self.is_told_to_end.set(true);
        let nobody_left = kill(Pid::from_raw(-1), Signal::SIGKILL) == Err(Errno::ESRCH);
        self.collect();
        nobody_left
    }

    /// A deputy is killed by the next kill, so it gets a moment for what this process cannot do.
    async fn await_deputy(&self) {
        self.send_deputy(libc::SIGKILL, Target::All);
        let until = clock::now().at.boot + DEPUTY_WITHIN;
        while !self.deputies.borrow().is_empty() && clock::now().at.boot < until {
            sleep(FIRST_REPEAT).await;
            self.collect();
        }
    }

    /// Collects the first process if it has ended. PID 1 collects all others, for they lose their parents.
    pub(super) fn collect(&self) {
        self.deputies.borrow_mut().retain(|deputy| sys::collect(*deputy).is_none());
        let status = self.first.borrow().as_ref().and_then(|first| sys::collect(first.pid));
        let Some(status) = status else { return };
        let exit = to_exit(status);
        match self.first.take().and_then(|first| first.failed_with()) {
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

/// Whether a workload that ended by itself may have expected to be PID 1. One that asks to hand over has not
/// failed.
fn may_miss_pid_1(exit: Exit, ran: Duration) -> bool {
    ran < SOON && !exit.is_success() && exit != Exit::HAND_OVER
}

fn to_exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(exit_codes::AGENT_FAILED),
    }
}

impl First {
    /// Why it could not execute the program; it has ended.
    fn failed_with(&self) -> Option<io::Error> {
        let mut number = [0; size_of::<i32>()];
        let told = read(&self.failure, &mut number) == Ok(number.len());
        told.then(|| io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
    }
}

/// What the workload finds in its environment: what the container has, and what it may know of its lease.
fn environment_of(start: &Start) -> impl Iterator<Item = (OsString, OsString)> + use<> {
    let mut ours = vec![
        (environment::FENCING_TOKEN, start.token.to_string()),
        (environment::RUN, start.run.to_string()),
        (environment::ATTEMPT, start.attempt.to_string()),
    ];
    ours.extend(start.scheduled_time.map(|time| (environment::SCHEDULED_TIME, time.to_string())));
    let named = |name: &OsString, names: &[&str]| names.iter().any(|other| name == other);
    let own: Vec<_> = ours.iter().map(|(name, _)| *name).collect();
    let given =
        env::vars_os().filter(move |(name, _)| !named(name, &NOT_FOR_THE_WORKLOAD) && !named(name, &own));
    given.chain(ours.into_iter().map(|(name, value)| (name.into(), value.into())))
}

/// Higher than this process's own. Where that cannot be read, the workload keeps what it gets.
fn preferred_oom_score() -> String {
    let own =
        fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    own.map_or_else(String::new, |own| (own + OOM_SCORE_STEP).min(MOST_OOM_SCORE).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_what_the_kernel_says() {
        assert_eq!(to_exit(ExitStatus::from_raw(3 << 8)), Exit::Code(3));
        assert_eq!(to_exit(ExitStatus::from_raw(libc::SIGKILL)), Exit::Signal(libc::SIGKILL));
    }

    #[test]
    fn only_a_workload_that_fails_soon_and_asks_for_nothing_may_miss_pid_1() {
        let (soon, late) = (SOON - Duration::from_millis(1), SOON);
        let fails = [Exit::Code(1), Exit::Code(127), Exit::Signal(libc::SIGSEGV)];
        assert!(fails.into_iter().all(|exit| may_miss_pid_1(exit, soon) && !may_miss_pid_1(exit, late)));
        assert!(!may_miss_pid_1(Exit::Code(0), soon), "it succeeded");
        assert!(!may_miss_pid_1(Exit::HAND_OVER, soon), "it asks to hand over");
    }
}
