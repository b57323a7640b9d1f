//! Pods of which the controller finds out afterwards that they failed.

use super::super::super::annotations::{FailedPod, Provisional, Tenant};
use super::limits::{begun, holding_under, released, renewing};
use super::*;

fn naming(uid: &str) -> Run {
    Run {
        failed_pods: vec![FailedPod {
            uid: uid.into(),
            name: "web-2".into(),
            reason: "Evicted".into(),
            message: None,
        }],
        ..run()
    }
}

/// The attempt of the other candidate, whose container was told to end.
fn drained() -> Progress {
    let tenant = Tenant { uid: "uid-2".into(), provisional: Some(Provisional::Interrupted), sound: false };
    Progress { tenants: vec![tenant], setbacks: 1, ..begun(0) }
}

fn limit(backoff_limit: u32) -> Policy {
    Policy { backoff_limit, ..policy() }
}

/// Holds since `0`, after the other candidate was drained.
fn followed(policy: Policy) -> Fixture {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, released(policy, drained()));
    fixture.store(10, &acquire);
    fixture
}

fn told(fixture: &mut Fixture, now: u64, run: Run) -> Vec<Output> {
    let version = fixture.lease.version.0 + 1;
    let lease = fixture.lease.clone().version(version).noted(|annotations| annotations.run = Some(run));
    fixture.saw(now, lease)
}

fn account(write: &Write) -> (u32, u32, u32, bool) {
    let progress = write.progress.clone().expect("an account");
    (progress.failures, progress.setbacks, progress.retry_after_seconds, progress.open)
}

#[test]
fn a_holder_counts_a_pod_that_failed_before_it_and_the_next_start_waits() {
    let mut fixture = followed(limit(6));
    assert_eq!(orders(&told(&mut fixture, 1_000, naming("uid-2"))), []);
    let renewal = fixture.tick(3_000);
    assert_eq!(account(&put(&renewal).expect("a renewal").1), (1, 2, 10, true));
    fixture.store(3_010, &renewal);
    assert_eq!(orders(&renewing(&mut fixture, 9_000)), []);
    let stopping = fixture.told(9_100, Fact::Drain);
    fixture.store(9_110, &stopping);
    fixture.told(9_200, Fact::WorkloadEnded(Exit::Code(0)));
    let (_, write) = put(&fixture.told(9_210, Fact::TreeEmpty)).expect("a release");
    assert_eq!(account(&write), (1, 2, 10, false), "a drain costs nothing, and forgives nothing");
    let uids: Vec<_> = write
        .progress
        .expect("an account")
        .tenants
        .into_iter()
        .map(|tenant| (tenant.uid, tenant.provisional))
        .collect();
    assert_eq!(uids, [("uid-2".into(), None), ("uid-1".into(), Some(Provisional::Interrupted))]);
}

#[test]
fn a_running_attempt_is_stopped_when_those_before_it_failed_too_often() {
    let mut fixture = followed(limit(0));
    let stopping = told(&mut fixture, 1_000, naming("uid-2"));
    assert_eq!(orders(&stopping), [Order::Terminate]);
    fixture.store(1_010, &stopping);
    fixture.told(1_100, Fact::WorkloadEnded(Exit::Code(0)));
    let (_, write) = put(&fixture.told(1_110, Fact::TreeEmpty)).expect("a release");
    assert_eq!(account(&write).0, 1, "the attempt that is stopped for it is none");
    let finished = write.finished.expect("an outcome");
    assert_eq!(
        (finished.outcome, finished.reason.as_str(), finished.attempt),
        (Outcome::Failed, "BackoffLimitExceeded", 2)
    );
}

#[test]
fn a_lower_limit_stops_no_attempt_that_has_begun() {
    let mut fixture = holding_under(limit(6));
    let lower = fixture.lease.clone().version(12).noted(|annotations| {
        annotations.policy = Some(limit(0));
        annotations.progress.iter_mut().for_each(|progress| progress.failures = 1);
    });
    assert_eq!(orders(&fixture.saw(1_000, lower)), []);
}

#[test]
fn a_run_that_a_failed_pod_has_used_up_is_closed_at_the_next_takeover() {
    let mut fixture = Fixture::new();
    let waiting = Progress { setbacks: 4, ..drained() };
    let acquire = fixture
        .saw(0, released(limit(0), waiting).noted(|annotations| annotations.run = Some(naming("uid-2"))));
    let outputs = fixture.store(10, &acquire);
    assert_eq!(orders(&outputs), [], "nothing is started");
    let finished = put(&outputs).and_then(|(_, write)| write.finished).expect("an outcome");
    assert_eq!(
        (finished.reason.as_str(), finished.failures, finished.token),
        ("BackoffLimitExceeded", 1, None)
    );
}

#[test]
fn a_failed_pod_makes_the_next_start_wait_while_nobody_holds() {
    let mut fixture = Fixture::new();
    fixture
        .saw(0, released(limit(6), drained()).noted(|annotations| annotations.run = Some(naming("uid-2"))));
    assert_eq!(put(&takeover_at(&mut fixture, 9_900)), None);
    let (_, write) = put(&takeover_at(&mut fixture, 10_000)).expect("a takeover");
    assert_eq!(account(&write), (1, 2, 0, true));
}

#[test]
fn what_is_owed_for_a_failed_pod_prolongs_no_takeover() {
    let open = Progress { open: true, retry_after_seconds: 40, ..drained() };
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()).noted(|annotations| annotations.progress = Some(open)));
    let (_, write) = put(&takeover_at(&mut fixture, 15_000)).expect("a takeover");
    let tenants = write.progress.expect("an account").tenants;
    assert_eq!(tenants[0].provisional, Some(Provisional::Lost), "the kubelet may have ended it");
}
