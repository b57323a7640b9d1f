//! What an API server, or something in front of it, makes of single requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use nix::sys::signal::Signal;
use singletonjob::contract::{Role, exit_codes};
use testkit::observe::{await_tenure, nothing_starts, now, tenure};
use tokio::time::sleep;

use crate::candidate::Candidate;
use crate::gateway::{Call, Gateway, Verdict};
use crate::scenario::{END, SECOND, START, Scenario, scenario};

const LEASE: u64 = 6;
/// From the last instruction of a holder that gave its Lease back to the first of another, on a machine that
/// plays several scenarios at once; the cluster scenarios measure it alone.
const HANDOVER: Duration = SECOND;

/// This verdict on the first call that satisfies `condition`.
fn once(gateway: &Gateway, condition: impl Fn(&Call) -> bool + Send + Sync + 'static, verdict: Verdict) {
    let done = AtomicBool::new(false);
    gateway.rule(move |call| {
        if condition(call) && !done.swap(true, Ordering::SeqCst) { verdict.clone() } else { Verdict::Pass }
    });
}

/// Three requests of four fail, one way and another.
fn storm() -> impl Fn(&Call) -> Verdict + Send + Sync + 'static {
    let calls = AtomicUsize::new(0);
    move |call| match calls.fetch_add(1, Ordering::SeqCst) % 4 {
        _ if call.is_watch => Verdict::Pass,
        0 | 2 => Verdict::Refuse(StatusCode::TOO_MANY_REQUESTS),
        1 => Verdict::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        _ => Verdict::Pass,
    }
}

#[test]
fn a_holder_survives_a_storm_of_429_and_503_while_some_renewal_passes() {
    scenario("13-storm", 15, async |scenario| {
        let gateway = scenario.gateway().await;
        let (_active, _standby, _) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        gateway.rule(storm());
        scenario.nothing_happens(scenario.timing.lease_duration() * 3 / 2).await;
    });
}

#[test]
fn a_storm_without_end_ends_the_holder_in_time() {
    scenario("13-endless-storm", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &["--stubborn"]).await;
        gateway.rule(|_| Verdict::Refuse(StatusCode::TOO_MANY_REQUESTS));
        let begun = now();
        sleep(SECOND / 5).await;
        let deadline = active.valid_until();
        scenario.await_takeover(2, begun).await;
        scenario.died_by(old.token, deadline);
        assert_eq!(active.await_end(END).await.0, exit_codes::LEASE_LOST);
    });
}

#[test]
fn a_connection_that_hangs_without_a_word_is_given_up_for_a_new_one() {
    scenario("15-silent-connection", 15, async |scenario| {
        let gateway = scenario.gateway().await;
        let (_active, _standby, _) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        let old = gateway.connections();
        gateway.rule(move |call| if call.connection < old { Verdict::Hang } else { Verdict::Pass });
        gateway.mute_watches(true);
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        assert!(gateway.connections() > old, "it renewed over a connection that hangs");
    });
}

#[test]
fn a_challenger_that_is_shown_the_past_takes_nothing() {
    scenario("16-stale-reads", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (_active, standby, _) =
            scenario.pair(scenario.pod(0), scenario.pod(1).through(gateway.address), &[]).await;
        let past = serde_json::to_string(&scenario.lease().await).expect("plain data");
        gateway.mute_watches(true);
        gateway.rule(move |call| if call.is_read() { Verdict::Answer(past.clone()) } else { Verdict::Pass });
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
        gateway.rule(|_| Verdict::Pass);
        gateway.mute_watches(false);
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        assert_eq!(standby.await_role(Role::Standby).await.trouble, None);
    });
}

#[test]
fn a_silent_watch_delays_a_takeover_by_two_retry_periods_at_most() {
    scenario("17-silent-watch", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0), scenario.pod(1).through(gateway.address), &[]).await;
        gateway.mute_watches(true);
        sleep(SECOND).await;
        active.signal(Signal::SIGTERM);
        let new = await_tenure(&scenario.records, 2, START).await;
        let gap = new.first.saturating_sub(tenure(&scenario.records, old.token).last);
        scenario.at_most("last to first instruction (2 R)", gap, scenario.timing.retry_period() * 2);
        assert_eq!(active.await_end(END).await.0, exit_codes::INTERRUPTED);
    });
}

#[test]
fn a_renewal_that_was_stored_without_an_answer_is_proven_by_a_read() {
    scenario("renewal-cut-after-commit", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (_active, _standby, _) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        let writes = AtomicUsize::new(0);
        let every_other =
            move |call: &Call| call.is_write() && writes.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        gateway.rule(move |call| if every_other(call) { Verdict::LoseAnswer } else { Verdict::Pass });
        scenario.nothing_happens(scenario.timing.lease_duration() * 2).await;
    });
}

