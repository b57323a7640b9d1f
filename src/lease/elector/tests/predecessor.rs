use super::*;

/// The process of the same container that came before.
fn dead() -> Identity {
    Identity::new("web-1", "uid-1", 9)
}

/// A candidate that has had the lock since 0.
fn locked(predecessor: Option<Identity>) -> Candidate {
    let predecessor = predecessor.map(|process| Signature { process, lease_uid: "lease".into() });
    Candidate { lock: Some(PodLock { since: at(0).at, predecessor }), ..candidate() }
}

fn signs() -> Order {
    Order::SignLock { lease_uid: "lease".into() }
}

fn released(outputs: &[Output]) -> Option<(Identity, Reason)> {
    let (_, write) = put(outputs)?;
    if write.holder.is_some() {
        return None;
    }
    write.released.map(|mark| (mark.by, mark.reason))
}

#[test]
fn a_candidate_gives_back_what_its_predecessor_held_after_the_kill_margin() {
    let mut fixture = Fixture::of(locked(Some(dead())));
    assert_eq!(put(&fixture.saw(300, held_by(dead()))), None);
    assert!(fixture.elector.wakes_in(at(600)) <= Duration::from_millis(900));
    assert_eq!(put(&fixture.tick(1_499)), None);
    let outputs = fixture.tick(1_500);
    assert_eq!(released(&outputs), Some((dead(), Reason::ElectorDied)));
    let outputs = fixture.store(1_510, &outputs);
    let outputs = if put(&outputs).is_some() { outputs } else { fixture.tick(1_600) };
    let (_, write) = put(&outputs).expect("it is next in line itself");
    assert_eq!((write.holder, all_orders(&outputs)), (Some(me()), vec![signs()]));
}

#[test]
fn a_candidate_gives_back_nothing_without_the_lock_or_of_another_process() {
    for (candidate, holder) in [
        (candidate(), dead()),
        (locked(None), dead()),
        (locked(Some(dead())), Identity::new("web-1", "uid-1", 8)),
        (locked(Some(dead())), other()),
    ] {
        let mut fixture = Fixture::of(candidate);
        fixture.saw(0, held_by(holder.clone()));
        let early = (0..14_000).step_by(100).find_map(|now| put(&fixture.tick(now)));
        assert_eq!(early, None, "{holder}");
    }
}

#[test]
fn the_dead_fail_unless_they_were_told_to_stop() {
    for (stopping, expected) in [(None, Reason::ElectorDied), (Some(Reason::Drain), Reason::Drain)] {
        let mut fixture = Fixture::of(locked(Some(dead())));
        let health = Health { stopping, token: Some(Version(7)), ..Health::default() };
        let outputs =
            fixture.saw(2_000, held_by(dead()).noted(|annotations| annotations.health = Some(health)));
        assert_eq!(released(&outputs), Some((dead(), expected)));
        let (_, write) = put(&outputs).expect("a release");
        assert_eq!(write.released.and_then(|mark| mark.token), Some(Version(7)));
    }
}

#[test]
fn a_lost_release_for_the_dead_is_repeated_and_not_at_once() {
    let mut fixture = Fixture::of(locked(Some(dead())));
    let first = fixture.saw(2_000, held_by(dead()));
    fixture.unknown(2_100, &first);
    assert_eq!(put(&fixture.saw(2_200, held_by(dead()))), None);
    assert_eq!(put(&fixture.tick(3_400)), None);
    assert!(released(&fixture.tick(3_460)).is_some(), "half a retry period later");
    let mut fixture = Fixture::of(locked(Some(dead())));
    let first = fixture.saw(2_000, held_by(dead()));
    let (attempt, _) = put(&first).expect("a release");
    fixture.step(2_010, Input::Answered { attempt, answer: Answer::Conflict });
    let renewed = held_by(dead()).renewed(1_999).version(12);
    assert!(released(&fixture.saw(2_020, renewed)).is_some(), "based on what is stored by now");
}

#[test]
fn a_draining_candidate_leaves_the_predecessors_lease_alone() {
    let mut fixture = Fixture::of(locked(Some(dead())));
    fixture.told(0, Fact::Drain);
    assert_eq!(put(&fixture.saw(2_000, held_by(dead()))), None);
}

#[test]
fn only_a_candidate_with_the_lock_signs_it() {
    let mut fixture = Fixture::new();
    assert_eq!(all_orders(&fixture.saw(0, free())), []);
    let mut fixture = Fixture::of(locked(None));
    assert_eq!(all_orders(&fixture.saw(0, free())), [signs()]);
}

#[test]
fn a_lease_that_is_another_or_had_another_holder_is_not_given_back() {
    let made_again =
        Record { uid: "another".into(), acquire_time: None, renew_time: None, ..held_by(dead()) };
    let mut fixture = Fixture::of(locked(Some(dead())));
    assert_eq!(put(&fixture.saw(2_000, made_again)), None);
    let mut fixture = Fixture::of(locked(Some(dead())));
    fixture.saw(2_000, held_by(other()).version(20));
    assert_eq!(
        put(&fixture.saw(3_000, held_by(dead()).renewed(100).version(5))),
        None,
        "restored from a backup"
    );
}

#[test]
fn a_release_for_the_dead_that_changes_nothing_is_not_repeated_at_once() {
    let mut fixture = Fixture::of(locked(Some(dead())));
    let first = fixture.saw(2_000, held_by(dead()));
    let (attempt, _) = put(&first).expect("a release");
    let altered = Answer::Stored(Box::new(held_by(dead()).renewed(2_000).version(12)));
    assert_eq!(put(&fixture.step(2_010, Input::Answered { attempt, answer: altered })), None);
    assert_eq!(put(&fixture.tick(3_400)), None);
    assert!(released(&fixture.tick(3_460)).is_some());
}
