//! A lease of five minutes: what is lost is repeated long before the next renewal would be due.

use super::super::super::timing::{Timing, TimingSpec};
use super::*;

/// As the controller makes it for a service with this lease.
fn long_policy() -> Policy {
    let timing = Timing::new(&TimingSpec::of(Duration::from_secs(300))).expect("fits");
    Policy::new(timing, CompletionPolicy::Never)
}

fn long(record: Record) -> Record {
    record.noted(|annotations| annotations.policy = Some(long_policy()))
}

fn holding() -> Fixture {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, long(free()));
    fixture.store(10, &acquire);
    fixture
}

#[test]
fn a_lost_renewal_is_repeated_after_ten_seconds() {
    let mut fixture = holding();
    let renewal = fixture.tick(72_666);
    fixture.unknown(77_666, &renewal);
    assert_eq!(put(&fixture.tick(82_665)), None);
    assert!(put(&fixture.tick(82_666)).is_some());
}

#[test]
fn a_lost_release_is_repeated_after_ten_seconds() {
    let mut fixture = holding();
    fixture.told(1_000, Fact::WorkloadEnded(Exit::Code(0)));
    let release = fixture.told(2_000, Fact::TreeEmpty);
    assert_eq!(put(&release).expect("a release").1.holder, None);
    fixture.unknown(7_000, &release);
    assert_eq!(put(&fixture.tick(11_999)), None);
    assert_eq!(put(&fixture.tick(12_000)).expect("the same again").1.holder, None);
}

#[test]
fn a_standby_that_cannot_read_tries_again_after_ten_seconds() {
    let mut fixture = Fixture::new();
    fixture.saw(0, long(held_by(other())));
    let silent = fixture.tick(109_000);
    assert!(reads(&silent));
    fixture.step(114_000, Input::Unreachable("no answer".into()));
    assert!(!reads(&fixture.tick(118_999)));
    assert!(reads(&fixture.tick(119_000)));
}
