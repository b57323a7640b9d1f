//! Runs that are stopped on purpose and resumed, whatever they were at.

use super::super::super::annotations::Finished;
use super::limits::{begun, holding_under, limited, released, renewing};
use super::*;

/// Long after the minute that a run has here.
const LATER: u64 = 600_000;

fn suspended() -> Run {
    Run { desired: Desired::Stop, reason: Some("Suspended".into()), ..run() }
}

fn resumed() -> Run {
    Run { resumptions: 1, ..run() }
}

/// What a candidate that comes with the resumption wants written when the longest that it may have to wait is
/// over.
fn acquired(record: Record) -> Option<Progress> {
    let mut fixture = Fixture::new();
    let at_once = fixture.saw(LATER, record.noted(|annotations| annotations.run = Some(resumed())));
    let due = || (LATER..LATER + 20_000).step_by(500).find_map(|now| put(&takeover_at(&mut fixture, now)));
    put(&at_once).or_else(due).and_then(|(_, write)| write.progress)
}

#[test]
fn while_a_run_is_suspended_nobody_acquires_not_even_to_close_it() {
    let silent = held_by(other()).noted(|annotations| {
        (annotations.policy, annotations.progress) =
            (Some(limited()), Some(Progress { open: true, ..begun(0) }));
    });
    for record in [free(), released(limited(), begun(0)), silent] {
        let mut fixture = Fixture::new();
        assert_eq!(
            put(&fixture.saw(LATER, record.noted(|annotations| annotations.run = Some(suspended())))),
            None
        );
        assert_eq!(put(&takeover_at(&mut fixture, LATER + 60_000)), None);
    }
}

#[test]
fn a_resumed_run_has_all_its_time_again_and_keeps_its_count() {
    let failed = Progress { failures: 1, setbacks: 1, ..begun(0) };
    let stopped = Progress { start_time: None, ..begun(0) };
    let open = Progress { open: true, ..begun(0) };
    let silent = held_by(other())
        .noted(|annotations| (annotations.policy, annotations.progress) = (Some(limited()), Some(open)));
    let none = Progress { starts: 0, ..stopped.clone() };
    let table = [
        ("never started", released(limited(), none), (1, 0)),
        ("running", released(limited(), stopped), (2, 0)),
        ("backing off", released(limited(), Progress { retry_after_seconds: 10, ..failed.clone() }), (2, 1)),
        ("between two attempts", released(limited(), failed), (2, 1)),
        ("being taken over", silent, (2, 1)),
    ];
    for (what, record, counted) in table {
        let progress = acquired(record).unwrap_or_else(|| panic!("{what}: it is acquired"));
        assert_eq!((progress.starts, progress.failures), counted, "{what}");
        assert_eq!((progress.open, progress.resumptions), (true, 1), "{what}: it is started, not closed");
        assert!(progress.start_time >= Some(wall(LATER)), "{what}: {:?}", progress.start_time);
    }
}

#[test]
fn a_run_that_was_not_resumed_since_goes_on_with_the_time_that_it_had() {
    let seen = Progress { resumptions: 1, ..begun(LATER - 20_000) };
    let progress = acquired(released(limited(), seen)).expect("there is time");
    assert_eq!((progress.start_time, progress.resumptions), (Some(wall(LATER - 20_000)), 1));
}

#[test]
fn a_finished_run_stays_finished_when_it_is_resumed() {
    let finished = Finished {
        uid: "job".into(),
        run: 1,
        outcome: Outcome::Failed,
        reason: "DeadlineExceeded".into(),
        exit: None,
        unhealthy: false,
        attempt: 1,
        failures: 0,
        token: None,
        by: other(),
        start_time: None,
        completion_time: wall(60_000),
    };
    assert_eq!(
        acquired(released(limited(), begun(0)).noted(|annotations| annotations.finished = Some(finished))),
        None
    );
}

#[test]
fn a_holder_that_was_not_told_of_the_suspension_in_between_stops_too() {
    let mut fixture = holding_under(limited());
    renewing(&mut fixture, 50_000);
    let version = fixture.lease.version.0 + 1;
    let told = fixture.lease.clone().version(version).noted(|annotations| annotations.run = Some(resumed()));
    let stop = fixture.saw(50_100, told);
    assert_eq!(orders(&stop), [Order::Terminate]);
    fixture.store(50_110, &stop);
    fixture.told(52_000, Fact::WorkloadEnded(Exit::Signal(15)));
    let (_, write) = put(&fixture.told(52_010, Fact::TreeEmpty)).expect("a release");
    assert_eq!((write.finished, write.progress.and_then(|progress| progress.start_time)), (None, None));
}
