//! All candidates on one node: when one more is made, what becomes of it, and who goes.

use super::*;
use crate::controller::plan::run_plan::RunPlan;
use crate::controller::plan::spread::decide;
use crate::lease::annotations::Spread;

const DAY: u64 = 24 * 3600;

fn ago(seconds: u64) -> Timestamp {
    now() - Duration::from_secs(seconds)
}

fn on(node: &str, candidate: Candidate) -> Candidate {
    Candidate { node: Some(node.into()), ..candidate }
}

fn both_on_a() -> Vec<Candidate> {
    vec![on("a", pod(1, true)), on("a", pod(2, true))]
}

/// The first holds; another node has been ready for `room` seconds; so often was it tried, and so many
/// seconds ago for the last time.
fn observed(candidates: Vec<Candidate>, room: Option<u64>, tried: Option<(u32, u64)>) -> Observed {
    let mut observed = Observed { room: room.map(ago), ..there(Some(1), candidates) };
    let note = tried.map(|(tries, seconds)| Spread { tries, last: ago(seconds) });
    observed.lease.as_mut().expect("a Lease").record.annotations.spread = note;
    observed
}

/// How many are made, who goes, how often it was tried by then, and when it is looked at again for that.
fn decides(observed: &Observed) -> (usize, Vec<String>, Option<u32>) {
    let act = act(&service(2), observed);
    let tries = act.directives.spread.as_ref().map(|spread| spread.tries);
    (act.create.count, deleted(&act).into_iter().map(str::to_owned).collect(), tries)
}

fn nothing(tries: Option<u32>) -> (usize, Vec<String>, Option<u32>) {
    (0, vec![], tries)
}

#[test]
fn one_candidate_more_is_made_for_a_node_that_is_ready_for_a_minute() {
    let table = [
        ("no other node", None, nothing(None)),
        ("just come back", Some(59), nothing(None)),
        ("there for a minute", Some(60), (1, vec![], Some(1))),
    ];
    for (what, room, expected) in table {
        assert_eq!(decides(&observed(both_on_a(), room, None)), expected, "{what}");
    }
    assert_eq!(
        act(&service(2), &observed(both_on_a(), Some(55), None)).next_look,
        Some(Duration::from_secs(5))
    );
}

#[test]
fn nothing_is_made_while_anything_else_is_under_way() {
    let left = Candidate { phase: Phase::Terminating, ..on("b", pod(3, true)) };
    let table = [
        ("apart already", vec![on("a", pod(1, true)), on("b", pod(2, true))]),
        ("a rollout", vec![on("a", pod(1, true)), on("a", old(2))]),
        (
            "a holder that is not ready",
            vec![on("a", Candidate { ready: false, ..pod(1, true) }), on("a", pod(2, true))],
        ),
        ("one that is leaving", [both_on_a(), vec![left]].concat()),
    ];
    for (what, candidates) in table {
        assert_eq!(decides(&observed(candidates, Some(1000), None)).2, None, "{what}");
    }
    let mut asked = observed(both_on_a(), Some(1000), None);
    let request = crate::lease::annotations::Handover {
        id: "1".into(),
        holder: Identity::read("web-1_u1_0"),
        reason: Reason::Handover,
    };
    asked.lease.as_mut().expect("a Lease").record.annotations.handover = Some(request);
    assert_eq!(decides(&asked), nothing(None), "a handover");
    let stopped = act(
        &job(json!({"completionPolicy": "Never", "suspend": true}), settled()),
        &observed(both_on_a(), Some(1000), None),
    );
    assert_eq!(stopped.create.count, 0);
}

#[test]
fn between_ticks_of_a_schedule_no_candidate_more_is_made() {
    let scheduled = job(json!({"schedule": {"cron": "@yearly", "candidates": "Always"}}), settled());
    let observed = observed(both_on_a(), Some(1000), None);
    let run = act(&scheduled, &observed).run;
    let made = |goes_on| decide(&scheduled, &observed, &RunPlan { goes_on, ..run.clone() }, now()).surplus;
    assert_eq!((made(true), made(false)), (1, 0), "during a run, and between two");
    assert!(!run.goes_on && !run.is_at_rest(), "candidates are there for the next tick");
    let free = Observed { lease: Some(lease(None, json!({}))), ..observed.clone() };
    let act = act(&scheduled, &free);
    assert_eq!((act.create.count, act.directives.spread, act.delete), (0, None, vec![]));
}

