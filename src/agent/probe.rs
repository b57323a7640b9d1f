//! The probes of the gated container: they mean what they mean where the workload runs, and succeed on a
//! standby.
//!
//! The kubelet runs them beside the agent. They know the candidate's role from
//! [`paths::LEASE_FILE`](crate::contract::paths::LEASE_FILE), and count from the workload's start what a
//! template counts from the container's. A template's startup probe is asked by the other two, until the
//! workload has come up; the kubelet's own is asked once in a container's life, which on a standby is before
//! the workload's start. The readiness probe counts by the template's thresholds, see [`readiness`], and
//! liveness for the agent, see [`liveness`].

mod grpc;
mod http;
mod liveness;
mod readiness;
mod startup;
mod subprocess;
mod tcp;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use k8s_openapi::api::core::v1::ExecAction;

use super::config::lease_file_in;
use super::notify::Notification;
use crate::contract::probe::{Handler, Kind, Probe, StandbyReadiness, TemplateProbe};
use crate::contract::{LeaseFile, Role, TERMINATION_PREFIX, paths};
use crate::lease::clock;
use subprocess::Unanswered;
use tcp::TimeLimit;

const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// An agent reads its Lease within this, as a rule.
const FIRST_READING: Duration = Duration::from_secs(1);
/// For starting and reading, beside what the handlers take.
const SLACK: Duration = Duration::from_millis(500);
/// For counting what had no answer.
const COUNTED_WITHIN: Duration = Duration::from_millis(250);

/// A workload that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    /// When it was started, in nanoseconds of CLOCK_BOOTTIME.
    at: u64,
    age: Duration,
}

/// Why a probe did not succeed; the kubelet shows it in an event.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The candidate itself is not ready.
    #[error("{0}")]
    NotReady(String),
    /// No network, no such program, no answer in time.
    #[error("{what}: {source}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// How that failed.
        source: io::Error,
    },
    /// It answered, and the answer is no.
    #[error("{what}: {answer}")]
    Refused {
        /// What was tried.
        what: String,
        /// What it said.
        answer: String,
    },
}

/// What is to be done for a probe at a moment.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Succeed,
    Fail(String),
    Ask(Start),
}

/// Probes once; the exit code. It ends within the probe's own timeouts and three quarters of a second,
/// whatever it reads or starts.
pub fn run(kind: Kind, probe: &Probe) -> i32 {
    let question = Question { kind, probe, directory: Path::new(paths::STATE_DIRECTORY) };
    let limit = probe.timeout() + SLACK;
    subprocess::within(limit, || report(question.ask())).unwrap_or_else(|why| question.count_as_failure(&why))
}

fn report<E: std::fmt::Display>(result: Result<(), E>) -> i32 {
    result.map_or_else(
        |why| {
            eprintln!("{TERMINATION_PREFIX}{why}");
            1
        },
        |()| 0,
    )
}

/// One question of the kubelet.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    kind: Kind,
    probe: &'a Probe,
    /// Where agent and probes keep what they tell each other.
    directory: &'a Path,
}

impl Question<'_> {
    /// # Errors
    /// [`Failure`], where the probe fails.
    fn ask(&self) -> Result<(), Failure> {
        let patience = if self.kind == Kind::Liveness { Duration::ZERO } else { FIRST_READING };
        self.conclude(patience, |start| self.probe.answer(self.kind, start, self.directory))
    }

    /// A question without an answer is one failure, which counts as one that the handler gives. What hung may
    /// hang again: then the probe fails at once. Where there can be no other process this one counts, because
    /// it is better to hang than to fail for what was not asked.
    fn count_as_failure(&self, why: &Unanswered) -> i32 {
        let unanswered =
            |start| self.probe.forgive(self.kind, start, self.directory, Failure::NotReady(why.to_string()));
        let count = || report(self.conclude(Duration::ZERO, unanswered));
        subprocess::within(COUNTED_WITHIN, count).unwrap_or_else(|uncounted| match uncounted {
            Unanswered::Refused(_) => count(),
            Unanswered::Late(_) | Unanswered::Killed => report(Err(why)),
        })
    }

    /// What the probe says, where the workload itself has said `answer` if it is to be asked.
    fn conclude(
        &self,
        patience: Duration,
        answer: impl FnOnce(Start) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let lease_file = settled_lease_file(&lease_file_in(self.directory), patience);
        let (answer, counts_from) =
            match judge(self.kind, self.probe, lease_file.as_ref(), clock::now().at.boot) {
                Verdict::Succeed => (Ok(()), Some(readiness::STANDBY)),
                Verdict::Fail(why) => {
                    let stands_by = lease_file.is_some_and(|lease_file| lease_file.role == Role::Standby);
                    (Err(Failure::NotReady(why)), stands_by.then_some(readiness::STANDBY))
                }
                Verdict::Ask(start) => {
                    self.announce(start);
                    (self.counted(answer(start), start), Some(start.at))
                }
            };
        match (self.probe.thresholds, counts_from) {
            (Some(thresholds), Some(start)) => readiness::counted(answer, start, thresholds, self.directory),
            _ => answer,
        }
    }

    /// Before the hook runs, so that a workload which it ends has not ended by itself.
    fn announce(&self, start: Start) {
        if self.probe.is_hook {
            Notification::Ending(start.at).send(self.directory);
        }
    }

    /// Of liveness, the agent hears what the workload's answers come to before the kubelet does.
    fn counted(&self, answer: Result<(), Failure>, start: Start) -> Result<(), Failure> {
        if self.kind == Kind::Liveness {
            let threshold = self.probe.failure_threshold.unwrap_or(1);
            if let Some(news) = liveness::count(self.directory, start.at, answer.is_err(), threshold) {
                news.send(self.directory);
            }
        }
        answer
    }
}

