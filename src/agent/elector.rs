//! The elector process: decides about the Lease, and owns the workload. Everything runs on its main thread.

use std::fs;
use std::io;
use std::ops::AsyncFnOnce;
use std::process;
use std::rc::Rc;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::config::Config;
use super::fencer::Inheritance;
use super::page::Page;
use super::standing::Board;
use super::workload::Workload;
use super::{Command, senses, termination};
use crate::contract::exit_codes;
use crate::lease::deadline::Deadline;
use crate::lease::driver::Owner;
use crate::lease::elector::{Candidate, Ending, Fact, Order, Role, View};

/// What carries out the elector's orders in this container.
pub struct Container {
    workload: Rc<Workload>,
    deadline: Deadline,
    board: Board,
    page: &'static Page,
    last_view: Option<View>,
}

impl Owner for Container {
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::ArmDeadline(boot) => {
                self.page.set_deadline(Some(boot));
                self.deadline.arm(boot).unwrap_or_else(|error| give_up(&error));
            }
            Order::DisarmDeadline => {
                self.deadline.disarm().unwrap_or_else(|error| give_up(&error));
                self.page.set_deadline(None);
            }
            Order::Start(start) => {
                self.page.set_token(start.token);
                if let Some(started) = self.workload.start(&start) {
                    self.board.note_start(started, start.scheduled_time);
                    self.repost();
                }
            }
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

/// Without its deadline nothing may run: PID 1 sees this death and kills everything.
fn give_up(error: &dyn std::error::Error) -> ! {
    eprintln!("singletonjob-agent: {error}");
    process::abort()
}

/// The whole life of the elector process; its exit code.
pub(super) fn run<Decide>(inheritance: Inheritance, config: &Config, candidate: Candidate, command: Command, decide: Decide) -> i32
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => give_up(&error),
    };
    let page = inheritance.page;
    let life = live(inheritance, config, candidate, command, decide);
    match LocalSet::new().block_on(&runtime, life) {
        Ok(ending) => end(config, page, &ending),
        Err(error) => give_up(&error),
    }
}

async fn live<Decide>(
    inheritance: Inheritance,
    config: &Config,
    candidate: Candidate,
    command: Command,
    decide: Decide,
) -> io::Result<Ending>
where
    Decide: AsyncFnOnce(Candidate, UnboundedReceiver<Fact>, &mut Container) -> Ending,
{
    let Inheritance { control, listen, hold: _hold, page } = inheritance;
    let (tell, facts) = unbounded_channel();
    let workload = Workload::new(command, config.termination_message.clone(), listen, page, tell.clone());
    let workload = Rc::new(workload);
    let mut container = Container {
        workload: Rc::clone(&workload),
        deadline: Deadline::new().map_err(io::Error::other)?,
        board: Board::new(config.standing(), candidate.identity.clone()),
        page,
        last_view: None,
    };
    let mark = config.unhealthy_mark();
    // Of an earlier container of this pod.
    let _ = fs::remove_file(&mark);
    tokio::select! {
        ending = decide(candidate, facts, &mut container) => Ok(ending),
        Err(error) = senses::watch_children(&workload) => Err(error),
        Err(error) = senses::watch_control(control, &mark, &workload, &tell) => Err(error),
        never = senses::watch_lateness(&tell) => match never {},
    }
}

fn end(config: &Config, page: &Page, ending: &Ending) -> i32 {
    let (code, why) = match ending {
        Ending::Interrupted => return exit_codes::INTERRUPTED,
        Ending::InDoubt(base) => {
            page.set_doubt(*base);
            return exit_codes::INTERRUPTED;
        }
        Ending::Exited(exit) => return exit.code(),
        Ending::Lost(why) => (exit_codes::LEASE_LOST, format!("lost the Lease {}/{}: {why}", config.namespace, config.name)),
        Ending::Unreadable(why) => {
            (exit_codes::LEASE_UNREADABLE, format!("cannot read the Lease {}/{}: {why}", config.namespace, config.name))
        }
        Ending::Undead => (exit_codes::AGENT_FAILED, "not everything could be killed: the kernel kills the rest".to_owned()),
    };
    termination::explain(&config.termination_message, &why);
    code
}