#[test]
fn the_new_one_is_waited_for_and_then_a_standby_beside_the_holder_goes() {
    let with = |third: Candidate| [both_on_a(), vec![third]].concat();
    assert_eq!(
        decides(&observed(with(pod(3, false)), Some(1000), Some((1, 5)))),
        nothing(Some(1)),
        "on no node yet"
    );
    assert_eq!(
        decides(&observed(with(on("b", pod(3, false))), Some(1000), Some((1, 5)))),
        nothing(Some(1)),
        "it starts"
    );
    assert_eq!(
        decides(&observed(with(on("b", pod(3, true))), None, Some((1, 9)))),
        (0, vec!["web-2".into()], None),
        "it stands by"
    );
    let late = decides(&observed(with(on("b", pod(3, false))), Some(1000), Some((1, 600))));
    assert_eq!(late, (0, vec!["web-3".into()], Some(1)), "it does not start");
}

#[test]
fn the_rest_is_counted_from_the_end_of_a_try_and_not_from_its_beginning() {
    let made = |seconds| Candidate { since: Some(ago(seconds)), ..pod(3, false) };
    let noted = |third: Candidate| {
        let note =
            act(&service(2), &observed([both_on_a(), vec![third]].concat(), Some(1000), Some((1, 900))))
                .directives
                .spread;
        note.map(|note| note.last)
    };
    assert_eq!(noted(made(599)), Some(ago(900)), "it may still start");
    assert_eq!(noted(made(700)), Some(ago(100)), "it has not started within 600 s, and every look says so");
    assert_eq!(noted(on("a", made(5))), Some(ago(5)), "it landed beside the others");
}

#[test]
fn the_first_pod_of_a_new_template_is_no_try() {
    let before =
        vec![on("a", old(1)), on("a", old(2)), on("a", Candidate { since: Some(ago(5)), ..pod(3, false) })];
    assert_eq!(decides(&observed(before, Some(1000), Some((1, 900)))), nothing(Some(1)));
    let note = act(
        &service(2),
        &observed(vec![on("a", old(1)), on("a", old(2)), on("a", pod(3, false))], Some(1000), Some((1, 900))),
    );
    assert_eq!(note.directives.spread.map(|note| note.last), Some(ago(900)));
}

#[test]
fn a_holder_whose_workload_is_not_ready_is_on_its_node_all_the_same() {
    let unready = Candidate { ready: false, can_take_over: false, has_held: true, ..on("b", pod(1, false)) };
    assert_eq!(
        decides(&observed(
            vec![unready.clone(), on("a", pod(2, true)), on("a", pod(3, true))],
            Some(1000),
            None
        ))
        .0,
        0,
        "apart"
    );
    let beside = observed(vec![unready, on("b", pod(2, true))], Some(1000), None);
    assert_eq!(beside.crowded(), Some("b"));
}

#[test]
fn one_beside_the_others_goes_at_once_and_the_next_try_waits_longer() {
    let landed = [both_on_a(), vec![on("a", pod(3, false))]].concat();
    assert_eq!(decides(&observed(landed, Some(1000), Some((1, 5)))), (0, vec!["web-3".into()], Some(1)));
    let table = [
        (1, 599, 0),
        (1, 600, 1),
        (2, 1199, 0),
        (2, 1200, 1),
        (8, 76_799, 0),
        (8, 76_800, 1),
        (9, DAY - 1, 0),
        (30, DAY, 1),
    ];
    for (tries, seconds, made) in table {
        let (create, _, after) = decides(&observed(both_on_a(), Some(DAY * 2), Some((tries, seconds))));
        assert_eq!(
            (create, after),
            (made, Some(tries + u32::try_from(made).expect("small"))),
            "{tries} tries, the last {seconds} s ago"
        );
    }
}

#[test]
fn a_standby_that_is_restarted_does_not_make_the_tries_forgotten() {
    let restarting = vec![on("a", pod(1, true)), on("a", pod(2, false))];
    assert_eq!(decides(&observed(restarting, None, Some((3, 5)))), nothing(Some(3)));
}

#[test]
fn of_a_surplus_those_go_first_that_share_a_node() {
    let apart = vec![on("a", pod(1, true)), on("a", pod(2, true)), on("b", pod(3, true))];
    assert_eq!(decides(&observed(apart, None, None)).1, ["web-2"], "though web-3 is younger");
}
