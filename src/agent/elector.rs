//! The elector process decides about the Lease, and owns the workload. Its main thread does everything that
//! counts, and never waits for a file or a pipe. The [`background`](super::background) does what can wait.

use std::io;
use std::ops::AsyncFnOnce;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::Command;
use super::background::Background;
use super::config::Config;
use super::deadline::Deadline;
use super::fencer::Inheritance;
use super::lease_file::LeaseFileWriter;
use super::log::{LAST_LINES, Log};
use super::monitors::{self, Health, Monitors};
use super::pod_lock::LockFile;
use super::shared_state::SharedState;
use super::termination::{self, Explainer};
use super::workload::Workload;
use crate::contract::exit_codes;
use crate::lease::driver::WorkloadHost;
use crate::lease::elector::{Candidate, Ending, Fact, Order, Role, Start, View};
use crate::lease::identity::Identity;

/// Carries out the elector's orders in this container.
pub struct Container {
    workload: Rc<Workload>,
    deadline: Deadline,
    lease_file: LeaseFileWriter,
    page: &'static SharedState,
    identity: Identity,
    /// The file of the pod's lock, if this container has that.
    lock_file: Option<&'static LockFile>,
    log: Log,
    last_view: Option<View>,
}

impl WorkloadHost for Container {
    fn execute(&mut self, order: Order) {
        match order {
            Order::ArmDeadline { at, kill_margin } => self.arm_deadline(at, kill_margin),
            Order::SignLock { lease_uid } => self.sign_lock(&lease_uid),
            Order::DisarmDeadline => self.disarm_deadline(),
            Order::Start(start) => self.start(&start),
            Order::Stop(cause) => self.page.set_cause(cause),
            Order::Terminate => self.workload.terminate(),
            Order::Kill => drop(spawn_local(self.workload.kill())),
        }
    }

    fn publish(&mut self, view: &View) {
        if view.role != Role::Pending {
            self.page.mark_candidate();
        }
        if let Some(token) = view.token {
            self.page.set_token(token);
        }
        self.lease_file.publish(view);
        log_trouble(
            self.last_view.as_ref().and_then(|view| view.trouble.as_deref()),
            view.trouble.as_deref(),
        );
        self.last_view = Some(view.clone());
    }
}

impl Container {
    fn arm_deadline(&mut self, at: Duration, kill_margin: Duration) {
        self.page.set_kill_margin(kill_margin);
        self.page.set_deadline(Some(at));
        self.deadline.move_to(Some(at)).unwrap_or_else(|error| self.log.give_up(error));
    }

    /// Nothing is held yet, so that this may wait.
    fn sign_lock(&self, lease_uid: &str) {
        let signed = self.lock_file.map(|file| file.sign(&self.identity, lease_uid));
        if let Some(Err(error)) = signed {
            tracing::warn!(%error, "the agent cannot sign the pod's lock; after a crash the next container waits for the lease");
        }
    }

    fn disarm_deadline(&mut self) {
        self.deadline.move_to(None).unwrap_or_else(|error| self.log.give_up(error));
        self.page.set_deadline(None);
    }

    fn start(&mut self, start: &Start) {
        self.page.set_token(start.token);
        if let Some(started) = self.workload.start(start) {
            self.lease_file.note_start(started, start.scheduled_time);
            self.republish();
        }
    }

    fn republish(&mut self) {
        if let Some(view) = self.last_view.take() {
            self.lease_file.publish(&view);
            self.last_view = Some(view);
        }
    }
}

/// Logs a trouble with the Lease when it begins, becomes another and is over. A trouble that repeats in the
/// same way is logged once.
fn log_trouble(before: Option<&str>, now: Option<&str>) {
    match now {
        Some(trouble) if before != now => {
            tracing::warn!("the agent cannot read or write the Lease: {trouble}");
        }
        None if before.is_some() => tracing::info!("the agent can read and write the Lease again"),
        Some(_) | None => {}
    }
}

/// What the elector process is made of.
struct Setup<'a> {
    inheritance: Inheritance,
    config: &'a Config,
    candidate: Candidate,
    lock_file: Option<&'static LockFile>,
    command: Command,
    log: &'a Log,
}

/// Runs the whole life of the elector process, and returns its exit code.
pub(super) fn run<Decide>(
    inheritance: Inheritance,
    config: &Config,
    candidate: Candidate,
    lock_file: Option<&'static LockFile>,
    command: Command,
    decide: Decide,
) -> i32
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let log = match Log::begin() {
        Ok(log) => log,
        // Nothing is held yet, so there is time to explain that.
        Err(error) => return termination::explain_failed_start(&config.termination_message, &error),
    };
    inheritance.warnings.iter().for_each(|warning| log.write_line(warning));
    let candidate = Candidate { warnings: inheritance.warnings.clone(), ..candidate };
    announce(&candidate);
    let setup = Setup { inheritance, config, candidate, lock_file, command, log: &log };
    let code = live_and_explain(setup, decide).unwrap_or_else(|error| log.give_up(error));
    log.finish();
    code
}

