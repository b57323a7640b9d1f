//! Decides when a candidate gives back the Lease of its predecessor: the process of the same container that
//! held it, and died with everything that it had started.
//!
//! The kernel proves the death, with a lock that it frees when PID 1 and the elector of that container are
//! both dead. The lock's file names which process that was.
//!
//! # Guarantees
//! - A candidate without the lock gives back nothing, and never will.
//! - A candidate gives back only the tenure of the very process that the file names, because another container
//!   of the pod may hold the Lease without the lock. It gives back only the very Lease that this process signed
//!   for, and only until another has held that: a Lease that is made again, or restored, may name a former
//!   holder while another runs.
//! - A candidate waits for `K` of that tenure first: the kernel frees the lock before it kills the rest of the
//!   container.

use std::time::Duration;

use super::super::annotations::Released;
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
    /// The last signature in the lock's file. `None` if there is none, or if the tenure that it is about is over.
    pub predecessor: Option<Signature>,
}

/// What a process leaves in the file of the lock just before it may hold the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The process.
    pub process: Identity,
    /// The Lease that it acquires.
    pub lease_uid: String,
}

impl PodLock {
    /// Takes in an observation of the Lease: the tenure of the predecessor does not come back.
    pub(super) fn saw(&mut self, record: &Record) {
        self.predecessor.take_if(|signed| {
            let is_held_by_another = record.holder.as_ref().is_some_and(|holder| *holder != signed.process);
            is_held_by_another || record.uid != signed.lease_uid
        });
    }

    /// How long until nothing of the predecessor is executed any more. `None` if it does not hold the Lease.
    pub(super) fn left(&self, record: &Record, now: Moment) -> Option<Duration> {
        let dead = self.predecessor.as_ref().map(|signed| &signed.process);
        let holds = dead.is_some() && record.holder.as_ref() == dead;
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
    let write = orphan.release(record, record.holder.as_ref()?, now)?;
    let released = write.released.map(|mark| Released { last_renew_time: record.renew_time, ..mark });
    Some(Write { released, ..write })
}
