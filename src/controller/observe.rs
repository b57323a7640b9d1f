//! Reads the objects of a SingletonJob, from the caches or from the API server itself.
//!
//! A cache may be stale. Most decisions tolerate that, because what changes it wakes the controller again. But a
//! stale cache must not make it create a pod that exists already, or a free Lease beside a pod that may run the
//! workload. Nor must the cache make it delete a standby, which may hold the Lease by now. The controller
//! therefore makes such a plan twice, the second time on [`live()`] data. All other objects are created by name,
//! so that the API server refuses those that exist.
//!
//! # Layout
//! [`index`] is a cache that finds objects by their SingletonJob, and keeps only what is read of them.
//! `children` has the child objects as one source returned them. The sources are `caches` for [`cached`] and
//! `live` for [`live()`]. [`candidate`] turns each pod into a candidate; `access`, `budgets`, `nodes` and
//! `ownership` pick what concerns the SingletonJob.
//!
//! `assemble` compares the child objects with the Lease. `tenures` tells what the Lease says of a candidate,
//! and [`lease_observations`] how long the Lease has been unchanged; `expiries` tells when it expires. The result is [`Observed`], from which
//! the controller plans and reports.
//!
//! [`answer`] adds what the controller seldom asks, because it takes requests of its own: [`holder_pod`],
//! [`volume_claims`] and [`room`]. [`hanging`] explains why a pod does not start. [`undecodable`] is about
//! SingletonJobs that this version cannot decode.

mod access;
pub mod answer;
mod assemble;
mod budgets;
mod caches;
pub mod candidate;
mod children;
mod expiries;
pub mod hanging;
pub mod holder_pod;
pub mod index;
pub mod lease_observations;
mod live;
mod nodes;
mod observed;
mod ownership;
pub mod room;
mod tenures;
pub mod undecodable;
pub mod volume_claims;

use kube::Client;

use super::api_call::Failure;
use crate::api::SingletonJob;
use crate::lease::clock::Moment;
pub use access::{KnownBinding, KnownLease, KnownRole};
use assemble::assemble;
pub use budgets::{OtherBudget, OwnBudget};
pub use caches::Caches;
pub use children::OwnedCandidate;
use lease_observations::LeaseObservations;
pub use live::LiveRead;
pub use nodes::{KnownNode, Nodes};
pub use observed::{Observed, ObservedLease};
pub use ownership::{is_of_earlier, is_ours, is_owned};

/// Reads the objects of `job` from the caches.
///
/// # Errors
/// If the Lease is malformed, so that no candidate can use it either.
pub fn cached(
    job: &SingletonJob,
    caches: &Caches,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<Observed, Failure> {
    assemble(job, caches.children(job), lease_observations, now)
}

/// Reads `job`, its pods and what else `read` says from the API server, and the rest from the caches. `None` if
/// the SingletonJob is gone.
///
/// # Errors
/// If a request fails, or the Lease is malformed.
pub async fn live(
    job: &SingletonJob,
    client: &Client,
    (caches, read): (&Caches, LiveRead),
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<Option<(SingletonJob, Observed)>, Failure> {
    let Some(job) = live::current(client, job).await? else { return Ok(None) };
    let children = live::children(client, &job, caches, read).await?;
    let observed = assemble(&job, children, lease_observations, now)?;
    Ok(Some((job, observed)))
}