fn announce(candidate: &Candidate) {
    let clock_source = candidate.clock_source.as_deref().unwrap_or("unknown");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity = %candidate.identity, clock_source, "singletonjob-agent starts");
}

/// Lives, and explains the end. Returns the exit code.
fn live_and_explain<Decide>(setup: Setup<'_>, decide: Decide) -> io::Result<i32>
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let (config, page, lock_file) = (setup.config, setup.inheritance.page, setup.lock_file);
    let explainer = Explainer::new(setup.log.clone(), config.termination_message.clone())?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let ending = LocalSet::new().block_on(&runtime?, live(setup, &explainer, decide))?;
    if let (Ending::Lost(_), Some(file)) = (&ending, lock_file) {
        // Nothing runs any more. If that fails, the next container takes the loss for a death.
        let _ = file.unsign();
    }
    Ok(end(config, page, &explainer, &ending))
}

async fn live<Decide>(setup: Setup<'_>, explainer: &Explainer, decide: Decide) -> io::Result<Ending>
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let Setup { inheritance, config, candidate, lock_file, command, log } = setup;
    let Inheritance { bell, listen, hold: _hold, deadline, page, .. } = inheritance;
    let (tell, facts) = unbounded_channel();
    let files = Background::start("files")?;
    let workload = Rc::new(Workload::new(command, explainer.clone(), listen, page, tell.clone()));
    let mut container = Container {
        workload: Rc::clone(&workload),
        deadline: Deadline::new(deadline).map_err(io::Error::other)?,
        lease_file: LeaseFileWriter::new(config.lease_file(), candidate.identity.clone(), files.clone()),
        page,
        identity: candidate.identity.clone(),
        lock_file,
        log: log.clone(),
        last_view: None,
    };
    monitors::remove_leftovers(config.leftovers(), &files);
    let monitors =
        Monitors { workload: &workload, page, health: Health::default(), files: &files, facts: &tell };
    let ending = tokio::select! {
        ending = decide(candidate, facts, &mut container) => Ok(ending),
        Err(error) = monitors.watch(bell, config.state_directory.clone()) => Err(error),
    };
    files.finish(LAST_LINES);
    ending
}

/// Explains the end if it is of the agent's own making, and returns the exit code.
fn end(config: &Config, page: &SharedState, explainer: &Explainer, ending: &Ending) -> i32 {
    let lease = format!("the Lease {}/{}", config.namespace, config.name);
    match ending {
        Ending::Interrupted => exit_codes::INTERRUPTED,
        Ending::InDoubt(base) => {
            page.set_doubt(*base);
            exit_codes::INTERRUPTED
        }
        Ending::Exited(exit) => {
            explainer.finish();
            exit.code()
        }
        Ending::Lost(why) => explain(explainer, exit_codes::LEASE_LOST, format!("lost {lease}: {why}")),
        Ending::Unreadable(why) => {
            explain(explainer, exit_codes::LEASE_UNREADABLE, format!("cannot read {lease}: {why}"))
        }
        Ending::Unkillable => {
            let why = "not everything could be killed: the kernel kills the rest".to_owned();
            explain(explainer, exit_codes::AGENT_FAILED, why)
        }
    }
}

fn explain(explainer: &Explainer, code: i32, why: String) -> i32 {
    explainer.explain(why);
    explainer.finish();
    code
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    /// What the log says while these are the troubles, one after the other.
    fn said(troubles: &[Option<&str>]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        let log = tracing_subscriber::fmt()
            .with_writer(file.try_clone().unwrap())
            .without_time()
            .with_target(false)
            .with_ansi(false);
        tracing::subscriber::with_default(log.finish(), || {
            troubles.windows(2).for_each(|pair| log_trouble(pair[0], pair[1]));
        });
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn a_trouble_is_logged_when_it_begins_when_it_changes_and_when_it_ends() {
        let (refused, timeout) = (Some("connection refused"), Some("no answer"));
        let expected = [
            "WARN the agent cannot read or write the Lease: connection refused",
            "WARN the agent cannot read or write the Lease: no answer",
            "INFO the agent can read and write the Lease again",
        ];
        assert_eq!(said(&[None, refused, refused, timeout, timeout, None, None]), expected);
    }
}
