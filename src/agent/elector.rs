//! The elector process: decides about the Lease, and owns the workload. Everything that counts runs on its main thread, which never waits for
//! a file or a pipe: what can wait is done in the [`background`](super::background).

use std::io;
use std::ops::AsyncFnOnce;
use std::rc::Rc;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::background::Background;
use super::config::Config;
use super::deadline::Deadline;
use super::fencer::Inheritance;
use super::log::{LAST_LINES, Log};
use super::page::Page;
use super::standing::Board;
use super::termination::{self, Explainer};
use super::workload::Workload;
use super::{Command, senses};
use crate::contract::exit_codes;
use crate::lease::driver::Owner;
use crate::lease::elector::{Candidate, Ending, Fact, Order, Role, View};

/// What carries out the elector's orders in this container.
pub struct Container {
    workload: Rc<Workload>,
    deadline: Deadline,
    board: Board,
    page: &'static Page,
    log: Log,
    last_view: Option<View>,
}

impl Owner for Container {
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::ArmDeadline { at, kill_margin } => {
                self.page.set_kill_margin(kill_margin);
                self.page.set_deadline(Some(at));
                self.deadline.move_to(Some(at)).unwrap_or_else(|error| self.log.give_up(error));
            }
            Order::DisarmDeadline => {
                self.deadline.move_to(None).unwrap_or_else(|error| self.log.give_up(error));
                self.page.set_deadline(None);
            }
            Order::Start(start) => {
                self.page.set_token(start.token);
                if let Some(started) = self.workload.start(&start) {
                    self.board.note_start(started, start.scheduled_time);
                    self.repost();
                }
            }
            Order::Stop(cause) => self.page.set_cause(cause),
            Order::Terminate => self.workload.terminate(),
            Order::Kill => drop(spawn_local(self.workload.kill())),
            // The driver returns it; whoever runs the driver ends the process.
            Order::Exit(_) => {}
        }
    }

    fn publish(&mut self, view: &View) {
        if view.role != Role::Pending {
            self.page.mark_candidate();
        }
        if let Some(token) = view.token {
            self.page.set_token(token);
        }
        self.board.post(view);
        self.last_view = Some(view.clone());
    }
}

impl Container {
    fn repost(&mut self) {
        if let Some(view) = self.last_view.take() {
            self.board.post(&view);
            self.last_view = Some(view);
        }
    }
}

/// The whole life of the elector process; its exit code.
pub(super) fn run<Decide>(inheritance: Inheritance, config: &Config, candidate: Candidate, command: Command, decide: Decide) -> i32
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let log = match Log::begin() {
        Ok(log) => log,
        Err(error) => return cannot_begin(config, &error),
    };
    inheritance.warnings.iter().for_each(|warning| log.say(warning));
    let page = inheritance.page;
    let candidate = Candidate { warnings: inheritance.warnings.clone(), ..candidate };
    announce(&candidate);
    let explainer = Explainer::new(log.clone(), config.termination_message.clone());
    let runtime = Builder::new_current_thread().enable_all().build();
    let lived = explainer.and_then(|explainer| {
        let life = live(inheritance, config, candidate, command, (&log, &explainer), decide);
        let ending = LocalSet::new().block_on(&runtime?, life)?;
        Ok(end(config, page, &explainer, &ending))
    });
    let code = lived.unwrap_or_else(|error| log.give_up(error));
    log.finish();
    code
}

/// Nothing is held yet, so there is time to say so.
fn cannot_begin(config: &Config, error: &io::Error) -> i32 {
    let why = format!("starting the agent: {error}; the container's limits on processes or memory may be too low");
    termination::explain(&config.termination_message, &why);
    exit_codes::AGENT_FAILED
}

fn announce(candidate: &Candidate) {
    let clock_source = candidate.clock_source.as_deref().unwrap_or("unknown");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity = %candidate.identity, clock_source, "singletonjob-agent starts");
}

async fn live<Decide>(
    inheritance: Inheritance,
    config: &Config,
    candidate: Candidate,
    command: Command,
    (log, explainer): (&Log, &Explainer),
    decide: Decide,
) -> io::Result<Ending>
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let Inheritance { bell, listen, hold: _hold, deadline, page, .. } = inheritance;
    let (tell, facts) = unbounded_channel();
    let files = Background::start("files")?;
    let workload = Workload::new(command, explainer.clone(), listen, page, tell.clone());
    let workload = Rc::new(workload);
    let mut container = Container {
        workload: Rc::clone(&workload),
        deadline: Deadline::new(deadline).map_err(io::Error::other)?,
        board: Board::new(config.standing(), candidate.identity.clone(), files.clone()),
        page,
        log: log.clone(),
        last_view: None,
    };
    let mark = senses::Mark::new(config.unhealthy_mark(), files.clone());
    mark.forget();
    let ending = tokio::select! {
        ending = decide(candidate, facts, &mut container) => Ok(ending),
        Err(error) = senses::watch_children(&workload) => Err(error),
        Err(error) = senses::watch_control(bell, page, &mark, &workload, &tell) => Err(error),
        never = senses::watch_lateness(&tell) => match never {},
    };
    files.finish(LAST_LINES);
    ending
}

fn end(config: &Config, page: &Page, explainer: &Explainer, ending: &Ending) -> i32 {
    let (code, why) = match ending {
        Ending::Interrupted => return exit_codes::INTERRUPTED,
        Ending::InDoubt(base) => {
            page.set_doubt(*base);
            return exit_codes::INTERRUPTED;
        }
        Ending::Exited(exit) => {
            explainer.finish();
            return exit.code();
        }
        Ending::Lost(why) => (exit_codes::LEASE_LOST, format!("lost the Lease {}/{}: {why}", config.namespace, config.name)),
        Ending::Unreadable(why) => {
            (exit_codes::LEASE_UNREADABLE, format!("cannot read the Lease {}/{}: {why}", config.namespace, config.name))
        }
        Ending::Undead => (exit_codes::AGENT_FAILED, "not everything could be killed: the kernel kills the rest".to_owned()),
    };
    explainer.explain(why);
    explainer.finish();
    code
}
