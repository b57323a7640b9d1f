//! A workload that becomes ready: the Lease is told at once and once, and never before it was so.

use super::*;

/// What `outputs` write about the workload's readiness.
fn says(outputs: &[Output]) -> Option<Timestamp> {
    put(outputs).expect("a renewal").1.health.and_then(|health| health.workload_ready)
}

#[test]
fn the_first_success_of_the_readiness_probe_is_told_at_once() {
    let mut fixture = Fixture::holding();
    let told = fixture.told(500, Fact::Ready);
    let since = says(&told).expect("since when");
    fixture.store(510, &told);
    assert_eq!(put(&fixture.told(700, Fact::Ready)), None, "only the first is news");
    assert_eq!(put(&fixture.tick(3_000)), None, "the pace of renewals goes on from there");
    assert_eq!(says(&fixture.tick(3_400)), Some(since));
}

#[test]
fn a_renewal_says_nothing_of_a_workload_that_was_not_ready_yet() {
    let mut fixture = Fixture::holding();
    assert_eq!(says(&fixture.tick(2_900)), None);
}

#[test]
fn what_was_on_its_way_when_the_workload_became_ready_is_waited_for() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    assert_eq!(put(&fixture.told(2_950, Fact::Ready)), None, "one write at a time");
    assert!(says(&fixture.store(2_960, &renewal)).is_some());
}

#[test]
fn a_release_says_whether_the_workload_was_ready_though_no_renewal_did() {
    for was_ready in [true, false] {
        let mut fixture = Fixture::holding();
        let renewal = fixture.tick(2_900);
        if was_ready {
            fixture.told(2_950, Fact::Ready);
        }
        fixture.told(2_960, Fact::WorkloadEnded(Exit::Code(1)));
        fixture.store(2_970, &renewal);
        let (_, release) = put(&fixture.told(2_980, Fact::TreeEmpty)).expect("a release");
        assert_eq!(release.released.map(|mark| mark.ready), Some(was_ready));
    }
}

#[test]
fn without_a_workload_that_runs_nothing_is_ready() {
    let mut ended = Fixture::holding();
    ended.told(500, Fact::WorkloadEnded(Exit::Code(1)));
    assert_eq!(put(&ended.told(510, Fact::Ready)), None);
    let mut standby = Fixture::new();
    standby.saw(0, held_by(other()));
    assert_eq!(put(&standby.told(10, Fact::Ready)), None);
}
