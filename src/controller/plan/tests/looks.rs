//! Claims about when the controller looks again without an event.

use super::*;

fn on(node: &str, candidate: Candidate) -> Candidate {
    Candidate { node: Some(node.to_owned()), ..candidate }
}

fn pair() -> Vec<Candidate> {
    vec![on("a", pod(1, true)), on("b", pod(2, true))]
}

fn look(job: &SingletonJob, observed: &Observed) -> u64 {
    act(job, observed).next_look.as_secs()
}

#[test]
fn a_service_that_is_well_is_looked_at_seldom() {
    assert_eq!(look(&service(2), &there(Some(1), pair())), 300);
    assert_eq!(look(&service(1), &there(Some(1), vec![on("a", pod(1, true))])), 300);
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
        ("it is beside the holder", with(on("a", pod(2, true)))),
    ];
    for (what, candidates) in table {
        assert_eq!(look(&service(2), &there(Some(1), candidates)), 16, "{what}");
    }
    let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}]);
    let prefers = json!({"completionPolicy": "Never", "takeover": {"preferredNodes": preferred}});
    assert_eq!(look(&job(prefers, settled()), &there(Some(1), pair())), 16, "no node wakes it");
}

#[test]
fn a_lease_without_a_holder_is_looked_at_until_one_is_there() {
    assert_eq!(look(&service(2), &there(None, pair())), 30);
}

#[test]
fn a_finished_job_is_looked_at_seldom() {
    let status =
        json!({"runs": [{"number": 1, "outcome": "Succeeded", "completionTime": now().to_string()}]});
    let mut observed = there(None, vec![ended(1, Some(0), None)]);
    assert_eq!(look(&job(json!({}), status.clone()), &observed), 30, "no holder has released it");
    let record = &mut observed.lease.as_mut().expect("a Lease").record;
    let mark = Released::created(record.uid.clone(), Identity::new("web-1", "u1", 0));
    record.annotations.released = Some(Released { renew_time: record.renew_time, ..mark });
    assert_eq!(look(&job(json!({}), status), &observed), 300);
}
