//! A new template whose holder has not been ready yet: what stays, who follows, and how often.

use super::super::trial::is_on_trial;
use super::*;

/// The holder, which took over `seconds` ago and was not ready since.
fn on_trial(number: i64, seconds: u64) -> Candidate {
    Candidate {
        ready: false,
        can_take_over: true,
        unready_since: Some(ago(seconds)),
        has_held: true,
        ..pod(number, false)
    }
}

/// The pod that handed over; its container is being restarted, or stands by again.
fn handed_over(number: i64, can_take_over: bool) -> Candidate {
    Candidate { ready: can_take_over, can_take_over, has_held: true, ..old(number) }
}

fn ago(seconds: u64) -> Timestamp {
    now() - Duration::from_secs(seconds)
}

fn hands_back(replicas: i32) -> SingletonJob {
    let takeover = json!({"unreadyHolder": {"policy": "HandOver", "afterSeconds": 60}});
    job(json!({"completionPolicy": "Never", "replicas": replicas, "takeover": takeover}), settled())
}

fn held_for(seconds: u64, candidates: Vec<Candidate>, annotations: Value) -> Observed {
    let mut observed = Observed { lease: Some(lease(Some(3), annotations)), ..there(Some(3), candidates) };
    observed.lease.as_mut().expect("a Lease").record.acquire_time = Some(ago(seconds));
    observed
}

fn asked(act: &Actions) -> (Option<Reason>, Option<&str>) {
    (act.directives.handover.as_ref().map(|asked| asked.reason), act.directives.handed_back.as_deref())
}

#[test]
fn the_pod_that_handed_over_stays_until_the_new_workload_is_ready() {
    for replicas in 1..=3 {
        let of_the_new = |held: Candidate| {
            [vec![held], (4..=2 + i64::from(replicas)).skip(1).map(|number| pod(number, true)).collect()]
                .concat()
        };
        for able in [false, true] {
            let candidates = [vec![handed_over(1, able)], of_the_new(on_trial(3, 100))].concat();
            let act = act(&service(replicas), &held_for(100, candidates, json!({})));
            assert_eq!(
                (deleted(&act), asked(&act)),
                (vec![], (None, None)),
                "{replicas}, able to take over: {able}"
            );
        }
        let ready = Candidate { ready: true, ..on_trial(3, 0) };
        let candidates = [vec![handed_over(1, false)], of_the_new(ready)].concat();
        assert_eq!(
            deleted(&act(&service(replicas), &held_for(100, candidates, json!({})))),
            ["web-1"],
            "{replicas}"
        );
    }
}

#[test]
fn between_two_holders_the_pod_that_handed_over_stays_as_well() {
    let observed = Observed {
        lease: Some(lease(None, json!({}))),
        ..there(None, vec![handed_over(1, false), pod(3, true)])
    };
    assert_eq!(deleted(&act(&service(2), &observed)), [""; 0]);
}

#[test]
fn a_new_template_that_is_not_ready_is_handed_back_once_by_policy() {
    let candidates = |able| vec![handed_over(1, able), on_trial(3, 60), pod(4, true)];
    let first = act(&hands_back(3), &held_for(60, candidates(true), json!({})));
    assert_eq!(asked(&first), (Some(Reason::Unready), Some("new")));
    assert_eq!(
        first.directives.succession,
        Some(vec!["u1".into(), "u4".into()]),
        "to the template that was ready"
    );
    assert_eq!(
        asked(&act(&hands_back(3), &held_for(59, candidates(true), json!({})))),
        (None, None),
        "there is time"
    );
    assert_eq!(
        asked(&act(&service(3), &held_for(60, candidates(true), json!({})))),
        (None, None),
        "by default it is kept"
    );
    let again = held_for(
        60,
        vec![handed_over(1, true), on_trial(3, 60)],
        json!({"singletonjob.dev/handed-back": "\"new\""}),
    );
    assert_eq!(asked(&act(&hands_back(2), &again)), (None, Some("new")), "no second time");
}

#[test]
fn a_template_that_was_handed_back_from_is_not_rolled_out_again() {
    let after = |note: Value| Observed {
        lease: Some(lease(Some(1), json!({"singletonjob.dev/handed-back": note.to_string()}))),
        ..there(Some(1), vec![handed_over(1, true), pod(3, true)])
    };
    assert_eq!(asked(&act(&hands_back(2), &after(json!("new")))), (None, Some("new")));
    assert_eq!(asked(&act(&hands_back(2), &after(json!("an earlier one")))), (Some(Reason::RolledOut), None));
}

