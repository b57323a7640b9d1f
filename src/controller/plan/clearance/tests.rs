//! Claims about clearance, on plain data.

use serde_json::{Value, json};

use super::confirmation::handled;
use super::silence::is_remembered;
use super::*;
use crate::api::conditions::types;
use crate::api::takeover::CLEARED_HOLDER;
use crate::controller::observe::lease_observations::Observation;
use crate::lease::record::Record;

const HOLDER: &str = "web-2_u2_0000000000000007";
const EARLIER: &str = "web-2_u2_0000000000000006";

fn job(policy: &str, confirmation: Option<&str>, handled: Option<&str>) -> SingletonJob {
    let unreachable = json!({"policy": policy, "delaySeconds": 30});
    let mut job: SingletonJob = serde_json::from_value(json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "namespace": "shop", "uid": "j"},
        "spec": {
            "completionPolicy": "Never", "takeover": {"unreachableHolder": unreachable},
            "template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}},
        },
        "status": {"lastHandledClearedHolder": handled, "lease": {"name": "web", "lastHolderIdentity": HOLDER}},
    }))
    .expect("a SingletonJob");
    job.metadata.annotations =
        confirmation.map(|confirmation| [(CLEARED_HOLDER.to_owned(), confirmation.to_owned())].into());
    job
}

fn lease(holder: Option<&str>, annotations: Value, unchanged: u64) -> Observed {
    let object = serde_json::from_value(json!({
        "metadata": {"name": "web", "uid": "l", "resourceVersion": "100", "annotations": annotations},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:00.000000Z",
                 "renewTime": "2026-01-01T00:00:05.000000Z"},
    }))
    .expect("a Lease");
    let record = Record::read(&object).expect("a record");
    let observation = Observation { unchanged: Duration::from_secs(unchanged), ..Observation::default() };
    Observed { lease: Some(ObservedLease { object, record, observation }), ..Observed::default() }
}

fn silent_for(unchanged: u64, holder_pod_state: Option<HolderPodState>) -> Observed {
    Observed { holder_pod_state, ..lease(Some(HOLDER), json!({}), unchanged) }
}

fn unproven() -> HolderPodState {
    HolderPodState::Unproven { pod: "web-2".into(), node: Some("node-a".into()) }
}

fn cleared_for(holder: Option<&str>) -> Cleared {
    Cleared { lease_uid: "l".into(), holder: holder.map(Identity::read) }
}

#[test]
fn no_user_is_asked_while_the_lease_is_good_or_given_back_or_unwanted() {
    let job = job("AfterPodGone", None, None);
    let released = json!({"singletonjob.dev/released": json!({
        "leaseUid": "l", "renewTime": "2026-01-01T00:00:05Z", "by": HOLDER, "reason": "Drain"}).to_string()});
    let mut suspended = job.clone();
    suspended.spec.suspend = true;
    for (job, observed) in [
        (&job, silent_for(14, Some(HolderPodState::Gone))),
        (&job, Observed { holder_pod_state: Some(HolderPodState::Gone), ..lease(None, released, 60) }),
        (&suspended, silent_for(60, Some(HolderPodState::Gone))),
        (&job, Observed { holder_pod_state: Some(HolderPodState::Gone), ..Observed::default() }),
    ] {
        assert_eq!(
            (in_question(job, &observed), cleared(job, &observed), block(job, &observed)),
            (None, None, None)
        );
    }
}

#[test]
fn by_default_nothing_is_asked_and_only_the_delay_blocks() {
    let job = job("AfterLeaseExpiry", Some("web-2"), None);
    let delay = Some(Block::Delay { holder: Identity::read(HOLDER), delay: Duration::from_secs(30) });
    for (unchanged, blocked) in [(15, delay.clone()), (44, delay), (45, None)] {
        let observed = silent_for(unchanged, None);
        assert_eq!(
            (in_question(&job, &observed), cleared(&job, &observed), block(&job, &observed)),
            (None, None, blocked)
        );
    }
}

