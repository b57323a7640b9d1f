//! Handles the annotation by which a user confirms that a silent holder is gone.
//!
//! An identity names one process. A pod's name acts once, because it says nothing about later processes in
//! that pod.

use super::super::super::observe::Observed;
use super::super::policy::unreachable_holder;
use super::super::request::annotation;
use super::silence::{silent, suspect};
use crate::api::SingletonJob;
use crate::api::takeover::CLEARED_HOLDER;
use crate::lease::annotations::UnreachableHolder;
use crate::lease::identity::Identity;

/// How long a confirmation may be: longer than any `holderIdentity`.
const LONGEST: usize = 400;

/// The current annotation value. `None` if there is none, or if it is too long to name a holder.
pub(super) fn current(job: &SingletonJob) -> Option<&str> {
    annotation(job, CLEARED_HOLDER).filter(|confirmation| confirmation.len() <= LONGEST)
}

/// The annotation value that would confirm that `holder` is gone.
pub(super) fn needed<'a>(job: &SingletonJob, holder: &'a Identity) -> &'a str {
    if is_used_up(job, holder) { holder.as_str() } else { holder.pod() }
}

/// Whether a user has confirmed that `holder` is gone.
pub(super) fn is_given(job: &SingletonJob, holder: &Identity) -> bool {
    current(job).is_some_and(|confirmation| {
        confirmation == holder.as_str() || confirmation == holder.pod() && !is_used_up(job, holder)
    })
}

/// The annotation value that status remembers. A pod's name does not act at all if the user wrote it before
/// the named holder fell silent. Nor does it act under a policy that needs no confirmation.
pub fn handled(job: &SingletonJob, observed: &Observed) -> Option<String> {
    let known = remembered(job).map(str::to_owned);
    let Some(confirmation) = current(job) else { return known };
    if unreachable_holder(job) != UnreachableHolder::Manual {
        return used_up(known, confirmation);
    }
    if let Some(seen) = silent(job, observed) {
        let holder = suspect(job, seen);
        return if is_given(job, &holder) { Some(holder.to_string()) } else { known };
    }
    match observed.holder() {
        Some(holder) if holder.pod() != confirmation && holder.as_str() != confirmation => {
            used_up(known, confirmation)
        }
        _ => known,
    }
}

/// What status remembers of a `confirmation` without effect. It keeps the process that the same value
/// cleared.
fn used_up(known: Option<String>, confirmation: &str) -> Option<String> {
    known.filter(|known| Identity::read(known).pod() == confirmation).or(Some(confirmation.to_owned()))
}

/// Whether the name of the holder's pod has cleared an earlier process of it.
fn is_used_up(job: &SingletonJob, holder: &Identity) -> bool {
    remembered(job)
        .is_some_and(|known| Identity::read(known).pod() == holder.pod() && known != holder.as_str())
}

fn remembered(job: &SingletonJob) -> Option<&str> {
    job.status.as_ref()?.last_handled_cleared_holder.as_deref()
}
