//! Leases as users might write them: right in most places, odd in some.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use proptest::prelude::*;
use serde_json::{Value, json};
use singletonjob::lease::annotations::keys;
use singletonjob::lease::elector::Candidate;
use singletonjob::lease::identity::Identity;

const ME: &str = "web-1_6f1c_0000000000000007";
const OTHER: &str = "web-2_77aa_0000000000000009";
const TIMES: [&str; 5] = [
    "2026-11-21T12:00:00.000000Z",
    "2026-11-21T12:00:01.000000Z",
    "1970-01-01T00:00:00.000000Z",
    "9999-12-30T22:00:00.999999Z",
    "-009999-01-03T00:00:00.000000Z",
];

/// The candidate that reads them.
pub fn candidate() -> Candidate {
    Candidate::new(Identity::read(ME), "job", Duration::from_secs(28))
}

/// A policy as the controller writes it.
pub fn policy() -> Value {
    json!({"leaseDurationSeconds": 15, "renewDeadlineMilliseconds": 8800, "gracePeriodMilliseconds": 2200, "retryPeriodMilliseconds": 2900,
        "completionPolicy": "OnSuccess", "backoffLimit": 6, "candidates": 2, "activeDeadlineSeconds": 3600,
        "failurePolicy": {"rules": [{"operator": "In", "values": [42], "action": "FailRun"}]},
        "unreachableHolder": "AfterLeaseExpiry", "delaySeconds": 5})
}

/// What a workload reads.
pub fn standing() -> Value {
    json!({"role": "Active", "identity": ME, "holder": ME, "token": "48213", "validUntilBoottimeNanoseconds": 11, "trouble": "none",
        "scheduledTime": TIMES[0]})
}

fn run() -> Value {
    json!({"uid": "job", "number": 1, "desired": "Run", "scheduledTime": TIMES[0]})
}

fn progress() -> Value {
    json!({"uid": "job", "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
        "startTime": TIMES[0]})
}

fn released() -> Value {
    json!({"leaseUid": "lease", "renewTime": TIMES[0], "by": OTHER, "reason": "Drain", "token": "41", "exit": {"code": 0}})
}

fn finished() -> Value {
    json!({"uid": "job", "run": 2, "outcome": "Failed", "reason": "BackoffLimitExceeded", "attempt": 7, "failures": 7, "by": OTHER,
        "startTime": TIMES[0], "completionTime": TIMES[1]})
}

fn cleared() -> Value {
    json!({"leaseUid": "lease", "holder": OTHER})
}

fn handover() -> Value {
    json!({"id": "1", "holder": ME, "reason": "Handover"})
}

/// Instead of what belongs there.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(u32::MAX)),
        Just(json!(i64::MIN)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!({"code": i32::MAX})),
        Just(json!({"signal": i32::MAX})),
        Just(json!("340282366920938463463374607431768211455")),
        prop::sample::select(&TIMES[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
    ]
}

/// `value` with some of its fields replaced, or none.
pub fn hostile_json(value: Value) -> impl Strategy<Value = Value> {
    let fields: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
    let change = (prop::sample::select(fields), odd());
    let changes = prop_oneof![8 => Just(Vec::new()), 1 => prop::collection::vec(change, 1..3)];
    changes.prop_map(move |changes| {
        let mut value = value.clone();
        for (field, odd) in changes {
            value[&field] = odd;
        }
        value
    })
}

fn note(value: Value) -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        18 => hostile_json(value).prop_map(|value| Some(value.to_string())),
        1 => any::<String>().prop_map(Some),
        1 => Just(None),
    ]
}

fn annotations() -> impl Strategy<Value = Value> {
    let reports = (note(progress()), note(released()), prop::option::of(note(finished())));
    let asked = (prop::option::weighted(0.1, note(handover())), prop::option::weighted(0.1, note(cleared())));
    let directives = (note(policy()), note(run()), asked, prop::option::of(any::<String>()));
    (directives, reports).prop_map(
        |((policy, run, (handover, cleared), succession), (progress, released, finished))| {
            let annotations = [
                (keys::POLICY, policy),
                (keys::RUN, run),
                (keys::HANDOVER, handover.flatten()),
                (keys::CLEARED, cleared.flatten()),
                (keys::SUCCESSION, succession),
                (keys::PROGRESS, progress),
                (keys::RELEASED, released),
                (keys::FINISHED, finished.flatten()),
            ];
            annotations
                .into_iter()
                .filter_map(|(key, note)| Some((key.to_owned(), Value::from(note?))))
                .collect::<serde_json::Map<_, _>>()
                .into()
        },
    )
}

fn spec() -> impl Strategy<Value = Value> {
    let holder = prop_oneof![
        6 => Just(None),
        2 => Just(Some(ME.to_owned())),
        2 => Just(Some(OTHER.to_owned())),
        1 => any::<String>().prop_map(Some),
    ];
    let seconds = prop::option::of(prop_oneof![Just(15), any::<i32>()]);
    let time =
        || prop_oneof![6 => Just(Some(TIMES[0])), 1 => prop::option::of(prop::sample::select(&TIMES[..]))];
    (holder, seconds, time(), time(), prop::option::of(any::<i32>())).prop_map(|(holder, seconds, acquired, renewed, transitions)| {
        json!({"holderIdentity": holder, "leaseDurationSeconds": seconds, "acquireTime": acquired, "renewTime": renewed,
            "leaseTransitions": transitions})
    })
}

/// A Lease that an API server would store.
pub fn arbitrary_lease() -> impl Strategy<Value = Lease> {
    let uid = prop_oneof![4 => Just("lease"), 1 => Just("another")];
    let version =
        prop_oneof![8 => (1_u32..500).prop_map(|version| version.to_string()), 1 => any::<String>()];
    (uid, version, annotations(), spec()).prop_filter_map("an API server would refuse it", |(uid, version, annotations, spec)| {
        let lease = json!({"metadata": {"name": "web", "uid": uid, "resourceVersion": version, "annotations": annotations}, "spec": spec});
        serde_json::from_value(lease).ok()
    })
}
