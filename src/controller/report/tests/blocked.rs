//! What status and events say while no candidate may take over from a silent holder.

use super::*;
use crate::controller::observe::holder_pod::HolderPodState;

fn with_policy(policy: &str, annotation: Option<&str>, status: &SingletonJobStatus) -> SingletonJob {
    let mut job = job(
        "Never",
        json!({"takeover": {"unreachableHolder": {"policy": policy, "delaySeconds": 30}}}),
        status,
    );
    job.metadata.annotations =
        annotation.map(|value| [("singletonjob.dev/cleared-holder".to_owned(), value.to_owned())].into());
    job
}

fn report(
    job: &SingletonJob,
    unchanged: u64,
    holder_pod_state: Option<HolderPodState>,
) -> (Vec<events::Event>, SingletonJobStatus) {
    let lease = Some(seen(Some("web-2_u2_0"), json!({}), unchanged));
    let observed =
        Observed { lease, candidates: vec![pod(1, true, None)], holder_pod_state, ..Observed::default() };
    let context = ReportContext::new(job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
    let after = status::compute(&context);
    (events::between(&context, context.old(), &after), after)
}

fn blocked(status: &SingletonJobStatus) -> Option<(String, String)> {
    find_condition(&status.conditions, types::TAKEOVER_BLOCKED)
        .map(|blocked| (blocked.reason.clone(), blocked.message.clone()))
}

fn on(node: Option<&str>) -> HolderPodState {
    HolderPodState::Unproven { pod: "web-2".into(), node: node.map(str::to_owned) }
}

#[test]
fn a_blocked_takeover_says_why_and_what_to_run() {
    let none = SingletonJobStatus::default();
    let silent = "web-2 has not renewed its lease of 15 s";
    let pod_gone = format!(
        "{silent}, and may still run on node-a: the policy AfterPodGone blocks takeover until its container is reported as \
        terminated or the pod is gone; when node-a is switched off: kubectl taint node node-a \
        node.kubernetes.io/out-of-service=nodeshutdown:NoExecute; otherwise: kubectl delete pod web-2 --namespace shop, with --force only \
        when nothing of it runs any more"
    );
    let manual = format!(
        "{silent}: the policy Manual blocks takeover until a user confirms that it is gone; when nothing of it runs any \
        more: kubectl annotate sj web --namespace shop singletonjob.dev/cleared-holder=web-2 --overwrite"
    );
    let ignored = format!("{manual}; the annotation says web-1 now, but that is not this holder");
    let used_up = manual.replace("cleared-holder=web-2 ", "cleared-holder=web-2_u2_0 ")
        + "; the annotation says web-2 now, but a user wrote that under another policy, or about an earlier process in that pod";
    let spent = SingletonJobStatus {
        last_handled_cleared_holder: Some("web-2".into()),
        ..SingletonJobStatus::default()
    };
    let delay = format!(
        "{silent}: spec.takeover.unreachableHolder.delaySeconds blocks takeover until 30 s after that lease has expired"
    );
    let table = vec![
        (with_policy("AfterPodGone", None, &none), 60, reasons::WAITING_FOR_POD_GONE, pod_gone),
        (with_policy("Manual", None, &none), 60, reasons::MANUAL_POLICY, manual),
        (with_policy("Manual", Some("web-1"), &none), 60, reasons::MANUAL_POLICY, ignored),
        (with_policy("Manual", Some("web-2"), &spent), 60, reasons::MANUAL_POLICY, used_up),
        (with_policy("Manual", Some("web-2"), &none), 20, reasons::DELAY, delay.clone()),
        (with_policy("AfterLeaseExpiry", None, &none), 20, reasons::DELAY, delay),
    ];
    for (job, unchanged, reason, message) in table {
        let (_, status) = report(&job, unchanged, Some(on(Some("node-a"))));
        assert_eq!(blocked(&status), Some((reason.to_owned(), message)));
        let held = find_condition(&status.conditions, types::HELD).expect("there");
        let says = format!("{silent}; takeover is blocked: see the condition TakeoverBlocked");
        assert_eq!((&*held.status, &*held.reason, &*held.message), ("False", reasons::EXPIRED, &*says));
    }
}

#[test]
fn a_pod_without_a_node_is_not_told_to_be_tainted() {
    let (_, status) =
        report(&with_policy("AfterPodGone", None, &SingletonJobStatus::default()), 60, Some(on(None)));
    let (_, message) = blocked(&status).expect("blocked");
    assert!(message.contains("may still run: the policy") && !message.contains("taint"), "{message}");
}

#[test]
fn nothing_blocks_while_the_lease_is_good_or_when_the_holder_is_gone() {
    let none = SingletonJobStatus::default();
    let (_, good) = report(&with_policy("Manual", None, &none), 3, None);
    let (_, gone) = report(&with_policy("AfterPodGone", None, &none), 60, Some(HolderPodState::Gone));
    let (_, cleared) = report(&with_policy("Manual", Some("web-2"), &none), 60, None);
    assert_eq!([blocked(&good), blocked(&gone), blocked(&cleared)], [None, None, None]);
    assert_eq!(cleared.last_handled_cleared_holder.as_deref(), Some("web-2_u2_0"));
    let held = find_condition(&gone.conditions, types::HELD).expect("there");
    assert!(held.message.ends_with("the next ready candidate takes over"), "{}", held.message);
}

#[test]
fn a_blocked_takeover_is_told_once_per_holder_and_taken_back_at_its_end() {
    let told = |events: &[events::Event]| {
        events.iter().filter(|event| event.reason == "TakeoverBlocked").cloned().collect::<Vec<_>>()
    };
    let (_, held) = report(&with_policy("Manual", None, &SingletonJobStatus::default()), 3, None);
    let (events, first) = report(&with_policy("Manual", None, &held), 16, None);
    let event = told(&events);
    assert_eq!(event.len(), 1);
    assert!(
        event[0].warning
            && event[0].pod.as_deref() == Some("web-2")
            && event[0].note.contains("kubectl annotate"),
        "{event:?}"
    );
    assert_eq!(
        report(&with_policy("Manual", None, &first), 60, None),
        (vec![], first.clone()),
        "a second look changes nothing"
    );
    let (events, delayed) = report(&with_policy("Manual", Some("web-2"), &first), 20, None);
    assert_eq!((told(&events), blocked(&delayed).expect("still").0), (vec![], reasons::DELAY.to_owned()));
    let (_, over) = report(&with_policy("Manual", Some("web-2"), &delayed), 60, None);
    assert_eq!(blocked(&over), None);
}

#[test]
fn a_controller_that_was_restarted_takes_nothing_back_before_it_can_tell() {
    let looked = |before: &SingletonJobStatus,
                  policy: &str,
                  unchanged: u64,
                  seen_alive: bool,
                  holder_pod_state: Option<HolderPodState>| {
        let mut lease = seen(Some("web-2_u2_0"), json!({}), unchanged);
        lease.observation.seen_alive = seen_alive;
        let candidates = vec![pod(1, true, None), pod(2, false, None)];
        let observed = Observed { lease: Some(lease), candidates, holder_pod_state, ..Observed::default() };
        let job = with_policy(policy, None, before);
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let after = status::compute(&context);
        (events::between(&context, before, &after), after)
    };
    for (policy, fate) in [("Manual", None), ("AfterPodGone", Some(on(Some("node-a"))))] {
        let (_, held) = looked(&SingletonJobStatus::default(), policy, 3, true, None);
        let (_, before) = looked(&held, policy, 60, true, fate.clone());
        assert!(blocked(&before).is_some());
        assert_eq!(
            looked(&before, policy, 0, false, None),
            (vec![], before.clone()),
            "{policy}: just restarted"
        );
        assert_eq!(
            looked(&before, policy, 14, false, None),
            (vec![], before.clone()),
            "{policy}: it has not looked for long enough"
        );
        assert_eq!(
            looked(&before, policy, 15, false, fate),
            (vec![], before.clone()),
            "{policy}: now it can tell, and says the same"
        );
        let (_, alive) = looked(&before, policy, 0, true, None);
        assert_eq!(
            (blocked(&alive), says(&alive, types::HELD)),
            (None, is("True", reasons::HELD)),
            "{policy}: it lives"
        );
    }
}