#[test]
fn what_the_lease_was_told_of_a_hand_back_is_forgotten_with_the_template() {
    let observed = held_for(60, vec![handed_over(1, true), on_trial(3, 60)], json!({}));
    let directed = act(&hands_back(2), &observed).directives;
    let object = &observed.lease.as_ref().expect("a Lease").object;
    let told = build::lease::with_directives(object, &directed).expect("something new");
    assert_eq!(Record::read(&told).expect("a record").annotations.handed_back.as_deref(), Some("new"));
    let forgotten =
        build::lease::with_directives(&told, &directives::Directives { handed_back: None, ..directed })
            .expect("something new");
    assert_eq!(Record::read(&forgotten).expect("a record").annotations.handed_back, None);
}

#[test]
fn only_a_holder_of_the_new_template_beside_pods_of_another_is_on_trial() {
    let leaving = Candidate { phase: Phase::Terminating, ..old(1) };
    let table = [
        ("beside its predecessor", vec![handed_over(1, true), on_trial(3, 5)], true),
        ("whose predecessor is on its way out", vec![leaving, on_trial(3, 5)], true),
        ("ready", vec![handed_over(1, true), Candidate { ready: true, ..on_trial(3, 5) }], false),
        ("alone of its template", vec![on_trial(3, 5), pod(4, true)], false),
        (
            "of the old template",
            vec![Candidate { template_hash: Some("old".into()), ..on_trial(3, 5) }, pod(4, true)],
            false,
        ),
    ];
    for (what, candidates, expected) in table {
        assert_eq!(is_on_trial(&held_for(5, candidates, json!({}))), expected, "{what}");
    }
}

#[test]
fn a_holder_that_is_not_ready_keeps_a_rollout_waiting_since_its_takeover() {
    let look = |seconds| {
        act(&service(2), &held_for(seconds, vec![handed_over(1, true), on_trial(3, seconds)], json!({})))
            .next_look
    };
    assert_eq!(
        [look(595), look(600)].map(|look| look.expect("one").as_secs()),
        [5, 16],
        "then nothing but the lease is waited for"
    );
}

/// Of the new template: it has held, and its agent tells when its workload is ready.
fn tried(number: i64) -> Candidate {
    Candidate { has_held: true, reports_readiness: true, ..pod(number, true) }
}

/// `web-1` of the old template holds since a minute, after `before` gave the Lease back with these words, or
/// fell silent.
fn followed(before: i64, words: Option<Value>, candidates: Vec<Candidate>) -> Observed {
    let tenants = json!({"uid": "j", "run": 1, "starts": 2, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
                         "tenants": [{"uid": "u1"}, {"uid": format!("u{before}")}, {"uid": "u1"}]});
    let mut annotations = json!({"singletonjob.dev/progress": tenants.to_string()});
    if let Some(words) = words {
        let mut mark = json!({"leaseUid": "l", "by": format!("web-{before}_u{before}_0")});
        mark.as_object_mut().expect("an object").extend(words.as_object().expect("an object").clone());
        annotations["singletonjob.dev/released"] = json!(mark.to_string());
    }
    let mut observed = Observed { lease: Some(lease(Some(1), annotations)), ..there(Some(1), candidates) };
    observed.lease.as_mut().expect("a Lease").record.acquire_time = Some(ago(60));
    observed
}

#[test]
fn a_new_template_whose_workload_ends_too_soon_is_not_tried_again() {
    for reason in ["WorkloadFailed", "WorkloadSucceeded", "ElectorDied"] {
        for job in [service(2), hands_back(2)] {
            let act = act(
                &job,
                &followed(3, Some(json!({"reason": reason})), vec![handed_over(1, true), tried(3)]),
            );
            assert_eq!((asked(&act), deleted(&act)), ((None, Some("new")), vec![]), "{reason}");
        }
    }
}

