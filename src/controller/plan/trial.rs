//! Decides about the trial of a new template. Its workload has taken over, and pods of the template before
//! wait for it to become ready.
//!
//! The controller rejects a template when its workload ends by itself before that, or when the Lease is
//! handed back from it. The Lease remembers the rejection for as long as that template is wanted, and the
//! controller does not roll it out again. A holder that lost the Lease, or whose workload ended after it had
//! been ready, proves less, because its node may be at fault. The controller rests before it tries the same
//! template again. All this concerns services only, because an attempt of a run ends by itself. A pod older
//! than the holder was no trial, because the user has put a template back.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::time::left;
use crate::api::SingletonJob;
use crate::lease::annotations::{Annotations, Reason, Released};

/// How long the controller rests before it tries a template again whose holder lost the Lease or the
/// workload.
const REST: Duration = Duration::from_secs(600);

/// Whether the workload of the new template has taken over and is not ready yet, while pods of another
/// template are there.
pub fn is_on_trial(observed: &Observed) -> bool {
    let others = observed
        .candidates
        .iter()
        .any(|candidate| candidate.end().is_none() && !observed.is_current(candidate));
    others && observed.holder_pod().is_some_and(|holder| observed.is_current(holder) && !holder.ready)
}

/// Whether the wanted template has been tried and is not to be tried again.
pub fn is_rejected(job: &SingletonJob, observed: &Observed) -> bool {
    job.spec.is_service() && (was_handed_back(observed) || has_failed(observed))
}

fn was_handed_back(observed: &Observed) -> bool {
    annotations(observed)
        .is_some_and(|annotations| annotations.handed_back.as_ref() == Some(&observed.template_hash))
}

/// Whether the workload of the wanted template ended by itself before it was ready, and a pod of the template
/// before holds since.
fn has_failed(observed: &Observed) -> bool {
    let released = annotations(observed)
        .and_then(|annotations| annotations.released.as_ref())
        .filter(|released| has_ended_unready(released));
    released
        .and_then(|released| released.by.pod_uid())
        .and_then(|uid| tried(observed, uid))
        .is_some_and(|tried| tried.reports_readiness)
}

fn has_ended_unready(released: &Released) -> bool {
    let ended =
        matches!(released.reason, Reason::WorkloadFailed | Reason::WorkloadSucceeded | Reason::ElectorDied);
    ended && !released.ready && !released.hands_over()
}

/// How long until the controller may try the wanted template again. Zero unless the holder before this one
/// was of it, and lost the Lease or the workload.
pub fn rest(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Duration {
    rests_since(job, observed).map_or(Duration::ZERO, |since| left(since, REST, now))
}

/// When the controller tries the wanted template again. `None` if it does not rest.
pub fn rests_until(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    rests_since(job, observed).map(|since| since + REST).filter(|until| *until > now)
}

fn rests_since(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let record = &observed.lease.as_ref()?.record;
    let lost = record.annotations.released.as_ref().is_none_or(is_loss);
    let tried =
        job.spec.is_service() && predecessor(observed).is_some_and(|uid| tried(observed, uid).is_some());
    if lost && tried { record.acquire_time } else { None }
}

/// Whether a holder lost the Lease or the workload. A holder that was asked to go, or asked for another, lost
/// nothing.
fn is_loss(released: &Released) -> bool {
    !released.reason.is_interruption() && !released.hands_over()
}

/// The uid of the pod that held the Lease before the holder. `None` if this is the first tenure of the run.
fn predecessor(observed: &Observed) -> Option<&str> {
    let tenants = &annotations(observed)?.progress.as_ref()?.tenants;
    let mut others = tenants.iter().rev().map(|tenant| tenant.uid.as_str());
    others.find(|uid| observed.holder_uid() != Some(uid))
}

/// The pod with this uid. `None` unless it is of the wanted template and the holder is of one before.
fn tried<'a>(observed: &'a Observed, uid: &str) -> Option<&'a Candidate> {
    let holder = observed.holder_pod().filter(|holder| !observed.is_current(holder))?;
    let is_it = |candidate: &&Candidate| {
        candidate.uid == uid && observed.is_current(candidate) && candidate.number > holder.number
    };
    observed.candidates.iter().find(is_it)
}

fn annotations(observed: &Observed) -> Option<&Annotations> {
    observed.lease.as_ref().map(|lease| &lease.record.annotations)
}
