//! Decides when a candidate gives back the Lease of its predecessor: the process of the same container that
//! held it, and died with everything that it had started.
//!
//! The kernel proves the death, with a lock that it frees when PID 1 and the elector of that container are
//! both dead. The lock's file names which process that was.
//!
//! # Guarantees
//! - A candidate without the lock gives back nothing, and never will.
//! - A candidate gives back only the tenure of the very process that the file names, because another container
//!   of the pod may hold the Lease without the lock.
//! - A candidate waits for `K` of that tenure first: the kernel frees the lock before it kills the rest of the
//!   container.

use std::time::Duration;

use super::super::clock::{Moment, Now};
use super::super::identity::Identity;
use super::super::record::Record;
use super::super::timing::kill_margin;
use super::{Cause, Orphan, Write};

/// The lock of the pod, which this process has had, together with its PID 1, since before all else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodLock {
    /// Since when.
    pub since: Moment,
    /// The last process that signed the lock's file. `None` if none has.
    pub predecessor: Option<Identity>,
}

impl PodLock {
    /// How long until nothing of the predecessor is executed any more. `None` if it does not hold the Lease.
    pub(super) fn left(&self, record: &Record, now: Moment) -> Option<Duration> {
        let holds = record.holder.is_some() && record.holder == self.predecessor;
        let passed = now.elapsed_for_challenger(self.since);
        holds.then(|| kill_margin(record.lease_duration).saturating_sub(passed))
    }
}

/// The write that gives back the Lease of `record` for its holder, which is dead. The Lease tells whether that
/// was told to stop before.
pub(super) fn release(record: &Record, now: Now) -> Option<Write> {
    let health = record.annotations.health.as_ref();
    let orphan = Orphan {
        token: health.and_then(|health| health.token),
        exit: None,
        cause: health.and_then(|health| health.stopping).map(Cause::Release),
        overdue: false,
        in_doubt: None,
    };
    orphan.release(record, record.holder.as_ref()?, now)
}
