//! Decides when the controller asks the holder by itself: for a new template, for a pod that is not ready, or
//! for a preferred node.

use std::time::Duration;

use jiff::Timestamp;

use super::super::super::observe::Observed;
use super::super::time::{left, seconds};
use super::super::{candidates, trial};
use super::tenure::{CurrentTenure, is_old, score};
use crate::api::SingletonJob;
use crate::api::status::TakeoverReason;
use crate::api::takeover::{Failback, UnreadyPolicy};
use crate::lease::annotations::Reason;

/// How long a holder is left in peace after it took over, before it hands back to a better place.
const REST: Duration = Duration::from_secs(60);
/// The same if the holder before was not ready, because the better place may be the one that it was in. As
/// long as a workload has to run until earlier failures are forgiven.
const LONG_REST: Duration = Duration::from_secs(600);

/// How long until the controller asks the holder, by reason. `None` if the reason does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueReasons {
    rollout: Option<Duration>,
    unready: Option<Duration>,
    failback: Option<Duration>,
}

impl DueReasons {
    pub(super) fn of(
        job: &SingletonJob,
        observed: &Observed,
        tenure: &CurrentTenure<'_>,
        rolls_out: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            rollout: rolls_out.then(|| trial::rest(job, observed, now)),
            unready: unready_due(job, observed, tenure, now),
            failback: failback_due(job, observed, tenure, now),
        }
    }

    /// The highest-ranking reason that applies now.
    pub(super) fn reason(&self) -> Option<Reason> {
        let by_rank = [
            (self.rollout, Reason::RolledOut),
            (self.unready, Reason::Unready),
            (self.failback, Reason::Failback),
        ];
        by_rank.into_iter().find(|(due, _)| *due == Some(Duration::ZERO)).map(|(_, reason)| reason)
    }

    /// How long until another reason applies.
    pub(super) fn look(&self) -> Option<Duration> {
        let Self { rollout, unready, failback } = *self;
        [rollout, unready, failback].into_iter().flatten().filter(|due| !due.is_zero()).min()
    }
}

/// How long until the controller asks a holder that is not ready. `None` if it is ready, or if it is kept.
///
/// The controller does not soon ask again after a handover for this reason, because two bad pods must not
/// play tennis. It hands over to a pod of the template before only once.
fn unready_due(
    job: &SingletonJob,
    observed: &Observed,
    tenure: &CurrentTenure<'_>,
    now: Timestamp,
) -> Option<Duration> {
    let policy = &job.spec.takeover.unready_holder;
    if policy.policy == UnreadyPolicy::Keep || !job.spec.is_service() {
        return None;
    }
    if tenure.goes_back(observed) && !tenure.hands_back {
        return None;
    }
    let wait = seconds(policy.after_seconds);
    let since = tenure.holder.unready_since?.max(tenure.acquired);
    let damping = last_unready(job, tenure).map_or(Duration::ZERO, |last| left(last, wait + REST, now));
    Some(left(since, wait, now).max(damping))
}

/// When the Lease last changed hands because the holder was not ready. The change that this tenure began with
/// may not be in status yet.
fn last_unready(job: &SingletonJob, tenure: &CurrentTenure<'_>) -> Option<Timestamp> {
    let takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    let told = takeovers
        .filter(|takeover| takeover.reason == TakeoverReason::Unready)
        .filter_map(|takeover| takeover.acquire_time.as_ref());
    let this = (tenure.began == Some(Reason::Unready)).then_some(tenure.acquired);
    told.map(|time| time.0).max().max(this)
}

/// How long until the controller asks the holder to give way to a better placed standby. `None` if there is
/// no such standby, or if a user wanted the holder where it is. `None` also during a rollout, which changes
/// hands anyway.
fn failback_due(
    job: &SingletonJob,
    observed: &Observed,
    tenure: &CurrentTenure<'_>,
    now: Timestamp,
) -> Option<Duration> {
    let settled = candidates::alive(observed).all(|candidate| !is_old(observed, candidate));
    let wanted = job.spec.takeover.failback == Failback::WhenAvailable
        && job.spec.is_service()
        && tenure.began != Some(Reason::Handover);
    if !wanted || !settled {
        return None;
    }
    let best = score(job, observed, tenure.standbys.first()?)?;
    let rest = if tenure.began == Some(Reason::Unready) { LONG_REST } else { REST };
    (best > score(job, observed, tenure.holder)?).then(|| left(tenure.acquired, rest, now))
}
