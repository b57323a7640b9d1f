//! The page of memory that the elector shares with PID 1. It holds what PID 1 must know of the elector even
//! after its death, and which signals have come.
//!
//! PID 1 locks the page in memory. The methods that it calls while it stands guard are inlined there: see
//! `fencer::guard`.

#![expect(clippy::inline_always, reason = "for PID 1, which must not leave the memory that it has locked")]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::lease::annotations::{Exit, Reason};
use crate::lease::elector::Cause;
use crate::lease::identity::Version;

/// A page of atomics, whose zeroes mean "nothing has happened yet".
///
/// The elector writes all but the signals, and PID 1 reads it. The order of writes matters only within one
/// method.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct SharedState {
    candidate: AtomicBool,
    finished: AtomicBool,
    deadline_nanoseconds: AtomicU64,
    exit: AtomicU64,
    tenure: SharedVersion,
    doubt: SharedVersion,
    /// The place in [`CAUSES`], counted from 1.
    cause: AtomicU32,
    kill_wait_nanoseconds: AtomicU32,
    signal: AtomicU32,
    /// Bit `n - 1` for signal `n`.
    signals_inside: AtomicU64,
}

/// The causes for which a workload may be told to end.
const CAUSES: [Cause; 9] = [
    Cause::Release(Reason::Handover),
    Cause::Release(Reason::Unready),
    Cause::Release(Reason::Failback),
    Cause::Release(Reason::RolledOut),
    Cause::Release(Reason::Drain),
    Cause::Release(Reason::Stopped),
    Cause::Release(Reason::LeaseLost),
    Cause::Unhealthy,
    Cause::Exceeded,
];

/// A version, once there is one.
#[derive(Debug, Default)]
#[repr(C)]
struct SharedVersion {
    high: AtomicU64,
    low: AtomicU64,
    known: AtomicBool,
}

impl SharedVersion {
    fn set(&self, version: Version) {
        let low = version.0 & u128::from(u64::MAX);
        self.high.store(u64::try_from(version.0 >> 64).unwrap_or(u64::MAX), Ordering::Release);
        self.low.store(u64::try_from(low).unwrap_or(u64::MAX), Ordering::Release);
        self.known.store(true, Ordering::Release);
    }

    fn get(&self) -> Option<Version> {
        let half = |half: &AtomicU64| u128::from(half.load(Ordering::Acquire));
        self.known.load(Ordering::Acquire).then(|| Version(half(&self.high) << 64 | half(&self.low)))
    }
}

/// A quarter of the smallest kill margin.
const LEAST_KILL_WAIT: Duration = Duration::from_millis(125);

const CODE: u64 = 1 << 32;
const SIGNAL: u64 = 2 << 32;

impl SharedState {
    /// Notes that the elector has read its Lease: from now on it may hold it.
    pub(super) fn mark_candidate(&self) {
        self.candidate.store(true, Ordering::Release);
    }

    /// Whether the elector may have held the Lease.
    pub(super) fn was_candidate(&self) -> bool {
        self.candidate.load(Ordering::Acquire)
    }

    /// Notes that the elector ends because it is done.
    pub(super) fn mark_finished(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// Whether the elector ended because it was done.
    #[inline(always)]
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Sets when the elector and the workload are to be dead, on CLOCK_BOOTTIME.
    pub(super) fn set_deadline(&self, deadline: Option<Duration>) {
        self.deadline_nanoseconds.store(deadline.map_or(0, to_nanoseconds), Ordering::Release);
    }

    /// Whether the deadline has passed, `now` being a reading of CLOCK_BOOTTIME.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        let deadline = self.deadline_nanoseconds.load(Ordering::Acquire);
        deadline != 0 && to_nanoseconds(now) >= deadline
    }

    /// Sets `K` of the tenure.
    pub(super) fn set_kill_margin(&self, margin: Duration) {
        let quarter = u32::try_from((margin / 4).as_nanos()).unwrap_or(u32::MAX);
        self.kill_wait_nanoseconds.store(quarter, Ordering::Release);
    }

    /// How long PID 1 waits for everything to be gone before it leaves the rest to the kernel: a quarter of
    /// `K`, in nanoseconds.
    #[inline(always)]
    pub(super) fn kill_wait(&self) -> u32 {
        const LEAST: u32 = LEAST_KILL_WAIT.subsec_nanos();
        let known = self.kill_wait_nanoseconds.load(Ordering::Acquire);
        if known < LEAST { LEAST } else { known }
    }

    /// Notes that this signal has come from outside.
    #[inline(always)]
    pub(super) fn note_signal(&self, number: u32) {
        self.signal.store(number, Ordering::Release);
    }

    /// Takes the signal that came last from outside; each is returned once.
    pub(super) fn take_signal(&self) -> Option<i32> {
        Some(self.signal.swap(0, Ordering::AcqRel).cast_signed()).filter(|number| *number != 0)
    }

    /// Notes that a process of the container has sent this signal to PID 1.
    #[inline(always)]
    pub(super) fn note_signal_from_inside(&self, number: u32) {
        self.signals_inside.fetch_or(1 << ((number.wrapping_sub(1)) & 63), Ordering::AcqRel);
    }

