//! Wall clocks that are wrong, and machines that were booted at other times.
//!
//! The wall clock of one process cannot be set, and that of the whole machine is not ours. But agents tell it
//! nowhere except in the Lease: a Lease that was renewed in the future, or in the past, is all that another
//! machine's clock can do to them.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use singletonjob::contract::Role;
use singletonjob::lease::record::Record;
use testkit::observe::{await_object, await_tenure, now};
use tokio::time::sleep;

use crate::candidate::Candidate;
use crate::scenario::{NAME, SECOND, START, Scenario, scenario};

const LEASE: u64 = 6;
const HOUR: Duration = Duration::from_secs(3600);
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// A holder whose clock shows `renewed`, and that renews at that moment for the last time.
async fn renew_as_another(scenario: &Scenario, renewed: Timestamp) {
    let mut lease: Lease = scenario.lease().await;
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some("elsewhere_uid_0123456789abcdef".to_owned());
    spec.renew_time = Some(MicroTime(renewed));
    scenario.api().replace(NAME, &PostParams::default(), &lease).await.expect("only this test writes it");
}

/// The holder's clock, by which it renews three times and dies, is `at` this; a challenger waits a full lease
/// all the same.
async fn waits_for(scenario: &Scenario, at: impl Fn(u64) -> Timestamp) {
    renew_as_another(scenario, at(0)).await;
    let challenger = scenario.pod(1).start(&[]).await;
    challenger.await_role(Role::Standby).await;
    for renewal in 1..=3 {
        sleep(SECOND).await;
        renew_as_another(scenario, at(renewal)).await;
    }
    let last = now();
    let new = scenario.await_takeover(1, last).await;
    scenario.at_least(
        "last renewal to first instruction (L)",
        new.first - last,
        scenario.timing.lease_duration() - SECOND / 10,
    );
    is_renewed(scenario, &challenger).await;
}

/// Whatever stood there before: every renewal has a later time than the one before it.
async fn is_renewed(scenario: &Scenario, holder: &Candidate) {
    let taken = scenario.record().await;
    scenario.nothing_happens(scenario.timing.lease_duration()).await;
    let renewed = scenario.record().await;
    assert_eq!(renewed.holder, Some(holder.await_role(Role::Active).await.identity));
    assert!(renewed.renew_time > taken.renew_time && renewed.version > taken.version);
}

#[test]
fn a_holder_an_hour_ahead_is_waited_for_as_long_as_any_other() {
    scenario("18-an-hour-ahead", LEASE, async |scenario| {
        let begun = Timestamp::now() + HOUR;
        waits_for(scenario, |seconds| begun + Duration::from_secs(seconds)).await;
        let renewed = scenario.record().await.renew_time.expect("held");
        assert!(renewed < begun, "who takes over tells the time by its own clock: {renewed}");
    });
}

#[test]
fn a_holder_an_hour_behind_is_waited_for_as_long_as_any_other() {
    scenario("18-an-hour-behind", LEASE, async |scenario| {
        let begun = Timestamp::now() - HOUR;
        waits_for(scenario, |seconds| begun + Duration::from_secs(seconds)).await;
    });
}

#[test]
fn a_holder_whose_clock_runs_backwards_is_waited_for_from_its_renewal() {
    scenario("19-backwards", LEASE, async |scenario| {
        let begun = Timestamp::now();
        waits_for(scenario, |seconds| begun - Duration::from_secs(seconds * 60)).await;
    });
}

/// Its reading of `CLOCK_BOOTTIME` is days apart from that of the holder that it follows; the kernel's timer
/// keeps to it all the same.
#[test]
fn machines_that_were_booted_at_other_times_replace_each_other() {
    scenario("24-booted-earlier", LEASE, async |scenario| {
        let witness = ["--stubborn"];
        let days = 300_000;
        let (active, _standby, _) =
            scenario.pair(scenario.pod(0), scenario.pod(1).booted_earlier_by(days), &witness).await;
        let killed = now();
        active.signal(nix::sys::signal::Signal::SIGKILL);
        let new = await_tenure(&scenario.records, 2, scenario.timing.lease_duration() + START).await;
        let first = new.first - Duration::from_secs(days.unsigned_abs());
        scenario.at_most(
            "killed to first instruction (L + 1 s)",
            first - killed,
            scenario.timing.lease_duration() + SECOND,
        );
    });
}

#[test]
fn a_holder_says_in_log_and_lease_what_the_clocks_of_its_node_count() {
    scenario("23-clock-source", LEASE, async |scenario| {
        let counted = fs::read_to_string(CLOCK_SOURCE).expect("Linux on real or virtual hardware has one");
        let holder = scenario.pod(0).start(&[]).await;
        let says_so = |lease: Option<&Lease>| {
            let record = lease.and_then(|lease| Record::read(lease).ok());
            record
                .and_then(|record| record.annotations.health?.clock_source)
                .is_some_and(|said| said == counted.trim())
        };
        await_object(scenario.api::<Lease>(), NAME, "it says what its clocks count", START, says_so).await;
        let log = fs::read_to_string(holder.path("log")).expect("it was made");
        assert!(
            log.contains(&format!("singletonjob-agent starts version=\"{}\"", env!("CARGO_PKG_VERSION"))),
            "{log}"
        );
        assert!(log.contains(&format!("clock_source=\"{}\"", counted.trim())), "{log}");
    });
}