#[test]
fn after_pod_gone_clears_by_every_kind_of_end_and_by_nothing_else() {
    let job = job("AfterPodGone", Some("web-2"), None);
    assert_eq!(in_question(&job, &silent_for(15, None)), Some(Identity::read(HOLDER)));
    for state in [HolderPodState::Gone, HolderPodState::Ended, HolderPodState::OutOfService("node-a".into())]
    {
        assert_eq!(
            cleared(&job, &silent_for(60, Some(state.clone()))),
            Some(cleared_for(Some(HOLDER))),
            "{state:?}"
        );
        assert_eq!(block(&job, &silent_for(60, Some(state))), None);
    }
    assert_eq!(
        (cleared(&job, &silent_for(60, Some(unproven()))), cleared(&job, &silent_for(60, None))),
        (None, None)
    );
    let blocked = Block::PodNotGone { pod: "web-2".into(), node: Some("node-a".into()) };
    assert_eq!(block(&job, &silent_for(60, Some(unproven()))), Some(blocked));
}

#[test]
fn what_status_knows_of_a_silent_holder_stands_for_the_time_being() {
    let knows = |policy: &str, holder: &str, reason: &str| {
        let mut job = job(policy, None, None);
        let status = job.status.as_mut().expect("a status");
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        let held = crate::api::conditions::Statement::no(types::HELD, reason, "");
        crate::api::conditions::set_condition(&mut status.conditions, held, None, &time);
        status.lease.as_mut().expect("a lease").last_holder_identity = Some(holder.to_owned());
        job
    };
    let looked = |unchanged, seen_alive| {
        let mut observed = silent_for(unchanged, None);
        observed.lease.as_mut().expect("a Lease").observation.seen_alive = seen_alive;
        observed
    };
    let table = vec![
        ("just begun to look", knows("Manual", HOLDER, "Expired"), looked(0, false), true),
        ("cannot tell yet", knows("Manual", HOLDER, "Expired"), looked(14, false), true),
        ("can tell", knows("Manual", HOLDER, "Expired"), looked(15, false), false),
        ("has seen it renew", knows("Manual", HOLDER, "Expired"), looked(0, true), false),
        ("another holder", knows("Manual", EARLIER, "Expired"), looked(0, false), false),
        ("it was not silent", knows("Manual", HOLDER, "Held"), looked(0, false), false),
    ];
    for (what, job, observed, stands) in table {
        assert_eq!(is_remembered(&job, &observed), stands, "{what}");
        assert_eq!(remembered_block(&job, &observed).is_some(), stands, "{what}");
    }
    let pod_gone = knows("AfterPodGone", HOLDER, "Expired");
    assert!(matches!(remembered_block(&pod_gone, &looked(0, false)), Some(Block::PodNotGone { .. })));
    let mut suspended = knows("Manual", HOLDER, "Expired");
    suspended.spec.suspend = true;
    assert_eq!(remembered_block(&suspended, &looked(0, false)), None);
}

#[test]
fn what_was_cleared_is_not_asked_again_and_waits_for_its_delay() {
    let mark = json!({"singletonjob.dev/cleared": json!({"leaseUid": "l", "holder": HOLDER}).to_string()});
    for policy in ["AfterPodGone", "Manual"] {
        let job = job(policy, None, None);
        let observed = |unchanged| lease(Some(HOLDER), mark.clone(), unchanged);
        assert_eq!((in_question(&job, &observed(20)), block(&job, &observed(60))), (None, None));
        assert!(matches!(block(&job, &observed(20)), Some(Block::Delay { .. })));
    }
}

