//! A Lease as the controller would make it, made by a test.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::contract::labels;
use singletonjob::lease::notes::{self, CompletionPolicy, Desired, FailurePolicy, Policy, Reason, Released, Run, UnreachableHolder, keys};
use singletonjob::lease::record::Identity;
use singletonjob::lease::timing::Timing;

/// Of the SingletonJob that there is none of.
pub const JOB_UID: &str = "11111111-2222-3333-4444-555555555555";

/// Not the controller's: an operator that is installed at the same time must leave these alone.
pub fn labels_of(name: &str) -> Value {
    json!({labels::JOB: name})
}

/// What the controller wishes of two candidates.
pub fn annotations(timing: Timing, completion_policy: CompletionPolicy, backoff_limit: u32) -> BTreeMap<String, String> {
    let run = Run { uid: JOB_UID.to_owned(), number: 1, desired: Desired::Run, reason: None };
    let mut annotations = BTreeMap::new();
    notes::write(&mut annotations, keys::POLICY, Some(&policy(timing, completion_policy, backoff_limit)));
    notes::write(&mut annotations, keys::RUN, Some(&run));
    annotations
}

fn policy(timing: Timing, completion_policy: CompletionPolicy, backoff_limit: u32) -> Policy {
    let milliseconds = |duration: Duration| u32::try_from(duration.as_millis()).expect("short");
    Policy {
        lease_duration_seconds: milliseconds(timing.lease_duration()) / 1000,
        renew_deadline_milliseconds: milliseconds(timing.renew_deadline()),
        grace_period_milliseconds: milliseconds(timing.grace_period()),
        retry_period_milliseconds: milliseconds(timing.retry_period()),
        completion_policy,
        backoff_limit,
        candidates: 2,
        failure_policy: FailurePolicy::default(),
        active_deadline_seconds: None,
        token_floor: None,
        unreachable_holder: UnreachableHolder::AfterLeaseExpiry,
        delay_seconds: 0,
    }
}

/// A Lease that everybody has to wait for.
pub fn held_by(name: &str, holder: &str, timing: Timing, annotations: &BTreeMap<String, String>) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels_of(name), "annotations": annotations},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": timing.lease_duration().as_secs()},
    })
}

/// The same, free at once: nobody can have held it before.
pub fn released_as_created(mut lease: Lease) -> Lease {
    let mark = Released {
        lease_uid: lease.uid().expect("from the API server"),
        renew_time: None,
        by: Identity::read("controller"),
        reason: Reason::Created,
        token: None,
        exit: None,
    };
    notes::write(lease.annotations_mut(), keys::RELEASED, Some(&mark));
    lease
}
