//! Nodes that are lost: what is replaced, when, and what is left alone.

use super::*;

/// Its node has fallen silent; it may come back.
fn silent(number: i64) -> Candidate {
    Candidate { unready_since: Some(now() - Duration::from_secs(60)), ..pod(number, false) }
}

/// Told to end, and no kubelet is there to say that it has.
fn stuck(number: i64) -> Candidate {
    Candidate { phase: Phase::Terminating, ..silent(number) }
}

/// As the garbage collector of pods leaves it for a moment, or its node for good.
fn failed(number: i64) -> Candidate {
    let end = End {
        succeeded: false,
        exit_code: None,
        reason: None,
        message: None,
        at: Some(now() - Duration::from_secs(600)),
        fault_of_pod: None,
        disrupted: false,
    };
    Candidate { phase: Phase::Terminated(end), ..pod(number, false) }
}

#[test]
fn a_lost_standby_is_replaced_once_when_it_is_told_to_leave() {
    let table = [
        ("its node is silent", vec![pod(1, true), silent(2)], 0),
        ("told to leave", vec![pod(1, true), stuck(2)], 1),
        ("its replacement is on its way", vec![pod(1, true), stuck(2), pod(3, false)], 0),
        ("its replacement is ready", vec![pod(1, true), stuck(2), pod(3, true)], 0),
        ("removed with its node", vec![pod(1, true)], 1),
        ("called failed with its node", vec![pod(1, true), failed(2)], 1),
        ("back, and ended", vec![pod(1, true), failed(2), pod(3, true)], 0),
        ("both lost", vec![stuck(1), stuck(2)], 2),
    ];
    for (what, candidates, made) in table {
        for job in [service(2), one_shot(2)] {
            let highest = candidates.iter().map(|candidate| candidate.number).max().unwrap_or(0);
            let act = act(&job, &there(Some(1), candidates.clone()));
            assert_eq!(
                (act.create, deleted(&act)),
                (NewPods { first: highest + 1, count: made }, vec![]),
                "{what}"
            );
        }
    }
}

#[test]
fn a_lost_holder_is_replaced_beside_its_successor_and_asked_for_nothing() {
    for unchanged in [1, 60] {
        let mut observed = there(Some(1), vec![stuck(1), pod(2, true)]);
        observed.lease.as_mut().expect("a Lease").observation.unchanged = Duration::from_secs(unchanged);
        let act = act(&service(2), &observed);
        assert_eq!(
            (act.create, deleted(&act), &act.directives.handover),
            (NewPods { first: 3, count: 1 }, vec![], &None),
            "silent for {unchanged} s"
        );
    }
}

#[test]
fn a_rollout_goes_on_without_those_of_a_lost_node() {
    let of_old = |candidate: Candidate| Candidate { template_hash: Some("old".into()), ..candidate };
    let standby_lost = act(&service(2), &there(Some(1), vec![old(1), of_old(stuck(2)), pod(3, true)]));
    assert_eq!(standby_lost.directives.handover.map(|asked| asked.reason), Some(Reason::RolledOut));
    let new_lost = act(&service(2), &there(Some(1), vec![old(1), old(2), stuck(3)]));
    assert_eq!((new_lost.create, deleted(&new_lost)), (NewPods { first: 4, count: 1 }, vec![]));
}

#[test]
fn whoever_may_still_run_on_a_lost_node_keeps_its_rights_until_it_is_gone() {
    let lost = Candidate { service_account: "earlier".into(), ..stuck(1) };
    let act = act(&service(2), &there(Some(1), vec![lost, pod(2, true)]));
    assert_eq!(act.service_accounts, ["default", "earlier"]);
}
