//! Decides what becomes of ticks: a run, a wait, or nothing.
//!
//! If several ticks have passed, only the latest may still run, and all others are missed. A tick that finds
//! another run going on is missed too, unless `concurrencyPolicy` lets it replace the run or wait.

use std::time::Duration;

use jiff::Timestamp;

use super::super::run_plan::{MissReason, MissedTicks};
use super::super::runs::Closed;
use super::super::time::seconds;
use super::calendar::{Calendar, Due, MOMENT};
use super::state::{ScheduleState, Stage};
use crate::api::schedule::{ConcurrencyPolicy, Schedule};

/// What becomes of the latest tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TickDecision {
    Run,
    Wait,
    Miss(MissReason),
}

/// A decision under way.
#[derive(Clone, Debug)]
pub struct Course<'a> {
    schedule: &'a Schedule,
    /// What is known, and what follows from it so far.
    pub state: ScheduleState,
    /// Ticks that are missed by this decision.
    pub missed: Option<MissedTicks>,
    waits: Option<Timestamp>,
    /// When it is made.
    pub now: Timestamp,
}

impl<'a> Course<'a> {
    /// Nothing is decided yet.
    pub fn new(schedule: &'a Schedule, state: ScheduleState, now: Timestamp) -> Self {
        Self { schedule, state, missed: None, waits: None, now }
    }

    /// Lets ticks pass unheeded, or heeds them again. Those that passed meanwhile are not made up for; only
    /// one that may still start does.
    pub fn pause(&mut self, calendar: &Calendar, paused: bool) {
        if self.state.ticks.paused && !paused {
            let from =
                self.patience().and_then(|patience| self.now.checked_sub(patience).ok()).unwrap_or(self.now);
            let late = calendar.due(from, self.now).latest.and_then(|tick| tick.checked_sub(MOMENT).ok());
            self.state.ticks.settled = self.state.ticks.settled.max(late.unwrap_or(self.now));
        }
        self.state.ticks.paused = paused;
    }

    /// A run that no candidate could start in time is not started any more.
    pub fn give_up(&mut self) {
        if self.state.goes_on() && self.state.left == Some(Duration::ZERO) {
            self.close(Closed::DeadlineExceeded);
            self.state.untold = true;
        }
        let late = self
            .state
            .scheduled_time
            .filter(|tick| self.state.stage == Stage::Unstarted && self.is_late(*tick));
        if let Some(tick) = late {
            self.close(Closed::Missed);
            self.miss(1, false, tick, MissReason::Unstarted);
        }
    }

    fn close(&mut self, closed: Closed) {
        self.state.stage = Stage::Over;
        self.state.closed = Some(closed);
    }

    /// Something becomes of every tick that has passed, unless it waits.
    pub fn heed(&mut self, calendar: &Calendar) {
        if self.state.ticks.paused || self.state.untold {
            return;
        }
        let Due { latest, previous, earlier, more } = calendar.due(self.state.ticks.settled, self.now);
        let Some(tick) = latest else { return };
        let decision = self.decide(tick);
        if let Some(previous) = previous {
            self.miss(
                earlier,
                more,
                previous,
                if decision == TickDecision::Wait { MissReason::Overtaken } else { MissReason::Passed },
            );
        }
        match decision {
            TickDecision::Run => {
                self.begin(Some(tick));
                self.state.ticks.last = Some(tick);
            }
            TickDecision::Wait => self.waits = Some(tick),
            TickDecision::Miss(reason) => self.miss(1, false, tick, reason),
        }
        match (decision, previous) {
            (TickDecision::Wait, None) => {}
            (TickDecision::Wait, Some(_)) => {
                self.state.ticks.settled = tick.checked_sub(MOMENT).unwrap_or(tick);
            }
            (TickDecision::Run | TickDecision::Miss(_), _) => self.state.ticks.settled = tick,
        }
    }

    fn decide(&self, tick: Timestamp) -> TickDecision {
        match (self.state.goes_on(), self.schedule.concurrency_policy) {
            (true, ConcurrencyPolicy::Forbid) if self.state.stage == Stage::Unstarted => {
                TickDecision::Miss(MissReason::Waiting(self.state.number))
            }
            (true, ConcurrencyPolicy::Forbid) => TickDecision::Miss(MissReason::Busy(self.state.number)),
            _ if self.is_late(tick) => TickDecision::Miss(MissReason::Late),
            (true, ConcurrencyPolicy::Enqueue) => TickDecision::Wait,
            (true, ConcurrencyPolicy::Replace) | (false, _) => TickDecision::Run,
        }
    }

    /// Wants the next run, instead of one that may be going on: its holder stops, and no candidate starts
    /// before the Lease is given back.
    pub fn begin(&mut self, tick: Option<Timestamp>) {
        if let (Some(overtaken), Stage::Unstarted) = (self.state.scheduled_time, self.state.stage) {
            self.miss(1, false, overtaken, MissReason::Overtaken);
        }
        self.state.number = self.state.number.saturating_add(1);
        self.state.scheduled_time = tick;
        self.state.stage = Stage::Unstarted;
        self.state.closed = None;
    }

    fn miss(&mut self, count: u64, more: bool, last: Timestamp, reason: MissReason) {
        self.state.ticks.missed = self.state.ticks.missed.saturating_add(count);
        let before = self.missed.take();
        self.missed = Some(match before {
            Some(before) if before.last > last => {
                MissedTicks { count: before.count + count, more: before.more || more, ..before }
            }
            Some(before) => {
                MissedTicks { count: before.count + count, more: before.more || more, last, reason }
            }
            None => MissedTicks { count, more, last, reason },
        });
    }

    /// What a run does to another that is asked for.
    pub fn concurrency_policy(&self) -> ConcurrencyPolicy {
        self.schedule.concurrency_policy
    }

    /// From when on a tick that waits, or whose run does, may not start any more.
    pub fn too_late(&self) -> Option<Timestamp> {
        let unstarted = if self.state.stage == Stage::Unstarted { self.state.scheduled_time } else { None };
        let first = [self.waits, unstarted].into_iter().flatten().min()?;
        first.checked_add(self.patience()? + MOMENT).ok()
    }

    fn is_late(&self, tick: Timestamp) -> bool {
        self.patience().is_some_and(|patience| tick.checked_add(patience).is_ok_and(|last| last < self.now))
    }

    fn patience(&self) -> Option<Duration> {
        self.schedule.starting_deadline_seconds.map(seconds)
    }
}
