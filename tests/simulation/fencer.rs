//! How electors die, and what PID 1 does then. `agent::fencer` in virtual time.

use std::time::Duration;

use singletonjob::lease::identity::Version;

use crate::process::{Stage, Tree};
use crate::trace_event::{TraceEvent, Who};
use crate::world::{Event, Mutant, World};

/// As PID 1 does.
const LAST_WORDS: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(10);

impl World {
    /// The kernel's timers fire. An elector that hangs does not die of its own; PID 1, which waits for the
    /// other, kills without it.
    pub fn deadline(&mut self, who: Who, armed: Duration) {
        let boot = self.boot_of(who);
        let Some(process) = self.electing(who).filter(|process| process.armed == Some(armed)) else { return };
        let (node, hangs_until) = (process.node, process.hangs_until);
        if hangs_until > self.now && self.is_mutant(Mutant::DeadlineOfTheElectorAlone) {
            return self.queue.push(hangs_until, Event::Deadline(who, armed));
        }
        if boot < armed {
            self.queue.push(self.nodes[node].clock.when(self.now, armed), Event::Deadline(who, armed));
        } else if !self.nodes[node].suspended && !self.is_mutant(Mutant::NoKernelTimer) {
            self.elector_dies(who, true);
        }
    }

    /// Its death kills the workload, and wakes PID 1.
    pub fn elector_dies(&mut self, who: Who, overdue: bool) {
        let delay = self.kill_delay(who);
        let now = self.now;
        let Some(process) = self.electing(who) else { return };
        process.forget();
        process.stage = Stage::Fencing;
        let frozen = process
            .pause
            .filter(|pause| pause.whole)
            .map_or(Duration::ZERO, |pause| pause.until.saturating_sub(now));
        let tree_after = if process.tree == Tree::Empty {
            Duration::ZERO
        } else {
            delay + process.temper.hangs.unwrap_or_default()
        };
        let empty_after = tree_after.max(process.hangs_until.saturating_sub(now));
        let patience = process.page.patience();
        self.streams.remove(&who);
        self.note(TraceEvent::Dies { who, overdue });
        self.after(delay, Event::Dead(who));
        if empty_after <= frozen + patience {
            self.after(empty_after.max(frozen), Event::Fenced(who));
        } else {
            self.after((frozen + patience).max(delay), Event::Evicted(who));
        }
    }

    pub fn fenced(&mut self, who: Who) {
        self.dead(who);
        let boot = self.boot_of(who);
        let Some(process) = self.processes.get_mut(&who).filter(|process| process.stage == Stage::Fencing)
        else {
            return;
        };
        if !process.page.was_candidate {
            return self.destroy(who, "its elector died before it was a candidate");
        }
        process.stage = Stage::Speaking;
        process.last_words_until = boot + LAST_WORDS;
        let longest = self.nodes[process.node].clock.true_duration(LAST_WORDS);
        self.after(longest + MOMENT, Event::LastWords(who));
        self.last_words(who);
    }

    /// The elector ends and does not know whether it holds the Lease: nothing runs, and PID 1 has the last
    /// word.
    pub fn doubts(&mut self, who: Who, base: Version) {
        let Some(process) = self.electing(who) else { return };
        process.forget();
        process.page.in_doubt = Some(base);
        process.stage = Stage::Fencing;
        self.streams.remove(&who);
        self.note(TraceEvent::Doubts { who });
        self.fenced(who);
    }

    /// From outside, PID 1 included: no process says any last words.
    pub fn destroy(&mut self, who: Who, how: &'static str) {
        if self
            .processes
            .get(&who)
            .is_some_and(|process| matches!(process.tree, Tree::Running | Tree::Orphaned))
        {
            self.stops(who, Tree::Empty);
        }
        self.exits(who, how);
    }

    pub fn exits(&mut self, who: Who, ending: &'static str) {
        self.streams.remove(&who);
        if let Some(process) = self.processes.remove(&who) {
            self.free_lock(&process);
            self.note(TraceEvent::Exits { who, ending });
            self.container_ended(&process);
        }
    }
}
