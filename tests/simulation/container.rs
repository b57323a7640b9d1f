//! What an elector orders about: its kernel timer and its workload. `agent::elector` and `agent::workload` in
//! virtual time.

use std::time::Duration;

use singletonjob::lease::annotations::Exit;
use singletonjob::lease::elector::{Ending, Fact, Order, Start};

use crate::process::{News, Todo, Tree};
use crate::safety::kill_margin;
use crate::trace_event::{TraceEvent, Who};
use crate::world::{Event, Mutant, World};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl World {
    pub fn obey(&mut self, who: Who, order: Order) {
        match order {
            Order::ArmDeadline { at, kill_margin } => self.arm(who, at, kill_margin),
            Order::SignLock { lease_uid } => self.sign_lock(who, lease_uid),
            Order::DisarmDeadline => {
                if let Some(process) = self.electing(who) {
                    (process.armed, process.page.deadline) = (None, None);
                }
                self.note(TraceEvent::Disarms { who });
            }
            Order::Start(start) => self.start(who, &start),
            Order::Stop(cause) => {
                if let Some(process) = self.electing(who) {
                    process.page.cause = Some(cause);
                }
            }
            Order::Terminate => self.terminate(who),
            Order::Kill => {
                let delay = self.kill_delay(who);
                self.after(delay, Event::Dead(who));
            }
        }
    }

    fn arm(&mut self, who: Who, deadline: Duration, kill_margin: Duration) {
        let boot = self.boot_of(who);
        let Some(process) = self.electing(who) else { return };
        (process.armed, process.page.deadline, process.page.kill_margin) =
            (Some(deadline), Some(deadline), kill_margin);
        let node = process.node;
        self.queue.push(self.nodes[node].clock.when(self.now, deadline), Event::Deadline(who, deadline));
        self.note(TraceEvent::Arms { who, boot, deadline });
        if boot >= deadline {
            self.deadline(who, deadline);
        }
    }

    fn start(&mut self, who: Who, start: &Start) {
        let Some(now) = self.clock_of(who) else { return };
        let Some(process) = self.electing(who) else { return };
        process.page.token = Some(start.token);
        if now.at.elapsed_for_holder(start.since) >= start.within {
            process.todo.push_back(Todo::Hear(News::Fact(Fact::NotStarted)));
            self.coverage.not_started += 1;
            return;
        }
        process.tree = Tree::Running;
        let run = (process.candidate.job_uid.clone(), start.run);
        self.note(TraceEvent::Starts {
            who,
            boot: now.at.boot,
            token: start.token.0,
            run,
            within: start.within,
        });
    }

    fn terminate(&mut self, who: Who) {
        let exit = if self.chance.percent(30) { Exit::Code(0) } else { Exit::Signal(SIGTERM) };
        let Some(process) = self.electing(who).filter(|process| process.tree == Tree::Running) else {
            return;
        };
        if let Some(delay) = process.temper.obeys_within {
            self.after(delay, Event::WorkloadExits(who, exit));
        }
    }

    pub fn workload_exits(&mut self, who: Who, exit: Exit) {
        let Some(process) = self.processes.get_mut(&who).filter(|process| process.tree == Tree::Running)
        else {
            return;
        };
        if let Some(pause) = process.pause.filter(|pause| pause.whole) {
            self.queue.push(pause.until, Event::WorkloadExits(who, exit));
            return;
        }
        if process.temper.leaves_orphans {
            process.tree = Tree::Orphaned;
        } else {
            self.stops(who, Tree::Empty);
        }
        self.tell(who, News::Fact(Fact::WorkloadEnded(exit)));
    }

    pub fn stops(&mut self, who: Who, left: Tree) {
        let boot = self.boot_of(who);
        if let Some(process) = self.processes.get_mut(&who) {
            process.tree = left;
        }
        self.note(TraceEvent::Stops { who, boot });
    }

    /// A kill has done its work.
    pub fn dead(&mut self, who: Who) {
        let Some(process) = self.processes.get(&who) else { return };
        let (tree, hangs) = (process.tree, process.temper.hangs);
        match (tree, hangs) {
            (Tree::Unkillable, _) => return,
            (Tree::Empty, _) => {}
            (Tree::Running | Tree::Orphaned, None) => self.stops(who, Tree::Empty),
            (Tree::Running | Tree::Orphaned, Some(hangs)) => {
                self.stops(who, Tree::Unkillable);
                self.after(hangs, Event::Gone(who));
                return;
            }
        }
        if tree == Tree::Running {
            self.tell(who, News::Fact(Fact::WorkloadEnded(Exit::Signal(SIGKILL))));
        }
        self.gone(who);
    }

    pub fn gone(&mut self, who: Who) {
        if let Some(process) = self.processes.get_mut(&who) {
            process.tree = Tree::Empty;
            self.tell(who, News::Fact(Fact::TreeEmpty));
        }
    }

    /// From SIGKILL to the last instruction: mostly at once, at times as long as A2 allows.
    pub fn kill_delay(&mut self, who: Who) -> Duration {
        let Some(process) = self.processes.get(&who) else { return Duration::ZERO };
        let lease = process.last_write.as_ref().map_or(Duration::from_secs(3), |write| write.lease_duration);
        let longest = self.nodes[process.node].clock.true_duration(kill_margin(lease));
        if self.is_mutant(Mutant::SlowKernel) {
            return longest * 3;
        }
        match self.chance.number(0..=99) {
            0..=89 => self.chance.between(Duration::from_micros(100)..=Duration::from_millis(3)),
            90..=97 => self.chance.between(Duration::from_millis(3)..=longest / 5),
            _ => self.chance.between(longest / 5..=longest),
        }
    }

    pub fn end(&mut self, who: Who, ending: &Ending) {
        let word = match ending {
            Ending::Interrupted => "interrupted",
            Ending::InDoubt(base) => return self.doubts(who, *base),
            Ending::Exited(exit) if exit.is_success() => "its workload succeeded",
            Ending::Exited(_) => "its workload failed",
            Ending::Lost(_) => "it lost the Lease",
            Ending::Unreadable(_) => "it could not read the Lease",
            Ending::Unkillable => "not everything could be killed",
        };
        self.exits(who, word);
    }
}
