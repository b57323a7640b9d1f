//! Claims about plans, on plain data.

mod looks;
mod nodes;
mod spread;
mod trial;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::takeover::Creation;
use super::*;
use crate::contract::{exit_codes, labels};
use crate::controller::build;
use crate::controller::observe::ObservedLease;
use crate::controller::observe::candidate::{Candidate, End, Fault, Phase};
use crate::controller::observe::holder_pod::HolderPodState;
use crate::controller::observe::lease_observations::Observation;
use crate::lease::annotations::{Desired, Reason, Released, UnreachableHolder};
use crate::lease::identity::Identity;
use crate::lease::record::Record;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("valid")
}

pub(super) fn job(spec: Value, status: Value) -> SingletonJob {
    let mut all = json!({"template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}}});
    all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let job = json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
        "metadata": {"name": "web", "namespace": "shop", "uid": "j"}, "spec": all, "status": status,
    });
    serde_json::from_value(job).expect("a SingletonJob")
}

pub(super) fn service(replicas: i32) -> SingletonJob {
    job(json!({"completionPolicy": "Never", "replicas": replicas}), settled())
}

pub(super) fn one_shot(replicas: i32) -> SingletonJob {
    job(json!({"replicas": replicas}), settled())
}

pub(super) fn settled() -> Value {
    json!({"lease": {"name": "web", "lastHolderIdentity": "web-1_u1_0", "longestLeaseDurationSeconds": 15, "fencingToken": "77"}})
}

pub(super) fn pod(number: i64, ready: bool) -> Candidate {
    Candidate {
        name: format!("web-{number}"),
        uid: format!("u{number}"),
        version: format!("v{number}"),
        number,
        node: None,
        template_hash: Some("new".into()),
        service_account: "default".into(),
        role: Some(labels::ROLE_STANDBY.into()),
        phase: Phase::Active,
        ready,
        can_take_over: ready,
        reports_readiness: false,
        unready_since: None,
        made_for: None,
        has_held: false,
        start_failure: None,
        starting_since: None,
        has_running_sidecars: false,
        fleeting: false,
        beside: Vec::new(),
        agent_error: None,
        since: None,
        terminations: Vec::new(),
    }
}

pub(super) fn old(number: i64) -> Candidate {
    Candidate { template_hash: Some("old".into()), ..pod(number, true) }
}

fn ended(number: i64, exit_code: Option<i32>, message: Option<&str>) -> Candidate {
    let end = End {
        succeeded: exit_code == Some(0),
        exit_code,
        reason: None,
        message: message.map(str::to_owned),
        at: Some(now() - Duration::from_secs(1)),
        fault_of_pod: None,
        disrupted: false,
    };
    Candidate {
        has_held: exit_code.is_some() && message.is_none(),
        phase: Phase::Terminated(end),
        ..pod(number, false)
    }
}

pub(super) fn lease(holder: Option<i64>, annotations: Value) -> ObservedLease {
    let holder = holder.map(|number| format!("web-{number}_u{number}_0"));
    let object: k8s_openapi::api::coordination::v1::Lease = serde_json::from_value(json!({
        "metadata": {"name": "web", "uid": "l", "resourceVersion": "100", "annotations": annotations},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:00.000000Z",
                 "renewTime": "2026-01-01T00:00:00.000000Z"},
    }))
    .expect("a Lease");
    ObservedLease {
        record: Record::read(&object).expect("a record"),
        object,
        observation: Observation::default(),
    }
}

pub(super) fn there(holder: Option<i64>, candidates: Vec<Candidate>) -> Observed {
    Observed {
        lease: Some(lease(holder, json!({}))),
        candidates,
        template_hash: "new".into(),
        ..Observed::default()
    }
}

pub(super) fn act(job: &SingletonJob, observed: &Observed) -> Actions {
    match plan(job, observed, now()) {
        Plan::Act(act) => *act,
        other => panic!("expected something to do, not {other:?}"),
    }
}

fn pod_ref(number: u32) -> PodRef {
    PodRef { name: format!("web-{number}"), uid: format!("u{number}"), version: format!("v{number}") }
}

fn deleted(act: &Actions) -> Vec<&str> {
    act.delete.iter().map(|pod| pod.name.as_str()).collect()
}

