//! Sets the two kernel timers that outlive every bug of ours: the elector's own, and the one that PID 1 waits
//! for.
//!
//! The elector's timer is a POSIX timer on CLOCK_BOOTTIME that sends SIGKILL to this very process. It fires
//! even if every thread of the process is stopped or hung. A process that sleeps uninterruptibly in the
//! kernel does not die of it. PID 1's timer is a timerfd on the same clock, which the two processes share.
//! When that expires, PID 1 kills the workload by itself.
//!
//! # Guarantees
//! PID 1's timer never stands later than the elector's own, not even between two system calls.
//!
//! PID 1 of a PID namespace is immune to its own POSIX timer, so that one must belong to another process.
//! Timers do not survive an exec.

use std::time::Duration;

use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId as TimerFdClock, TimerFd, TimerFlags};
use nix::time::ClockId;

/// Kills this process, and has PID 1 kill everything, at the moment it was last moved to.
#[derive(Debug)]
pub(super) struct Deadline {
    own: Timer,
    shared: TimerFd,
    armed: Option<Duration>,
}

/// The kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{act} a CLOCK_BOOTTIME timer: {source}; without it a hung process could not be stopped in time")]
pub(super) struct Error {
    act: &'static str,
    source: nix::Error,
}

/// One of the two timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Own,
    Shared,
}

/// Makes PID 1's timer, before PID 1 forks the elector.
///
/// # Errors
/// If the kernel, or a seccomp profile, refuses `timerfd_create`.
pub(super) fn shared_timer() -> Result<TimerFd, Error> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    TimerFd::new(TimerFdClock::CLOCK_BOOTTIME, flags).map_err(|source| Error { act: "creating", source })
}

impl Deadline {
    /// Makes timers that are not armed yet; `shared` is PID 1's.
    ///
    /// # Errors
    /// If the kernel, or a seccomp profile, refuses `timer_create`.
    pub(super) fn new(shared: TimerFd) -> Result<Self, Error> {
        let kill = SigEvent::new(SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 });
        let own =
            Timer::new(ClockId::CLOCK_BOOTTIME, kill).map_err(|source| Error { act: "creating", source })?;
        Ok(Self { own, shared, armed: None })
    }

    /// Arms or moves both timers: the process dies at `boot`, a reading of CLOCK_BOOTTIME, or at once if that
    /// has passed. `None` disarms them, because nothing is left that would have to die.
    ///
    /// # Errors
    /// If the kernel refuses to set a timer.
    pub(super) fn move_to(&mut self, boot: Option<Duration>) -> Result<(), Error> {
        // Zero would disarm a timer.
        let boot = boot.map(|boot| boot.max(Duration::from_nanos(1)));
        for which in order(self.armed, boot) {
            self.set(which, boot.unwrap_or_default())?;
        }
        self.armed = boot;
        Ok(())
    }

    fn set(&mut self, which: Which, boot: Duration) -> Result<(), Error> {
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        let expiration = Expiration::OneShot(TimeSpec::from_duration(boot));
        let set = match which {
            Which::Own => self.own.set(expiration, flags),
            Which::Shared => self.shared.set(expiration, flags),
        };
        set.map_err(|source| Error { act: "setting", source })
    }
}

/// PID 1's timer first when the deadline moves earlier, and last when it moves later.
fn order(from: Option<Duration>, to: Option<Duration>) -> [Which; 2] {
    let earlier = match (from, to) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(from), Some(to)) => to < from,
    };
    if earlier { [Which::Shared, Which::Own] } else { [Which::Own, Which::Shared] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_of_pid_1_never_stands_later_than_the_electors() {
        let [soon, late] = [1, 2].map(|seconds| Some(Duration::from_secs(seconds)));
        for (from, to) in [(None, soon), (late, soon), (soon, late), (soon, None), (soon, soon)] {
            let [mut own, mut shared] = [from, from].map(|time| time.unwrap_or(Duration::MAX));
            for which in order(from, to) {
                let timer = if which == Which::Own { &mut own } else { &mut shared };
                *timer = to.unwrap_or(Duration::MAX);
                assert!(shared <= own, "{from:?} to {to:?}");
            }
        }
    }
}
