//! Every policy by itself, and all of them together.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::tests::{act, job, lease, now, old, pod, settled, there};
use super::super::time::left;
use super::*;
use crate::api::status::PendingRequest;
use crate::api::takeover::UnreadyPolicy;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, HANDOVER_TO};
use crate::controller::build;
use crate::controller::observe::ObservedLease;
use crate::lease::annotations::keys;
use crate::lease::identity::Identity;
use crate::lease::record::Record;

const HOUR: Duration = Duration::from_secs(3600);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A SingletonJob that the controller has looked at before.
fn known(spec: Value) -> SingletonJob {
    let mut job = job(spec, settled());
    job.status.as_mut().expect("a status").observed_generation = Some(1);
    job
}

fn service(takeover: Value) -> SingletonJob {
    known(json!({"completionPolicy": "Never", "replicas": 3, "takeover": takeover}))
}

/// With a request to hand over, to `to` if that is said.
fn asked(mut job: SingletonJob, request: &str, to: Option<&str>) -> SingletonJob {
    let annotations = job.metadata.annotations.get_or_insert_default();
    annotations.insert(HANDOVER_REQUESTED_AT.into(), request.into());
    annotations.extend(to.map(|to| (HANDOVER_TO.into(), to.into())));
    job
}

fn on(node: &str, candidate: Candidate) -> Candidate {
    Candidate { node: Some(node.into()), ..candidate }
}

/// Since when the pod is not ready.
fn unready(number: i64, since: Duration) -> Candidate {
    Candidate { unready_since: Some(now() - since), ..pod(number, false) }
}

/// The first holds, since long ago; nodes are called after their zones.
fn held(candidates: Vec<Candidate>) -> Observed {
    held_since(HOUR, None, candidates)
}

fn held_since(ago: Duration, began: Option<Reason>, candidates: Vec<Candidate>) -> Observed {
    let mut observed = there(Some(1), candidates);
    observed.nodes =
        ["a", "b", "c"].map(|zone| (zone.to_owned(), [("zone".to_owned(), zone.to_owned())].into())).into();
    let record = &mut observed.lease.as_mut().expect("a Lease").record;
    record.acquire_time = Some(now() - ago);
    record.annotations.released = began.map(|reason| crate::lease::annotations::Released {
        lease_uid: "l".into(),
        renew_time: None,
        by: Identity::read("web-9_u9_0"),
        reason,
        token: None,
        exit: None,
        unhealthy: false,
        last_renew_time: None,
        ready: false,
    });
    observed
}

/// Already asked to hand over, for this reason.
fn told(mut observed: Observed, reason: Reason) -> Observed {
    let annotations = &mut observed.lease.as_mut().expect("a Lease").record.annotations;
    annotations.handover =
        Some(Handover { id: "before".into(), holder: Identity::read("web-1_u1_0"), reason });
    observed
}

fn prefers(zone: &str) -> Value {
    json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}}])
}

fn back_to(zone: &str) -> Value {
    json!({"preferredNodes": prefers(zone), "failback": "WhenAvailable"})
}

fn gives_up_after(seconds: u64) -> Value {
    json!({"unreadyHolder": {"policy": "HandOver", "afterSeconds": seconds}})
}

fn choice(job: &SingletonJob, observed: &Observed) -> Choice {
    choose(job, observed, false, now())
}

/// What is asked of the holder, and when that may change.
fn asks(choice: &Choice) -> (Option<Reason>, Option<Duration>) {
    (why(choice), choice.look)
}

fn why(choice: &Choice) -> Option<Reason> {
    choice.handover.as_ref().map(|handover| handover.reason)
}

