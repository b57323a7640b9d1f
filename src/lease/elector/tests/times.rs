//! renewTime: it rises within a tenure, and a new tenure begins with the time of day, whatever clock the
//! tenure before was written by.

use super::*;

/// The steps of this test, on a node that shows another time of day.
fn step(fixture: &mut Fixture, now: u64, day: Timestamp, input: Input) -> Vec<Output> {
    fixture.elector.step(Now { wall: day, ..at(now) }, input)
}

/// As `record` was released, by a clock that is ahead.
fn released_at(renew_time: Timestamp) -> Record {
    let freed = Record { renew_time: Some(renew_time), ..free() };
    freed.noted(|annotations| {
        annotations.released =
            annotations.released.clone().map(|mark| Released { renew_time: Some(renew_time), ..mark });
    })
}

fn renew_time(outputs: &[Output]) -> Timestamp {
    put(outputs).expect("a write").1.renew_time
}

#[test]
fn an_acquisition_sets_the_time_back_to_that_of_its_node() {
    let ahead = "9999-01-01T00:00:00Z".parse().expect("a time");
    let (_, write) = put(&Fixture::new().saw(0, released_at(ahead))).expect("an acquisition");
    assert_eq!((write.renew_time, write.acquire_time), (wall(0), Some(wall(0))));
    let mut fixture = Fixture::new();
    fixture.saw(0, Record { renew_time: Some(ahead), ..held_by(other()) });
    assert_eq!(renew_time(&takeover_at(&mut fixture, 15_000)), wall(15_000));
}

#[test]
fn an_acquisition_that_is_repeated_has_another_time_than_the_one_before() {
    let mut fixture = Fixture::new();
    let first = fixture.saw(0, free());
    fixture.unknown(10, &first);
    let read = Input::Saw(Box::new(free().version(11)), Source::Read);
    let again = step(&mut fixture, 3_000, wall(0), read);
    assert_eq!(renew_time(&again), wall(0) + Duration::from_micros(1));
}

#[test]
fn renewals_and_releases_rise_although_the_time_of_day_is_set_back() {
    let mut fixture = Fixture::holding();
    let mut last = fixture.lease.renew_time.expect("held");
    for round in 1..4 {
        let outputs = step(&mut fixture, round * 2_900, wall(0) - Duration::from_secs(round), Input::Tick);
        assert!(renew_time(&outputs) > last, "{round}");
        last = renew_time(&outputs);
        fixture.store(round * 2_900, &outputs);
    }
    let stop = step(&mut fixture, 9_000, wall(0), Input::Told(Fact::Drain));
    assert!(renew_time(&stop) > last);
    last = renew_time(&stop);
    fixture.store(9_010, &stop);
    fixture.told(9_100, Fact::WorkloadEnded(Exit::Code(0)));
    assert!(renew_time(&step(&mut fixture, 9_200, wall(0), Input::Told(Fact::TreeEmpty))) > last);
}

#[test]
fn no_write_of_a_tenure_has_the_time_that_the_mark_is_bound_to() {
    let past = |time: Timestamp| time + Duration::from_micros(1);
    assert_eq!(
        renew_time(&Fixture::new().saw(0, released_at(wall(0)))),
        past(wall(0)),
        "released and taken in the same microsecond"
    );
    let marked = wall(2_900);
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, released_at(marked));
    fixture.store(10, &acquire);
    assert_eq!(
        fixture.lease.annotations.released.as_ref().and_then(|mark| mark.renew_time),
        Some(marked),
        "it tells how this came about"
    );
    let renewal = fixture.tick(2_900);
    assert_eq!(renew_time(&renewal), past(marked));
    fixture.store(2_910, &renewal);
    let emptied = Record { holder: None, ..fixture.lease.clone() };
    assert!(!emptied.is_released());
}

#[test]
fn every_write_that_keeps_the_lease_says_when_the_agent_began_by_its_node() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(500, free());
    fixture.store(510, &acquire);
    let renewal = fixture.tick(3_500);
    let began = |outputs: &[Output]| {
        put(outputs).and_then(|(_, write)| write.health).and_then(|health| health.agent_started)
    };
    assert_eq!((began(&acquire), began(&renewal)), (Some(wall(0)), Some(wall(0))));
}