#[test]
fn the_very_first_lease_is_free_and_any_other_is_held() {
    let empty = Observed { nobody_there: true, ..Observed::default() };
    assert_eq!(act(&job(json!({}), json!({})), &empty).create_lease, Some(Creation::First));
    let inhabited = Observed { candidates: vec![pod(1, true)], ..Observed::default() };
    assert!(matches!(act(&job(json!({}), json!({})), &inhabited).create_lease, Some(Creation::Again { .. })));
    let Some(Creation::Again { holder, longest_lease }) = act(&one_shot(2), &empty).create_lease else {
        panic!("status knows of one")
    };
    assert_eq!((holder.as_str(), longest_lease), ("web-1_u1_0", Duration::from_secs(15)));
}

#[test]
fn a_lease_made_again_carries_the_longest_lease_and_the_highest_token() {
    let job = job(
        json!({"lease": {"leaseDurationSeconds": 15}}),
        json!({"lease": {"name": "web", "longestLeaseDurationSeconds": 60, "fencingToken": "77"}}),
    );
    let act = act(&job, &Observed::default());
    assert!(
        matches!(act.create_lease, Some(Creation::Again { longest_lease, .. }) if longest_lease == Duration::from_secs(60))
    );
    assert_eq!(act.directives.policy.token_floor.map(|token| token.to_string()).as_deref(), Some("77"));
}

#[test]
fn candidates_are_told_which_failures_count_and_how_long_a_run_may_take() {
    let told = |spec| act(&job(spec, settled()), &there(Some(1), vec![])).directives.policy;
    let plain = serde_json::to_value(told(json!({}))).expect("plain data");
    assert!(
        plain.get("failurePolicy").is_none() && plain.get("activeDeadlineSeconds").is_none(),
        "nothing new for older agents: {plain}"
    );
    let rules = json!([
        {"onExitCodes": {"operator": "In", "values": [42, 43]}, "action": "FailRun"},
        {"onExitCodes": {"operator": "NotIn", "values": [1]}, "action": "Ignore"},
    ]);
    let policy = told(
        json!({"activeDeadlineSeconds": 60, "failurePolicy": {"rules": rules, "onLeaseLoss": "Ignore"}}),
    );
    let said = serde_json::to_value(&policy).expect("plain data");
    assert_eq!(said["activeDeadlineSeconds"], 60);
    assert_eq!(
        said["failurePolicy"],
        json!({"rules": [{"operator": "In", "values": [42, 43], "action": "FailRun"}, {"operator": "NotIn", "values": [1], "action": "Ignore"}],
               "forgiveLeaseLoss": true})
    );
    assert_eq!(
        serde_json::from_value::<crate::lease::annotations::Policy>(said).expect("its own words"),
        policy
    );
}

#[test]
fn a_longer_lease_is_written_down_before_candidates_are_told() {
    let mut longer = service(2);
    longer.spec.lease.lease_duration_seconds = 60;
    let told = act(&service(2), &there(Some(1), vec![])).directives.policy;
    let mut observed = there(Some(1), vec![pod(1, true), pod(2, true)]);
    observed.lease.as_mut().expect("a Lease").record.annotations.policy = Some(told);
    assert_eq!(act(&longer, &observed).directives.policy.lease_duration_seconds, 15);
    assert_eq!(takeover::longest(&longer, &observed), Duration::from_secs(60));
    longer
        .status
        .as_mut()
        .and_then(|status| status.lease.as_mut())
        .expect("a status")
        .longest_lease_duration_seconds = Some(60);
    assert_eq!(act(&longer, &observed).directives.policy.lease_duration_seconds, 60);
}

#[test]
fn a_shorter_lease_is_believed_only_when_the_holder_has_recorded_it() {
    let mut shorter = service(2);
    shorter.spec.lease.lease_duration_seconds = 6;
    let mut observed = there(Some(1), vec![]);
    let told = act(&shorter, &observed).directives.policy;
    assert_eq!(told.lease_duration_seconds, 6, "candidates are told at once");
    let record = &mut observed.lease.as_mut().expect("a Lease").record;
    record.annotations.policy = Some(told);
    assert_eq!(takeover::longest(&shorter, &observed), Duration::from_secs(15));
    observed.lease.as_mut().expect("a Lease").record.lease_duration = Duration::from_secs(6);
    assert_eq!(takeover::longest(&shorter, &observed), Duration::from_secs(6));
}

