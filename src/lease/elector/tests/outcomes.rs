//! An outcome beside something that survives its kill: recorded without giving the Lease back.

use super::*;

/// A workload that ended by itself at 500, and left something behind that is killed in vain.
fn haunted(exit: Exit) -> Fixture {
    let mut fixture = Fixture::holding();
    assert!(orders(&fixture.told(500, Fact::WorkloadEnded(exit))).contains(&Order::Kill));
    fixture
}

#[test]
fn an_outcome_is_recorded_once_a_kill_has_taken_longer_than_it_may() {
    let mut fixture = haunted(Exit::Code(0));
    assert_eq!(put(&fixture.tick(1_999)), None, "K is 1.5 s");
    assert_eq!(fixture.elector.wakes_in(at(1_999)), Duration::from_millis(1));
    let recorded = fixture.tick(2_000);
    let (_, write) = put(&recorded).expect("the outcome");
    assert_eq!((write.holder, write.drop_directives), (Some(me()), false), "nothing is given back");
    assert_eq!(write.finished.map(|finished| finished.outcome), Some(Outcome::Succeeded));
    assert!(write.progress.is_some_and(|progress| !progress.open));
    let ended = fixture.store(2_010, &recorded);
    let ending = Some(Ending::Exited(Exit::Code(0)));
    assert_eq!(last_orders(&ended), (vec![], ending), "and no deadline is moved");
}

#[test]
fn a_failed_attempt_is_closed_too_and_the_next_one_waits_for_the_lease() {
    let mut fixture = haunted(Exit::Code(1));
    let recorded = fixture.tick(2_000);
    let (_, write) = put(&recorded).expect("the outcome");
    let progress = write.progress.expect("an account");
    assert_eq!((progress.failures, progress.open, write.finished), (1, false, None));
    let next = held_by(me()).noted(|annotations| annotations.progress = Some(progress));
    let mut standby = Fixture::new();
    standby.saw(0, next);
    let (_, takeover) = put(&takeover_at(&mut standby, 15_000)).expect("a takeover");
    assert_eq!(
        takeover.progress.map(|progress| (progress.failures, progress.starts)),
        Some((1, 2)),
        "counted once"
    );
}

#[test]
fn an_outcome_of_unknown_fate_is_sent_again_until_the_deadline() {
    let mut fixture = haunted(Exit::Code(0));
    let recorded = fixture.tick(2_000);
    let again = put(&fixture.unknown(4_800, &recorded)).expect("once more").1;
    assert!(again.progress.is_some_and(|progress| !progress.open));
    assert_eq!(exit(&fixture.tick(10_900)), None, "the kernel keeps this limit");
}

#[test]
fn what_is_gone_after_all_gives_the_lease_back_with_the_outcome() {
    let mut fixture = haunted(Exit::Code(0));
    let recorded = fixture.tick(2_000);
    let outcome = put(&recorded).and_then(|(_, write)| write.finished).expect("an outcome");
    assert_eq!(put(&fixture.told(2_005, Fact::TreeEmpty)), None, "the answer is on its way");
    let (_, release) = put(&fixture.store(2_010, &recorded)).expect("a release");
    assert_eq!((release.holder, release.finished), (None, Some(outcome)));
    assert_eq!(release.progress.map(|progress| (progress.open, progress.failures)), Some((false, 0)));
}

#[test]
fn what_is_lost_records_nothing() {
    let mut lost = haunted(Exit::Code(0));
    lost.saw(600, held_by(other()).version(20));
    assert_eq!(put(&lost.tick(3_000)), None);
}

/// A drained workload that was killed at 1 500, and whose first process took 1.6 s to die of it.
fn slow_to_die() -> Fixture {
    let mut fixture = Fixture::holding_by(Candidate { stop_grace: Duration::from_secs(1), ..candidate() });
    let renewal = fixture.told(500, Fact::Drain);
    fixture.store(510, &renewal);
    assert_eq!(orders(&fixture.tick(1_500)), [Order::Kill]);
    assert_eq!(
        put(&fixture.told(3_100, Fact::WorkloadEnded(Exit::Signal(9)))),
        None,
        "what is left may be about to go"
    );
    fixture
}

#[test]
fn what_dies_late_of_its_kill_gives_the_lease_back_and_records_nothing() {
    let (_, release) = put(&slow_to_die().told(3_150, Fact::TreeEmpty)).expect("a release");
    assert_eq!((release.holder, release.released.map(|mark| mark.reason)), (None, Some(Reason::Drain)));
}

#[test]
fn what_survives_a_workload_that_died_late_is_given_as_long_again() {
    let mut fixture = slow_to_die();
    let renewal = fixture.tick(3_500);
    fixture.store(3_510, &renewal);
    assert_eq!(put(&fixture.tick(4_599)), None);
    let (_, outcome) = put(&fixture.tick(4_600)).expect("the outcome");
    assert_eq!(
        (outcome.holder, outcome.progress.map(|progress| (progress.open, progress.failures))),
        (Some(me()), Some((false, 0)))
    );
}

#[test]
fn an_acquisition_that_counted_no_start_starts_nothing() {
    let spent = Progress { uid: "job".into(), run: 1, starts: 1, failures: 1, ..Progress::default() };
    let strict = free().noted(|annotations| {
        annotations.policy = Some(Policy { backoff_limit: 0, ..policy() });
        annotations.progress = Some(spent.clone());
    });
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, strict);
    fixture.unknown(100, &acquire);
    let (_, write) = put(&acquire).expect("an acquisition");
    let laxer = stored(&write, &fixture.lease, 11)
        .noted(|annotations| annotations.policy = Some(policy()))
        .version(12);
    let outputs = fixture.saw(200, laxer);
    assert_eq!(orders(&outputs), []);
    let (_, release) = put(&outputs).expect("a release");
    assert_eq!(
        (release.holder, release.progress, release.finished),
        (None, Some(spent), None),
        "for the next candidate to go on"
    );
}