#[test]
fn what_proves_nothing_against_a_new_template_does_not_reject_it() {
    let failed = || json!({"reason": "WorkloadFailed"});
    let silent = || Candidate { reports_readiness: false, ..tried(3) };
    let table = [
        ("the next pod may do", 3, json!({"reason": "Drain"}), tried(3), true),
        ("it hands over", 3, json!({"reason": "WorkloadSucceeded", "exit": {"code": 120}}), tried(3), true),
        ("it was of the old one", 2, failed(), tried(3), true),
        (
            "it had been ready, and the controller rests",
            3,
            json!({"reason": "WorkloadFailed", "ready": true}),
            tried(3),
            false,
        ),
        ("it counts as ready when it runs, and the controller rests", 3, failed(), silent(), false),
    ];
    for (what, before, words, new, at_once) in table {
        let act = act(&service(2), &followed(before, Some(words), vec![handed_over(1, true), new]));
        assert_eq!(asked(&act), (at_once.then_some(Reason::RolledOut), None), "{what}");
    }
}

#[test]
fn a_template_that_is_put_back_is_rolled_out_whatever_its_pods_did_before() {
    let bad = Candidate { ready: false, ..handed_over(4, true) };
    let good = || Candidate { number: 1, name: "web-1".into(), uid: "u1".into(), ..tried(1) };
    for words in [Some(json!({"reason": "WorkloadFailed"})), None] {
        let mut observed = followed(1, words, vec![good(), bad.clone()]);
        let held = lease(Some(4), json!({})).record.holder;
        observed.lease.as_mut().expect("a Lease").record.holder = held;
        assert_eq!(asked(&act(&service(2), &observed)), (Some(Reason::RolledOut), None));
    }
}

#[test]
fn the_attempts_of_a_run_are_no_trial_of_a_template() {
    let observed =
        followed(3, Some(json!({"reason": "WorkloadFailed"})), vec![handed_over(1, true), tried(3)]);
    assert_eq!(asked(&act(&one_shot(2), &observed)), (None, None));
}

#[test]
fn a_new_template_whose_holder_lost_the_lease_is_tried_again_after_a_rest() {
    let had_been_ready = json!({"reason": "WorkloadFailed", "ready": true});
    for words in [None, Some(json!({"reason": "LeaseLost"})), Some(had_been_ready)] {
        let mut observed = followed(3, words, vec![handed_over(1, true), tried(3)]);
        let first = act(&service(2), &observed);
        assert_eq!((asked(&first), first.next_look), ((None, None), Some(Duration::from_secs(16))));
        observed.lease.as_mut().expect("a Lease").record.acquire_time = Some(ago(600));
        assert_eq!(asked(&act(&service(2), &observed)), (Some(Reason::RolledOut), None));
        observed.candidates[1].uid = "another".into();
        observed.lease.as_mut().expect("a Lease").record.acquire_time = Some(ago(1));
        assert_eq!(asked(&act(&service(2), &observed)), (Some(Reason::RolledOut), None), "its pod is gone");
    }
}

#[test]
fn pods_of_the_template_before_come_first_once_the_new_one_is_rejected() {
    let candidates = vec![handed_over(1, true), old(2), tried(3)];
    let rejected = act(&service(3), &followed(3, Some(json!({"reason": "WorkloadFailed"})), candidates));
    assert_eq!(rejected.directives.succession, Some(vec!["u2".into(), "u3".into()]));
}

#[test]
fn pods_of_the_template_before_stay_while_the_new_one_is_invalid() {
    let invalid = json!({"type": "Stalled", "status": "True", "reason": "InvalidTemplate", "message": "",
                         "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let mut job = job(json!({"completionPolicy": "Never", "replicas": 3}), settled());
    job.status.as_mut().expect("a status").conditions =
        vec![serde_json::from_value(invalid).expect("a condition")];
    let candidates = || vec![old(1), old(2), Candidate { can_take_over: false, ..old(3) }];
    assert_eq!(deleted(&act(&job, &there(Some(1), candidates()))), [""; 0]);
    assert_eq!(
        deleted(&act(&service(3), &there(Some(1), candidates()))),
        ["web-3"],
        "otherwise it makes room"
    );
    job.spec.replicas = 2;
    assert_eq!(deleted(&act(&job, &there(Some(1), candidates()))), ["web-3"], "there are too many");
}

#[test]
fn a_handover_to_another_pod_of_the_new_template_is_no_hand_back() {
    let candidates = vec![handed_over(1, false), on_trial(3, 60), pod(4, true)];
    let act = act(&hands_back(3), &held_for(60, candidates, json!({})));
    assert_eq!(asked(&act), (Some(Reason::Unready), None));
}