#[test]
fn an_acquisition_that_was_stored_without_an_answer_starts_one_workload() {
    scenario("acquisition-cut-after-commit", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        once(&gateway, Call::is_write, Verdict::LoseAnswer);
        let begun = now();
        let (_active, _standby, first) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        scenario.noted("pod to first instruction", first.first - begun);
        scenario.nothing_happens(scenario.timing.lease_duration() + SECOND).await;
        let acquired = scenario.record().await;
        assert_eq!(acquired.transitions, 1, "it acquired once");
    });
}

#[test]
fn a_release_stored_without_an_answer_is_taken_up_and_not_repeated() {
    scenario("36-release-cut-after-commit", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        once(&gateway, Call::is_release, Verdict::LoseAnswer);
        active.signal(Signal::SIGTERM);
        let new = await_tenure(&scenario.records, 2, START).await;
        let gap = new.first.saturating_sub(tenure(&scenario.records, old.token).last);
        scenario.at_most("last to first instruction", gap, HANDOVER);
        assert_eq!(active.await_end(END).await.0, exit_codes::INTERRUPTED);
        nothing_starts(&scenario.records, 2, SECOND).await;
    });
}

#[test]
fn a_release_that_was_lost_is_sent_again() {
    scenario("36-release-lost-once", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        once(&gateway, Call::is_release, Verdict::LoseRequest);
        active.signal(Signal::SIGTERM);
        let new = await_tenure(&scenario.records, 2, START).await;
        let gap = new.first.saturating_sub(tenure(&scenario.records, old.token).last);
        scenario.at_most("last to first instruction (R)", gap, scenario.timing.retry_period());
        assert_eq!(active.await_end(END).await.0, exit_codes::INTERRUPTED);
    });
}

#[test]
fn a_release_that_never_arrives_leaves_the_lease_to_expire() {
    scenario("36-release-lost", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (mut active, _standby, _) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &[]).await;
        gateway.rule(|call| if call.is_release() { Verdict::LoseRequest } else { Verdict::Pass });
        let begun = now();
        active.signal(Signal::SIGTERM);
        scenario.await_takeover(2, begun).await;
        active.await_end(END).await;
    });
}

#[test]
fn a_renewal_that_was_altered_on_its_way_is_no_renewal() {
    scenario("53-altered", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let (mut active, _standby, old) =
            scenario.pair(scenario.pod(0).through(gateway.address), scenario.pod(1), &["--stubborn"]).await;
        gateway.rule(alter);
        let deadline = active.valid_until() + scenario.timing.retry_period();
        let (code, message) = active.await_end(scenario.timing.lease_duration() + END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        scenario.died_by(old.token, deadline);
        await_tenure(&scenario.records, 2, scenario.timing.lease_duration() + START).await;
    });
}

/// As a webhook would that thinks little of microseconds.
fn alter(call: &Call) -> Verdict {
    let mut lease: serde_json::Value = match serde_json::from_str(&call.body) {
        Ok(lease) if call.is_write() => lease,
        _ => return Verdict::Pass,
    };
    let renewed = lease["spec"]["renewTime"]
        .as_str()
        .and_then(|time| time.get(..19))
        .expect("agents write the time")
        .to_owned();
    lease["spec"]["renewTime"] = format!("{renewed}.000000Z").into();
    Verdict::Rewrite(lease.to_string())
}

#[test]
fn of_five_standbys_that_race_for_a_freed_lease_one_starts_and_few_write() {
    scenario("51-race", LEASE, async |scenario| {
        let gateway = scenario.gateway().await;
        let active = scenario.pod(0).start(&[]).await;
        await_tenure(&scenario.records, 1, START).await;
        let standbys = standbys(scenario, &gateway).await;
        let writes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&writes);
        gateway.rule(move |call| {
            counter.fetch_add(usize::from(call.is_write()), Ordering::SeqCst);
            Verdict::Pass
        });
        active.signal(Signal::SIGTERM);
        await_tenure(&scenario.records, 2, START).await;
        assert!(
            writes.load(Ordering::SeqCst) <= standbys.len(),
            "{writes:?} writes by {} standbys",
            standbys.len()
        );
        nothing_starts(&scenario.records, 2, SECOND * 2).await;
    });
}

async fn standbys(scenario: &Scenario, gateway: &Gateway) -> Vec<Candidate> {
    let mut standbys = Vec::new();
    for n in 1..=5 {
        standbys.push(scenario.pod(n).through(gateway.address).start(&[]).await);
    }
    for standby in &standbys {
        standby.await_role(Role::Standby).await;
    }
    standbys
}
