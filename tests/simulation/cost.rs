//! What an agent may cost the API server: none spins.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::safety::Verdict;
use crate::trace_event::{TraceEvent, Who};

/// Writes that need no pause before them: the takeover, the release, a repetition on what is known by now.
const WRITES_AT_ONCE: f64 = 5.0;
const READS_AT_ONCE: f64 = 8.0;
/// PID 1 has five seconds, and 200 ms between its attempts.
const LAST_WORDS: f64 = 25.0;
/// Between two reads of a candidate in trouble that was told no policy.
const UNTOLD: Duration = Duration::from_millis(500);
/// The fastest clock.
const FASTEST: f64 = 1.1;

#[derive(Default)]
pub struct Cost {
    retry_period: Duration,
    before: Duration,
    agents: BTreeMap<Who, Allowance>,
}

/// What may still be spent at once.
struct Allowance {
    since: Duration,
    writes: f64,
    reads: f64,
}

impl Cost {
    /// The `R` that agents are told from now on; some have not heard yet.
    pub fn pace(&mut self, retry_period: Duration) {
        if retry_period != self.retry_period {
            self.before = self.retry_period;
            self.retry_period = retry_period;
        }
    }

    /// A directive costs the holder of the Lease a conflict, a read and a repetition.
    pub fn directed(&mut self) {
        for allowance in self.agents.values_mut() {
            allowance.writes += 1.0;
            allowance.reads += 1.0;
        }
    }

    /// # Errors
    /// Who asks too often.
    pub fn judge(&mut self, at: Duration, event: &TraceEvent) -> Verdict {
        match event {
            TraceEvent::Sends { who, .. } => self.spend(at, *who, 1.0, 0.0),
            TraceEvent::Reads { who } => self.spend(at, *who, 0.0, 1.0),
            TraceEvent::Deletes => {
                self.directed();
                Ok(())
            }
            TraceEvent::Dies { who, .. } | TraceEvent::Doubts { who } => {
                self.agents.insert(*who, Allowance { since: at, writes: LAST_WORDS, reads: LAST_WORDS });
                Ok(())
            }
            TraceEvent::Exits { who, .. } => {
                self.agents.remove(who);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn spend(&mut self, at: Duration, who: Who, writes: f64, reads: f64) -> Verdict {
        let shortest = [self.retry_period, self.before].into_iter().filter(|period| !period.is_zero()).min();
        let half = shortest.map_or(UNTOLD, |period| period / 2);
        let allowance = self.agents.entry(who).or_insert(Allowance {
            since: at,
            writes: WRITES_AT_ONCE,
            reads: READS_AT_ONCE,
        });
        let passed = at.saturating_sub(allowance.since).as_secs_f64() * FASTEST;
        let earned = passed / half.as_secs_f64();
        allowance.since = at;
        allowance.writes = (allowance.writes + earned).min(WRITES_AT_ONCE.max(allowance.writes)) - writes;
        // An agent that has written may look what became of it.
        allowance.reads = (allowance.reads + passed / half.min(UNTOLD).as_secs_f64() + writes)
            .min(READS_AT_ONCE.max(allowance.reads))
            - reads;
        if allowance.writes < 0.0 || allowance.reads < 0.0 {
            return Err(format!("I9: agent {who} spins: more than one write or read per R/2"));
        }
        Ok(())
    }
}
