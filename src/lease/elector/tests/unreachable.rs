//! What a challenger makes of a holder that gave nothing back.

use super::super::super::annotations::Cleared;
use super::*;

/// The Lease of another under a stricter policy, with this said of its holder.
fn strict(unreachable_holder: UnreachableHolder, cleared: Option<Cleared>) -> Record {
    held_by(other()).noted(|annotations| {
        annotations.policy = Some(Policy { unreachable_holder, ..policy() });
        annotations.cleared = cleared;
    })
}

fn gone(lease_uid: &str, holder: Option<Identity>) -> Cleared {
    Cleared { lease_uid: lease_uid.into(), holder }
}

const STRICT: [UnreachableHolder; 2] = [UnreachableHolder::AfterPodGone, UnreachableHolder::Manual];

#[test]
fn under_a_stricter_policy_an_expired_lease_needs_its_clearance() {
    let clearances = [
        (None, false),
        (Some(gone("lease", Some(other()))), true),
        (Some(gone("lease", Some(me()))), false),
        (Some(gone("lease", None)), false),
        (Some(gone("recreated", Some(other()))), false),
    ];
    for (policy, (cleared, taken)) in
        STRICT.into_iter().flat_map(|policy| clearances.clone().map(|clearance| (policy, clearance)))
    {
        let mut fixture = Fixture::new();
        fixture.saw(0, strict(policy, cleared.clone()));
        assert_eq!(
            put(&takeover_at(&mut fixture, 14_900)),
            None,
            "no clearance shortens the wait: {cleared:?}"
        );
        assert_eq!(put(&takeover_at(&mut fixture, 600_000)).is_some(), taken, "{policy:?}, {cleared:?}");
    }
}

#[test]
fn under_a_stricter_policy_an_emptied_lease_needs_its_clearance() {
    for (cleared, taken) in
        [(None, false), (Some(gone("lease", Some(other()))), false), (Some(gone("lease", None)), true)]
    {
        let mut fixture = Fixture::new();
        fixture.saw(0, Record { holder: None, ..strict(UnreachableHolder::AfterPodGone, cleared.clone()) });
        assert_eq!(put(&takeover_at(&mut fixture, 600_000)).is_some(), taken, "{cleared:?}");
    }
}

#[test]
fn a_clearance_wakes_a_challenger_and_does_not_restart_its_wait() {
    for (told, taken) in [(9_000, 15_000), (100_000, 100_000)] {
        let mut fixture = Fixture::new();
        fixture.saw(0, strict(UnreachableHolder::Manual, None));
        let cleared = strict(UnreachableHolder::Manual, Some(gone("lease", Some(other())))).version(12);
        let outputs = fixture.step(told, Input::Saw(Box::new(cleared.clone()), Source::Watch));
        fixture.lease = cleared;
        assert_eq!(put(&outputs).is_some(), told == taken);
        let outputs = if told == taken { outputs } else { takeover_at(&mut fixture, taken) };
        let (_, write) = put(&outputs).expect("a takeover");
        assert!(write.drop_directives && write.base == Version(12), "the clearance is done with");
    }
}

#[test]
fn what_was_released_needs_no_clearance_and_no_delay() {
    for unreachable_holder in STRICT {
        let strict = Policy { unreachable_holder, delay_seconds: 60, ..policy() };
        let outputs = Fixture::new().saw(0, free().noted(|annotations| annotations.policy = Some(strict)));
        assert!(put(&outputs).is_some(), "{unreachable_holder:?}");
    }
}

#[test]
fn the_delay_follows_the_longest_lease_whoever_is_cleared() {
    for unreachable_holder in [UnreachableHolder::AfterLeaseExpiry, UnreachableHolder::AfterPodGone] {
        let late = strict(unreachable_holder, Some(gone("lease", Some(other()))));
        let late = late.noted(|annotations| {
            annotations.policy = Some(Policy { unreachable_holder, delay_seconds: 30, ..policy() });
        });
        let mut fixture = Fixture::new();
        fixture.saw(0, late);
        assert_eq!(put(&takeover_at(&mut fixture, 44_900)), None);
        assert!(put(&takeover_at(&mut fixture, 45_100)).is_some());
    }
}

#[test]
fn a_run_out_of_time_is_closed_no_sooner_than_its_holder_may_be_followed() {
    let over = Progress {
        uid: "job".into(),
        run: 1,
        starts: 1,
        open: true,
        start_time: Some(wall(0)),
        ..Progress::default()
    };
    let limited = Policy {
        unreachable_holder: UnreachableHolder::Manual,
        delay_seconds: 30,
        active_deadline_seconds: Some(60),
        ..policy()
    };
    for (clearance, closed) in [(None, None), (Some(gone("lease", Some(other()))), Some(false))] {
        let mut fixture = Fixture::new();
        let lease = strict(UnreachableHolder::Manual, clearance);
        fixture.saw(
            60_000,
            lease.noted(|annotations| {
                (annotations.policy, annotations.progress) = (Some(limited.clone()), Some(over.clone()));
            }),
        );
        assert_eq!(put(&takeover_at(&mut fixture, 104_900)), None);
        let taken = put(&takeover_at(&mut fixture, 105_100));
        assert_eq!(taken.and_then(|(_, write)| write.progress).map(|progress| progress.open), closed);
    }
}

#[test]
fn a_release_drops_the_directives_about_its_tenure_and_a_renewal_does_not() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    assert!(!put(&renewal).expect("a renewal").1.drop_directives);
    fixture.store(2_950, &renewal);
    fixture.told(3_000, Fact::WorkloadEnded(Exit::Code(0)));
    let release = put(&fixture.told(3_010, Fact::TreeEmpty)).expect("a release").1;
    assert!(release.holder.is_none() && release.drop_directives);
}
