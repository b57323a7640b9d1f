//! Creates, annotates and removes Leases.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};

use super::applied::Applied;
use super::preconditions::tolerate_absence;
use crate::controller::api_call::{Failure, in_our_name, with_deadline};
use crate::controller::build;
use crate::controller::build::lease::says;
use crate::controller::plan::directives::Directives;

/// A directive loses a compare-and-swap only against renewals, which are seconds apart.
const MOST_SWAPS: usize = 4;

/// Creates a Lease. The mark that frees it needs its uid, so it is a second write, on the version that the
/// first one left. It is lost if another client wrote the Lease meanwhile, and then all candidates wait.
pub(super) async fn create(leases: &Api<Lease>, lease: &Lease, free: bool) -> Result<Lease, Failure> {
    let name = lease.name_any();
    let lease = with_deadline("creating Lease", &name, leases.create(&in_our_name(), lease)).await?;
    if !free {
        return Ok(lease);
    }
    let marked = build::lease::marked_free(&lease);
    with_deadline("freeing the new Lease", &name, leases.replace(&name, &in_our_name(), &marked)).await
}

/// Creates the Lease of the controllers themselves, unless it exists.
///
/// # Errors
/// If a request fails.
pub async fn create_own(client: &Client, namespace: &str, lease: &Lease) -> Result<(), Failure> {
    match create(&Api::namespaced(client.clone(), namespace), lease, true).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_conflict() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Directives on their way into a Lease.
pub(super) struct Swap<'a> {
    /// The Lease that the controller decided from.
    pub(super) seen: &'a Lease,
    /// The same with the directives, as [`build::lease::with_directives`] returns it.
    pub(super) annotated: Lease,
    /// What the Lease should say.
    pub(super) directives: &'a Directives,
}

/// Writes the directives by compare-and-swap. After a conflict it reads the Lease and tries again, if that is
/// still the same Lease and no other controller has decided meanwhile what should run.
pub(super) async fn annotate(
    leases: &Api<Lease>,
    swap: Swap<'_>,
    applied: &mut Applied,
) -> Result<Lease, Failure> {
    let Swap { seen, mut annotated, directives } = swap;
    let (name, params) = (seen.name_any(), in_our_name());
    let (mut base, mut swaps) = (seen.clone(), 1);
    loop {
        let answer = leases.replace(&name, &params, &annotated);
        let failure = match with_deadline("annotating Lease", &name, answer).await {
            Ok(written) => {
                record(applied, directives, &base);
                return Ok(written);
            }
            Err(failure) => failure,
        };
        if !failure.is_conflict() || swaps == MOST_SWAPS {
            return Err(failure);
        }
        swaps += 1;
        base = with_deadline("reading Lease", &name, leases.get(&name)).await?;
        if base.uid() != seen.uid() || !directives.may_follow(&says(seen), &says(&base)) {
            return Err(failure);
        }
        let Some(again) = build::lease::with_directives(&base, directives) else { return Ok(base) };
        annotated = again;
    }
}

/// Records what is new in the Lease, now that `directives` have replaced what `base` said.
fn record(applied: &mut Applied, directives: &Directives, base: &Lease) {
    let said = says(base);
    applied.handover = directives.new_handover(&said).cloned();
    applied.labels_restored = build::lease::lacks_labels(base);
    applied.failed_pods = directives.new_failed_pods(&said);
}

/// Removes a Lease whose SingletonJob is gone. The API server keeps a Lease that has changed since the
/// controller read it.
///
/// # Errors
/// If the request fails.
pub async fn remove(client: &Client, lease: &Lease) -> Result<(), Failure> {
    let (namespace, name) = (lease.namespace().unwrap_or_default(), lease.name_any());
    let exactly = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let params = DeleteParams::background().preconditions(exactly);
    tolerate_absence(with_deadline("deleting Lease", &name, leases.delete(&name, &params)).await.map(drop))
}
