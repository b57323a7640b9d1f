//! Leases that do not carry the uid of the candidate's SingletonJob: emptied of their annotations, made anew
//! by another hand, or another job's.

use super::limits::{holding_under, renewing};
use super::*;

fn shorter() -> Policy {
    Policy {
        lease_duration_seconds: 6,
        renew_deadline_milliseconds: 3000,
        retry_period_milliseconds: 900,
        grace_period_milliseconds: 0,
        ..policy()
    }
}

fn about(uid: &str) -> Run {
    Run { uid: uid.into(), ..run() }
}

#[test]
fn a_lease_without_the_jobs_uid_is_never_acquired_however_free() {
    for strange in [None, Some(about("another")), Some(about(""))] {
        let mut fixture = Fixture::new();
        assert_eq!(
            put(&fixture.saw(0, free().noted(|annotations| annotations.run.clone_from(&strange)))),
            None,
            "{strange:?}"
        );
        assert_eq!(put(&takeover_at(&mut fixture, 3_600_000)), None, "{strange:?}");
    }
}

#[test]
fn a_holder_obeys_only_directives_that_carry_its_jobs_uid() {
    let mut fixture = holding_under(policy());
    let handover = Handover { id: "1".into(), holder: me(), reason: Reason::Handover };
    let blanked = fixture.lease.clone().version(12).noted(|annotations| {
        (annotations.run, annotations.policy, annotations.handover) = (None, Some(shorter()), Some(handover));
    });
    assert_eq!(orders(&fixture.saw(500, blanked)), []);
    let renewal = fixture.tick(3_000);
    assert_eq!(put(&renewal).expect("a renewal").1.lease_duration, Duration::from_secs(15));
    fixture.store(3_010, &renewal);
    assert_eq!(orders(&renewing(&mut fixture, 9_000)), []);
}

#[test]
fn a_holder_whose_lease_is_wanted_for_another_job_stops_and_gives_it_back() {
    let mut fixture = Fixture::holding();
    let another =
        fixture.lease.clone().version(12).noted(|annotations| annotations.run = Some(about("another")));
    assert_eq!(orders(&fixture.saw(500, another)), [Order::Terminate]);
}

#[test]
fn a_longer_lease_is_waited_for_whoever_speaks_of_it() {
    let mut fixture = Fixture::new();
    let long = Policy { lease_duration_seconds: 60, ..policy() };
    fixture.saw(
        0,
        held_by(other()).noted(|annotations| {
            (annotations.run, annotations.policy) = (Some(about("another")), Some(long));
        }),
    );
    fixture.saw(100, held_by(other()).version(12));
    assert_eq!(put(&takeover_at(&mut fixture, 59_000)), None);
    assert!(put(&takeover_at(&mut fixture, 60_000)).is_some());
}
