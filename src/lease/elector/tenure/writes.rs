//! What a tenure writes to its Lease.

use std::time::Duration;

use jiff::Timestamp;

use super::super::super::annotations::{Health, Reason};
use super::super::super::record::Record;
use super::super::super::timing::Timing;
use super::super::release::End;
use super::super::step::Step;
use super::super::{Candidate, LocalLease, Write, limits};
use super::Tenure;
use super::phase::{Phase, Why};

/// What every write of a tenure is based on, whatever it says.
pub(super) struct Basis<'a> {
    /// What it replaces.
    pub(super) record: &'a Record,
    pub(super) timing: Timing,
    pub(super) renew_time: Timestamp,
}

impl Tenure {
    /// Keeps the Lease.
    pub(super) fn renewal(&self, step: &Step<'_>, basis: &Basis<'_>, lease: &LocalLease) -> Write {
        let &Basis { record, timing, renew_time } = basis;
        Write {
            uid: self.uid.clone(),
            base: self.version,
            holder: Some(step.candidate.identity.clone()),
            lease_duration: timing.lease_duration(),
            acquire_time: Some(self.acquire_time),
            renew_time,
            transitions: record.transitions,
            progress: Some(self.progress.clone()),
            released: record.annotations.released.clone(),
            finished: record.annotations.finished.clone(),
            health: Some(self.health(step, lease, timing)),
            drop_directives: false,
        }
    }

    fn health(&self, step: &Step<'_>, lease: &LocalLease, timing: Timing) -> Health {
        let stopping = match &self.phase {
            Phase::Stopping(stopping) => stopping.interruption(),
            Phase::Holding | Phase::Releasing { .. } | Phase::Over(_) => None,
        };
        Health {
            token: Some(self.token),
            stopping,
            workload_ready: self.readiness.since(),
            warnings: warnings(step.candidate, timing, step.lateness),
            clock_source: step.candidate.clock_source.clone(),
            ..lease.health()
        }
    }

    /// The write that keeps the Lease and says how the attempt has ended: something survives its kill, and
    /// what the kernel will do about that is not known yet. It is a renewal in all but what it is good for.
    pub(super) fn outcome(&self, step: &Step<'_>, why: &Why, renewal: Write) -> Write {
        let now = step.now;
        let (progress, finished) =
            self.end(step, why).settle(self.progress.clone(), &self.policy, self.ran(now.at), now.wall);
        tracing::warn!(
            "a process in the container survives SIGKILL: recording the outcome; the Lease is left to expire"
        );
        Write { progress: Some(progress), finished: finished.or(renewal.finished), ..renewal }
    }

    /// The write that gives the Lease back. The elector leaves an outcome that it has recorded already as it
    /// is: no other candidate closes the account that its tenure has opened.
    pub(super) fn release(&self, step: &Step<'_>, basis: &Basis<'_>, why: &Why) -> Write {
        let (&Basis { record, timing, renew_time }, now) = (basis, step.now);
        let end = self.end(step, why);
        let (progress, finished) = match &record.annotations.progress {
            Some(recorded) if self.started.is_some() && !recorded.open => (recorded.clone(), None),
            _ => end.settle(self.progress.clone(), &self.policy, self.ran(now.at), now.wall),
        };
        let write = end.release(record, renew_time, Some(progress), finished);
        Write { uid: self.uid.clone(), base: self.version, lease_duration: timing.lease_duration(), ..write }
    }

    fn end<'a>(&self, step: &Step<'a>, why: &Why) -> End<'a> {
        End {
            by: &step.candidate.identity,
            reason: why.reason(),
            token: Some(self.token),
            exit: self.workload.exit(),
            started: self.started.map(|_| self.acquire_time),
            unhealthy: *why == Why::Unhealthy,
            ready: self.readiness.since().is_some(),
            exceeded: match why {
                Why::Exceeded => true,
                Why::Release(Reason::Stopped) => false,
                _ => limits::is_exceeded(self.left(step.now.at)),
            },
        }
    }
}

/// What an administrator should know about the holder, in sentences that change seldom.
fn warnings(candidate: &Candidate, timing: Timing, lateness: Duration) -> Vec<String> {
    candidate.warnings.iter().cloned().chain(late(timing, lateness)).collect()
}

fn late(timing: Timing, lateness: Duration) -> Option<String> {
    let late = lateness.as_millis().div_ceil(500) * 500;
    (lateness >= timing.kill_margin() / 2).then(|| {
        format!(
            "the agent wakes up to {late} ms late: the workload is stopped that much earlier when the Lease cannot be renewed; \
             raise or remove the container's CPU limit"
        )
    })
}
