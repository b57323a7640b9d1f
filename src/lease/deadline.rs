//! The kernel timer that outlives every bug of ours.
//!
//! A POSIX timer on CLOCK_BOOTTIME that sends SIGKILL to this very process: it fires though every thread of the process is stopped or hung.
//! PID 1 of a PID namespace is immune even to this, so the timer must belong to another process than that. Timers do not survive an exec.

use std::time::Duration;

use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

/// Kills this process at the moment it was last armed for.
#[derive(Debug)]
pub struct Deadline {
    timer: Timer,
}

/// The kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{act} a CLOCK_BOOTTIME timer: {source}; without it a hung process could not be stopped in time")]
pub struct Error {
    act: &'static str,
    source: nix::Error,
}

impl Deadline {
    /// A timer that is not armed yet.
    ///
    /// # Errors
    /// Where the kernel, or a seccomp profile, refuses `timer_create`.
    pub fn new() -> Result<Self, Error> {
        let kill = SigEvent::new(SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 });
        let timer = Timer::new(ClockId::CLOCK_BOOTTIME, kill).map_err(|source| Error { act: "creating", source })?;
        Ok(Self { timer })
    }

    /// From now on the process dies at `boot`, a reading of CLOCK_BOOTTIME; at once where that has passed.
    ///
    /// # Errors
    /// Where the kernel refuses `timer_settime`.
    pub fn arm(&mut self, boot: Duration) -> Result<(), Error> {
        // Zero would disarm it.
        self.set(boot.max(Duration::from_nanos(1)))
    }

    /// Nothing is left that would have to die.
    ///
    /// # Errors
    /// Where the kernel refuses `timer_settime`.
    pub fn disarm(&mut self) -> Result<(), Error> {
        self.set(Duration::ZERO)
    }

    fn set(&mut self, boot: Duration) -> Result<(), Error> {
        let expiration = Expiration::OneShot(TimeSpec::from_duration(boot));
        self.timer.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME).map_err(|source| Error { act: "setting", source })
    }
}
