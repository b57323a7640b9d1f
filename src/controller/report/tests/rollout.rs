//! What is said of a rollout that does not get on.

use super::*;

/// Made so long before now, from the template of now or an earlier one.
fn made(number: u32, seconds: u64, is_new: bool) -> Candidate {
    let hash = if is_new { "" } else { "old" };
    let waiting = is_new.then_some("ImagePullBackOff");
    Candidate { template_hash: Some(hash.into()), since: Some(now() - Duration::from_secs(seconds)), ..pod(number, !is_new, waiting) }
}

/// Its pods 1 and 2 are of the old template; 2 holds.
fn happened(kind: &str, before: &SingletonJobStatus, waited: Option<u64>) -> (Vec<events::Event>, SingletonJobStatus) {
    let candidates = [1, 2].map(|number| made(number, 5000, false)).into_iter();
    let candidates = candidates.chain(waited.map(|seconds| made(3, seconds, true))).collect();
    let observed = Observed { lease: Some(held()), candidates, ..Observed::default() };
    let job = job(kind, json!({}), before);
    let account = Account::new(&job, &observed, &Plan::LetGo, apply::nothing(), now());
    let after = status::compute(&account);
    (events::between(&account, before, &after), after)
}

fn message(status: &SingletonJobStatus, type_: &str) -> String {
    find_condition(&status.conditions, type_).map(|condition| condition.message.clone()).unwrap_or_default()
}

const COMPLAINT: &str = "the rollout of spec.template waits: web-3 was not ready within 600 s: ErrImagePull: container main: no such image; \
                         what is of the old template goes on until then: correct spec.template, or put the old one back";

#[test]
fn a_service_whose_new_template_cannot_start_is_ready_and_stalled_after_the_deadline_and_says_it_once() {
    let told = |events: Vec<events::Event>| {
        let told = events.into_iter().filter(|event| event.reason == reasons::PROGRESS_DEADLINE_EXCEEDED);
        told.map(|event| (event.warning, event.note)).collect::<Vec<_>>()
    };
    let (_, before) = happened("Never", &SingletonJobStatus::default(), None);
    let (events, waiting) = happened("Never", &before, Some(599));
    assert_eq!((told(events), table(&waiting)), (vec![], [is("True", reasons::HELD), None, None]));
    let (events, exceeded) = happened("Never", &waiting, Some(600));
    assert_eq!(told(events), [(true, COMPLAINT.to_owned())]);
    assert_eq!(table(&exceeded), [is("True", reasons::HELD), None, is("True", reasons::PROGRESS_DEADLINE_EXCEEDED)]);
    assert_eq!(message(&exceeded, types::STALLED), COMPLAINT);
    assert!(message(&exceeded, types::READY).ends_with("see the condition Stalled"), "{}", message(&exceeded, types::READY));
    assert_eq!(happened("Never", &exceeded, Some(600)), (vec![], exceeded.clone()), "a second look changes nothing");
    let (_, over) = happened("Never", &exceeded, None);
    assert_eq!(table(&over), table(&before), "it gets on");
}

#[test]
fn a_one_shot_that_runs_is_not_given_up_for_a_new_template_that_cannot_start() {
    let (_, before) = happened("OnSuccess", &SingletonJobStatus::default(), Some(10));
    let (events, exceeded) = happened("OnSuccess", &before, Some(600));
    assert!(events.iter().any(|event| event.reason == reasons::PROGRESS_DEADLINE_EXCEEDED && event.note == COMPLAINT), "{events:?}");
    assert_eq!(table(&exceeded), [is("False", reasons::RUNNING), is("True", reasons::PROGRESS_DEADLINE_EXCEEDED), None]);
    assert_eq!(message(&exceeded, types::RECONCILING), COMPLAINT);
    assert!(message(&exceeded, types::READY).ends_with("see the condition Reconciling"), "{}", message(&exceeded, types::READY));
    assert_eq!(happened("OnSuccess", &exceeded, Some(600)), (vec![], exceeded));
}
