//! Decides what becomes of ticks: a run, a wait, or nothing.
//!
//! If several ticks have passed, only the latest may still run, and all others are missed. A tick that finds
//! another run going on is missed too, unless `concurrencyPolicy` lets it replace the run or wait.

use std::time::Duration;

use jiff::Timestamp;

use super::super::run_plan::{MissReason, MissedTicks};
use super::super::runs::Closed;
use super::super::time::seconds;
use super::state::{RunPhase, ScheduleState};
use crate::api::checks::calendar::{Calendar, Due, MOMENT};
use crate::api::schedule::{ConcurrencyPolicy, Schedule};

/// What becomes of the latest tick that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TickDecision {
    Run,
    Wait,
    Miss(MissReason),
}

/// Decides about ticks and runs, one step after the other.
#[derive(Clone, Debug)]
pub struct TickPlanner<'a> {
    schedule: &'a Schedule,
    /// What is known, and what follows from the decisions so far.
    pub state: ScheduleState,
    /// Ticks that these decisions miss.
    pub missed: Option<MissedTicks>,
    /// The tick that waits for the end of another run.
    waits: Option<Timestamp>,
    /// When the decisions are made, on the clock of the ticks.
    pub now: Timestamp,
}

impl TickDecision {
    /// Why the ticks before that one are missed.
    fn passes_by(self) -> MissReason {
        match self {
            Self::Wait => MissReason::Overtaken,
            Self::Run | Self::Miss(_) => MissReason::Passed,
        }
    }
}

impl<'a> TickPlanner<'a> {
    /// Begins with nothing decided.
    pub fn new(schedule: &'a Schedule, state: ScheduleState, now: Timestamp) -> Self {
        Self { schedule, state, missed: None, waits: None, now }
    }

    /// Lets ticks pass unheeded, or heeds them again. The controller does not make up for ticks that passed
    /// meanwhile. Only one that may still start does.
    pub fn set_paused(&mut self, calendar: &Calendar, paused: bool) {
        if self.state.ticks.paused && !paused {
            let deadline = self.starting_deadline();
            let from = deadline.and_then(|deadline| self.now.checked_sub(deadline).ok()).unwrap_or(self.now);
            let late = calendar.due(from, self.now).latest.and_then(|tick| tick.checked_sub(MOMENT).ok());
            self.state.ticks.settled = self.state.ticks.settled.max(late.unwrap_or(self.now));
        }
        self.state.ticks.paused = paused;
    }

    /// Closes a run that no candidate could start in time.
    pub fn close_unstarted(&mut self) {
        if self.state.goes_on() && self.state.left == Some(Duration::ZERO) {
            self.close(Closed::DeadlineExceeded);
            self.state.untold = true;
        }
        let late = self
            .state
            .scheduled_time
            .filter(|tick| self.state.phase == RunPhase::Unstarted && self.is_late(*tick));
        if let Some(tick) = late {
            self.close(Closed::Missed);
            self.miss_one(tick, MissReason::Unstarted);
        }
    }

    fn close(&mut self, closed: Closed) {
        self.state.phase = RunPhase::Over;
        self.state.closed = Some(closed);
    }

    /// Decides about every tick that has passed: it becomes a run, waits, or is missed.
    pub fn take_due(&mut self, calendar: &Calendar) {
        if self.state.ticks.paused || self.state.untold {
            return;
        }
        let Due { latest, previous, earlier, more } = calendar.due(self.state.ticks.settled, self.now);
        let Some(tick) = latest else { return };
        let decision = self.decide(tick);
        if let Some(last) = previous {
            self.miss(MissedTicks { count: earlier, more, last, reason: decision.passes_by() });
        }
        self.execute(decision, tick);
        self.settle(decision, tick, previous.is_some());
    }

    fn execute(&mut self, decision: TickDecision, tick: Timestamp) {
        match decision {
            TickDecision::Run => {
                self.begin(Some(tick));
                self.state.ticks.last = Some(tick);
            }
            TickDecision::Wait => self.waits = Some(tick),
            TickDecision::Miss(reason) => self.miss_one(tick, reason),
        }
    }

    /// Remembers up to which moment nothing is left to decide. A tick that waits is decided about again.
    fn settle(&mut self, decision: TickDecision, tick: Timestamp, has_previous: bool) {
        match decision {
            TickDecision::Wait if has_previous => {
                self.state.ticks.settled = tick.checked_sub(MOMENT).unwrap_or(tick);
            }
            TickDecision::Wait => {}
            TickDecision::Run | TickDecision::Miss(_) => self.state.ticks.settled = tick,
        }
    }

    fn decide(&self, tick: Timestamp) -> TickDecision {
        match (self.state.goes_on(), self.schedule.concurrency_policy) {
            (true, ConcurrencyPolicy::Forbid) if self.state.phase == RunPhase::Unstarted => {
                TickDecision::Miss(MissReason::Waiting(self.state.number))
            }
            (true, ConcurrencyPolicy::Forbid) => TickDecision::Miss(MissReason::Busy(self.state.number)),
            _ if self.is_late(tick) => TickDecision::Miss(MissReason::Late),
            (true, ConcurrencyPolicy::Enqueue) => TickDecision::Wait,
            (true, ConcurrencyPolicy::Replace) | (false, _) => TickDecision::Run,
        }
    }

    /// Wants the next run, instead of one that may be going on. The holder of that one stops, and no
    /// candidate starts before it gives the Lease back.
    pub fn begin(&mut self, tick: Option<Timestamp>) {
        if let (Some(overtaken), RunPhase::Unstarted) = (self.state.scheduled_time, self.state.phase) {
            self.miss_one(overtaken, MissReason::Overtaken);
        }
        self.state.number = self.state.number.saturating_add(1);
        self.state.scheduled_time = tick;
        self.state.phase = RunPhase::Unstarted;
        self.state.closed = None;
    }

    fn miss_one(&mut self, tick: Timestamp, reason: MissReason) {
        self.miss(MissedTicks { count: 1, more: false, last: tick, reason });
    }

    fn miss(&mut self, ticks: MissedTicks) {
        self.state.ticks.missed = self.state.ticks.missed.saturating_add(ticks.count);
        self.missed = Some(self.missed.take().map_or(ticks, |before| before.and(ticks)));
    }

    /// What the controller does about a run that is wanted while another goes on.
    pub fn concurrency_policy(&self) -> ConcurrencyPolicy {
        self.schedule.concurrency_policy
    }

    /// The first moment at which a tick that waits, or whose run waits, may not start any more. `None` if
    /// nothing waits, or if it may always start.
    pub fn too_late(&self) -> Option<Timestamp> {
        let unstarted =
            if self.state.phase == RunPhase::Unstarted { self.state.scheduled_time } else { None };
        let first = [self.waits, unstarted].into_iter().flatten().min()?;
        first.checked_add(self.starting_deadline()? + MOMENT).ok()
    }

    fn is_late(&self, tick: Timestamp) -> bool {
        let deadline = self.starting_deadline().and_then(|deadline| tick.checked_add(deadline).ok());
        deadline.is_some_and(|deadline| deadline < self.now)
    }

    /// How long after its tick a run may still start. `None` if it may always.
    fn starting_deadline(&self) -> Option<Duration> {
        self.schedule.starting_deadline_seconds.map(seconds)
    }
}