    /// Takes the signals that processes of the container have sent to PID 1, in ascending order. Each is
    /// returned once, however often it came meanwhile.
    pub(super) fn take_signals_from_inside(&self) -> impl Iterator<Item = i32> + use<> {
        let signals = self.signals_inside.swap(0, Ordering::AcqRel);
        (1..=64).filter(move |number| signals & (1 << (number - 1)) != 0)
    }

    /// Sets the fencing token of the tenure.
    pub(super) fn set_token(&self, token: Version) {
        self.tenure.set(token);
    }

    /// The fencing token of the tenure; `None` if there was none.
    pub(super) fn token(&self) -> Option<Version> {
        self.tenure.get()
    }

    /// Notes that the elector ends without a start, and does not know whether its acquisition, based on
    /// `version`, was stored.
    pub(super) fn set_doubt(&self, version: Version) {
        self.doubt.set(version);
    }

    /// What the elector's last acquisition was based on, if it is unknown whether that was stored.
    pub(super) fn doubt(&self) -> Option<Version> {
        self.doubt.get()
    }

    /// Sets why the workload is told to end. A cause that is not in [`CAUSES`] is that of an end of
    /// its own.
    pub(super) fn set_cause(&self, cause: Cause) {
        let place = CAUSES.iter().position(|known| *known == cause).map_or(0, |place| place + 1);
        self.cause.store(u32::try_from(place).unwrap_or(0), Ordering::Release);
    }

    /// Why the workload was told to end; `None` if it was not.
    pub(super) fn cause(&self) -> Option<Cause> {
        let place = usize::try_from(self.cause.load(Ordering::Acquire)).ok()?;
        CAUSES.get(place.checked_sub(1)?).copied()
    }

    /// Sets how the workload's first process ended.
    pub(super) fn set_exit(&self, exit: Exit) {
        let (kind, number) = match exit {
            Exit::Code(code) => (CODE, code),
            Exit::Signal(signal) => (SIGNAL, signal),
        };
        self.exit.store(kind | u64::from(number.cast_unsigned()), Ordering::Release);
    }

    /// How the workload's first process ended; `None` if it did not.
    pub(super) fn exit(&self) -> Option<Exit> {
        let stored = self.exit.load(Ordering::Acquire);
        let number = u32::try_from(stored & u64::from(u32::MAX)).unwrap_or(u32::MAX).cast_signed();
        match stored & !u64::from(u32::MAX) {
            CODE => Some(Exit::Code(number)),
            SIGNAL => Some(Exit::Signal(number)),
            _ => None,
        }
    }
}

/// Converts a reading of CLOCK_BOOTTIME to nanoseconds, as files and the page have it.
pub(super) fn to_nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_zeroes_says_that_nothing_has_happened() {
        let page = SharedState::default();
        assert_eq!((page.exit(), page.token(), page.doubt()), (None, None, None));
        assert!(!page.was_candidate() && !page.is_finished() && !page.is_overdue(Duration::MAX));
        assert_eq!((page.take_signal(), page.kill_wait()), (None, 125_000_000));
    }

    #[test]
    fn every_signal_is_told_once() {
        let page = SharedState::default();
        page.note_signal(15);
        assert_eq!([page.take_signal(), page.take_signal()], [Some(15), None]);
    }

    #[test]
    fn signals_from_inside_are_told_once_each_in_ascending_order() {
        let page = SharedState::default();
        for number in [64, 1, 15, 1] {
            page.note_signal_from_inside(number);
        }
        assert_eq!(page.take_signals_from_inside().collect::<Vec<_>>(), [1, 15, 64]);
        assert_eq!((page.take_signals_from_inside().count(), page.take_signal()), (0, None));
    }

    #[test]
    fn pid_1_is_patient_for_a_quarter_of_the_kill_margin() {
        let page = SharedState::default();
        page.set_kill_margin(Duration::from_millis(1500));
        assert_eq!(page.kill_wait(), 375_000_000);
    }

    #[test]
    fn every_exit_and_every_token_comes_back_as_it_was() {
        let page = SharedState::default();
        for exit in [Exit::Code(0), Exit::Code(255), Exit::Code(-1), Exit::Signal(9)] {
            page.set_exit(exit);
            assert_eq!(page.exit(), Some(exit));
        }
        for token in [1, u128::from(u64::MAX) + 7, u128::MAX] {
            page.set_token(Version(token));
            page.set_doubt(Version(token - 1));
            assert_eq!((page.token(), page.doubt()), (Some(Version(token)), Some(Version(token - 1))));
        }
    }

    #[test]
    fn every_cause_comes_back_as_it_was() {
        let page = SharedState::default();
        assert_eq!(page.cause(), None);
        for cause in CAUSES {
            page.set_cause(cause);
            assert_eq!(page.cause(), Some(cause));
        }
    }

    #[test]
    fn an_elector_is_overdue_from_its_deadline_on() {
        let page = SharedState::default();
        page.set_deadline(Some(Duration::from_secs(5)));
        assert!(!page.is_overdue(Duration::from_millis(4_999)));
        assert!(page.is_overdue(Duration::from_secs(5)));
        page.set_deadline(None);
        assert!(!page.is_overdue(Duration::from_secs(6)));
    }
}
