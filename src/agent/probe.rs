//! The probes of the gated container: they mean what they mean where the workload runs, and succeed on a standby.
//!
//! The kubelet runs them beside the agent. They know the candidate's role from [`paths::STANDING`](crate::contract::paths::STANDING), and
//! count from the workload's start what a template counts from the container's. A template's startup probe is asked by the other two, until
//! the workload has come up; the kubelet's own is asked once in a container's life, which on a standby is before the workload's start.

mod attempt;
mod http;
mod startup;

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use super::config::UNHEALTHY_MARK;
use crate::contract::{Role, Standing, TERMINATION_PREFIX, paths};
use crate::lease::clock;

const OWN_ADDRESS: &str = "127.0.0.1";
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// An agent reads its Lease within this, as a rule.
const FIRST_READING: Duration = Duration::from_secs(1);
/// For starting and reading, beside what the handlers take.
const SLACK: Duration = Duration::from_millis(500);

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Whether traffic should be sent here.
    Readiness,
    /// Whether the workload works.
    Liveness,
    /// Whether the candidate could take over, or has.
    Startup,
}

/// A probe of the template, as the controller passes it on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// None where the template has no such probe: only the candidate itself is asked.
    #[serde(rename = "probe")]
    handler: Option<Handler>,
    #[serde(default)]
    initial_delay_seconds: u32,
    #[serde(default = "one")]
    timeout_seconds: u32,
    /// The template's startup probe.
    startup: Option<Box<Probe>>,
    /// How long liveness waits for that to succeed; where it is not told, how long it waits in any case.
    #[serde(default)]
    startup_budget_seconds: u32,
    #[serde(default)]
    standby: StandbyReadiness,
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Handler {
    Exec(ExecAction),
    HttpGet(HTTPGetAction),
    TcpSocket(TCPSocketAction),
}

/// What readiness says on a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum StandbyReadiness {
    #[default]
    Ready,
    /// No: only the pod whose workload runs is ready.
    NotReady,
}

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

