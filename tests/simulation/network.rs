//! The way between one node and the API server.

use std::time::Duration;

use crate::rng::Rng;

/// What TCP does with what was on its way when a cut heals.
const RETRANSMITTED_WITHIN: u64 = 3_000;
/// One way, on a network that is well.
pub const LONGEST_HOP: Duration = Duration::from_millis(8);
const SLOWEST: u64 = 9_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Requests,
    Answers,
}

/// Both ways may be blocked on their own, until a moment of true time.
#[derive(Default)]
pub struct Link {
    requests_blocked: Duration,
    answers_blocked: Duration,
    slow: Duration,
}

impl Link {
    pub fn block(&mut self, direction: Direction, until: Duration) {
        let blocked = match direction {
            Direction::Requests => &mut self.requests_blocked,
            Direction::Answers => &mut self.answers_blocked,
        };
        *blocked = until.max(*blocked);
    }

    pub fn slow_down(&mut self, until: Duration) {
        self.slow = until.max(self.slow);
    }

    pub fn well_from(&self) -> Duration {
        self.requests_blocked.max(self.answers_blocked).max(self.slow)
    }

    /// How long a message is on its way that leaves now; none where it never arrives.
    pub fn passage(&self, now: Duration, direction: Direction, rng: &mut Rng) -> Option<Duration> {
        let blocked = match direction {
            Direction::Requests => self.requests_blocked,
            Direction::Answers => self.answers_blocked,
        };
        if now < blocked {
            return rng.percent(50).then(|| blocked - now + rng.millis(0..=RETRANSMITTED_WITHIN));
        }
        if now < self.slow && rng.percent(60) {
            return Some(rng.millis(5..=SLOWEST));
        }
        Some(rng.between(Duration::from_micros(200)..=LONGEST_HOP))
    }
}
