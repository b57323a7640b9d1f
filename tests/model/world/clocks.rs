//! What the clocks of two nodes may do to each other.

use std::time::Duration;

use jiff::Timestamp;

use super::lease::clock::{Moment, Now};

/// How long after its deadline a workload may still run: K of the shortest leases.
pub const KILL_MARGIN: Duration = Duration::from_millis(500);

const BOOTED: Duration = Duration::from_secs(1000);

/// How the clocks of the first node, which holds, differ from those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// Not at all.
    Equal,
    /// It is slower by as much as is allowed.
    Drifting,
    /// It is slower by more than is allowed.
    Wild,
    /// It is a machine that sleeps a quarter of the time: CLOCK_MONOTONIC_RAW stands still then.
    Sleeping,
    /// It is right, and CLOCK_BOOTTIME of the others is slewed to run twice as fast.
    Slewed,
    /// Its time of day is set back whenever it has advanced.
    StandingStill,
    /// The others' time of day is an hour ahead.
    Ahead,
    /// The others' time of day is a second behind: what they write now, the first has written already.
    Behind,
}

impl Clocks {
    /// What candidate `number` reads when so much has passed on the fastest of all right clocks.
    pub fn now(self, number: usize, passed: Duration) -> Now {
        let first = number == 0;
        let (boot, raw) = match self {
            Self::Drifting if first => (passed * 5 / 6, passed * 5 / 6),
            Self::Wild if first => (passed * 2 / 3, passed * 2 / 3),
            Self::Sleeping if first => (passed, passed * 3 / 4),
            Self::Slewed if !first => (passed * 2, passed),
            _ => (passed, passed),
        };
        let day = match self {
            Self::StandingStill if first => Duration::ZERO,
            Self::Ahead if !first => passed + Duration::from_secs(3600),
            _ => passed,
        };
        let behind = if self == Self::Behind && !first { Duration::from_secs(1) } else { Duration::ZERO };
        let wall = Timestamp::from_second(1_700_000_000).expect("valid") + day - behind;
        Now { at: Moment { boot: BOOTED + boot, raw: BOOTED + raw }, wall }
    }
}
