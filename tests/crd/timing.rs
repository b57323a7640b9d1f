//! The arithmetic in the schema and the arithmetic of the protocol are the same.

use std::time::Duration;

use kube::api::PostParams;
use serde_json::{Value, json};
use singletonjob::api::{LeaseTiming, SingletonJob};
use singletonjob::lease::timing::{Timing, TimingSpec};

use super::{Fixture, refusal};

const DRY: PostParams = PostParams { dry_run: true, field_manager: None };

fn job(lease: &LeaseTiming) -> SingletonJob {
    let container = json!({"name": "main", "image": "busybox:1.37", "command": ["true"]});
    serde_json::from_value(json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "job"},
        "spec": {"lease": lease, "template": {"spec": {"containers": [container]}}},
    }))
    .expect("decodes")
}

fn lease(lease: Value) -> LeaseTiming {
    serde_json::from_value(lease).expect("decodes")
}

fn wanted(lease: &LeaseTiming) -> TimingSpec {
    let seconds = |seconds: i32| Duration::from_secs(u64::try_from(seconds).expect("not negative"));
    TimingSpec {
        lease_duration: seconds(lease.lease_duration_seconds),
        renew_deadline: lease.renew_deadline_seconds.map(seconds),
        grace_period: lease.grace_period_seconds.map(seconds),
        retry_period: lease.retry_period_seconds.map(seconds),
    }
}

#[tokio::test]
async fn timing_that_does_not_fit_is_refused_with_what_would() {
    let fixture = Fixture::new("timing").await;
    let table = [
        (
            json!({"renewDeadlineSeconds": 12, "gracePeriodSeconds": 2}),
            "spec.lease.renewDeadlineSeconds: Invalid value: renewDeadlineSeconds 12 + gracePeriodSeconds 2 do not fit into \
             leaseDurationSeconds 15 (at most 11.0 s); use leaseDurationSeconds 20 or more",
        ),
        (
            json!({"renewDeadlineSeconds": 12}),
            "renewDeadlineSeconds 12 does not fit into leaseDurationSeconds 15 (at most 11.0 s); use leaseDurationSeconds 17 or more",
        ),
        (
            json!({"gracePeriodSeconds": 11}),
            "gracePeriodSeconds 11 leaves no time to renew within leaseDurationSeconds 15; use leaseDurationSeconds 17 or more",
        ),
        (
            json!({"retryPeriodSeconds": 4}),
            "retryPeriodSeconds 4 is more than a third of renewDeadlineSeconds 8.8; use 2 or less",
        ),
        (
            json!({"leaseDurationSeconds": 3, "retryPeriodSeconds": 1}),
            "retryPeriodSeconds 1 is more than a third of renewDeadlineSeconds 2.0; leave it out",
        ),
        (
            json!({"leaseDurationSeconds": 2}),
            "spec.lease.leaseDurationSeconds in body should be greater than or equal to 3",
        ),
    ];
    for (given, message) in table {
        let said = refusal(fixture.jobs().create(&DRY, &job(&lease(given))).await);
        assert!(said.contains(message), "{said}\n  not: {message}");
    }
}

/// Around every edge: 3 to 6, the knees at 5, 20 and 182, and both sides of what fits.
fn around_the_edges() -> Vec<LeaseTiming> {
    let mut cases = Vec::new();
    for duration in [3, 4, 5, 6, 7, 15, 19, 20, 21, 60, 182, 183, 300, 3600] {
        let hard = duration * 5 / 6 - (duration / 10).clamp(1, 2);
        for renew in [None, Some(1), Some(hard - 1), Some(hard), Some(hard + 1)] {
            for grace in [None, Some(0), Some(1), Some(hard), Some(hard + 1)] {
                let third = renew.unwrap_or(hard) / 3;
                for retry in [None, Some(third), Some(third + 1)] {
                    cases.push((duration, renew, grace, retry));
                }
            }
        }
        let derived = hard - (hard / 5).min(30);
        for retry in [derived / 3, derived / 3 + 1] {
            cases.push((duration, None, None, Some(retry)));
        }
    }
    let positive = |value: &Option<i32>| value.is_none_or(|value| value >= 1);
    cases.retain(|(_, renew, _, retry)| positive(renew) && positive(retry));
    let lease =
        |(lease_duration_seconds, renew_deadline_seconds, grace_period_seconds, retry_period_seconds)| {
            LeaseTiming {
                lease_duration_seconds,
                renew_deadline_seconds,
                retry_period_seconds,
                grace_period_seconds,
            }
        };
    cases.into_iter().map(lease).collect()
}

#[tokio::test]
async fn the_api_server_and_the_protocol_agree_on_what_fits() {
    let fixture = Fixture::new("agreement").await;
    let cases = around_the_edges();
    let mut fitting = 0;
    for lease in &cases {
        let accepted = fixture.jobs().create(&DRY, &job(lease)).await.is_ok();
        let fits = Timing::new(&wanted(lease));
        assert_eq!(accepted, fits.is_ok(), "{lease:?}: {fits:?}");
        fitting += usize::from(accepted);
    }
    assert!(fitting > 50 && cases.len() - fitting > 50, "{fitting} of {}: this shows little", cases.len());
}

#[tokio::test]
async fn the_lease_duration_that_the_message_names_is_the_smallest_that_fits() {
    let fixture = Fixture::new("smallest").await;
    for stop in [3, 4, 7, 13, 14, 15, 16, 40, 299] {
        let given = LeaseTiming {
            lease_duration_seconds: 3,
            renew_deadline_seconds: Some(stop),
            grace_period_seconds: Some(0),
            retry_period_seconds: None,
        };
        let said = refusal(fixture.jobs().create(&DRY, &job(&given)).await);
        let named: i32 = said
            .split("use leaseDurationSeconds ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .expect("a number");
        let fits = |lease_duration_seconds| {
            Timing::new(&wanted(&LeaseTiming { lease_duration_seconds, ..given.clone() })).is_ok()
        };
        assert!(fits(named) && !fits(named - 1), "renewDeadlineSeconds {stop}: {said}");
    }
}
