//! Runs that end before they succeed.

use super::super::super::annotations::{FailureAction, FailureRule, Operator};
use super::*;

/// A minute for a run.
pub(super) fn limited() -> Policy {
    Policy { active_deadline_seconds: Some(60), ..policy() }
}

/// Holds since `0` under `policy`, and its workload runs.
pub(super) fn holding_under(policy: Policy) -> Fixture {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free().noted(|annotations| annotations.policy = Some(policy)));
    fixture.store(10, &acquire);
    fixture
}

/// Renews until `end`, and returns what it wanted then.
pub(super) fn renewing(fixture: &mut Fixture, end: u64) -> Vec<Output> {
    for now in (100..end).step_by(100) {
        let outputs = fixture.tick(now);
        if put(&outputs).is_some() {
            fixture.store(now + 10, &outputs);
        }
    }
    fixture.tick(end)
}

/// Of this account, given back at `0`.
pub(super) fn released(policy: Policy, progress: Progress) -> Record {
    free().noted(|annotations| (annotations.policy, annotations.progress) = (Some(policy), Some(progress)))
}

pub(super) fn begun(at: u64) -> Progress {
    Progress { uid: "job".into(), run: 1, starts: 1, start_time: Some(wall(at)), ..Progress::default() }
}

#[test]
fn an_exit_code_that_fails_the_run_is_recorded_in_the_release() {
    let rule = FailureRule { operator: Operator::In, values: vec![42], action: FailureAction::FailRun };
    let mut fixture = holding_under(Policy {
        failure_policy: FailurePolicy { rules: vec![rule], ..FailurePolicy::default() },
        ..policy()
    });
    fixture.told(500, Fact::WorkloadEnded(Exit::Code(42)));
    let (_, write) = put(&fixture.told(510, Fact::TreeEmpty)).expect("a release");
    let finished = write.finished.expect("an outcome");
    assert_eq!(
        (write.holder, finished.outcome, finished.reason.as_str()),
        (None, Outcome::Failed, "FailurePolicy")
    );
    assert_eq!((finished.exit, finished.attempt, finished.failures), (Some(Exit::Code(42)), 1, 1));
}

#[test]
fn a_holder_wakes_for_the_deadline_of_its_run_and_stops_with_grace() {
    let mut fixture = holding_under(limited());
    assert_eq!(orders(&renewing(&mut fixture, 59_500)), []);
    assert_eq!(fixture.elector.wakes_in(at(59_990)), Duration::from_millis(10));
    let told = fixture.tick(60_000);
    assert_eq!(orders(&told), [Order::Terminate]);
    fixture.store(60_010, &told);
    fixture.told(61_000, Fact::WorkloadEnded(Exit::Code(0)));
    let release = fixture.told(61_010, Fact::TreeEmpty);
    let (_, write) = put(&release).expect("a release");
    let finished = write.finished.expect("an outcome");
    assert_eq!((finished.outcome, finished.reason.as_str()), (Outcome::Failed, "DeadlineExceeded"));
    assert_eq!(write.released.map(|mark| mark.reason), Some(Reason::Stopped));
    assert_eq!(last_orders(&fixture.store(61_020, &release)), (vec![], Some(Ending::Interrupted)));
}

#[test]
fn a_run_that_succeeded_in_time_is_complete_however_late_that_is_written() {
    let mut fixture = holding_under(limited());
    renewing(&mut fixture, 59_000);
    fixture.told(59_900, Fact::WorkloadEnded(Exit::Code(0)));
    let (_, write) = put(&fixture.told(60_500, Fact::TreeEmpty)).expect("a release");
    assert_eq!(write.finished.map(|finished| finished.reason).as_deref(), Some("Completed"));
}

#[test]
fn the_time_of_a_run_goes_on_over_takeovers() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(20_000, released(limited(), begun(0)));
    fixture.store(20_010, &acquire);
    assert_eq!(
        fixture.lease.annotations.progress.as_ref().and_then(|progress| progress.start_time),
        Some(wall(0))
    );
    let due = (20_100..80_000).step_by(100).find(|now| {
        let outputs = fixture.tick(*now);
        let stops = orders(&outputs).contains(&Order::Terminate);
        if put(&outputs).is_some() && !stops {
            fixture.store(*now + 10, &outputs);
        }
        stops
    });
    assert_eq!(due, Some(60_000));
}

