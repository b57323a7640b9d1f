//! Claims about when the controller looks again without an event.

use super::*;
use crate::controller::observe::volume_claims::VolumeClaims;
use crate::lease::annotations::Spread;

fn on(node: &str, candidate: Candidate) -> Candidate {
    Candidate { node: Some(node.to_owned()), ..candidate }
}

fn pair() -> Vec<Candidate> {
    vec![on("a", pod(1, true)), on("b", pod(2, true))]
}

fn look(job: &SingletonJob, observed: &Observed) -> Option<u64> {
    act(job, observed).next_look.map(|look| look.as_secs())
}

fn prefers_nodes() -> SingletonJob {
    let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}]);
    job(json!({"completionPolicy": "Never", "takeover": {"preferredNodes": preferred}}), settled())
}

/// Both candidates are on one node. `claims` is what the API server says of their volumes.
fn crowded(claims: Option<VolumeClaims>) -> Observed {
    let candidates = vec![on("a", pod(1, true)), on("a", pod(2, true))];
    Observed { claims, ..there(Some(1), candidates) }
}

#[test]
fn a_service_that_is_well_is_not_looked_at() {
    assert_eq!(look(&service(2), &there(Some(1), pair())), None);
    assert_eq!(look(&service(1), &there(Some(1), vec![on("a", pod(1, true))])), None);
}

#[test]
fn a_job_that_may_move_is_woken_by_nodes_and_not_looked_at() {
    assert_eq!(look(&prefers_nodes(), &there(Some(1), pair())), None);
    assert_eq!(look(&service(2), &crowded(Some(VolumeClaims::new()))), None, "no other node has room");
}

#[test]
fn claims_that_the_api_server_did_not_tell_are_soon_asked_for_again() {
    assert_eq!(look(&service(2), &crowded(None)), Some(10));
}

#[test]
fn what_is_due_by_the_time_of_day_is_looked_at_every_five_minutes() {
    let room = |seconds| Observed {
        room: Some(now() - Duration::from_secs(seconds)),
        ..crowded(Some(VolumeClaims::new()))
    };
    assert_eq!(look(&service(2), &room(55)), Some(5));
    let mut resting = room(3600);
    let record = &mut resting.lease.as_mut().expect("a Lease").record;
    record.annotations.spread = Some(Spread { tries: 8, last: now() - Duration::from_secs(60) });
    assert_eq!(look(&service(2), &resting), Some(300), "the next try is a day away");
}

#[test]
fn a_service_that_lacks_something_is_looked_at_when_its_lease_has_passed() {
    let with = |second: Candidate| vec![on("a", pod(1, true)), second];
    let leaving = Candidate { phase: Phase::Terminating, ..on("b", pod(2, true)) };
    let table = [
        ("a standby is missing", vec![on("a", pod(1, true))]),
        ("it is not ready", with(on("b", pod(2, false)))),
        ("it is of an old template", with(on("b", old(2)))),
        ("it is leaving", with(leaving)),
    ];
    for (what, candidates) in table {
        assert_eq!(look(&service(2), &there(Some(1), candidates)), Some(16), "{what}");
    }
}

#[test]
fn a_lease_without_a_holder_is_looked_at_until_one_is_there() {
    assert_eq!(look(&service(2), &there(None, pair())), Some(30));
}

#[test]
fn a_finished_job_is_not_looked_at() {
    let status =
        json!({"runs": [{"number": 1, "outcome": "Succeeded", "completionTime": now().to_string()}]});
    let mut observed = there(None, vec![ended(1, Some(0), None)]);
    assert_eq!(look(&job(json!({}), status.clone()), &observed), Some(30), "no holder has released it");
    let record = &mut observed.lease.as_mut().expect("a Lease").record;
    let mark = Released::created(record.uid.clone(), Identity::new("web-1", "u1", 0));
    record.annotations.released = Some(Released { renew_time: record.renew_time, ..mark });
    assert_eq!(look(&job(json!({}), status), &observed), None);
}
