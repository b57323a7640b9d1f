//! How far a tenure has come, and what is left of its workload.

use std::time::Duration;

use jiff::Timestamp;

use super::super::super::annotations::{Exit, Policy, Reason};
use super::super::super::clock::Moment;
use super::super::attempt::Worth;
use super::super::{Cause, Ending};

/// How long the outcome of a run is worth trying to write.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Workload {
    Unstarted,
    Running,
    /// Its first process ended, which was learnt then; what that left behind is being killed.
    Ended(Exit, Moment),
    /// Nothing is left, or nothing ever was.
    Empty(Option<Exit>),
}

impl Workload {
    /// Since when only something that it left behind may still run.
    pub(super) fn ended(self) -> Option<Moment> {
        match self {
            Self::Ended(_, at) => Some(at),
            Self::Unstarted | Self::Running | Self::Empty(_) => None,
        }
    }

    pub(super) fn exit(self) -> Option<Exit> {
        match self {
            Self::Ended(exit, _) | Self::Empty(Some(exit)) => Some(exit),
            Self::Unstarted | Self::Running | Self::Empty(None) => None,
        }
    }
}

/// Whether the workload has been ready in this tenure: since when, by the time of day, and whether that was
/// sent to the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Readiness {
    Unknown,
    News(Timestamp),
    Told(Timestamp),
}

impl Readiness {
    pub(super) fn since(self) -> Option<Timestamp> {
        match self {
            Self::Unknown => None,
            Self::News(since) | Self::Told(since) => Some(since),
        }
    }

    /// Whether a renewal is due at once.
    pub(super) fn is_news(self) -> bool {
        matches!(self, Self::News(_))
    }

    /// A write that keeps the Lease was sent.
    pub(super) fn told(&mut self) {
        if let Self::News(since) = *self {
            *self = Self::Told(since);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Holding,
    Stopping(Stopping),
    Releasing { why: Why, since: Moment, sent: bool },
    Over(Ending),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stopping {
    pub(super) why: Why,
    pub(super) since: Moment,
    pub(super) grace: Duration,
    pub(super) terminated: bool,
    pub(super) killed: Option<Moment>,
    /// What was sent to the Lease since then.
    pub(super) said: Said,
    /// Nothing can be renewed any more: the deadline has passed, or the Lease is another's.
    pub(super) lost: bool,
}

/// What the Lease was told of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Nothing,
    /// That the workload is stopping, in a renewal.
    Stopping,
    /// How the attempt has ended, without giving the Lease back: something survives its kill.
    Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    /// The Lease is given back for this reason.
    Release(Reason),
    /// The liveness probe failed.
    Unhealthy,
    /// The run has taken as long as it may.
    Exceeded,
    /// Attempts before this one turned out to be failures: none is left.
    Charged,
    /// The attempts, or the time, were used up before the workload was started.
    Spent,
    /// The Lease is another's by now: there is nothing to give back.
    Taken(String),
}

impl Stopping {
    /// Why the workload is told to end; `None` if it has ended by itself, or if there is nothing to settle.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self.why {
            Why::Release(Reason::WorkloadSucceeded | Reason::WorkloadFailed) | Why::Spent | Why::Taken(_) => {
                None
            }
            Why::Release(reason) => Some(Cause::Release(reason)),
            Why::Charged => Some(Cause::Release(Reason::Stopped)),
            Why::Unhealthy => Some(Cause::Unhealthy),
            Why::Exceeded => Some(Cause::Exceeded),
        }
    }

    /// The reason for which a workload was told to stop, so that it neither succeeds nor fails by its exit;
    /// `None` if this stop is no interruption.
    pub(super) fn interruption(&self) -> Option<Reason> {
        match self.why {
            Why::Release(reason) => reason.is_interruption().then_some(reason),
            Why::Exceeded | Why::Charged => Some(Reason::Stopped),
            Why::Unhealthy | Why::Spent | Why::Taken(_) => None,
        }
    }

    /// Whether the Lease is to be told now: should the holder be cut off before its workload has ended, no
    /// candidate could know that it was stopping.
    fn is_news(&self) -> bool {
        self.said == Said::Nothing && !self.grace.is_zero() && self.interruption().is_some()
    }
}

impl Phase {
    /// Whether a renewal is due at once.
    pub(super) fn is_news(&self) -> bool {
        matches!(self, Self::Stopping(stopping) if !stopping.lost && stopping.is_news())
    }

    /// A write that keeps the Lease was sent.
    pub(super) fn told(&mut self, worth: Worth) {
        if let Self::Stopping(stopping) = self {
            stopping.said = match worth {
                Worth::Renewal => Said::Stopping,
                Worth::Outcome => Said::Outcome,
            };
        }
    }

    /// A release was sent.
    pub(super) fn release_sent(&mut self) {
        if let Self::Releasing { sent, .. } = self {
            *sent = true;
        }
    }
}

impl Why {
    /// What comes once nothing of the workload is left.
    pub(super) fn after_empty(self, now: Moment) -> Phase {
        match self {
            Self::Taken(why) => Phase::Over(Ending::Lost(why)),
            Self::Release(_) | Self::Unhealthy | Self::Exceeded | Self::Charged | Self::Spent => {
                Phase::Releasing { why: self, since: now, sent: false }
            }
        }
    }

    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Release(reason) => *reason,
            Self::Exceeded | Self::Charged => Reason::Stopped,
            Self::Unhealthy | Self::Spent | Self::Taken(_) => Reason::WorkloadFailed,
        }
    }

    /// How long a release is tried.
    pub(super) fn patience(&self, policy: &Policy) -> Duration {
        match self {
            Self::Release(Reason::WorkloadSucceeded | Reason::WorkloadFailed)
            | Self::Unhealthy
            | Self::Exceeded
            | Self::Charged
            | Self::Spent => OUTCOME_PATIENCE,
            Self::Release(_) | Self::Taken(_) => {
                Duration::from_secs(u64::from(policy.lease_duration_seconds))
            }
        }
    }
}
