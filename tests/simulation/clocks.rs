//! The clocks of one node, as functions of true time.
//!
//! Whole numbers only: the same seed gives the same nanoseconds everywhere.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use singletonjob::lease::clock::{Moment, Now};

use crate::rng::{Rng, nanoseconds};

const MILLION: u64 = 1_000_000;
/// Any two of these are less than 1.2 : 1 apart.
pub const RATES: RangeInclusive<u64> = 920_000..=1_090_000;
/// As far as NTP slews one clock and not the other, in parts per million.
const SLEW: u64 = 500;
const HOUR: i64 = 3600;

/// Rates are in parts per million of true time.
pub struct Clock {
    since: Duration,
    then: Moment,
    boot_rate: u64,
    raw_rate: u64,
    wall_offset: SignedDuration,
    suspended: bool,
    /// As no real one does: a guest that does not know of its pause.
    stopped: bool,
}

impl Clock {
    pub fn new(rate: u64, rng: &mut Rng) -> Self {
        let raw = rng.between(Duration::from_secs(100)..=Duration::from_secs(1_000_000));
        let boot = raw + rng.between(Duration::ZERO..=Duration::from_secs(1000));
        let mut clock = Self {
            since: Duration::ZERO,
            then: Moment { boot, raw },
            boot_rate: rate,
            raw_rate: rate,
            wall_offset: SignedDuration::ZERO,
            suspended: false,
            stopped: false,
        };
        clock.jump_wall(rng);
        clock
    }

    pub fn now(&self, at: Duration) -> Now {
        let elapsed = at.saturating_sub(self.since);
        let (boot_rate, raw_rate) = self.rates();
        let at_node = Moment {
            boot: self.then.boot + scaled(elapsed, boot_rate),
            raw: self.then.raw + scaled(elapsed, raw_rate),
        };
        Now { at: at_node, wall: self.wall(at) }
    }

    fn rates(&self) -> (u64, u64) {
        match (self.stopped, self.suspended) {
            (true, _) => (0, 0),
            (false, true) => (self.boot_rate, 0),
            (false, false) => (self.boot_rate, self.raw_rate),
        }
    }

    /// To the microsecond, as the agent reads it.
    fn wall(&self, at: Duration) -> Timestamp {
        let second = Timestamp::from_second(1_800_000_000).expect("valid");
        let shown = second
            + SignedDuration::from_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
            + self.wall_offset;
        Timestamp::from_microsecond(shown.as_microsecond()).expect("valid")
    }

    /// The true time at which CLOCK_BOOTTIME will show `boot`, going on as it goes.
    pub fn when(&self, at: Duration, boot: Duration) -> Duration {
        let left = boot.saturating_sub(self.now(at).at.boot);
        at + self.true_duration(left)
    }

    /// How long `local` really is; never too short.
    pub fn true_duration(&self, local: Duration) -> Duration {
        let nanoseconds = u128::from(nanoseconds(local)) * u128::from(MILLION);
        Duration::from_nanos(
            u64::try_from(nanoseconds.div_ceil(u128::from(self.boot_rate))).unwrap_or(u64::MAX),
        )
    }

    pub fn set_rate(&mut self, at: Duration, rng: &mut Rng, rates: RangeInclusive<u64>) {
        self.settle(at);
        let rate = rng.number(rates.clone());
        self.raw_rate = rate;
        let slewed = rng.number(rate - rate * SLEW / MILLION..=rate + rate * SLEW / MILLION);
        self.boot_rate = slewed.clamp(*rates.start(), *rates.end());
    }

    pub fn suspend(&mut self, at: Duration, suspended: bool) {
        self.settle(at);
        self.suspended = suspended;
    }

    pub fn stop(&mut self, at: Duration, stopped: bool) {
        self.settle(at);
        self.stopped = stopped;
    }

    pub fn jump_wall(&mut self, rng: &mut Rng) {
        let microseconds = i64::try_from(rng.number(0..=20 * 3600 * MILLION)).unwrap_or(0);
        self.wall_offset = SignedDuration::from_micros(microseconds) - SignedDuration::from_secs(10 * HOUR);
    }

    fn settle(&mut self, at: Duration) {
        self.then = self.now(at).at;
        self.since = at;
    }
}

fn scaled(elapsed: Duration, rate: u64) -> Duration {
    let nanoseconds = u128::from(nanoseconds(elapsed)) * u128::from(rate) / u128::from(MILLION);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
