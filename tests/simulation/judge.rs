//! Everything that is claimed, in one place, and the trace of what was seen.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::cost::Cost;
use crate::limits::Limits;
use crate::safety::{Safety, Verdict};
use crate::trace_event::TraceEvent;

/// As much as a person can read.
const REMEMBERED: usize = 150;

pub struct Judge {
    pub verdict: Verdict,
    /// Outside of every promise nothing is judged, only seen.
    suspended: bool,
    pub safety: Safety,
    limits: Limits,
    pub cost: Cost,
    pub trace: Trace,
}

impl Judge {
    pub fn new() -> Self {
        let (safety, limits, cost) = (Safety::default(), Limits::default(), Cost::default());
        Self { verdict: Ok(()), suspended: false, safety, limits, cost, trace: Trace::new() }
    }

    /// The first claim that does not hold is the verdict.
    pub fn note(&mut self, at: Duration, event: TraceEvent) {
        if self.verdict.is_err() {
            return;
        }
        let verdict =
            self.safety.judge(&event).and(self.limits.judge(&event)).and(self.cost.judge(at, &event));
        self.trace.note(at, event);
        if let Err(why) = verdict {
            self.fail(why);
        }
    }

    pub fn suspend(&mut self, suspended: bool) {
        self.suspended = suspended;
        self.safety.forgive();
    }

    pub fn fail(&mut self, why: impl Into<String>) {
        if self.verdict.is_ok() && !self.suspended {
            self.verdict = Err(why.into());
        }
    }
}

/// What happened, as a hash of all of it and in words for the last of it.
pub struct Trace {
    hasher: DefaultHasher,
    last: VecDeque<(Duration, TraceEvent)>,
}

impl Trace {
    fn new() -> Self {
        Self { hasher: DefaultHasher::new(), last: VecDeque::new() }
    }

    fn note(&mut self, at: Duration, event: TraceEvent) {
        (at, &event).hash(&mut self.hasher);
        self.last.push_back((at, event));
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
    }

    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The end of it, in words.
    pub fn describe(&self, why: &str) -> String {
        let told: Vec<_> =
            self.last.iter().map(|(at, event)| format!("{:>12.6} s  {event}", at.as_secs_f64())).collect();
        format!("{}\n{why}", told.join("\n"))
    }
}
