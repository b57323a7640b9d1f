//! Which candidates status lists, and in which role.

use super::*;
use crate::api::status::CandidateRole;

#[test]
fn every_candidate_is_listed_with_its_node_role_and_readiness() {
    let candidates = vec![pod(1, true, None), pod(2, true, None), pod(3, false, Some("ErrImagePull"))];
    let status = compute(
        &job("Never", json!({"replicas": 3}), &SingletonJobStatus::default()),
        Some(held()),
        candidates,
    );
    let listed: Vec<_> = status
        .candidates
        .iter()
        .map(|candidate| {
            (candidate.name.as_str(), candidate.role, candidate.ready, candidate.node.as_deref())
        })
        .collect();
    let (beside, node) = (Some("node-b"), Some("node-a"));
    assert_eq!(
        listed,
        [
            ("web-1", CandidateRole::Standby, true, beside),
            ("web-2", CandidateRole::Active, true, node),
            ("web-3", CandidateRole::Pending, false, beside),
        ]
    );
}

#[test]
fn candidates_that_were_just_created_are_counted_once() {
    let created = [pod(1, false, None), pod(2, false, None)];
    let observed = Observed { candidates: vec![pod(1, false, None)], ..Observed::default() };
    let candidates = observed.with_created(&created).candidates;
    let status = compute(&job("Never", json!({}), &SingletonJobStatus::default()), None, candidates);
    assert_eq!((status.replicas, status.candidates.len()), (Some(2), 2));
}
