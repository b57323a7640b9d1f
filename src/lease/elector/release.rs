//! Giving a Lease back: the write that frees it, and what it tells of the tenure it ends.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Exit, Finished, Policy, Progress, Reason, Released};
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::progress::Closing;
use super::{Write, charges, progress};

/// A tenure of which nothing runs any more.
pub(super) struct End<'a> {
    pub(super) by: &'a Identity,
    pub(super) reason: Reason,
    pub(super) token: Option<Version>,
    pub(super) exit: Option<Exit>,
    /// When the workload was started, if it was.
    pub(super) started: Option<Timestamp>,
    /// Whether it was ended because its liveness probe failed.
    pub(super) unhealthy: bool,
    /// Whether its readiness probe had succeeded in this tenure.
    pub(super) ready: bool,
    /// Whether the run has taken as long as it may.
    pub(super) exceeded: bool,
}

impl End<'_> {
    /// The account of the run after this end, and its outcome if it was the last.
    pub(super) fn settle(
        &self,
        progress: Progress,
        policy: &Policy,
        ran: Duration,
        wall: Timestamp,
    ) -> (Progress, Option<Finished>) {
        let end = Closing { reason: self.reason, exit: self.exit, ran, exceeded: self.exceeded };
        let before = progress.clone();
        let (closed, verdict) = progress::close(progress, policy, end);
        let progress = charges::end(&before, closed, self.reason, ran);
        let finished = verdict.map(|(outcome, reason)| Finished {
            uid: progress.uid.clone(),
            run: progress.run,
            outcome,
            reason: reason.to_owned(),
            exit: self.exit,
            unhealthy: self.unhealthy,
            attempt: progress.starts,
            failures: progress.failures,
            token: self.started.and(self.token),
            by: self.by.clone(),
            start_time: self.started,
            completion_time: wall,
        });
        (progress, finished)
    }

    /// The write that replaces `record`. The mark is bound to it by `renew_time`, which no other write has.
    pub(super) fn release(
        &self,
        record: &Record,
        renew_time: Timestamp,
        progress: Option<Progress>,
        finished: Option<Finished>,
    ) -> Write {
        Write {
            uid: record.uid.clone(),
            base: record.version,
            holder: None,
            lease_duration: record.lease_duration,
            acquire_time: None,
            renew_time,
            transitions: record.transitions,
            progress,
            released: Some(self.mark(record, renew_time)),
            finished: finished.or_else(|| record.annotations.finished.clone()),
            health: None,
            drop_directives: true,
        }
    }

    fn mark(&self, record: &Record, renew_time: Timestamp) -> Released {
        Released {
            lease_uid: record.uid.clone(),
            renew_time: Some(renew_time),
            last_renew_time: None,
            by: self.by.clone(),
            reason: self.reason,
            token: self.token,
            exit: self.exit,
            unhealthy: self.unhealthy,
            ready: self.ready,
        }
    }
}
