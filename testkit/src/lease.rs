//! A Lease as the controller would make it, made by a test.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::contract::labels;
use singletonjob::lease::annotations::{self, CompletionPolicy, Policy, Released, Run, keys};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::timing::Timing;

/// Of the SingletonJob that there is none of.
pub const JOB_UID: &str = "11111111-2222-3333-4444-555555555555";

/// Not the controller's: an operator that is installed at the same time must leave these alone.
pub fn labels_of(name: &str) -> Value {
    json!({labels::JOB: name})
}

/// What the controller directs two candidates to do.
pub fn annotations(
    timing: Timing,
    completion_policy: CompletionPolicy,
    backoff_limit: u32,
) -> BTreeMap<String, String> {
    let run = Run::first(JOB_UID);
    let policy = Policy { backoff_limit, ..Policy::new(timing, completion_policy) };
    let mut annotations = BTreeMap::new();
    annotations::write(&mut annotations, keys::POLICY, Some(&policy));
    annotations::write(&mut annotations, keys::RUN, Some(&run));
    annotations
}

/// A Lease that all candidates have to wait for.
pub fn held_by(name: &str, holder: &str, timing: Timing, annotations: &BTreeMap<String, String>) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels_of(name), "annotations": annotations},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": timing.lease_duration().as_secs()},
    })
}

/// The same, free at once: no candidate can have held it before.
pub fn released_as_created(mut lease: Lease) -> Lease {
    let mark = Released::created(lease.uid().expect("from the API server"), Identity::read("controller"));
    annotations::write(lease.annotations_mut(), keys::RELEASED, Some(&mark));
    lease
}
