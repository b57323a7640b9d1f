//! The probes of the gated container: they mean what they mean where the workload runs, and succeed on a standby.
//!
//! The kubelet runs them beside the agent. They know the candidate's role from [`paths::STANDING`](crate::contract::paths::STANDING), and
//! count from the workload's start what a template counts from the container's.

mod http;

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
use crate::contract::{Role, Standing, paths};
use crate::lease::clock;

const OWN_ADDRESS: &str = "127.0.0.1";
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Whether traffic should be sent here.
    Readiness,
    /// Whether the workload works.
    Liveness,
    /// Whether the workload is up.
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
    Ask,
}

/// # Errors
/// [`Failure`], where the probe fails.
pub fn run(kind: Kind, probe: &Probe) -> Result<(), Failure> {
    let standing = read_standing(Path::new(paths::STANDING));
    match judge(kind, probe, standing.as_ref(), clock::now().at.boot) {
        Verdict::Succeed => Ok(()),
        Verdict::Fail(why) => Err(Failure::NotReady(why)),
        Verdict::Ask => {
            let answer = probe.handler_answers();
            if kind != Kind::Readiness {
                leave_mark(Path::new(paths::STATE_DIRECTORY), answer.is_err());
            }
            answer
        }
    }
}

/// None before the agent has written it for the first time.
fn read_standing(path: &Path) -> Option<Standing> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn judge(kind: Kind, probe: &Probe, standing: Option<&Standing>, now: Duration) -> Verdict {
    let readiness = kind == Kind::Readiness;
    let fail_readiness = |why: &str| if readiness { Verdict::Fail(why.to_owned()) } else { Verdict::Succeed };
    let Some(standing) = standing else { return fail_readiness("the agent is starting") };
    match (standing.role, &standing.trouble, standing.started_boottime_nanoseconds) {
        (Role::Pending | Role::Standby, Some(trouble), _) => fail_readiness(trouble),
        (Role::Pending, None, _) => fail_readiness("the Lease has not been read yet"),
        (Role::Standby, None, _) => match probe.standby {
            StandbyReadiness::Ready => Verdict::Succeed,
        },
        (Role::Active | Role::Stopping, _, None) => fail_readiness("the workload is about to start"),
        (Role::Stopping, _, Some(_)) => fail_readiness("the workload is stopping"),
        (Role::Active, _, Some(started)) => {
            let age = now.saturating_sub(Duration::from_nanos(started));
            if age >= probe.begins(kind) { Verdict::Ask } else { fail_readiness("the workload was just started") }
        }
    }
}

impl Probe {
    /// How old the workload must be to be asked. A startup probe ends for good with its first success, which on a standby comes before the
    /// workload's start: from then on its budget is what liveness grants.
    fn begins(&self, kind: Kind) -> Duration {
        let budget = if kind == Kind::Liveness { self.startup_budget_seconds } else { 0 };
        Duration::from_secs(u64::from(self.initial_delay_seconds.max(budget)))
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
                // Should it end by itself now, that is too late as well.
                let _ = child.kill().and_then(|()| child.wait());
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
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::lease::record::{Identity, Version};

    fn probe(handler: &str) -> Probe {
        let json =
            format!(r#"{{"probe":{handler},"initialDelaySeconds":5,"timeoutSeconds":1,"startupBudgetSeconds":60,"standby":"Ready"}}"#);
        serde_json::from_str(&json).expect("a probe")
    }

    fn standing(role: Role, started: Option<u64>) -> Standing {
        Standing {
            role,
            identity: Identity::read("web-1_2_3"),
            holder: None,
            token: Some(Version(7)),
            valid_until_boottime_nanoseconds: None,
            started_boottime_nanoseconds: started.map(|seconds| seconds * 1_000_000_000),
            scheduled_time: None,
            trouble: None,
        }
    }

    fn verdict(kind: Kind, standing: Option<&Standing>, now: u64) -> Verdict {
        judge(kind, &probe(r#"{"exec":{"command":["true"]}}"#), standing, Duration::from_secs(now))
    }

    #[test]
    fn a_standby_succeeds_without_being_asked() {
        for kind in [Kind::Readiness, Kind::Liveness, Kind::Startup] {
            assert_eq!(verdict(kind, Some(&standing(Role::Standby, None)), 1000), Verdict::Succeed);
        }
    }

    #[test]
    fn a_standby_that_cannot_read_its_lease_is_alive_but_not_ready() {
        let troubled = Standing { trouble: Some("https://10.0.0.1:443: connection refused".to_owned()), ..standing(Role::Pending, None) };
        assert_eq!(verdict(Kind::Liveness, Some(&troubled), 0), Verdict::Succeed);
        let not_ready = Verdict::Fail("https://10.0.0.1:443: connection refused".to_owned());
        assert_eq!(verdict(Kind::Readiness, Some(&troubled), 0), not_ready);
        assert!(matches!(verdict(Kind::Readiness, None, 0), Verdict::Fail(_)));
    }

    #[test]
    fn delays_count_from_the_workloads_start_and_liveness_grants_the_startup_budget() {
        let active = standing(Role::Active, Some(100));
        assert!(matches!(verdict(Kind::Readiness, Some(&active), 104), Verdict::Fail(_)));
        assert_eq!(verdict(Kind::Readiness, Some(&active), 105), Verdict::Ask);
        assert_eq!(verdict(Kind::Startup, Some(&active), 105), Verdict::Ask);
        assert_eq!(verdict(Kind::Liveness, Some(&active), 159), Verdict::Succeed);
        assert_eq!(verdict(Kind::Liveness, Some(&active), 160), Verdict::Ask);
    }

    #[test]
    fn a_command_succeeds_fails_or_takes_too_long() {
        let run = |script: &str| probe(&format!(r#"{{"exec":{{"command":["sh","-c","{script}"]}}}}"#)).handler_answers();
        run("exit 0").expect("exit 0 is success");
        assert!(run("exit 3").expect_err("exit 3").to_string().ends_with("exit status: 3"));
        assert!(run("exec sleep 30").expect_err("too long").to_string().ends_with("timed out"));
    }

    #[test]
    fn a_socket_succeeds_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let probe = probe(&format!(r#"{{"tcpSocket":{{"port":{port}}}}}"#));
        probe.handler_answers().expect("somebody listens");
        drop(listener);
        probe.handler_answers().expect_err("nobody listens");
    }

    #[test]
    fn only_the_last_liveness_probe_counts() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join(UNHEALTHY_MARK);
        leave_mark(directory.path(), true);
        assert!(mark.exists());
        leave_mark(directory.path(), false);
        leave_mark(directory.path(), false);
        assert!(!mark.exists());
    }
}
