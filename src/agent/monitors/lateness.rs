//! Measures how late the elector process wakes up. The elector stops a workload earlier for that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::lease::clock::{self, Moment};
use crate::lease::elector::Fact;

const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long a late wake-up counts.
const WINDOW: Duration = Duration::from_secs(60);
const FINEST_STEP: Duration = Duration::from_millis(10);

/// Tells the elector how late this process wakes up, whenever that changes.
pub(super) async fn watch(facts: &UnboundedSender<Fact>) -> Infallible {
    let mut lateness = Lateness::default();
    let mut told = Duration::ZERO;
    loop {
        let before = clock::now().at;
        sleep(HEARTBEAT).await;
        let now = clock::now().at;
        let worst = lateness.add(now.boot, late(before, now));
        if worst != told {
            told = worst;
            let _ = facts.send(Fact::Lateness(worst));
        }
    }
}

/// How late a sleep of one heartbeat ended that began at `before`.
///
/// A suspension of the machine is no lateness: the sleep and CLOCK_MONOTONIC_RAW stood still, and
/// CLOCK_BOOTTIME went on. What counts is the time that the machine was awake. Slewing makes a difference
/// between the two as well, of at most 0.05 %.
fn late(before: Moment, now: Moment) -> Duration {
    now.elapsed_for_challenger(before).saturating_sub(HEARTBEAT)
}

/// The worst lateness of the last minute, in steps coarse enough to change seldom.
#[derive(Debug, Default)]
struct Lateness {
    /// When each was measured, and how late it was. The lateness falls, because what came before something
    /// worse no longer matters.
    worst: VecDeque<(Duration, Duration)>,
}

impl Lateness {
    fn add(&mut self, now: Duration, late: Duration) -> Duration {
        let steps = u32::try_from(late.as_nanos() / FINEST_STEP.as_nanos()).unwrap_or(u32::MAX);
        let late =
            if steps == 0 { Duration::ZERO } else { FINEST_STEP.saturating_mul(steps.saturating_add(1)) };
        self.worst.retain(|(at, earlier)| now.saturating_sub(*at) < WINDOW && *earlier > late);
        self.worst.push_back((now, late));
        self.worst.front().map_or(late, |(_, worst)| *worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_suspension_of_the_machine_is_no_lateness_but_what_is_on_top_is() {
        let began = Moment { boot: seconds(5000), raw: seconds(2000) };
        let ended = |boot, raw| Moment { boot: began.boot + millis(boot), raw: began.raw + millis(raw) };
        let table = [
            ("in time", ended(250, 250), 0),
            ("late", ended(1_250, 1_250), 1_000),
            ("suspended for an hour", ended(3_600_250, 250), 0),
            ("suspended, and late when it was awake", ended(3_600_950, 950), 700),
            ("slewed", ended(1_250, 1_249), 999),
            ("sooner than asked for", ended(249, 249), 0),
        ];
        for (case, now, expected) in table {
            assert_eq!(late(began, now), millis(expected), "{case}");
        }
    }

    #[test]
    fn a_late_wake_up_counts_for_a_minute_and_never_less_than_it_was() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.add(seconds(0), millis(1)), Duration::ZERO);
        assert_eq!(lateness.add(seconds(1), millis(123)), millis(130));
        assert_eq!(lateness.add(seconds(30), millis(45)), millis(130));
        assert_eq!(lateness.add(seconds(60), millis(2)), millis(130));
        assert_eq!(lateness.add(seconds(61), millis(2)), millis(50));
        assert_eq!(lateness.add(seconds(91), millis(2)), Duration::ZERO);
    }
}