#[test]
fn an_emptied_lease_does_not_show_that_a_shorter_one_was_heard() {
    let mut shorter = service(2);
    shorter.spec.lease.lease_duration_seconds = 6;
    let observed = there(Some(1), vec![]);
    let told = act(&shorter, &observed).directives.policy;
    let longest = |change: &dyn Fn(&mut Record)| {
        let mut seen = observed.lease.clone().expect("a Lease");
        seen.record.annotations.policy = Some(told.clone());
        change(&mut seen.record);
        let observed = Observed { lease: Some(seen), ..observed.clone() };
        takeover::longest(&shorter, &observed).as_secs()
    };
    let mark = |record: &Record| Released {
        lease_uid: record.uid.clone(),
        renew_time: record.renew_time,
        by: Identity::read("web-1_u1_0"),
        reason: Reason::Drain,
        token: None,
        exit: None,
        unhealthy: false,
        last_renew_time: None,
        ready: false,
    };
    let emptied = |record: &mut Record| record.holder = None;
    let released =
        |record: &mut Record| (record.holder, record.annotations.released) = (None, Some(mark(record)));
    let emptied_after_a_release = |record: &mut Record| {
        released(record);
        record.renew_time = Some(now());
    };
    let emptied_when_short =
        |record: &mut Record| (record.holder, record.lease_duration) = (None, Duration::from_secs(6));
    assert_eq!(
        [
            longest(&|_| ()),
            longest(&emptied),
            longest(&emptied_after_a_release),
            longest(&emptied_when_short)
        ],
        [15; 4]
    );
    assert_eq!(longest(&released), 6);
}

#[test]
fn missing_candidates_are_made_under_numbers_never_used() {
    let act = act(&service(3), &there(Some(4), vec![pod(4, true)]));
    assert_eq!(act.create, NewPods { first: 5, count: 2 });
    let remembered = job(json!({}), json!({"lastCandidateNumber": 9}));
    assert_eq!(candidates::next_number(&remembered, &there(None, vec![pod(4, true)])), 10);
}

#[test]
fn a_pod_that_is_leaving_does_not_block_its_successor() {
    let leaving = Candidate { phase: Phase::Terminating, ..pod(1, true) };
    assert_eq!(
        act(&service(2), &there(Some(1), vec![leaving, pod(2, true)])).create,
        NewPods { first: 3, count: 1 }
    );
}

#[test]
fn scaling_down_takes_standbys_first_and_the_unready_before_others() {
    let observed = there(Some(3), vec![pod(1, true), pod(2, false), pod(3, true)]);
    assert_eq!(deleted(&act(&service(2), &observed)), ["web-2"]);
    assert_eq!(deleted(&act(&service(1), &observed)), ["web-2", "web-1"]);
}

#[test]
fn stopping_takes_standbys_at_once_and_the_holder_when_it_has_released() {
    let observed = there(Some(1), vec![pod(1, true), pod(2, true)]);
    for (stopped, reason) in
        [(service(0), "ScaledToZero"), (job(json!({"suspend": true}), settled()), "Suspended")]
    {
        let act = act(&stopped, &observed);
        assert_eq!(
            (act.directives.run.desired, act.directives.run.reason.as_deref()),
            (Desired::Stop, Some(reason))
        );
        assert_eq!(deleted(&act), ["web-2"]);
        assert_eq!(act.create.count, 0);
    }
    assert_eq!(deleted(&act(&service(0), &there(None, vec![pod(1, true)]))), ["web-1"]);
}

#[test]
fn the_pods_of_a_finished_run_go_when_their_time_is_over_and_not_before() {
    let finished_at = |seconds: u64| {
        json!({"runs": [{
            "number": 1, "outcome": "Failed", "attempts": 2, "completionTime": (now() - Duration::from_secs(seconds)).to_string(),
        }]})
    };
    let there = || there(None, vec![ended(1, Some(1), None), ended(2, Some(1), None)]);
    let lived = |spec: Value, seconds| act(&job(spec, finished_at(seconds)), &there());
    assert!(deleted(&lived(json!({}), 1_000_000)).is_empty(), "they stay for good");
    let early = lived(json!({"podTTLSecondsAfterFinished": 60}), 50);
    assert_eq!((deleted(&early), early.next_look), (vec![], Some(Duration::from_secs(10))));
    assert_eq!(deleted(&lived(json!({"podTTLSecondsAfterFinished": 60}), 60)), ["web-1", "web-2"]);
}

