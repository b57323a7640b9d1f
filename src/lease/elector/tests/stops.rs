//! Being told to stop: the Lease is told at once, so that a stop that is cut short is not taken for a
//! failure.

use super::*;

/// What `outputs` write about a stop.
fn says(outputs: &[Output]) -> Option<Reason> {
    put(outputs).expect("a renewal").1.health.and_then(|health| health.stopping)
}

#[test]
fn a_holder_told_to_stop_renews_at_once_and_says_why_until_it_is_gone() {
    let mut fixture = Fixture::holding();
    let told = fixture.told(500, Fact::Drain);
    assert_eq!(orders(&told), [Order::Terminate]);
    assert_eq!(says(&told), Some(Reason::Drain));
    fixture.store(510, &told);
    assert_eq!(put(&fixture.tick(3_000)), None, "once, and then as ever");
    let renewal = fixture.tick(3_400);
    assert_eq!(says(&renewal), Some(Reason::Drain));
    fixture.store(3_410, &renewal);
    fixture.told(3_500, Fact::WorkloadEnded(Exit::Code(0)));
    let (_, release) = put(&fixture.told(3_510, Fact::TreeEmpty)).expect("a release");
    assert_eq!((release.holder, release.health), (None, None));
}

#[test]
fn a_request_to_hand_over_is_answered_with_what_it_asks_for() {
    let mut fixture = Fixture::holding();
    let handover = Handover { id: "1".into(), holder: me(), reason: Reason::RolledOut };
    let record = fixture.lease.clone().version(12).noted(|annotations| annotations.handover = Some(handover));
    assert_eq!(says(&fixture.saw(700, record)), Some(Reason::RolledOut));
}

#[test]
fn what_is_no_interruption_or_leaves_no_time_is_not_said() {
    let mut unhealthy = Fixture::holding();
    unhealthy.told(500, Fact::Unhealthy);
    assert_eq!(put(&unhealthy.told(500, Fact::Drain)), None);
    let mut ended = Fixture::holding();
    assert_eq!(put(&ended.told(500, Fact::WorkloadEnded(Exit::Code(1)))), None);
    let mut silent = Fixture::holding();
    assert_eq!(put(&silent.tick(11_000)), None, "the deadline has passed");
}

/// The attempts that count once the holder, which said that, fell silent and is followed.
fn failures_after(stopping: Option<Reason>, policy: &Policy) -> Progress {
    let progress = Progress { uid: "job".into(), run: 1, starts: 1, open: true, ..Progress::default() };
    let silent = held_by(other()).noted(|annotations| {
        annotations.policy = Some(policy.clone());
        annotations.progress = Some(progress);
        annotations.health = Some(Health { stopping, ..Health::default() });
    });
    let mut fixture = Fixture::new();
    fixture.saw(0, silent);
    put(&takeover_at(&mut fixture, 15_000)).and_then(|(_, write)| write.progress).expect("a takeover")
}

#[test]
fn a_holder_that_falls_silent_after_it_was_told_to_stop_has_not_failed() {
    let once = Policy { backoff_limit: 0, ..policy() };
    let cut_short = failures_after(Some(Reason::Drain), &once);
    assert_eq!(
        (cut_short.failures, cut_short.starts, cut_short.open),
        (0, 2, true),
        "the next attempt begins"
    );
    let lost = failures_after(None, &once);
    assert_eq!((lost.failures, lost.starts, lost.open), (1, 1, false), "the attempts are used up");
}

#[test]
fn a_candidate_that_ends_in_doubt_says_so_unless_it_has_learnt_its_fate() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free());
    fixture.told(100, Fact::Drain);
    fixture.unknown(200, &acquire);
    fixture.step(300, Input::Unreachable("cut off".into()));
    assert_eq!(exit(&fixture.tick(3_000)), None);
    assert_eq!(
        fixture.elector.wakes_in(at(3_000)),
        Duration::from_millis(100),
        "what it could take is nothing to wake for"
    );
    assert_eq!(exit(&fixture.tick(3_100)), Some(Ending::InDoubt(Version(10))));
    let mut told = Fixture::new();
    let acquire = told.saw(0, free());
    told.told(100, Fact::Drain);
    told.unknown(200, &acquire);
    assert_eq!(
        exit(&told.saw(300, free().version(11))),
        Some(Ending::Interrupted),
        "another write came first"
    );
}

#[test]
fn why_it_stops_is_noted_before_the_workload_is_told() {
    let mut fixture = Fixture::holding();
    let told = fixture.told(100, Fact::Drain);
    assert_eq!(all_orders(&told), [Order::Stop(Cause::Release(Reason::Drain)), Order::Terminate]);
    fixture.store(110, &told);
    assert_eq!(
        all_orders(&fixture.told(120, Fact::Unhealthy)),
        [Order::Stop(Cause::Unhealthy)],
        "the probe's word came later"
    );
    assert_eq!(all_orders(&fixture.tick(200)), []);
}

#[test]
fn a_liveness_probe_that_is_heard_of_after_the_drain_makes_it_a_failure() {
    let mut fixture = Fixture::holding();
    let told = fixture.told(100, Fact::Drain);
    fixture.store(110, &told);
    fixture.told(120, Fact::Unhealthy);
    fixture.told(200, Fact::WorkloadEnded(Exit::Signal(15)));
    let (_, write) = put(&fixture.told(210, Fact::TreeEmpty)).expect("a release");
    assert_eq!(write.progress.map(|progress| progress.failures), Some(1));
}

#[test]
fn a_workload_that_ends_by_itself_was_told_nothing() {
    let mut fixture = Fixture::holding();
    let ended = fixture.told(100, Fact::WorkloadEnded(Exit::Code(0)));
    assert_eq!(all_orders(&ended), [Order::Kill]);
}