/// Waits, within `patience`, until an agent that has just started has read its Lease: a first probe that
/// comes too early is no news.
fn settled_lease_file(path: &Path, patience: Duration) -> Option<LeaseFile> {
    let end = clock::now().at.boot + patience;
    loop {
        let lease_file = read_lease_file(path);
        let is_settled = lease_file
            .as_ref()
            .is_some_and(|lease_file| lease_file.role != Role::Pending || lease_file.trouble.is_some());
        if is_settled || clock::now().at.boot >= end {
            return lease_file;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// None before the agent has written it for the first time.
fn read_lease_file(path: &Path) -> Option<LeaseFile> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn judge(kind: Kind, probe: &Probe, lease_file: Option<&LeaseFile>, now: Duration) -> Verdict {
    let fail = |kinds: &[Kind], why: &str| {
        if kinds.contains(&kind) { Verdict::Fail(why.to_owned()) } else { Verdict::Succeed }
    };
    let is_unable = |why: &str| fail(&[Kind::Readiness, Kind::Startup], why);
    let is_not_ready = |why: &str| fail(&[Kind::Readiness], why);
    let Some(lease_file) = lease_file else { return is_unable("the agent is starting") };
    match (lease_file.role, &lease_file.trouble, lease_file.started_boottime_nanoseconds) {
        (Role::Pending | Role::Standby, Some(trouble), _) => is_unable(trouble),
        (Role::Pending, None, _) => is_unable("the Lease has not been read yet"),
        (Role::Standby, None, _) => match probe.standby {
            StandbyReadiness::Ready => Verdict::Succeed,
            StandbyReadiness::NotReady => {
                is_not_ready("standing by: with standbyReadiness NotReady only the active pod is ready")
            }
        },
        (Role::Active | Role::Stopping, _, None) => is_not_ready("the workload is about to start"),
        (Role::Stopping, _, Some(_)) => is_not_ready("the workload is stopping"),
        (Role::Active, _, Some(at)) => {
            let start = Start { at, age: now.saturating_sub(Duration::from_nanos(at)) };
            match kind {
                Kind::Startup => Verdict::Succeed,
                Kind::Readiness | Kind::Liveness if start.age >= probe.begins(kind) => Verdict::Ask(start),
                Kind::Readiness | Kind::Liveness => is_not_ready("the workload was just started"),
            }
        }
    }
}

impl Probe {
    /// For its own handler, and for that of the startup probe, which may be asked before it.
    fn timeout(&self) -> Duration {
        self.own.timeout() + self.startup.as_ref().map_or(Duration::ZERO, TemplateProbe::timeout)
    }

    /// How old the workload must be to be asked.
    fn begins(&self, kind: Kind) -> Duration {
        let waits = kind == Kind::Liveness && self.startup.is_none();
        let budget = if waits { self.startup_budget_seconds } else { 0 };
        Duration::from_secs(u64::from(self.own.initial_delay_seconds.max(budget)))
    }

    /// Liveness is patient with a workload that comes up within its budget; readiness waits for it.
    fn answer(&self, kind: Kind, start: Start, directory: &Path) -> Result<(), Failure> {
        match self.startup.as_ref().map_or(Ok(()), |startup| startup::has_come_up(startup, start, directory))
        {
            Ok(()) => self.own.handler_answers(),
            Err(_) if self.is_patient(kind, start) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// What it comes to that there was no answer, for this reason.
    fn forgive(&self, kind: Kind, start: Start, directory: &Path, why: Failure) -> Result<(), Failure> {
        let has_come_up = startup::was_seen(start, directory);
        match self.startup {
            // That was all that the template asks.
            Some(_) if has_come_up && self.own.handler.is_none() => Ok(()),
            Some(_) if !has_come_up && self.is_patient(kind, start) => Ok(()),
            _ => Err(why),
        }
    }

    fn is_patient(&self, kind: Kind, start: Start) -> bool {
        kind == Kind::Liveness && start.age < Duration::from_secs(self.startup_budget_seconds.into())
    }
}

impl TemplateProbe {
    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds.max(1)))
    }

    fn handler_answers(&self) -> Result<(), Failure> {
        let limit = TimeLimit::after(self.timeout());
        match &self.handler {
            None => Ok(()),
            Some(Handler::Exec(action)) => exec(action, limit),
            Some(Handler::HttpGet(action)) => http::get(action, limit),
            Some(Handler::Grpc(action)) => grpc::check(action, limit),
            Some(Handler::TcpSocket(action)) => {
                let what = format!("connecting to {}", tcp::address(action.host.as_deref(), &action.port));
                let (host, port) = (tcp::host(action.host.as_deref()), tcp::port(&action.port));
                tcp::connect(&host, &port, limit)
                    .map(drop)
                    .map_err(|source| Failure::Unreachable { what, source })
            }
        }
    }
}

fn exec(action: &ExecAction, limit: TimeLimit) -> Result<(), Failure> {
    let command = action.command.as_deref().unwrap_or_default();
    let what = format!("running {command:?}");
    let failed = |source| Failure::Unreachable { what: what.clone(), source };
    let (program, arguments) = command.split_first().ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
    let mut child = process::Command::new(program).args(arguments).spawn().map_err(failed)?;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Failure::Refused { what, answer: status.to_string() }),
            None => {
                if let Err(late) = limit.left() {
                    // Should it end by itself now, that is too late as well. One that hangs in the kernel is
                    // not waited for.
                    let _ = child.kill();
                    return Err(failed(late));
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
    }
}

#[cfg(test)]
mod tests;
