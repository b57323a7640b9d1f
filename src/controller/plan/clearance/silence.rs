//! Finds the holder that has let its lease pass, by this controller's own clock or by what status remembers.

use super::super::super::observe::{Observed, ObservedLease};
use super::super::runs;
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, reasons, types};
use crate::lease::identity::Identity;

/// The Lease of a holder that has let it pass. `None` also if nothing is to run.
pub(super) fn silent<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a ObservedLease> {
    if observed.remaining().is_zero() { needed(job, observed) } else { None }
}

/// The Lease whose holder status remembers as silent: see [`is_remembered`]. `None` also if nothing is to
/// run.
pub(super) fn remembered<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a ObservedLease> {
    if is_remembered(job, observed) { needed(job, observed) } else { None }
}

/// A Lease that no holder gave back, and that a candidate needs in order to run.
fn needed<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a ObservedLease> {
    let is_needed = !job.spec.is_stopped() && !runs::is_over(job, observed);
    observed.lease.as_ref().filter(|seen| is_needed && !seen.record.is_released())
}

/// Whether status says that the current holder fell silent, and this controller can neither refute nor
/// confirm that yet. An expired tenure does not come back to life, so status is the better guess.
pub fn is_remembered(job: &SingletonJob, observed: &Observed) -> bool {
    let Some(ObservedLease { record, observation, .. }) = &observed.lease else { return false };
    let same = record.holder.as_ref().is_some_and(|holder| last_holder(job) == Some(holder.as_str()));
    same && has_expired(job) && !observation.seen_alive && !observed.remaining().is_zero()
}

/// Whether status says that the lease of the last holder has expired.
fn has_expired(job: &SingletonJob) -> bool {
    let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let silent = [reasons::EXPIRED, reasons::OUTCOME_RECORDED];
    find_condition(conditions, types::HELD)
        .is_some_and(|held| held.status == "False" && silent.contains(&held.reason.as_str()))
}

/// Who may still run: the holder, or the last one before a client emptied the Lease.
pub(super) fn suspect(job: &SingletonJob, seen: &ObservedLease) -> Identity {
    let last = || last_holder(job).map(Identity::read);
    seen.record.holder.clone().or_else(last).unwrap_or_else(|| Identity::read(Identity::UNKNOWN))
}

/// Whether the controller made the Lease and no candidate has held it. Such a Lease may lack the mark that
/// frees it for a moment.
pub(super) fn was_never_held(job: &SingletonJob, seen: &ObservedLease) -> bool {
    seen.record.holder.is_none() && seen.record.acquire_time.is_none() && last_holder(job).is_none()
}

fn last_holder(job: &SingletonJob) -> Option<&str> {
    job.status.as_ref()?.lease.as_ref()?.last_holder_identity.as_deref()
}