fn refusal(choice: &Choice) -> &str {
    match &choice.request.as_ref().expect("a request").answer {
        HandoverAnswer::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

fn line(choice: &Choice) -> Vec<&str> {
    choice.succession.iter().flatten().map(String::as_str).collect()
}

fn three() -> Vec<Candidate> {
    vec![pod(1, true), pod(2, true), pod(3, true)]
}

#[test]
fn a_request_is_granted_once_and_written_down_with_the_question() {
    let job = asked(service(json!({})), "noon", None);
    let observed = held(three());
    let before = act(&job, &observed);
    let handover = before.directives.handover.clone().expect("asked");
    assert_eq!((handover.id.as_str(), handover.reason), ("noon", Reason::Handover));
    assert_eq!(before.directives.succession, Some(vec!["u2".to_owned(), "u3".to_owned()]));
    let object =
        build::lease::with_directives(&observed.lease.as_ref().expect("a Lease").object, &before.directives)
            .expect("news");
    let record = Record::read(&object).expect("a record");
    assert_eq!(record.annotations.handled_request.as_deref(), Some("noon"));
    let observation = observed.lease.as_ref().expect("a Lease").observation.clone();
    let after =
        act(&job, &Observed { lease: Some(ObservedLease { object, record, observation }), ..observed });
    assert_eq!(
        (after.directives.handover, after.request.expect("to be remembered").answer),
        (None, HandoverAnswer::Past)
    );
}

#[test]
fn what_was_settled_and_what_was_there_at_first_sight_starts_nothing() {
    let mut settled = asked(service(json!({})), "noon", None);
    settled.status.as_mut().expect("a status").last_handled_handover_request = Some("noon".into());
    let then = choice(&settled, &held(three()));
    assert_eq!((asks(&then), then.request), ((None, None), None));
    let mut first = asked(service(json!({})), "noon", None);
    first.status.as_mut().expect("a status").observed_generation = None;
    let seen = choice(&first, &held(three()));
    assert_eq!(
        (why(&seen), seen.request.expect("to be remembered").answer),
        (None, HandoverAnswer::Recorded)
    );
}

#[test]
fn the_named_pod_goes_first_and_the_others_after_it() {
    let choice = choice(&asked(service(json!({})), "noon", Some("web-3")), &held(three()));
    assert_eq!((why(&choice), line(&choice)), (Some(Reason::Handover), vec!["u3", "u2"]));
}

#[test]
fn a_running_attempt_of_a_one_shot_is_handed_over_on_request_only() {
    let spec = |takeover: Value| known(json!({"replicas": 2, "takeover": takeover}));
    let candidates = vec![on("b", unready(1, HOUR)), on("a", pod(2, true))];
    assert_eq!(
        why(&choice(&asked(spec(json!({})), "noon", None), &held(candidates.clone()))),
        Some(Reason::Handover)
    );
    for takeover in [back_to("a"), gives_up_after(1)] {
        assert_eq!(why(&choice(&spec(takeover), &held(candidates.clone()))), None);
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_what_to_do_instead() {
    let alone = || known(json!({"completionPolicy": "Never", "replicas": 1}));
    let stopped = || known(json!({"completionPolicy": "Never", "suspend": true}));
    let table = [
        (
            service(json!({})),
            Some("web-7"),
            three(),
            "web-7 is no candidate: write one of web-1, web-2, web-3 into",
        ),
        (
            service(json!({})),
            Some("web-1"),
            three(),
            "web-1 holds the Lease already: write the name of another candidate into",
        ),
        (alone(), None, vec![pod(1, true)], "there is no standby: set spec.replicas to 2 or more"),
        (
            stopped(),
            None,
            three(),
            "nothing runs while spec.suspend is true or spec.replicas is 0: ask again when it does",
        ),
    ];
    for (job, to, candidates, expected) in table {
        let choice = choice(&asked(job, "noon", to), &held(candidates));
        assert!(why(&choice).is_none() && refusal(&choice).starts_with(expected), "{}", refusal(&choice));
    }
}

#[test]
fn a_request_waits_half_a_minute_for_its_successor() {
    let after = |waited: Option<u64>, to: Option<&str>, candidates: Vec<Candidate>| {
        let mut job = asked(service(json!({})), "noon", to);
        let since = |ago| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now() - seconds(ago));
        job.status.as_mut().expect("a status").pending_handover_request =
            waited.map(|ago| PendingRequest { request: "noon".into(), since: since(ago) });
        choice(&job, &held(candidates))
    };
    let not_yet = || vec![pod(1, true), pod(2, false)];
    for (waited, left) in [(None, 30), (Some(29), 1)] {
        let choice = after(waited, None, not_yet());
        assert!(
            matches!(choice.request, Some(HandoverRequest { answer: HandoverAnswer::Waits { .. }, .. })),
            "{choice:?}"
        );
        assert_eq!((choice.look, choice.handover), (Some(seconds(left)), None));
    }
    assert!(refusal(&after(Some(30), None, not_yet())).starts_with("no standby was ready within 30 s"));
    assert!(
        refusal(&after(Some(30), Some("web-2"), not_yet())).starts_with("web-2 was not ready within 30 s")
    );
    let other_is_ready = || vec![pod(1, true), pod(2, false), pod(3, true)];
    assert_eq!(why(&after(Some(29), Some("web-2"), other_is_ready())), None, "not to anybody else");
    assert_eq!(why(&after(Some(29), Some("web-3"), other_is_ready())), Some(Reason::Handover));
}

#[test]
fn a_pending_request_of_another_value_does_not_use_up_this_ones_time() {
    let mut job = asked(service(json!({})), "noon", None);
    let since = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now() - seconds(29));
    job.status.as_mut().expect("a status").pending_handover_request =
        Some(PendingRequest { request: "morning".into(), since });
    assert_eq!(choice(&job, &held(vec![pod(1, true), pod(2, false)])).look, Some(seconds(30)));
}

#[test]
fn while_nobody_holds_a_request_waits() {
    let mut observed = held(three());
    observed.lease.as_mut().expect("a Lease").observation.unchanged = seconds(15);
    let choice = choice(&asked(service(json!({})), "noon", None), &observed);
    assert_eq!((choice.handover, choice.look), (None, Some(seconds(30))));
}

#[test]
fn an_unready_holder_is_asked_after_that_time_as_holder() {
    let table = [(59, 3600, Some(1)), (60, 3600, None), (3600, 59, Some(1)), (3600, 60, None)];
    for (not_ready, holds, left) in table {
        let observed = held_since(seconds(holds), None, vec![unready(1, seconds(not_ready)), pod(2, true)]);
        let choice = choice(&service(gives_up_after(60)), &observed);
        let expected = if left.is_none() { Some(Reason::Unready) } else { None };
        assert_eq!(
            (why(&choice), choice.look),
            (expected, left.map(seconds)),
            "not ready for {not_ready} s, holds for {holds} s"
        );
    }
}

#[test]
fn a_ready_holder_and_one_that_is_to_be_kept_are_left_alone() {
    let ready = held(vec![pod(1, true), pod(2, true)]);
    assert_eq!(asks(&choice(&service(gives_up_after(1)), &ready)), (None, None));
    let kept = held(vec![unready(1, HOUR), pod(2, true)]);
    assert_eq!(asks(&choice(&service(json!({})), &kept)), (None, None));
}

#[test]
fn two_unready_pods_do_not_play_tennis() {
    let observed = |holds, began| held_since(seconds(holds), began, vec![unready(1, HOUR), pod(2, true)]);
    let first = choice(&service(gives_up_after(30)), &observed(89, Some(Reason::Unready)));
    assert_eq!((why(&first), first.look), (None, Some(seconds(1))), "the change is not in status yet");
    assert_eq!(
        why(&choice(&service(gives_up_after(30)), &observed(90, Some(Reason::Unready)))),
        Some(Reason::Unready)
    );
    let mut job = service(gives_up_after(30));
    let told =
        json!([{"acquireTime": (now() - seconds(80)).to_string(), "to": "web-9", "reason": "Unready"}]);
    job.status.as_mut().expect("a status").takeovers = serde_json::from_value(told).expect("takeovers");
    let later = choice(&job, &observed(40, Some(Reason::WorkloadFailed)));
    assert_eq!((why(&later), later.look), (None, Some(seconds(10))), "whatever happened in between");
}

#[test]
fn a_holder_gives_way_to_a_strictly_better_place_after_a_rest() {
    let places = |holder, standby| vec![on(holder, pod(1, true)), on(standby, pod(2, true))];
    let table = [
        ("b", "a", 60, None, Some(Reason::Failback), None),
        ("b", "a", 59, None, None, Some(1)),
        ("b", "c", 3600, None, None, None),
        ("a", "a", 3600, None, None, None),
        ("a", "b", 3600, None, None, None),
        ("unknown", "a", 3600, None, None, None),
        ("b", "a", 599, Some(Reason::Unready), None, Some(1)),
        ("b", "a", 600, Some(Reason::Unready), Some(Reason::Failback), None),
        ("b", "a", 3600, Some(Reason::Handover), None, None),
        ("b", "a", 3600, Some(Reason::Drain), Some(Reason::Failback), None),
    ];
    for (holder, standby, holds, began, expected, left) in table {
        let choice =
            choice(&service(back_to("a")), &held_since(seconds(holds), began, places(holder, standby)));
        assert_eq!(
            (why(&choice), choice.look),
            (expected, left.map(seconds)),
            "{holder} to {standby} after {holds} s, {began:?}"
        );
    }
}

#[test]
fn nobody_goes_back_while_a_template_is_rolled_out() {
    let observed = held(vec![on("b", old(1)), on("a", pod(2, true)), on("c", old(3))]);
    assert_eq!(why(&choice(&service(back_to("a")), &observed)), None);
}

#[test]
fn better_places_come_first_in_the_line_and_the_line_is_kept_up_to_date() {
    let job = service(json!({"preferredNodes": prefers("b")}));
    let observed = held(vec![
        on("a", pod(1, true)),
        on("a", pod(2, true)),
        on("b", pod(3, true)),
        on("b", pod(4, false)),
    ]);
    let first = choice(&job, &observed);
    assert_eq!((why(&first), line(&first)), (None, vec!["u3", "u2"]));
    assert_eq!(
        choice(&job, &told(observed.clone(), Reason::Handover)).succession,
        None,
        "a handover is under way"
    );
    let directives = act(&job, &observed).directives;
    let object =
        build::lease::with_directives(&observed.lease.as_ref().expect("a Lease").object, &directives)
            .expect("news");
    let record = Record::read(&object).expect("a record");
    assert_eq!(record.annotations.succession, ["u3", "u2"]);
    let observation = observed.lease.as_ref().expect("a Lease").observation.clone();
    let after = act(
        &job,
        &Observed { lease: Some(ObservedLease { object: object.clone(), record, observation }), ..observed },
    );
    assert_eq!(build::lease::with_directives(&object, &after.directives), None, "said already");
}

#[test]
fn the_line_stands_in_the_lease_before_anybody_needs_it() {
    assert_eq!(
        choice(&service(json!({})), &held(three())).succession,
        Some(vec!["u2".to_owned(), "u3".to_owned()])
    );
    assert_eq!(
        choice(&service(json!({})), &held(vec![pod(1, true), pod(2, false)])).succession,
        None,
        "no standby is able"
    );
}

#[test]
fn the_only_standby_of_two_candidates_needs_no_line() {
    let two = || known(json!({"completionPolicy": "Never", "replicas": 2}));
    let candidates = || vec![pod(1, true), pod(2, true)];
    assert_eq!(choice(&two(), &held(candidates())).succession, None, "it is first anyway");
    let line = || Some(vec!["u2".to_owned()]);
    assert_eq!(choice(&service(json!({})), &held(candidates())).succession, line(), "a third may come");
    let lined = json!({keys::SUCCESSION: json!(["u9"]).to_string()});
    let after = Observed { lease: Some(lease(Some(1), lined)), ..held(candidates()) };
    assert_eq!(choice(&two(), &after).succession, line(), "another is first in the Lease");
    let asked = act(&asked(two(), "noon", None), &held(candidates())).directives;
    assert_eq!(
        (asked.handover.is_some(), asked.succession),
        (true, line()),
        "a handover names its successor"
    );
}

/// Everything at once: asked for, rolled out, not ready, and a better place.
fn everything() -> (SingletonJob, Observed) {
    let takeover = json!({
        "preferredNodes": prefers("a"), "failback": "WhenAvailable", "unreadyHolder": {"policy": "HandOver", "afterSeconds": 1},
    });
    let holder = on("b", Candidate { unready_since: Some(now() - HOUR), ..pod(1, false) });
    (asked(service(takeover), "noon", None), held(vec![holder, on("a", pod(2, true))]))
}

#[test]
fn of_all_reasons_the_first_one_counts() {
    let (requested, observed) = everything();
    let mut unasked = requested.clone();
    unasked.metadata.annotations = None;
    let mut patient = unasked.clone();
    patient.spec.takeover.unready_holder.policy = UnreadyPolicy::Keep;
    let table = [
        (&requested, true, Reason::Handover),
        (&requested, false, Reason::Handover),
        (&unasked, true, Reason::RolledOut),
        (&unasked, false, Reason::Unready),
        (&patient, false, Reason::Failback),
    ];
    for (job, rolls_out, expected) in table {
        assert_eq!(why(&choose(job, &observed, rolls_out, now())), Some(expected));
    }
}

#[test]
fn without_a_ready_successor_nobody_is_asked_for_any_reason() {
    let (job, observed) = everything();
    let alone =
        Observed { candidates: vec![observed.candidates[0].clone(), on("a", pod(2, false))], ..observed };
    assert_eq!(why(&choose(&job, &alone, true, now())), None);
}

#[test]
fn a_handover_under_way_gives_way_only_to_what_comes_before_it() {
    let (requested, observed) = everything();
    let mut unasked = requested.clone();
    unasked.metadata.annotations = None;
    for reason in [Reason::Handover, Reason::RolledOut] {
        assert_eq!(why(&choose(&unasked, &told(observed.clone(), reason), true, now())), None, "{reason:?}");
    }
    for reason in [Reason::Unready, Reason::Failback] {
        let choice = choose(&unasked, &told(observed.clone(), reason), true, now());
        assert_eq!(
            why(&choice),
            Some(Reason::RolledOut),
            "an agent that knows no {reason:?} must not stop a rollout"
        );
    }
    assert_eq!(why(&choose(&unasked, &told(observed.clone(), Reason::Unready), false, now())), None);
    let again = choose(&requested, &told(observed, Reason::Handover), false, now());
    assert!(
        matches!(again.request, Some(HandoverRequest { answer: HandoverAnswer::Waits { .. }, .. })),
        "{again:?}"
    );
}

#[test]
fn a_holder_whose_pod_is_going_is_not_asked() {
    let leaving =
        Candidate { phase: crate::controller::observe::candidate::Phase::Terminating, ..pod(1, true) };
    let choice = choice(&asked(service(json!({})), "noon", None), &held(vec![leaving, pod(2, true)]));
    assert_eq!((why(&choice), choice.look), (None, Some(seconds(30))));
}

#[test]
fn time_that_another_clock_puts_in_the_future_is_waited_for_in_full() {
    let later: Timestamp = now() + seconds(500);
    assert_eq!(left(later, seconds(60), now()), seconds(60));
}

#[test]
fn of_equal_standbys_the_one_that_has_not_held_for_longest_follows() {
    let tenants = |uids: &[&str]| uids.iter().map(|uid| json!({"uid": uid})).collect::<Vec<_>>();
    let followed = |uids: &[&str]| {
        let mut observed = held(three());
        let progress = json!({"uid": "j", "run": 1, "starts": 3, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
                              "tenants": tenants(uids)});
        let annotations = &mut observed.lease.as_mut().expect("a Lease").record.annotations;
        annotations.progress = Some(serde_json::from_value(progress).expect("an account"));
        line(&choice(&service(json!({})), &observed)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(followed(&["u1"]), ["u2", "u3"], "of those that have not held, the older one");
    assert_eq!(followed(&["u2", "u1"]), ["u3", "u2"]);
    assert_eq!(followed(&["u2", "u3", "u2", "u1"]), ["u3", "u2"], "their last tenures count");
}
