//! Builds the Lease. The controller creates it once, and after that changes only its annotations and labels.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::api::SingletonJob;
use crate::contract;
use crate::controller::names;
use crate::controller::plan::directives::Directives;
use crate::controller::plan::takeover::Creation;
use crate::lease::annotations::{self, Annotations, Released, keys};
use crate::lease::identity::Identity;

/// The name by which the controller marks a Lease that it has created.
const MAKER: &str = contract::CONTROLLER;

/// The Lease of a SingletonJob that has none. It has no owner, because it outlives its SingletonJob and tells
/// the next one of that name who held it.
pub fn new(job: &SingletonJob, creation: &Creation, directives: &Directives) -> Lease {
    let metadata = ObjectMeta {
        name: Some(job.name_any()),
        namespace: job.namespace(),
        labels: Some(names::labels(&job.name_any())),
        ..ObjectMeta::default()
    };
    bare(metadata, creation, directives)
}

/// A Lease with this metadata, for a SingletonJob or for the controller itself.
pub fn bare(mut metadata: ObjectMeta, creation: &Creation, directives: &Directives) -> Lease {
    let told = Duration::from_secs(u64::from(directives.policy.lease_duration_seconds));
    let (holder, lease_duration) = match creation {
        Creation::First => (None, told),
        Creation::Again { holder, longest_lease } => (Some(holder.to_string()), *longest_lease),
    };
    directives.write(metadata.annotations.get_or_insert_default());
    Lease {
        metadata,
        // Without acquireTime and renewTime: no candidate has ever proven to hold this one.
        spec: Some(LeaseSpec {
            holder_identity: holder,
            lease_duration_seconds: i32::try_from(lease_duration.as_secs()).ok(),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }),
    }
}

/// Marks `lease` as free. The controller has created it a moment ago, and no candidate has held it.
pub fn marked_free(lease: &Lease) -> Lease {
    let released = Released::created(lease.uid().unwrap_or_default(), Identity::read(MAKER));
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    annotations::write(lease.metadata.annotations.get_or_insert_default(), keys::RELEASED, Some(&released));
    lease
}

/// Whether `lease` lacks the labels by which the controller watches it and the admission policy guards it.
/// Its annotations show that it belongs to the job.
pub fn lacks_labels(lease: &Lease) -> bool {
    names::labels(&lease.name_any()).iter().any(|(label, value)| lease.labels().get(label) != Some(value))
}

/// Adds `directives` and the labels to `lease`. `None` if the Lease has them already. The spec stays as the
/// controller read it, so a PUT on its resourceVersion changes nothing else.
pub fn with_directives(lease: &Lease, directives: &Directives) -> Option<Lease> {
    let directives = directives.about(lease);
    if directives.are_in(&says(lease)) && !lacks_labels(lease) {
        return None;
    }
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    directives.write(lease.metadata.annotations.get_or_insert_default());
    lease
        .metadata
        .labels
        .get_or_insert_default()
        .extend(names::labels(&lease.metadata.name.clone().unwrap_or_default()));
    Some(lease)
}

/// The annotations of `lease`, decoded.
pub fn says(lease: &Lease) -> Annotations {
    Annotations::read(lease.metadata.annotations.as_ref())
}
