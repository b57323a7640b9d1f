//! The workload: started at most once, asked to end, killed, and collected.
//!
//! Everything here runs on the elector's main thread: the workload dies with the *thread* that forked it.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::page::Page;
use super::{sys, termination};
use crate::contract::{environment, exit_codes};
use crate::lease::clock;
use crate::lease::elector::{Fact, Start};
use crate::lease::notes::Exit;

/// What the kernel's memory killer should prefer over us, by.
const OOM_SCORE_STEP: i32 = 100;
const MOST_OOM_SCORE: i32 = 1000;
/// Between two kills, at first.
const FIRST_REPEAT: Duration = Duration::from_millis(1);
const SLOWEST_REPEAT: Duration = Duration::from_millis(50);
/// Known to the agent only.
const NOT_FOR_THE_WORKLOAD: [&str; 4] =
    [environment::POD_NAME, environment::POD_UID, environment::TERMINATION_GRACE_PERIOD_SECONDS, environment::TERMINATION_MESSAGE_PATH];

/// A command, and the process that came of it.
pub(super) struct Workload {
    command: super::Command,
    message: PathBuf,
    lifeline: OwnedFd,
    page: &'static Page,
    facts: UnboundedSender<Fact>,
    first: RefCell<Option<Child>>,
    leader: Cell<Option<Pid>>,
    stop_signal: Cell<i32>,
}

impl Workload {
    /// A workload that is not started yet. It will die when the pipe closes whose reading end `lifeline` is.
    pub(super) fn new(
        command: super::Command,
        message: PathBuf,
        lifeline: OwnedFd,
        page: &'static Page,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        Self {
            command,
            message,
            lifeline,
            page,
            facts,
            first: RefCell::default(),
            leader: Cell::default(),
            stop_signal: Cell::new(libc::SIGTERM),
        }
    }

    /// What [`Self::terminate`] sends: the signal that came from outside, which is the one that the image's maker chose.
    pub(super) fn set_stop_signal(&self, number: i32) {
        self.stop_signal.set(number);
    }

    /// Starts it, unless the time allowed for that has passed; when it was started, on CLOCK_BOOTTIME.
    pub(super) fn start(&self, start: &Start) -> Option<Duration> {
        match self.prepare(start) {
            Ok(command) => self.fork(command, start),
            Err(error) => self.fail(&error),
        }
    }

    fn prepare(&self, start: &Start) -> io::Result<Command> {
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command.args(arguments);
        for name in NOT_FOR_THE_WORKLOAD {
            command.env_remove(name);
        }
        command.env(environment::FENCING_TOKEN, start.token.to_string());
        command.env(environment::RUN, start.run.to_string());
        command.env(environment::ATTEMPT, start.attempt.to_string());
        if let Some(time) = start.scheduled_time {
            command.env(environment::SCHEDULED_TIME, time.to_string());
        }
        sys::confine(&mut command, self.lifeline.try_clone()?, getpid());
        Ok(command)
    }

    fn fork(&self, mut command: Command, start: &Start) -> Option<Duration> {
        let now = clock::now().at;
        if now.elapsed_for_holder(start.since) >= start.within {
            self.tell(Fact::NotStarted);
            return None;
        }
        match command.spawn() {
            Ok(child) => {
                prefer_for_oom(child.id());
                self.leader.set(i32::try_from(child.id()).ok().map(Pid::from_raw));
                self.first.replace(Some(child));
                Some(now.boot)
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Reported as a shell does: no program is an end like any other.
    fn fail(&self, error: &io::Error) -> Option<Duration> {
        let code = if error.kind() == io::ErrorKind::NotFound { exit_codes::NOT_FOUND } else { exit_codes::CANNOT_EXECUTE };
        let program = self.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        termination::explain(&self.message, &format!("cannot start {program:?}: {error}; correct `command` in the template, or the image"));
        self.ended(Exit::Code(code));
        None
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        if let Some(leader) = self.leader.get()
            && let Err(error) = sys::signal_group(leader, self.stop_signal.get())
        {
            tracing::debug!(%error, "nobody is left in the workload's process group");
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
                sleep(repeat).await;
                repeat = (repeat * 2).min(SLOWEST_REPEAT);
                empty = workload.kill_once();
            }
            workload.tell(Fact::TreeEmpty);
        }
    }

    fn kill_once(&self) -> bool {
        let nobody_left = kill(Pid::from_raw(-1), Signal::SIGKILL) == Err(Errno::ESRCH);
        self.collect();
        nobody_left
    }

    /// Collects the first process if it has ended. PID 1 collects all others, for they lose their parents.
    pub(super) fn collect(&self) {
        let ended = self.first.borrow_mut().as_mut().and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            self.first.replace(None);
            self.ended(to_exit(status));
        }
    }

    fn ended(&self, exit: Exit) {
        self.page.set_exit(exit);
        self.tell(Fact::WorkloadEnded(exit));
    }

    fn tell(&self, fact: Fact) {
        // Nobody listens any more once the end is decided.
        let _ = self.facts.send(fact);
    }
}

fn to_exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(exit_codes::AGENT_FAILED),
    }
}

/// Best effort: only where memory runs out it matters, and then PID 1 handles every case.
fn prefer_for_oom(pid: u32) {
    let raise = || -> io::Result<()> {
        let own: i32 = fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse().map_err(io::Error::other)?;
        fs::write(format!("/proc/{pid}/oom_score_adj"), (own + OOM_SCORE_STEP).min(MOST_OOM_SCORE).to_string())
    };
    if let Err(error) = raise() {
        tracing::debug!(%error, "cannot raise the workload's oom_score_adj");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_what_the_kernel_says() {
        assert_eq!(to_exit(ExitStatus::from_raw(3 << 8)), Exit::Code(3));
        assert_eq!(to_exit(ExitStatus::from_raw(libc::SIGKILL)), Exit::Signal(libc::SIGKILL));
    }
}
