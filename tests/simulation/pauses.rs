//! Processes that stand still, and notice it afterwards.

use std::time::Duration;

use singletonjob::lease::elector::Fact;

use crate::process::{News, Pause, Todo};
use crate::trace_event::Who;
use crate::world::{Event, World};

/// How long a late wake-up counts.
const MEMORY: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(10);

impl World {
    pub fn pause(&mut self, who: Who, duration: Duration, whole: bool) {
        let Some(now) = self.clock_of(who) else { return };
        let until = self.now + duration;
        let Some(process) = self.electing(who) else { return };
        let before = process.pause.unwrap_or(Pause { until, since: now.at, whole });
        process.pause =
            Some(Pause { until: until.max(before.until), whole: whole || before.whole, ..before });
        process.well_from = process.well_from.max(until);
        self.queue.push(until, Event::Resumes(who));
    }

    /// As a pause; what is killed meanwhile does not die before its end.
    pub fn hang(&mut self, who: Who, duration: Duration) {
        self.pause(who, duration, false);
        let until = self.now + duration;
        if let Some(process) = self.electing(who) {
            process.hangs_until = process.hangs_until.max(until);
        }
    }

    pub fn hangs(&mut self, who: Who) -> bool {
        let now = self.now;
        self.electing(who).is_some_and(|process| process.hangs_until > now)
    }

    /// What was begun is done first; then the driver looks at the clock; what arrived meanwhile comes after
    /// that.
    pub fn resume(&mut self, who: Who) {
        let Some(now) = self.clock_of(who) else { return };
        let true_now = self.now;
        let Some(process) = self.electing(who) else { return };
        let Some(pause) = process.pause.take_if(|pause| pause.until <= true_now) else { return };
        let begun = process.todo.iter().take_while(|todo| matches!(todo, Todo::CarryOut(..))).count();
        process.todo.insert(begun, Todo::Hear(News::Tick));
        self.carry_on(who);
        self.was_late(who, now.at.elapsed_for_challenger(pause.since));
    }

    /// The heartbeat notices. A suspension of the machine is no lateness.
    pub fn was_late(&mut self, who: Who, late: Duration) {
        if late < STEP {
            return;
        }
        let Some(process) = self.electing(who) else { return };
        let steps = u32::try_from(late.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX);
        process.lateness = process.lateness.max(STEP * steps.saturating_add(1));
        let (lateness, node) = (process.lateness, process.node);
        let forgotten = self.now + self.nodes[node].clock.true_duration(MEMORY) + STEP;
        if let Some(process) = self.electing(who) {
            process.late_until = process.late_until.max(forgotten);
            process.well_from = process.well_from.max(forgotten);
        }
        self.queue.push(forgotten, Event::Recovers(who));
        self.tell(who, News::Fact(Fact::Lateness(lateness)));
    }

    pub fn recover(&mut self, who: Who) {
        let now = self.now;
        if let Some(process) = self.electing(who).filter(|process| process.late_until <= now) {
            process.lateness = Duration::ZERO;
            self.tell(who, News::Fact(Fact::Lateness(Duration::ZERO)));
        }
    }
}
