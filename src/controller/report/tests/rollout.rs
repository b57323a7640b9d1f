//! What status and events say of a rollout that is not progressing.

use super::*;
use crate::controller::observe::candidate::Phase;

/// Made so long before now, from the template of now or an earlier one.
fn made(number: u32, seconds: u64, is_new: bool) -> Candidate {
    let hash = if is_new { "" } else { "old" };
    let waiting = is_new.then_some("ImagePullBackOff");
    Candidate {
        template_hash: Some(hash.into()),
        since: Some(now() - Duration::from_secs(seconds)),
        ..pod(number, !is_new, waiting)
    }
}

#[test]
fn a_service_is_reconciling_until_the_last_old_pod_has_gone() {
    let reconciling = |candidates: Vec<Candidate>| {
        let status =
            compute(&job("Never", json!({}), &SingletonJobStatus::default()), Some(held()), candidates);
        says(&status, types::RECONCILING).expect("always said")
    };
    let old = |number| made(number, 5000, false);
    assert_eq!(
        Some(reconciling(vec![old(1), old(2)])),
        is("True", reasons::ROLLING_OUT),
        "before its first new pod"
    );
    assert_eq!(
        Some(reconciling(vec![old(1), pod(2, true, None)])),
        is("True", reasons::ROLLING_OUT),
        "after the handover"
    );
    assert_eq!(
        Some(reconciling(vec![pod(2, true, None), pod(3, true, None)])),
        is("False", reasons::AS_EXPECTED)
    );
}

#[test]
fn a_rollout_goes_on_while_an_old_pod_ends_and_while_the_lease_is_free() {
    let compute_from = |before: &SingletonJobStatus, lease: ObservedLease, candidates: Vec<Candidate>| {
        compute(&job("Never", json!({}), before), Some(lease), candidates)
    };
    let leaving = Candidate { phase: Phase::Terminating, ..made(2, 5000, false) };
    let ends = compute_from(&SingletonJobStatus::default(), held(), vec![leaving, pod(3, true, None)]);
    assert_eq!(says(&ends, types::RECONCILING), is("True", reasons::ROLLING_OUT));
    let before =
        compute_from(&SingletonJobStatus::default(), held(), vec![pod(2, true, None), pod(3, true, None)]);
    assert_eq!(
        (says(&before, types::READY), is_true(&before.conditions, types::RECONCILING)),
        (is("True", reasons::HELD), false)
    );
    let free = released(&json!(null), &json!(null));
    let changed = SingletonJobStatus { observed_generation: Some(2), ..before.clone() };
    let replaced = compute_from(&changed, free.clone(), vec![pod(4, true, None)]);
    assert_eq!(
        says(&replaced, types::READY).map(|(status, _)| status).as_deref(),
        Some("False"),
        "a new template is not ready for want of pods"
    );
    let between = compute_from(&before, free, vec![made(1, 5000, false), made(3, 5000, false)]);
    assert_eq!(
        (says(&between, types::READY), says(&between, types::RECONCILING)),
        (is("True", reasons::HELD), is("True", reasons::ROLLING_OUT))
    );
}

/// A service whose pods 1 and 2 are of the old template; 2 holds the Lease.
fn happened(
    kind: &str,
    before: &SingletonJobStatus,
    waited: Option<u64>,
) -> (Vec<events::Event>, SingletonJobStatus) {
    let candidates = [1, 2].map(|number| made(number, 5000, false)).into_iter();
    let candidates = candidates.chain(waited.map(|seconds| made(3, seconds, true))).collect();
    let observed = Observed { lease: Some(held()), candidates, ..Observed::default() };
    let job = job(kind, json!({}), before);
    let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
    let after = status::compute(&context);
    (events::between(&context, before, &after), after)
}

fn message(status: &SingletonJobStatus, type_: &str) -> String {
    find_condition(&status.conditions, type_).map(|condition| condition.message.clone()).unwrap_or_default()
}

const COMPLAINT: &str = "the rollout of spec.template waits: web-3 was not ready within 600 s: ErrImagePull: container main: no such image; \
                         pods of the old template go on meanwhile: correct spec.template, or put the old one back";

