//! Carries out a plan. Besides the candidates' own store, only this module writes a Lease.
//!
//! # Guarantees
//! - The Lease comes before the pods. While the controller cannot create or read the Lease, it creates no
//!   pod.
//! - The controller updates a Lease with its uid and resourceVersion. It never changes the spec, because
//!   candidates own that.
//! - The controller creates every object by name, so that the API server refuses what exists already: a stale
//!   cache overwrites nothing. It changes a Role, RoleBinding or PodDisruptionBudget with its uid, and deletes a
//!   pod with the uid and resourceVersion that it read. If two controllers do the same at once, the API server
//!   refuses one of them.
//! - The controller does not touch another client's object under a needed name, and reports it.
//! - The controller remembers what the API server refuses, and skips requests that depend on it. The rest
//!   goes on.
//!
//! # Layout
//! This file has the order. `steps` has one method for each [`Step`](super::refusals::Step), and skips what
//! is refused. [`lease`], [`access`] and [`pods`] send the requests about one kind of object, and [`applied`]
//! records what they have done.

pub mod access;
pub mod applied;
pub mod lease;
pub mod pods;
mod preconditions;
mod steps;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};

use super::api_call::{Failure, with_deadline};
use super::build::Objects;
use super::observe::Observed;
use super::observe::candidate::PodRef;
use super::plan;
use super::refusals::Standing;
use crate::api::SingletonJob;
pub use applied::Applied;
use steps::{PodRequest, Steps};

/// Nothing was to be done.
pub fn nothing() -> Applied {
    Applied::nothing()
}

/// Deletes a finished SingletonJob, with the uid and resourceVersion that the controller read. The API server
/// keeps one that has changed since. The garbage collector removes the pods, and
/// [`lease_gc`](super::lease_gc) the Lease.
///
/// # Errors
/// If the SingletonJob has changed, or the request fails.
pub async fn delete(client: &Client, job: &SingletonJob) -> Result<(), Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let jobs: Api<SingletonJob> = Api::namespaced(client.clone(), &namespace);
    let exactly = Preconditions { uid: job.uid(), resource_version: job.resource_version() };
    let params = DeleteParams::background().preconditions(exactly);
    tracing::info!(
        namespace,
        name,
        "deleting a SingletonJob that has finished, by its spec.ttlSecondsAfterFinished"
    );
    match with_deadline("deleting SingletonJob", &name, jobs.delete(&name, &params)).await {
        Err(failure) if failure.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

/// Carries out a plan, in the order that safety needs. An object that is already gone is no failure. The
/// caller reports what was done, even if a later request fails. The controller skips every request that is in
/// `standing`.
///
/// # Errors
/// The first request that failed and without which the rest must not be done.
pub async fn apply(
    client: &Client,
    job: &SingletonJob,
    observed: &Observed,
    standing: &Standing,
    objects: Objects,
) -> (Applied, Result<(), Failure>) {
    let mut steps = Steps::new(client, job, standing);
    let result = Box::pin(in_order(&mut steps, observed, objects)).await;
    (steps.applied, result)
}

async fn in_order(steps: &mut Steps<'_>, observed: &Observed, objects: Objects) -> Result<(), Failure> {
    let Objects {
        lease,
        directives,
        role,
        binding,
        budget,
        template,
        validate,
        pods,
        delete,
        label,
        keep,
        stop_sidecars,
    } = objects;
    let Some(lease) = steps.lease(observed, lease, &directives).await? else { return Ok(()) };
    let granted = steps.grant(observed, &lease, role, binding).await?;
    steps.guard_drains(observed, budget).await?;
    steps.ask_about_pods(label.into_iter().map(PodRequest::Label)).await?;
    steps.ask_about_pods(stop_sidecars.into_iter().map(PodRequest::StopSidecars)).await?;
    steps.ask_about_pods(keep.into_iter().map(PodRequest::Keep)).await?;
    // Pods come and go by what the Lease says, and it does not say so yet.
    if !steps.applied.directives_stored {
        return Ok(());
    }
    let create = if granted { pods } else { Vec::new() };
    replace_pods(steps, (&template, validate), create, delete).await
}

/// Creates pods if the API server takes the template, and then deletes pods.
async fn replace_pods(
    steps: &mut Steps<'_>,
    (template, validate): (&Pod, bool),
    create: Vec<Pod>,
    delete: Vec<PodRef>,
) -> Result<(), Failure> {
    let is_valid = !validate || steps.validate(template).await?;
    // Pods that would make room for it stay: the plan knows of that when status does.
    if !is_valid && !plan::template::is_refused(steps.job) && !steps.job.spec.is_stopped() {
        return Ok(());
    }
    if is_valid {
        steps.create_pods(create, (!validate).then_some(template)).await?;
    }
    steps.ask_about_pods(delete.into_iter().map(PodRequest::Delete)).await
}
