//! Decides how the controller creates a missing Lease, and what it must remember of an existing one.

use std::time::Duration;

use super::super::observe::{Observed, ObservedLease};
use super::time::seconds;
use crate::api::SingletonJob;
use crate::api::status::LeaseStatus;
use crate::lease::identity::{Identity, Version};
use crate::lease::timing::Timing;

/// How the controller creates a missing Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// There never was a Lease, nor a candidate that could hold it. The new one is free at once.
    First,
    /// There was a Lease, or a candidate that may hold it. Takeover waits.
    Again {
        /// The last known holder.
        holder: Identity,
        /// The longest lease that any candidate may still hold by.
        longest_lease: Duration,
    },
}

/// How the controller creates a missing Lease of `job`.
pub fn creation(job: &SingletonJob, observed: &Observed, timing: Timing) -> Creation {
    let known = job.status.as_ref().and_then(|status| status.lease.as_ref());
    if known.is_none() && observed.nobody_there {
        return Creation::First;
    }
    let holder = known
        .and_then(|lease| lease.last_holder_identity.clone())
        .unwrap_or_else(|| Identity::UNKNOWN.to_owned());
    Creation::Again {
        holder: Identity::read(holder),
        longest_lease: longest(job, observed).max(timing.lease_duration()),
    }
}

/// The longest lease that any candidate may still hold by.
///
/// It grows as soon as the spec wants a longer one, and status records that before candidates learn of it. It
/// shrinks only when a candidate's own write shows that candidates have heard of the shorter one. That write
/// holds for no longer, or releases the Lease. A candidate that had not heard of it has then lost the
/// compare-and-swap. A Lease that a client emptied shows nothing, because its last holder may still hold by
/// what the Lease records.
pub fn longest(job: &SingletonJob, observed: &Observed) -> Duration {
    let wanted = seconds(job.spec.lease.lease_duration_seconds);
    let remembered =
        status(job).and_then(|lease| lease.longest_lease_duration_seconds).map_or(Duration::ZERO, seconds);
    let Some(ObservedLease { record, .. }) = &observed.lease else { return wanted.max(remembered) };
    let told = record
        .annotations
        .policy
        .as_ref()
        .map_or(remembered, |policy| Duration::from_secs(u64::from(policy.lease_duration_seconds)));
    let recorded = if record.is_released() { Duration::ZERO } else { record.lease_duration };
    let shows = record.acquire_time.is_some() && (record.holder.is_some() || record.is_released());
    let heard = told <= wanted && recorded <= wanted && shows;
    if heard { wanted } else { wanted.max(remembered).max(told).max(recorded) }
}

/// Whether the spec wants a longer lease than status remembers. The controller writes it to status first, and
/// then tells candidates.
pub fn must_remember_first(job: &SingletonJob, observed: &Observed) -> bool {
    let remembered = status(job).and_then(|lease| lease.longest_lease_duration_seconds);
    observed.lease.is_some()
        && remembered.is_none_or(|remembered| remembered < job.spec.lease.lease_duration_seconds)
}

/// The least that the next fencing token may be. `None` if no token is known. A Lease that is there remembers
/// the tokens before it. One that is made again has forgotten them, so status tells.
pub fn token_floor(job: &SingletonJob, observed: &Observed) -> Option<Version> {
    match &observed.lease {
        Some(lease) => lease.record.annotations.policy.as_ref()?.token_floor,
        None => status(job).and_then(token),
    }
}

fn token(lease: &LeaseStatus) -> Option<Version> {
    lease.fencing_token.as_ref()?.parse().ok()
}

fn status(job: &SingletonJob) -> Option<&LeaseStatus> {
    job.status.as_ref()?.lease.as_ref()
}