#[test]
fn a_time_of_day_that_jumps_while_it_holds_ends_nothing() {
    let mut fixture = holding_under(limited());
    let later = Now { wall: wall(7_200_000), ..at(1_000) };
    assert_eq!(orders(&fixture.elector.step(later, Input::Tick)), []);
}

#[test]
fn an_acquirer_that_finds_the_time_used_up_closes_the_run_without_a_start() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(60_000, released(limited(), begun(0)));
    let (_, write) = put(&acquire).expect("an acquisition");
    assert_eq!(write.progress.map(|progress| (progress.starts, progress.open)), Some((1, false)));
    let outputs = fixture.store(60_010, &acquire);
    assert_eq!(orders(&outputs), []);
    let finished = put(&outputs).and_then(|(_, write)| write.finished).expect("an outcome");
    assert_eq!((finished.reason.as_str(), finished.attempt, finished.token), ("DeadlineExceeded", 1, None));
}

#[test]
fn a_run_whose_time_is_over_is_closed_then_and_not_when_its_back_off_is() {
    let waiting = Progress { retry_after_seconds: 360, ..begun(0) };
    let mut fixture = Fixture::new();
    assert_eq!(put(&fixture.saw(50_000, released(limited(), waiting))), None);
    assert_eq!(put(&takeover_at(&mut fixture, 59_900)), None);
    assert!(put(&takeover_at(&mut fixture, 60_000)).is_some());
}

#[test]
fn a_silent_holder_is_waited_for_although_the_time_of_its_run_is_over() {
    let mut fixture = Fixture::new();
    let open = Progress { open: true, ..begun(0) };
    fixture.saw(
        60_000,
        held_by(other())
            .noted(|annotations| (annotations.policy, annotations.progress) = (Some(limited()), Some(open))),
    );
    assert_eq!(put(&takeover_at(&mut fixture, 74_900)), None);
    let (_, write) = put(&takeover_at(&mut fixture, 75_000)).expect("a takeover");
    assert_eq!(write.progress.map(|progress| (progress.failures, progress.open)), Some((1, false)));
}

#[test]
fn a_run_that_is_suspended_is_not_failed_and_has_all_its_time_again() {
    let mut fixture = holding_under(limited());
    renewing(&mut fixture, 50_000);
    let stop = Run { desired: Desired::Stop, reason: Some("Suspended".into()), ..run() };
    let version = fixture.lease.version.0 + 1;
    let stopped = fixture.lease.clone().version(version).noted(|annotations| annotations.run = Some(stop));
    let told = fixture.saw(50_100, stopped);
    assert_eq!(orders(&told), [Order::Terminate]);
    fixture.store(50_110, &told);
    fixture.told(52_000, Fact::WorkloadEnded(Exit::Signal(15)));
    let (_, write) = put(&fixture.told(52_010, Fact::TreeEmpty)).expect("a release");
    assert_eq!((write.finished, write.progress.and_then(|progress| progress.start_time)), (None, None));
}

#[test]
fn an_attempt_that_its_liveness_probe_ended_says_so() {
    let mut fixture = holding_under(Policy { backoff_limit: 0, ..policy() });
    fixture.told(90, Fact::Unhealthy);
    fixture.told(100, Fact::Drain);
    fixture.told(200, Fact::WorkloadEnded(Exit::Signal(15)));
    let release = fixture.told(210, Fact::TreeEmpty);
    let finished = put(&release).and_then(|(_, write)| write.finished).expect("an outcome");
    assert_eq!((finished.unhealthy, finished.reason.as_str()), (true, "BackoffLimitExceeded"));
    let ending = Some(Ending::Exited(Exit::Signal(15)));
    assert_eq!(last_orders(&fixture.store(220, &release)), (vec![], ending));
}
