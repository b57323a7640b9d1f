//! Many candidates, and how little they ask for: they listen, and take turns.

use std::collections::BTreeSet;

use super::*;

/// How long each of four standbys lets others go first, by a line of pod uids.
fn turns(line: &[&str], transitions: i32) -> Vec<Duration> {
    turns_after(Reason::Created, line, transitions)
}

fn turns_after(reason: Reason, line: &[&str], transitions: i32) -> Vec<Duration> {
    let line = line.iter().map(|uid| (*uid).to_owned()).collect();
    let freed = Record { transitions, ..free() }.noted(|annotations| {
        annotations.succession = line;
        annotations.released.as_mut().expect("it is free").reason = reason;
    });
    let standby = |number: u64| Identity::new(&format!("web-{number}"), &format!("uid-{number}"), number);
    (1..=4).map(|number| succession::delay(&standby(number), &freed, 5)).collect()
}

#[test]
fn a_line_that_is_written_is_kept_and_others_come_after_it() {
    let turns = turns(&["uid-3", "uid-1"], 1);
    let [first, second] = [0, 50].map(Duration::from_millis);
    assert_eq!((turns[2], turns[0]), (first, second));
    assert!(turns[1] > second && turns[3] > second, "{turns:?}");
}

#[test]
fn a_lease_that_was_handed_over_is_left_for_a_second_to_the_first_in_line() {
    for reason in [Reason::Handover, Reason::RolledOut, Reason::Failback, Reason::Unready] {
        let turns = turns_after(reason, &["uid-3", "uid-1"], 1);
        assert_eq!((turns[2], turns[0]), (Duration::ZERO, Duration::from_millis(1050)), "{reason:?}");
        assert!(turns[1] > turns[0] && turns[3] > turns[0], "{reason:?}: {turns:?}");
    }
    let unnamed = turns_after(Reason::Handover, &[], 1);
    assert!(
        unnamed.iter().all(|turn| turn.as_millis() < 200),
        "without a line all go by their own rank: {unnamed:?}"
    );
    let drained = turns_after(Reason::Drain, &["uid-3", "uid-1"], 1);
    assert_eq!(drained[0], Duration::from_millis(50), "a drain names no successor");
}

#[test]
fn candidates_that_rank_themselves_are_not_always_in_the_same_order() {
    let takeovers: Vec<_> = (0..100).map(|transitions| turns(&[], transitions)).collect();
    for standby in 0..4 {
        let turns: BTreeSet<_> = takeovers.iter().map(|turns| turns[standby]).collect();
        assert_eq!(turns, [0, 50, 100, 150].map(Duration::from_millis).into(), "standby {standby}");
    }
    let together = takeovers.iter().filter(|turns| turns.iter().all(|turn| *turn == turns[0])).count();
    assert!(together < 10, "all at once in {together} of 100");
}

#[test]
fn a_standby_that_hears_of_every_renewal_asks_for_nothing() {
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()));
    for second in (3..600).step_by(3) {
        let renewed = Box::new(held_by(other()).renewed(second).version(u128::from(11 + second)));
        let mut outputs = fixture.step(second * 1000, Input::Saw(renewed, Source::Watch));
        outputs.extend((0..30).flat_map(|tenth| fixture.tick(second * 1000 + tenth * 100)));
        assert_eq!(outputs, [], "after {second} s");
    }
}

#[test]
fn renewals_of_holders_that_began_together_drift_apart_and_none_is_late() {
    let mut fixture = Fixture::holding();
    let (mut last, mut pauses) = (0, BTreeSet::new());
    for now in 1..60_000 {
        let outputs = fixture.tick(now);
        if put(&outputs).is_some() {
            pauses.insert(now - last);
            fixture.store(now, &outputs);
            last = now;
        }
    }
    assert!(pauses.len() > 5 && pauses.iter().all(|pause| (2600..=2900).contains(pause)), "{pauses:?}");
}