/// Probes once; the exit code. It ends within the probe's own timeouts and half a second, whatever it reads or starts.
pub fn run(kind: Kind, probe: &Probe) -> i32 {
    let limit = probe.timeout() + SLACK;
    match attempt::within(limit, || report(attempt(kind, probe))) {
        Ok(Some(code)) => code,
        Ok(None) => {
            if kind == Kind::Liveness {
                // Where even this hangs, the container ends without it.
                let _ = attempt::within(SLACK / 2, || {
                    leave_mark(Path::new(paths::STATE_DIRECTORY), true);
                    0
                });
            }
            report(Err(format!("no answer within {} s", limit.as_secs_f64())))
        }
        Err(error) => report(Err(format!("starting the probe: {error}"))),
    }
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

/// # Errors
/// [`Failure`], where the probe fails.
fn attempt(kind: Kind, probe: &Probe) -> Result<(), Failure> {
    let patience = if kind == Kind::Liveness { Duration::ZERO } else { FIRST_READING };
    let standing = settled_standing(Path::new(paths::STANDING), patience);
    match judge(kind, probe, standing.as_ref(), clock::now().at.boot) {
        Verdict::Succeed => Ok(()),
        Verdict::Fail(why) => Err(Failure::NotReady(why)),
        Verdict::Ask(start) => {
            let directory = Path::new(paths::STATE_DIRECTORY);
            let answer = probe.answer(kind, start, directory);
            if kind == Kind::Liveness {
                leave_mark(directory, answer.is_err());
            }
            answer
        }
    }
}

/// Waits, within `patience`, until an agent that has just started has read its Lease: a first probe that comes too early is no news.
fn settled_standing(path: &Path, patience: Duration) -> Option<Standing> {
    let end = clock::now().at.boot + patience;
    loop {
        let standing = read_standing(path);
        let is_settled = standing.as_ref().is_some_and(|standing| standing.role != Role::Pending || standing.trouble.is_some());
        if is_settled || clock::now().at.boot >= end {
            return standing;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// None before the agent has written it for the first time.
fn read_standing(path: &Path) -> Option<Standing> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn judge(kind: Kind, probe: &Probe, standing: Option<&Standing>, now: Duration) -> Verdict {
    let fail = |kinds: &[Kind], why: &str| if kinds.contains(&kind) { Verdict::Fail(why.to_owned()) } else { Verdict::Succeed };
    let is_unable = |why: &str| fail(&[Kind::Readiness, Kind::Startup], why);
    let is_not_ready = |why: &str| fail(&[Kind::Readiness], why);
    let Some(standing) = standing else { return is_unable("the agent is starting") };
    match (standing.role, &standing.trouble, standing.started_boottime_nanoseconds) {
        (Role::Pending | Role::Standby, Some(trouble), _) => is_unable(trouble),
        (Role::Pending, None, _) => is_unable("the Lease has not been read yet"),
        (Role::Standby, None, _) => match probe.standby {
            StandbyReadiness::Ready => Verdict::Succeed,
            StandbyReadiness::NotReady => is_not_ready("standing by: with standbyReadiness NotReady only the active pod is ready"),
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
        let own = Duration::from_secs(u64::from(self.timeout_seconds.max(1)));
        own + self.startup.as_ref().map_or(Duration::ZERO, |startup| startup.timeout())
    }

    /// How old the workload must be to be asked.
    fn begins(&self, kind: Kind) -> Duration {
        let waits = kind == Kind::Liveness && self.startup.is_none();
        let budget = if waits { self.startup_budget_seconds } else { 0 };
        Duration::from_secs(u64::from(self.initial_delay_seconds.max(budget)))
    }

    /// Liveness is patient with a workload that comes up within its budget; readiness waits for it.
    fn answer(&self, kind: Kind, start: Start, directory: &Path) -> Result<(), Failure> {
        match self.startup.as_deref().map_or(Ok(()), |startup| startup::has_come_up(startup, start, directory)) {
            Ok(()) => self.handler_answers(),
            Err(_) if kind == Kind::Liveness && start.age < Duration::from_secs(self.startup_budget_seconds.into()) => Ok(()),
            Err(why) => Err(why),
        }
    }

    fn handler_answers(&self) -> Result<(), Failure> {
        let timeout = Duration::from_secs(u64::from(self.timeout_seconds.max(1)));
        match &self.handler {
            None => Ok(()),
            Some(Handler::Exec(action)) => exec(action, timeout),
            Some(Handler::HttpGet(action)) => http::get(action, timeout),
            Some(Handler::TcpSocket(action)) => {
                let what = format!("connecting to {}", address(action.host.as_deref(), &action.port));
                connect(action.host.as_deref(), &action.port, timeout).map(drop).map_err(|source| Failure::Unreachable { what, source })
            }
        }
    }
}

fn exec(action: &ExecAction, timeout: Duration) -> Result<(), Failure> {
    let command = action.command.as_deref().unwrap_or_default();
    let what = format!("running {command:?}");
    let failed = |source| Failure::Unreachable { what: what.clone(), source };
    let (program, arguments) = command.split_first().ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
    let mut child = process::Command::new(program).args(arguments).spawn().map_err(failed)?;
    let until = clock::now().at.boot + timeout;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Failure::Refused { what, answer: status.to_string() }),
            None if clock::now().at.boot >= until => {
                // Should it end by itself now, that is too late as well. One that hangs in the kernel is not waited for.
                let _ = child.kill();
                return Err(failed(ErrorKind::TimedOut.into()));
            }
            None => thread::sleep(LOOK_AGAIN),
        }
    }
}

fn address(host: Option<&str>, port: &IntOrString) -> String {
    let host = host.filter(|host| !host.is_empty()).unwrap_or(OWN_ADDRESS);
    let port = match port {
        IntOrString::Int(port) => port.to_string(),
        IntOrString::String(port) => port.clone(),
    };
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn connect(host: Option<&str>, port: &IntOrString, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in address(host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// So that the agent knows, when the kubelet ends the container, whether that is the workload's fault.
fn leave_mark(directory: &Path, failed: bool) {
    let mark = directory.join(UNHEALTHY_MARK);
    let left = if failed { fs::write(&mark, "") } else { fs::remove_file(&mark) };
    if let Err(error) = left
        && error.kind() != ErrorKind::NotFound
    {
        eprintln!("singletonjob-agent: marking the outcome of a probe at {}: {error}", mark.display());
    }
}

#[cfg(test)]
mod tests;
