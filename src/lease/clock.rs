//! The only source of time for deadlines.
//!
//! `CLOCK_MONOTONIC` (std's and tokio's `Instant`) stands still while the machine is suspended: a suspended
//! holder would believe that its lease is fresh. `CLOCK_BOOTTIME` counts on, but NTP may slew it;
//! `CLOCK_MONOTONIC_RAW` is never slewed, but stops in suspend. A holder takes the larger of the two elapsed
//! times and a challenger the smaller, so that both errors fall on the safe side.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// One reading of both clocks. Comparable only with other readings of this machine since it was booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`.
    pub boot: Duration,
    /// `CLOCK_MONOTONIC_RAW`.
    pub raw: Duration,
}

impl Moment {
    /// Time since `earlier` as a holder must count it: never too little.
    pub fn elapsed_for_holder(self, earlier: Self) -> Duration {
        self.boot.saturating_sub(earlier.boot).max(self.raw.saturating_sub(earlier.raw))
    }

    /// Time since `earlier` as a challenger must count it: never too much.
    pub fn elapsed_for_challenger(self, earlier: Self) -> Duration {
        self.boot.saturating_sub(earlier.boot).min(self.raw.saturating_sub(earlier.raw))
    }
}

/// The time of one step: durations are measured with `at`; `wall` is written down. It is compared for one
/// purpose only, which no promise rests on: how long a run has taken over several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Now {
    /// What every decision about a lease measures with.
    pub at: Moment,
    /// What `acquireTime` and `renewTime` say, to the microsecond, as Kubernetes stores them.
    pub wall: Timestamp,
}

/// Reads the machine's clocks.
///
/// # Panics
/// If the kernel lacks one of the clocks (Linux before 2.6.39): no deadline can be kept there.
pub fn now() -> Now {
    let at = Moment { boot: read(ClockId::CLOCK_BOOTTIME), raw: read(ClockId::CLOCK_MONOTONIC_RAW) };
    Now { at, wall: to_microseconds(Timestamp::now()) }
}

fn read(clock: ClockId) -> Duration {
    Duration::from(clock_gettime(clock).expect("Linux 2.6.39 and later have this clock"))
}

fn to_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).expect("coarser than a valid timestamp is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: u64, raw: u64) -> Moment {
        Moment { boot: Duration::from_secs(boot), raw: Duration::from_secs(raw) }
    }

    #[test]
    fn a_suspended_holder_counts_the_suspension_and_a_challenger_does_not() {
        let (before, after) = (at(100, 50), at(160, 51));
        assert_eq!(after.elapsed_for_holder(before), Duration::from_secs(60));
        assert_eq!(after.elapsed_for_challenger(before), Duration::from_secs(1));
    }

    #[test]
    fn the_clocks_advance_and_the_wall_clock_has_microseconds() {
        let (first, second) = (now(), now());
        assert!(second.at.boot >= first.at.boot && second.at.raw >= first.at.raw);
        assert_eq!(first.wall.subsec_nanosecond() % 1000, 0);
    }
}