#[test]
fn a_service_whose_template_cannot_start_is_ready_and_stalled_told_once() {
    let told = |events: Vec<events::Event>| {
        let told = events.into_iter().filter(|event| event.reason == reasons::PROGRESS_DEADLINE_EXCEEDED);
        told.map(|event| (event.warning, event.note)).collect::<Vec<_>>()
    };
    let (_, before) = happened("Never", &SingletonJobStatus::default(), None);
    let (events, waiting) = happened("Never", &before, Some(599));
    assert_eq!(
        (told(events), table(&waiting)),
        (vec![], [is("True", reasons::HELD), is("True", reasons::ROLLING_OUT), None])
    );
    assert_eq!(
        message(&waiting, types::RECONCILING),
        "rolling out spec.template: 1 of 3 candidates have it; web-2 runs the old template until a standby of the new one is ready"
    );
    let (events, exceeded) = happened("Never", &waiting, Some(600));
    assert_eq!(told(events), [(true, COMPLAINT.to_owned())]);
    assert_eq!(
        table(&exceeded),
        [is("True", reasons::HELD), None, is("True", reasons::PROGRESS_DEADLINE_EXCEEDED)]
    );
    assert_eq!(message(&exceeded, types::STALLED), COMPLAINT);
    assert!(
        message(&exceeded, types::READY).ends_with("the condition Stalled says why"),
        "{}",
        message(&exceeded, types::READY)
    );
    assert_eq!(
        happened("Never", &exceeded, Some(600)),
        (vec![], exceeded.clone()),
        "a second look changes nothing"
    );
    let (_, over) = happened("Never", &exceeded, None);
    assert_eq!(table(&over), table(&before), "it gets on");
}

#[test]
fn a_one_shot_that_runs_is_not_given_up_for_a_template_that_cannot_start() {
    let (_, before) = happened("OnSuccess", &SingletonJobStatus::default(), Some(10));
    let (events, exceeded) = happened("OnSuccess", &before, Some(600));
    assert!(
        events
            .iter()
            .any(|event| event.reason == reasons::PROGRESS_DEADLINE_EXCEEDED && event.note == COMPLAINT),
        "{events:?}"
    );
    assert_eq!(
        table(&exceeded),
        [is("False", reasons::RUNNING), is("True", reasons::PROGRESS_DEADLINE_EXCEEDED), None]
    );
    assert_eq!(message(&exceeded, types::RECONCILING), COMPLAINT);
    assert!(
        message(&exceeded, types::READY).ends_with("the condition Reconciling says why"),
        "{}",
        message(&exceeded, types::READY)
    );
    assert_eq!(happened("OnSuccess", &exceeded, Some(600)), (vec![], exceeded));
}

#[test]
fn a_holder_of_a_new_template_that_never_is_ready_exceeds_the_deadline() {
    let happened = |seconds: u64| {
        let mut lease = held();
        lease.record.acquire_time = Some(now() - Duration::from_secs(seconds));
        let holder =
            Candidate { ready: false, start_failure: None, unready_since: None, ..made(2, 5000, true) };
        let observed = Observed {
            lease: Some(lease),
            candidates: vec![made(1, 5000, false), holder],
            ..Observed::default()
        };
        let job = job("Never", json!({}), &SingletonJobStatus::default());
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let after = status::compute(&context);
        let told = events::between(&context, &SingletonJobStatus::default(), &after).into_iter();
        let told: Vec<_> = told
            .filter(|event| event.reason == reasons::PROGRESS_DEADLINE_EXCEEDED)
            .map(|event| event.note)
            .collect();
        (table(&after)[2].clone(), message(&after, types::STALLED), told)
    };
    let agent_error = "the rollout of spec.template waits: web-2 was not ready within 600 s; it holds the Lease, and pods of the old template \
                     stand by: correct spec.template, or put the old one back";
    assert_eq!(
        happened(599),
        (None, "the user has nothing to change".into(), vec![]),
        "it is counted from when it took over"
    );
    let exceeded = (
        is("True", reasons::PROGRESS_DEADLINE_EXCEEDED),
        agent_error.to_owned(),
        vec![agent_error.to_owned()],
    );
    assert_eq!(happened(600), exceeded);
}
