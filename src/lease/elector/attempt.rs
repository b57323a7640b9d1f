//! A write that was sent: what proves that it was stored, and what it is good for then.

use std::time::Duration;

use jiff::Timestamp;

use super::super::clock::Moment;
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::super::timing::Timing;
use super::step::Step;
use super::{Output, Write};

/// A write that was sent, and may have been stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    pub(super) id: u64,
    pub(super) sent: Moment,
    /// The version it was based on: a result must be newer.
    pub(super) base: Version,
    renew_time: Timestamp,
    pub(super) timing: Timing,
    /// Known when it was sent: shortens what it is good for.
    lateness: Duration,
    pub(super) worth: Worth,
}

/// What a write that keeps the Lease is good for, once it is known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Worth {
    /// It moves the deadline later.
    Renewal,
    /// It tells how the attempt has ended, and moves nothing.
    Outcome,
}

impl Attempt {
    pub(super) fn new(id: u64, step: &Step<'_>, write: &Write, worth: Worth, timing: Timing) -> Self {
        Self {
            id,
            sent: step.now.at,
            base: write.base,
            renew_time: write.renew_time,
            timing,
            lateness: step.lateness,
            worth,
        }
    }

    /// Whether `record` shows that it was stored: its holder is `holder`, and its renewTime is this write's
    /// alone.
    pub(super) fn is_proven_by(&self, record: &Record, holder: Option<&Identity>) -> bool {
        record.holder.as_ref() == holder
            && record.renew_time == Some(self.renew_time)
            && record.lease_duration == self.timing.lease_duration()
            && record.version > self.base
    }

    pub(super) fn put(&self, write: Write) -> Output {
        Output::Put { attempt: self.id, write: Box::new(write), deadline: self.timing.request_deadline() }
    }

    /// `D`, from before it was sent.
    pub(super) fn hard(&self) -> Duration {
        self.timing.hard_deadline().saturating_sub(self.lateness)
    }

    /// `S`, from before it was sent.
    pub(super) fn soft(&self) -> Duration {
        self.timing.renew_deadline().saturating_sub(self.lateness)
    }
}
