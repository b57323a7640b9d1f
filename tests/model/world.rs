//! Some candidates, their Lease, and everything that can happen to them, one step at a time.
//!
//! A lazy candidate need not act: a process that is not scheduled, an answer that does not arrive and a watch
//! that says nothing are orders of events like any other; only its kernel is on time. All others do what is
//! due before time goes on, in a fixed order. Where no candidate is lazy it can be said that something must
//! happen; where all are, the search sees every order there is.

mod action;
mod api;
mod clocks;
mod fault;
mod oracle;
mod process;
mod state;

use std::time::Duration;

use stateright::{Model, Property};

use super::lease;
pub use action::Action;
pub use clocks::Clocks;
pub use fault::{BrokenAssumption, Fault};
use lease::annotations::{CompletionPolicy, FailurePolicy, Policy, UnreachableHolder};
use lease::clock::Now;
pub use oracle::Claim;
pub use state::State;

/// The bounds within which everything is tried.
#[derive(Clone, Debug)]
pub struct World {
    pub name: &'static str,
    pub agents: usize,
    /// Whether all candidates are containers of one pod.
    pub one_pod: bool,
    /// With half a second and a lease of 3 s, D is 4 ticks, K is 1 tick, and a challenger waits 6.
    pub tick: Duration,
    pub horizon: u32,
    /// What may go wrong, each once ...
    pub faults: Vec<Fault>,
    /// ... and so many of them in one trace.
    pub at_most: usize,
    pub clocks: Clocks,
    pub policy: Policy,
    /// From SIGTERM to SIGKILL when asked to stop.
    pub stop_grace: Duration,
    /// Who need not act: not the process, nor its connection, nor those who serve it.
    pub lazy: Vec<usize>,
    /// Whose first process does nothing more than be killed.
    pub paused: Option<usize>,
    /// Whether each pod has a lock, which a process takes when it starts, if the kernel has freed it.
    pub pod_locks: bool,
    /// Whether PID 1 releases in the name of a dead elector.
    pub last_words: bool,
    /// For so many ticks nothing may be running.
    pub patience: Option<u32>,
    pub broken_assumption: BrokenAssumption,
}

/// A lease of so many seconds, without time for a graceful stop.
pub fn policy(lease_duration_seconds: u32) -> Policy {
    Policy {
        lease_duration_seconds,
        renew_deadline_milliseconds: if lease_duration_seconds == 3 { 2000 } else { 3600 },
        grace_period_milliseconds: 0,
        retry_period_milliseconds: 600,
        completion_policy: CompletionPolicy::Never,
        backoff_limit: 3,
        candidates: 2,
        failure_policy: FailurePolicy::default(),
        active_deadline_seconds: None,
        token_floor: None,
        unreachable_holder: UnreachableHolder::AfterLeaseExpiry,
        delay_seconds: 0,
    }
}

impl World {
    fn is_prompt(&self) -> bool {
        self.lazy.is_empty()
    }

    fn now(&self, state: &State, number: usize) -> Now {
        self.at(state.tick, number)
    }

    fn at(&self, tick: u32, number: usize) -> Now {
        self.clocks.now(number, self.tick * tick)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.beginning()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_none() {
            self.what_can_happen(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.happen(&mut state, action)?;
        if state.running() > 1 {
            state.broke(Claim::AtMostOneRuns);
        }
        if state == *last && matches!(action, Action::Wake(_)) {
            state.broke(Claim::NoneSpins);
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(BROKEN, |_, state: &State| state.broken.is_none())]
    }
}

/// The elector broke what is claimed of it; the state says what.
pub const BROKEN: &str = "every claim holds";