#[test]
fn a_user_clears_exactly_the_holder_named_and_by_a_pods_name_only_once() {
    let table = [
        (None, None, false),
        (Some("web-2"), None, true),
        (Some(" web-2\n"), None, true),
        (Some(HOLDER), None, true),
        (Some("web-1"), None, false),
        (Some("web"), None, false),
        (Some(""), None, false),
        (Some(EARLIER), None, false),
        (Some("web-2"), Some(HOLDER), true),
        (Some("web-2"), Some(EARLIER), false),
        (Some("web-2"), Some("web-2"), false),
        (Some("web-2"), Some("web-1_u1_0"), true),
        (Some(HOLDER), Some(EARLIER), true),
    ];
    for (confirmation, handled_before, clears) in table {
        let (job, observed) = (job("Manual", confirmation, handled_before), silent_for(60, Some(unproven())));
        assert_eq!(cleared(&job, &observed).is_some(), clears, "{confirmation:?} after {handled_before:?}");
        assert_eq!(block(&job, &observed).is_none(), clears);
        let expected = if clears { Some(HOLDER) } else { handled_before };
        assert_eq!(handled(&job, &observed).as_deref(), expected);
    }
}

#[test]
fn a_person_is_told_what_to_write_and_that_what_stands_there_does_nothing() {
    let blocked = |confirmation, handled| block(&job("Manual", confirmation, handled), &silent_for(60, None));
    let awaiting_confirmation = |confirmation: &str, current: Option<&str>| {
        Some(Block::AwaitingConfirmation {
            holder: Identity::read(HOLDER),
            confirmation: confirmation.into(),
            current: current.map(str::to_owned),
        })
    };
    assert_eq!(blocked(None, None), awaiting_confirmation("web-2", None));
    assert_eq!(blocked(Some("web-1"), None), awaiting_confirmation("web-2", Some("web-1")));
    assert_eq!(blocked(Some("web-2"), Some(EARLIER)), awaiting_confirmation(HOLDER, Some("web-2")));
}

#[test]
fn a_name_that_stands_there_while_another_holds_is_used_up() {
    let held = silent_for(3, None);
    for (confirmation, handled_before, after) in [
        (None, Some("web-1"), Some("web-1")),
        (Some("web-2"), None, None),
        (Some(HOLDER), None, None),
        (Some("web-1"), None, Some("web-1")),
        (Some("web-1"), Some("web-1_u1_0"), Some("web-1_u1_0")),
    ] {
        assert_eq!(
            handled(&job("Manual", confirmation, handled_before), &held).as_deref(),
            after,
            "{confirmation:?}"
        );
    }
}

#[test]
fn a_name_that_stands_there_under_another_policy_is_used_up() {
    for policy in ["AfterLeaseExpiry", "AfterPodGone"] {
        for observed in [silent_for(3, None), silent_for(60, Some(unproven())), Observed::default()] {
            assert_eq!(handled(&job(policy, Some("web-2"), None), &observed).as_deref(), Some("web-2"));
            assert_eq!(
                handled(&job(policy, Some("web-2"), Some(HOLDER)), &observed).as_deref(),
                Some(HOLDER),
                "it acted before"
            );
        }
    }
    let after = |confirmation| {
        cleared(&job("Manual", Some(confirmation), Some("web-2")), &silent_for(60, None)).is_some()
    };
    assert_eq!((after("web-2"), after(HOLDER)), (false, true), "the whole identity is about this process");
}

#[test]
fn of_an_emptied_lease_the_last_holder_is_in_question() {
    let emptied = Observed { holder_pod_state: Some(HolderPodState::Gone), ..lease(None, json!({}), 60) };
    let job = job("AfterPodGone", None, None);
    assert_eq!(in_question(&job, &emptied), Some(Identity::read(HOLDER)));
    assert_eq!(cleared(&job, &emptied), Some(cleared_for(None)));
    let mut new = job;
    new.status = None;
    let mut made = lease(None, json!({}), 60);
    made.lease.as_mut().expect("a Lease").record.acquire_time = None;
    assert_eq!(cleared(&new, &made), Some(cleared_for(None)));
    assert_eq!(cleared(&new, &lease(None, json!({}), 60)), None, "a candidate has held it");
}
