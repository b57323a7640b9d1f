//! What the elector process notices by itself: the end of its child, signals that PID 1 passes on, and its own lateness.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::eventfd::EventFd;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::background::Background;
use super::page::Page;
use super::sys;
use super::workload::Workload;
use crate::lease::clock::{self, Moment};
use crate::lease::elector::Fact;

const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long a late wake-up counts.
const MEMORY: Duration = Duration::from_secs(60);
const FINEST_STEP: Duration = Duration::from_millis(10);

/// Collects the workload's first process whenever a child ends. Returns only with an error.
///
/// # Errors
/// Where the kernel refuses a signalfd.
pub(super) async fn watch_children(workload: &Workload) -> io::Result<Infallible> {
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let signals = sys::await_signals(signals)?;
    loop {
        let mut ready = signals.readable().await?;
        while let Ok(Some(_)) = ready.get_inner().read_signal() {}
        ready.clear_ready();
        workload.collect();
    }
}

/// The file that exists while the last liveness probe has failed.
pub(super) struct Mark {
    path: PathBuf,
    background: Background,
}

impl Mark {
    pub(super) fn new(path: PathBuf, background: Background) -> Self {
        Self { path, background }
    }

    /// Removes what an earlier container of this pod has left.
    pub(super) fn forget(&self) {
        let path = self.path.clone();
        self.background.give(move || drop(fs::remove_file(path)));
    }

    /// Tells, some time, if the liveness probe has failed.
    fn look(&self, facts: &UnboundedSender<Fact>) {
        let (path, facts) = (self.path.clone(), facts.clone());
        let look = move || {
            if path.exists() {
                // Nobody listens any more once the end is decided.
                let _ = facts.send(Fact::Unhealthy);
            }
        };
        self.background.give(look);
    }
}

/// Turns signals from outside into a drain, and tells if the liveness probe has failed. Returns only with an error.
///
/// # Errors
/// Where the kernel refuses to wait for PID 1's bell.
pub(super) async fn watch_control(
    bell: EventFd,
    page: &Page,
    mark: &Mark,
    workload: &Workload,
    facts: &UnboundedSender<Fact>,
) -> io::Result<Infallible> {
    let bell = sys::await_bell(bell)?;
    loop {
        let mut rung = bell.readable().await?;
        // Not to ring again for what is taken now.
        let _ = rung.get_inner().read();
        rung.clear_ready();
        if let Some(signal) = page.take_signal() {
            workload.set_stop_signal(signal);
            mark.look(facts);
            let _ = facts.send(Fact::Drain);
        }
    }
}

/// Measures how late this process wakes up, and tells it whenever it changes.
pub(super) async fn watch_lateness(facts: &UnboundedSender<Fact>) -> Infallible {
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
/// A suspension of the machine is no lateness: the sleep and CLOCK_MONOTONIC_RAW stood still, and CLOCK_BOOTTIME went on. What counts is the time
/// that the machine was awake. Slewing makes a difference between the two as well, of at most 0.05 %.
fn late(before: Moment, now: Moment) -> Duration {
    now.elapsed_for_challenger(before).saturating_sub(HEARTBEAT)
}

/// The worst lateness of the last minute, in steps coarse enough to change seldom.
#[derive(Debug, Default)]
struct Lateness {
    /// Falling: what came before something worse no longer matters.
    worst: VecDeque<(Duration, Duration)>,
}

impl Lateness {
    fn add(&mut self, now: Duration, late: Duration) -> Duration {
        let steps = u32::try_from(late.as_nanos() / FINEST_STEP.as_nanos()).unwrap_or(u32::MAX);
        let late = if steps == 0 { Duration::ZERO } else { FINEST_STEP.saturating_mul(steps.saturating_add(1)) };
        self.worst.retain(|(at, earlier)| now.saturating_sub(*at) < MEMORY && *earlier > late);
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
    fn a_suspension_of_the_machine_is_no_lateness_and_what_comes_on_top_of_it_is() {
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