#[test]
fn a_finished_job_goes_in_its_time_once_status_says_that_it_finished() {
    let finished = |seconds: u64| json!({"runs": [{"number": 1, "outcome": "Succeeded", "completionTime": (now() - Duration::from_secs(seconds)).to_string()}]});
    let planned = |spec: Value, status: Value| plan(&job(spec, status), &there(None, vec![]), now());
    let lives = |spec: Value, status: Value| match planned(spec, status) {
        Plan::Act(act) => act.next_look.map(|look| look.as_secs()),
        Plan::Delete => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(lives(json!({"ttlSecondsAfterFinished": 60}), finished(50)), Some(10));
    assert_eq!(lives(json!({"ttlSecondsAfterFinished": 60}), finished(60)), None);
    assert!(lives(json!({"ttlSecondsAfterFinished": 0}), settled()).is_some(), "not before it has finished");
    assert!(lives(json!({}), finished(1_000_000)).is_some(), "without it, it stays");
}

#[test]
fn of_what_another_controller_manages_nothing_is_done() {
    let anothers = job(json!({"managedBy": "example.com/other", "ttlSecondsAfterFinished": 0}), json!({}));
    assert_eq!(
        plan(&anothers, &Observed { nobody_there: true, ..Observed::default() }, now()),
        Plan::LeaveAlone
    );
}

#[test]
fn drains_wait_for_a_standby_if_no_other_budget_sees_to_it() {
    let wanted = |job: &SingletonJob, observed: &Observed| act(job, observed).budget.is_some();
    assert!(wanted(&service(2), &there(Some(1), vec![pod(1, true)])));
    assert!(!wanted(&service(1), &there(Some(1), vec![pod(1, true)])), "no candidate could ever take over");
    assert!(!wanted(&service(0), &there(None, vec![])));
    let theirs = Observed { other_budget: Some("theirs".into()), ..there(Some(1), vec![pod(1, true)]) };
    assert!(!wanted(&service(2), &theirs));
    let over = job(json!({}), json!({"runs": [{"number": 1, "outcome": "Succeeded", "attempts": 1}]}));
    assert!(!wanted(&over, &there(None, vec![ended(1, Some(0), None)])));
}

#[test]
fn a_rollout_makes_a_standby_then_drops_the_old_one_then_hands_over_once() {
    let job = service(2);
    let first = act(&job, &there(Some(1), vec![old(1), old(2)]));
    assert_eq!((first.create.count, deleted(&first)), (1, vec![]), "one more, and none goes yet");
    let waiting = act(&job, &there(Some(1), vec![old(1), old(2), pod(3, false)]));
    assert_eq!(
        (waiting.create.count, deleted(&waiting), waiting.directives.handover.clone()),
        (0, vec![], None),
        "a template that cannot start stops here"
    );
    let replaced = act(&job, &there(Some(1), vec![old(1), old(2), pod(3, true)]));
    assert_eq!((replaced.create.count, deleted(&replaced)), (0, vec!["web-2"]));
    let ready = act(&job, &there(Some(1), vec![old(1), pod(3, true)]));
    let handover = ready.directives.handover.expect("now");
    assert_eq!((handover.holder.as_str(), handover.reason), ("web-1_u1_0", Reason::RolledOut));
    assert_eq!(ready.directives.succession, Some(vec!["u3".to_owned()]));
    let after = act(&job, &there(Some(3), vec![old(1), pod(3, true)]));
    assert_eq!((after.create.count, deleted(&after), after.directives.handover.clone()), (1, vec![], None));
    let last = act(&job, &there(Some(3), vec![old(1), pod(3, true), pod(4, true)]));
    assert_eq!((last.create.count, deleted(&last)), (0, vec!["web-1"]));
}

#[test]
fn a_single_candidate_gets_a_successor_beside_it_before_it_hands_over() {
    let job = service(1);
    assert_eq!(act(&job, &there(Some(1), vec![old(1)])).create.count, 1);
    let act = act(&job, &there(Some(1), vec![old(1), pod(2, true)]));
    assert!(act.directives.handover.is_some() && deleted(&act).is_empty());
}

#[test]
fn where_standbys_are_not_ready_a_rollout_waits_for_able_ones() {
    let job = service(2);
    let able = |candidate: Candidate| Candidate { ready: false, can_take_over: true, ..candidate };
    let waiting = act(&job, &there(Some(1), vec![old(1), able(old(2)), pod(3, false)]));
    assert_eq!((waiting.create.count, deleted(&waiting)), (0, vec![]));
    let replaced = act(&job, &there(Some(1), vec![old(1), able(old(2)), able(pod(3, false))]));
    assert_eq!((deleted(&replaced), replaced.directives.handover.is_some()), (vec!["web-2"], false));
    let rolls = act(&job, &there(Some(1), vec![old(1), able(pod(3, false))]));
    assert!(rolls.directives.handover.is_some_and(|handover| handover.reason == Reason::RolledOut));
    let starting = act(&job, &there(Some(3), vec![able(old(1)), able(pod(3, false))]));
    assert_eq!((starting.create.count, deleted(&starting)), (0, vec![]), "the new holder is not ready yet");
    assert_eq!(act(&job, &there(Some(3), vec![able(old(1)), pod(3, true)])).create.count, 1);
}

#[test]
fn a_running_attempt_of_a_one_shot_is_left_alone_by_a_new_template() {
    let job = one_shot(2);
    assert_eq!(act(&job, &there(Some(1), vec![old(1), old(2)])).create.count, 1);
    let act = act(&job, &there(Some(1), vec![old(1), pod(3, true)]));
    assert_eq!((act.create.count, deleted(&act), act.directives.handover.clone()), (0, vec![], None));
}

#[test]
fn a_request_to_hand_over_is_made_once() {
    let job = service(2);
    let mut observed = there(Some(1), vec![old(1), pod(3, true)]);
    let asked = act(&job, &observed).directives.handover;
    observed.lease.as_mut().expect("a Lease").record.annotations.handover.clone_from(&asked);
    assert!(asked.is_some());
    assert_eq!(act(&job, &observed).directives.handover, None);
}

#[test]
fn a_clearance_is_written_into_the_lease_it_is_about_and_into_no_other() {
    let job = job(
        json!({"completionPolicy": "Never", "takeover": {"unreachableHolder": {"policy": "AfterPodGone"}}}),
        settled(),
    );
    let mut observed = there(Some(1), vec![pod(2, true)]);
    observed.lease.as_mut().expect("a Lease").observation.unchanged = Duration::from_secs(16);
    assert_eq!(
        act(&job, &observed).next_look,
        Some(next_look::BLOCKED_LOOK),
        "no watch tells when a node is out of service"
    );
    observed.holder_pod_state = Some(HolderPodState::Gone);
    let directives = act(&job, &observed).directives;
    let word = directives.cleared.clone().expect("it is gone");
    assert_eq!(
        (word.lease_uid.as_str(), word.holder.as_ref().map(Identity::as_str)),
        ("l", Some("web-1_u1_0"))
    );
    assert_eq!(directives.policy.unreachable_holder, UnreachableHolder::AfterPodGone);
    let noted = |lease: &ObservedLease| {
        let next = build::lease::with_directives(&lease.object, &directives).expect("the policy is new");
        (
            Record::read(&next).expect("a record").annotations.cleared,
            build::lease::with_directives(&next, &directives),
        )
    };
    assert_eq!(noted(observed.lease.as_ref().expect("a Lease")), (Some(word), None), "and only once");
    assert_eq!(noted(&lease(Some(2), json!({}))), (None, None), "another has taken it since");
}

#[test]
fn a_finished_run_keeps_the_pod_that_finished_it_and_nothing_else() {
    let finished = json!({"singletonjob.dev/finished": json!({
        "uid": "j", "run": 1, "outcome": "Succeeded", "reason": "Completed", "exit": {"code": 0}, "attempt": 1, "failures": 0, "token": "90",
        "by": "web-1_u1_0", "startTime": null, "completionTime": "2026-01-01T00:00:00Z",
    }).to_string()});
    let candidates = vec![ended(1, Some(0), None), pod(2, true)];
    let observed = Observed {
        lease: Some(lease(None, finished)),
        candidates,
        template_hash: "new".into(),
        ..Observed::default()
    };
    let act = act(&one_shot(2), &observed);
    assert_eq!((act.create.count, deleted(&act)), (0, vec!["web-2"]));
}

fn suspended() -> SingletonJob {
    job(json!({"suspend": true}), settled())
}

/// Its attempt is over, and the kubelet has not said so yet.
fn just_ended(number: i64) -> Candidate {
    Candidate { has_held: true, ..pod(number, false) }
}

#[test]
fn a_pod_that_made_an_attempt_is_never_deleted_for_being_a_standby() {
    let finished = json!({"uid": "j", "run": 1, "outcome": "Failed", "reason": "BackoffLimitExceeded", "attempt": 2, "failures": 2,
                          "by": "web-2_u2_0", "completionTime": "2026-01-01T00:00:00Z"});
    let over = json!({"singletonjob.dev/finished": finished.to_string()});
    let over = |candidates| Observed {
        lease: Some(lease(None, over.clone())),
        candidates,
        template_hash: "new".into(),
        ..Observed::default()
    };
    let old = |number| Candidate { template_hash: Some("old".into()), ..just_ended(number) };
    let table = vec![
        (
            "the run is over",
            one_shot(2),
            over(vec![just_ended(1), just_ended(2), pod(3, true)]),
            vec!["web-3"],
        ),
        ("fewer are wanted", one_shot(1), there(Some(2), vec![just_ended(1), pod(2, true)]), vec![]),
        (
            "fewer, and a standby",
            one_shot(2),
            there(Some(2), vec![just_ended(1), pod(2, true), pod(3, true)]),
            vec![],
        ),
        (
            "far fewer",
            one_shot(1),
            there(Some(2), vec![just_ended(1), pod(2, true), pod(3, true)]),
            vec!["web-3"],
        ),
        ("a new template", one_shot(2), there(Some(2), vec![old(1), pod(2, true), pod(3, true)]), vec![]),
        (
            "suspended",
            suspended(),
            there(Some(2), vec![just_ended(1), pod(2, true), pod(3, true)]),
            vec!["web-3"],
        ),
    ];
    for (what, job, observed, expected) in table {
        let act = act(&job, &observed);
        assert_eq!((deleted(&act), act.create.count), (expected, 0), "{what}");
    }
}

#[test]
fn a_holder_that_was_stopped_goes_and_a_services_pod_is_a_standby_again() {
    let mark = json!({"leaseUid": "l", "renewTime": "2026-01-01T00:00:00.000000Z", "by": "web-2_u2_0", "reason": "Stopped"});
    let released = lease(None, json!({"singletonjob.dev/released": mark.to_string()}));
    let candidates = vec![just_ended(1), just_ended(2), pod(3, true)];
    let observed =
        Observed { lease: Some(released), candidates, template_hash: "new".into(), ..Observed::default() };
    assert_eq!(deleted(&act(&suspended(), &observed)), ["web-2", "web-3"]);
    let again = Candidate { has_held: true, ..pod(3, true) };
    let act = act(&service(2), &there(Some(1), vec![pod(1, true), pod(2, true), again]));
    assert_eq!(deleted(&act), ["web-3"]);
}

#[test]
fn a_standby_ended_by_the_kubelet_is_replaced_at_a_pace() {
    let failed = |has_held| {
        let fault = Fault { reason: "Evicted".into(), message: None };
        let end = End { fault_of_pod: Some(fault), ..ended(2, Some(143), None).end().expect("one").clone() };
        let candidate = Candidate { has_held, phase: Phase::Terminated(end), ..pod(2, false) };
        let act = act(&service(2), &there(Some(1), vec![pod(1, true), candidate]));
        (act.create.count, act.next_look.expect("one").as_secs())
    };
    assert_eq!(failed(false), (0, 9));
    assert_eq!(failed(true).0, 1);
}

#[test]
fn replacements_of_candidates_that_never_stand_by_wait_10_s_to_6_min() {
    let after = |seconds: &[u64]| {
        let in_vain = (1..).zip(seconds).map(|(number, seconds)| {
            let at = Some(now() - Duration::from_secs(*seconds));
            let end = End { at, ..ended(number, Some(128), None).end().expect("one").clone() };
            Candidate { phase: Phase::Terminated(end), ..pod(number, false) }
        });
        let observed =
            Observed { candidates: in_vain.collect(), template_hash: "new".into(), ..Observed::default() };
        assert_eq!(
            candidates::pace(&Observed { template_hash: "newer".into(), ..observed.clone() }, now()),
            Duration::ZERO,
            "another template"
        );
        candidates::pace(&observed, now()).as_secs()
    };
    assert_eq!([after(&[0]), after(&[10, 0]), after(&[90, 80, 60, 0])], [10, 20, 80]);
    assert_eq!(after(&[650, 640, 620, 580, 500, 0]), 320);
    assert_eq!([after(&[9, 9, 9, 9, 9, 9, 9]), after(&[1, 1, 1, 1, 1, 1, 1, 1, 1])], [351, 359]);
}

#[test]
fn a_run_that_status_knows_as_finished_is_not_run_again() {
    let job = job(json!({}), json!({"runs": [{"number": 1, "outcome": "Succeeded"}]}));
    let act = act(&job, &Observed { nobody_there: true, ..Observed::default() });
    assert_eq!((act.create.count, act.directives.run.desired), (0, Desired::Stop));
}

#[test]
fn ended_pods_that_are_kept_stay_when_their_node_is_lost() {
    let fleeting = |candidate: Candidate| Candidate { fleeting: true, ..candidate };
    let act = act(
        &one_shot(2),
        &there(
            None,
            vec![fleeting(ended(1, Some(3), None)), ended(2, Some(3), None), fleeting(pod(3, true))],
        ),
    );
    assert_eq!(act.keep, [pod_ref(1)]);
}

#[test]
fn of_an_attempt_that_is_over_nothing_goes_on_but_its_log_stays() {
    let lingering = Candidate { has_running_sidecars: true, ..ended(1, Some(3), None) };
    let observed = there(None, vec![lingering, ended(2, Some(3), None), pod(3, true), pod(4, true)]);
    let act = act(&one_shot(2), &observed);
    assert_eq!((act.stop_sidecars, act.delete), (vec![pod_ref(1)], vec![]));
}

#[test]
fn failed_attempts_stay_and_agents_that_cannot_start_do_not_spin() {
    let failed: Vec<_> = (1..=7).map(|number| ended(number, Some(1), None)).collect();
    let observed = there(None, failed.into_iter().chain([pod(8, true), pod(9, true)]).collect());
    assert!(act(&one_shot(2), &observed).delete.is_empty(), "backoffLimit 6 makes seven failures");
    let fault =
        |number| ended(number, Some(exit_codes::LEASE_UNREADABLE), Some("singletonjob-agent: reading lease"));
    let once = act(&one_shot(2), &there(None, vec![fault(1), pod(2, false)]));
    assert_eq!((once.create.count, once.next_look), (0, Some(Duration::from_secs(9))));
    let many: Vec<_> = (1..=9).map(fault).collect();
    let many = act(&one_shot(2), &there(None, many));
    assert_eq!(deleted(&many), ["web-2", "web-1"]);
}

#[test]
fn the_role_label_follows_the_lease() {
    let act = act(&service(2), &there(Some(1), vec![pod(1, true), pod(2, true)]));
    assert_eq!(act.label, [RoleLabel { pod: pod_ref(1), role: labels::ROLE_ACTIVE }]);
}

#[test]
fn a_plan_that_was_carried_out_is_empty_when_looked_at_again() {
    let job = service(2);
    let observed = there(
        Some(1),
        vec![Candidate { role: Some(labels::ROLE_ACTIVE.into()), ..pod(1, true) }, pod(2, true)],
    );
    let before = act(&job, &observed);
    let told =
        build::lease::with_directives(&observed.lease.as_ref().expect("a Lease").object, &before.directives)
            .expect("says nothing yet");
    assert_eq!((before.create.count, before.delete.len(), before.label.len()), (0, 0, 0));
    let record = Record::read(&told).expect("a record");
    let seen = ObservedLease { object: told.clone(), record, observation: Observation::default() };
    let after = act(&job, &Observed { lease: Some(seen), ..observed });
    assert_eq!(build::lease::with_directives(&told, &after.directives), None);
}

#[test]
fn timing_that_does_not_fit_and_a_foreign_object_are_refused() {
    let unfit = job(json!({"lease": {"leaseDurationSeconds": 15, "renewDeadlineSeconds": 14}}), json!({}));
    let Plan::Invalid(refusal) = plan(&unfit, &Observed::default(), now()) else {
        panic!("14 s do not fit into 15 s")
    };
    assert!(refusal.message.starts_with("spec.lease: renewDeadlineSeconds 14"), "{}", refusal.message);
    let foreign =
        Observed { foreign: Some("the Lease web is not of this SingletonJob".into()), ..Observed::default() };
    assert!(
        matches!(plan(&service(2), &foreign, now()), Plan::Invalid(refusal) if refusal.reason == reasons::FOREIGN_OBJECT)
    );
}

#[test]
fn what_is_being_deleted_is_let_go() {
    let mut job = service(2);
    job.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    assert_eq!(plan(&job, &Observed::default(), now()), Plan::LeaveAlone);
}
