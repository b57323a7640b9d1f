//! What becomes of ticks, as stories on plain data: a Lease that remembers, and a controller that does not.

use serde_json::{Value, json};

use super::super::super::observe::lease_observations::Observation;
use super::super::super::observe::{Observed, ObservedLease};
use super::super::run_plan::{MissReason, MissedTicks, RunAnswer};
use super::super::tests::{act, pod};
use super::super::{Actions, Plan, plan, runs};
use super::*;
use crate::api::conditions::reasons;
use crate::contract::labels::RUN_REQUESTED_AT;
use crate::controller::build;
use crate::controller::build::lease::says;
use crate::controller::observe::candidate::{Candidate, End, Phase};
use crate::lease::annotations::{Annotations, Desired, keys};
use crate::lease::record::Record;

/// On the 1st of March 2026, UTC.
fn at(time: &str) -> Timestamp {
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    format!("2026-03-01T{time}Z").parse().expect("a time")
}

/// A job that was made at 00:00, its Lease and its pods; every look is that of a controller that has just
/// been started.
struct Story {
    job: SingletonJob,
    lease: Value,
    candidates: Vec<Candidate>,
}

/// Ticks that are missed by this decision.
fn missed(act: Actions) -> Option<MissedTicks> {
    act.run.schedule.expect("it has one").missed
}

impl Story {
    fn of(schedule: Value) -> Self {
        let mut all = json!({"cron": "*/10 * * * *"});
        all.as_object_mut().expect("an object").extend(schedule.as_object().expect("an object").clone());
        let job = json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
            "metadata": {"name": "web", "namespace": "shop", "uid": "j", "creationTimestamp": at("00:00").to_string()},
            "spec": {"schedule": all, "template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}}},
            "status": {"observedGeneration": 1, "lease": {"name": "web", "longestLeaseDurationSeconds": 15}},
        });
        let lease = json!({
            "metadata": {"name": "web", "uid": "l", "resourceVersion": "100", "annotations": {}}, "spec": {"leaseDurationSeconds": 15},
        });
        let mut story =
            Self { job: serde_json::from_value(job).expect("a SingletonJob"), lease, candidates: Vec::new() };
        story.look("00:00");
        story
    }

    fn observed(&self) -> Observed {
        let object: k8s_openapi::api::coordination::v1::Lease =
            serde_json::from_value(self.lease.clone()).expect("a Lease");
        let seen = ObservedLease {
            record: Record::read(&object).expect("a record"),
            object,
            observation: Observation::default(),
        };
        Observed {
            lease: Some(seen),
            candidates: self.candidates.clone(),
            template_hash: "new".into(),
            ..Observed::default()
        }
    }

    /// Decides, and writes it down.
    fn look(&mut self, time: &str) -> Actions {
        self.look_at(at(time))
    }

    fn look_at(&mut self, now: Timestamp) -> Actions {
        let observed = self.observed();
        let Plan::Act(act) = plan(&self.job, &observed, now) else { panic!("nothing to refuse") };
        if let Some(lease) =
            build::lease::with_directives(&observed.lease.expect("there").object, &act.directives)
        {
            self.lease = serde_json::to_value(lease).expect("plain data");
        }
        *act
    }

    /// What is decided, in short: the run, its tick, whether it goes on, and how many ticks are missed in
    /// all.
    fn says(&mut self, time: &str) -> (u32, Option<String>, bool, u64) {
        let RunPlan { number, scheduled_time, goes_on, schedule, .. } = self.look(time).run;
        let ticks = schedule.expect("it has one").ticks;
        (number, scheduled_time.map(|tick| tick.strftime("%H:%M").to_string()), goes_on, ticks.missed)
    }

    fn note(&mut self, key: &str, note: Value) {
        self.lease["metadata"]["annotations"][key] = json!(note.to_string());
    }

    /// A candidate runs run `number`.
    fn begins(&mut self, number: u32) {
        let zeros = json!({"failures": 0, "setbacks": 0, "retryAfterSeconds": 0});
        let mut progress = json!({"uid": "j", "run": number, "starts": 1, "open": true});
        progress.as_object_mut().expect("an object").extend(zeros.as_object().expect("an object").clone());
        self.note(keys::PROGRESS, progress);
    }

    /// A candidate has run it.
    fn ends(&mut self, number: u32) {
        let finished = json!({
            "uid": "j", "run": number, "outcome": "Succeeded", "reason": "Completed", "exit": {"code": 0}, "attempt": 1, "failures": 0,
            "by": "web-1_u1_0", "startTime": null, "completionTime": at("00:00").to_string(),
        });
        self.note(keys::FINISHED, finished);
    }

    fn asks(&mut self, text: &str) {
        self.job.metadata.annotations = Some([(RUN_REQUESTED_AT.to_owned(), text.to_owned())].into());
    }

    fn answer(&mut self, time: &str) -> Option<RunAnswer> {
        self.look(time).run.request.map(|request| request.answer)
    }

    fn schedule(&mut self) -> &mut Schedule {
        self.job.spec.schedule.as_mut().expect("there")
    }
}

fn run(number: u32, tick: &str, missed: u64) -> (u32, Option<String>, bool, u64) {
    (number, Some(tick.to_owned()), true, missed)
}

fn rest(number: u32, tick: Option<&str>, missed: u64) -> (u32, Option<String>, bool, u64) {
    (number, tick.map(str::to_owned), false, missed)
}

#[test]
fn a_tick_becomes_one_run_however_often_it_is_looked_at() {
    let mut story = Story::of(json!({}));
    assert_eq!(story.says("00:09:59"), rest(0, None, 0));
    for time in ["00:10", "00:10", "00:10:05"] {
        assert_eq!(story.says(time), run(1, "00:10", 0));
    }
    story.begins(1);
    story.ends(1);
    for time in ["00:10:06", "00:19:59"] {
        assert_eq!(story.says(time), rest(1, Some("00:10"), 0));
    }
    assert_eq!(story.says("00:20"), run(2, "00:20", 0));
}

#[test]
fn no_candidate_acquires_before_the_first_tick_and_then_knows_which() {
    let mut story = Story::of(json!({}));
    let before = story.look("00:05").directives.run;
    assert_eq!(
        (before.number, before.desired, before.reason.as_deref()),
        (0, Desired::Stop, Some("NothingDue"))
    );
    let due = story.look("00:10").directives.run;
    assert_eq!((due.number, due.desired, due.scheduled_time), (1, Desired::Run, Some(at("00:10"))));
}

#[test]
fn a_clock_that_goes_back_runs_nothing_twice() {
    let mut story = Story::of(json!({}));
    story.says("00:20");
    story.begins(1);
    story.ends(1);
    for time in ["00:10", "00:15", "00:20", "00:29:59"] {
        assert_eq!(story.says(time), rest(1, Some("00:20"), 1), "at {time}");
    }
    assert_eq!(story.says("00:30"), run(2, "00:30", 1));
}

#[test]
fn after_an_absence_only_the_latest_tick_runs_and_all_others_are_missed() {
    let mut story = Story::of(json!({}));
    let run = story.look("00:45").run;
    assert_eq!((run.number, run.scheduled_time), (1, Some(at("00:40"))));
    let schedule = run.schedule.expect("it has one");
    let three = schedule.missed.expect("three");
    assert_eq!(
        (three.count, three.last, three.reason, schedule.ticks.missed),
        (3, at("00:30"), MissReason::Passed, 3)
    );
    assert_eq!(missed(story.look("00:45")), None, "and that is said once");
}

#[test]
fn a_long_absence_is_not_counted_to_its_end() {
    let mut story = Story::of(json!({"cron": "* * * * *"}));
    let years_later: Timestamp = "2036-03-01T12:00:30Z".parse().expect("a time");
    let run =
        decide(&story.job, story.job.spec.schedule.as_ref().expect("one"), &story.observed(), years_later)
            .expect("a good schedule");
    assert_eq!(run.scheduled_time, Some("2036-03-01T12:00:00Z".parse().expect("a time")));
    let missed = run.schedule.and_then(|schedule| schedule.missed);
    assert!(missed.is_some_and(|missed| missed.more && missed.count == 1000), "{missed:?}");
    story.schedule().cron = "0 0 29 2 *".into();
    assert_eq!(story.says("00:50"), rest(0, None, 0), "another schedule has had no ticks yet");
}

#[test]
fn a_tick_that_is_noticed_too_late_is_missed_and_one_in_time_runs() {
    for (time, expected) in
        [("00:10:30", run(1, "00:10", 0)), ("00:10:31", rest(0, None, 1)), ("00:20:31", rest(0, None, 2))]
    {
        let mut story = Story::of(json!({"startingDeadlineSeconds": 30}));
        assert_eq!(story.says(time), expected, "at {time}");
    }
}

#[test]
fn a_run_that_nobody_could_start_in_time_is_given_up_and_said() {
    let mut story = Story::of(json!({"startingDeadlineSeconds": 30}));
    let first = story.look("00:10");
    assert_eq!(first.next_look, Some(Duration::from_secs(30)), "{:?}", first.run);
    assert_eq!(story.says("00:10:30"), run(1, "00:10", 0));
    let late = story.look("00:10:31");
    assert_eq!(
        (late.directives.run.desired, late.directives.run.reason.as_deref()),
        (Desired::Stop, Some("Missed"))
    );
    assert_eq!(missed(late).map(|missed| missed.reason), Some(MissReason::Unstarted));
    assert_eq!(story.says("00:10:40"), rest(1, Some("00:10"), 1), "and stays so");
    assert_eq!(story.says("00:20"), run(2, "00:20", 1));
    story.begins(2);
    assert_eq!(story.says("00:29"), run(2, "00:20", 1), "what has begun may take its time");
}

#[test]
fn a_run_that_cannot_start_fails_by_its_deadline_before_the_next() {
    for (policy, after) in [("Forbid", rest(1, Some("00:10"), 1)), ("Enqueue", run(2, "00:20", 0))] {
        let mut story = Story::of(json!({"concurrencyPolicy": policy}));
        story.job.spec.active_deadline_seconds = Some(660);
        story.note(
            keys::RELEASED,
            json!({"leaseUid": "l", "renewTime": null, "by": "controller", "reason": "Created"}),
        );
        assert_eq!(story.says("00:10").0, 1);
        let look = story.look("00:10:10").run.look;
        assert_eq!(look, Some(Duration::from_secs(590)), "the next tick comes first");
        story.says("00:20");
        let closed = story.look("00:21");
        assert_eq!(
            (closed.directives.run.desired, closed.directives.run.reason.as_deref()),
            (Desired::Stop, Some("DeadlineExceeded")),
            "{policy}"
        );
        assert_eq!((closed.run.number, closed.run.goes_on), (1, false), "{policy}");
        assert_eq!(story.says("00:21:01").0, 1, "{policy}: status does not tell it yet");
        let failed = serde_json::from_value(json!({"number": 1, "outcome": "Failed"})).expect("a run");
        story.job.status.as_mut().expect("there").runs.push(failed);
        assert_eq!(story.says("00:21:02"), after, "{policy}");
    }
}

#[test]
fn a_tick_during_a_run_is_missed_or_replaces_it_or_waits_for_its_end() {
    let table = [
        ("Forbid", run(1, "00:10", 1), rest(1, Some("00:10"), 1)),
        ("Replace", run(2, "00:20", 0), run(2, "00:20", 0)),
        ("Enqueue", run(1, "00:10", 0), run(2, "00:20", 0)),
    ];
    for (policy, during, after) in table {
        let mut story = Story::of(json!({"concurrencyPolicy": policy}));
        story.says("00:10");
        story.begins(1);
        assert_eq!(story.says("00:20"), during, "{policy}");
        assert_eq!(story.says("00:20:01"), during, "{policy}");
        story.ends(1);
        assert_eq!(story.says("00:25"), after, "{policy}");
    }
}

#[test]
fn of_several_ticks_that_wait_the_latest_runs_unless_it_waits_too_long() {
    let mut story = Story::of(json!({"concurrencyPolicy": "Enqueue"}));
    story.says("00:10");
    story.begins(1);
    assert_eq!(story.says("00:20"), run(1, "00:10", 0));
    let overtaken = missed(story.look("00:30")).expect("that of 00:20");
    assert_eq!((overtaken.count, overtaken.last, overtaken.reason), (1, at("00:20"), MissReason::Overtaken));
    story.ends(1);
    assert_eq!(story.says("00:33"), run(2, "00:30", 1));
    story.schedule().starting_deadline_seconds = Some(60);
    story.begins(2);
    assert_eq!(
        story.look("00:40").next_look,
        Some(Duration::from_secs(60).min(Duration::from_secs(30))),
        "as long as no candidate holds, often"
    );
    assert_eq!(story.says("00:41:01"), run(2, "00:30", 2));
}

#[test]
fn what_replaces_a_run_that_never_began_is_told_as_a_tick_missed() {
    let mut story = Story::of(json!({"concurrencyPolicy": "Replace"}));
    story.says("00:10");
    assert_eq!(story.says("00:20"), run(2, "00:20", 1));
}

#[test]
fn while_suspended_ticks_pass_unheeded_and_the_run_goes_on() {
    let mut story = Story::of(json!({}));
    story.says("00:10");
    story.begins(1);
    story.job.spec.suspend = true;
    let suspended = story.look("00:15");
    assert_eq!(
        (suspended.directives.run.desired, suspended.run.schedule.and_then(|schedule| schedule.next)),
        (Desired::Run, None)
    );
    assert_eq!(story.says("00:25"), run(1, "00:10", 0));
    story.ends(1);
    assert_eq!(story.says("00:35"), rest(1, Some("00:10"), 0));
    story.job.spec.suspend = false;
    assert_eq!(
        story.says("00:45"),
        rest(1, Some("00:10"), 0),
        "nothing is made up for, and nothing is missed"
    );
    assert_eq!(story.says("00:50"), run(2, "00:50", 0));
}

#[test]
fn on_resumption_a_tick_runs_that_may_still_start_by_its_deadline() {
    for (resumed, expected) in [("00:44", run(1, "00:40", 0)), ("00:46", rest(0, None, 0))] {
        let mut story = Story::of(json!({"startingDeadlineSeconds": 300}));
        story.job.spec.suspend = true;
        story.says("00:05");
        story.job.spec.suspend = false;
        assert_eq!(story.says(resumed), expected, "at {resumed}");
    }
}

#[test]
fn without_replicas_the_run_stops_and_ticks_pass_unheeded() {
    let mut story = Story::of(json!({}));
    story.says("00:10");
    story.begins(1);
    story.job.spec.replicas = 0;
    let stopped = story.look("00:15").directives.run;
    assert_eq!(
        (stopped.number, stopped.desired, stopped.reason.as_deref()),
        (1, Desired::Stop, Some(reasons::SCALED_TO_ZERO))
    );
    story.look("00:25");
    story.job.spec.replicas = 2;
    assert_eq!(story.says("00:27"), run(1, "00:10", 0));
}

#[test]
fn of_a_changed_schedule_only_ticks_after_the_change_count() {
    let mut story = Story::of(json!({}));
    story.schedule().cron = "*/15 * * * *".into();
    assert_eq!(story.says("00:17"), rest(0, None, 0));
    assert_eq!(story.says("00:30"), run(1, "00:30", 0));
    story.begins(1);
    story.ends(1);
    story.schedule().time_zone = Some("Asia/Kathmandu".into());
    assert_eq!(story.says("00:44"), rest(1, Some("00:30"), 0));
}

#[test]
fn a_request_runs_once_and_one_that_was_there_before_anybody_looked_never() {
    let mut story = Story::of(json!({}));
    story.asks("now");
    assert_eq!(story.answer("00:05"), Some(RunAnswer::Granted));
    assert_eq!(story.says("00:05"), (1, None, true, 0));
    assert_eq!(story.answer("00:05"), Some(RunAnswer::Past), "until status says so");
    story.job.status.as_mut().expect("there").last_handled_run_request = Some("now".into());
    assert_eq!(story.answer("00:05"), None);
    let mut applied = Story::of(json!({}));
    applied.job.status = None;
    applied.lease["metadata"]["annotations"] = json!({});
    applied.asks("last year");
    assert_eq!(applied.answer("00:05"), Some(RunAnswer::Recorded));
    assert_eq!(applied.says("00:05"), rest(0, None, 0));
}

#[test]
fn a_request_during_a_run_is_treated_as_a_tick_is() {
    let table = [
        ("Replace", RunAnswer::Granted, (2, None, true, 0)),
        ("Enqueue", RunAnswer::Waits, run(1, "00:10", 0)),
    ];
    for (policy, answer, says) in table {
        let mut story = Story::of(json!({"concurrencyPolicy": policy}));
        story.says("00:10");
        story.begins(1);
        story.asks("now");
        assert_eq!((story.answer("00:11"), story.says("00:11")), (Some(answer), says), "{policy}");
        story.ends(1);
        assert_eq!(story.says("00:12"), (2, None, true, 0), "{policy}");
    }
    let mut story = Story::of(json!({}));
    story.says("00:10");
    story.asks("now");
    assert!(
        matches!(story.answer("00:11"), Some(RunAnswer::Refused(why)) if why.contains("run 1 is going on"))
    );
    story.job.spec.replicas = 0;
    assert!(
        matches!(story.answer("00:11"), Some(RunAnswer::Refused(why)) if why.contains("spec.replicas is 0"))
    );
}

#[test]
fn a_job_without_a_schedule_refuses_to_run_on_request() {
    let mut story = Story::of(json!({}));
    story.job.spec.schedule = None;
    story.asks("now");
    assert!(matches!(story.answer("00:05"), Some(RunAnswer::Refused(why)) if why.contains("spec.schedule")));
}

#[test]
fn of_a_lost_lease_status_remembers_which_ticks_have_passed() {
    let mut story = Story::of(json!({}));
    let status = json!({
        "observedGeneration": 1, "lease": {"name": "web"}, "missedRuns": 4, "lastScheduleTime": at("00:20").to_string(),
        "nextScheduleTime": at("00:40").to_string(), "lastHandledRunRequest": "then",
        "runs": [{"number": 7, "outcome": "Succeeded", "attempts": 1}],
    });
    story.job.status = Some(serde_json::from_value(status).expect("a status"));
    story.lease["metadata"]["annotations"] = json!({});
    story.asks("then");
    let known = story.look("00:35");
    assert_eq!(
        (known.directives.run.number, known.directives.run.desired, known.run.request),
        (7, Desired::Stop, None)
    );
    assert_eq!(story.says("00:35"), rest(7, None, 4));
    assert_eq!(story.says("00:40"), run(8, "00:40", 4));
}

#[test]
fn a_recreated_job_begins_anew_whatever_the_lease_of_the_old_one_says() {
    let mut story = Story::of(json!({}));
    story.says("00:10");
    story.job.metadata.uid = Some("another".into());
    story.job.status = None;
    story.job.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("00:12")));
    assert_eq!(story.says("00:15"), rest(0, None, 0));
    assert_eq!(story.says("00:20"), run(1, "00:20", 0));
}

#[test]
fn a_schedule_that_cannot_be_read_or_never_comes_is_refused() {
    for (cron, zone, advice) in [
        ("0 0 31 2 *", "UTC", "never comes"),
        ("often", "UTC", "five fields"),
        ("@daily", "Mars", "no time zone"),
    ] {
        let mut story = Story::of(json!({}));
        (story.schedule().cron, story.schedule().time_zone) = (cron.into(), Some(zone.into()));
        let Plan::Invalid(refusal) = plan(&story.job, &story.observed(), at("00:05")) else {
            panic!("{cron} in {zone}")
        };
        assert!(
            refusal.reason == reasons::INVALID_SPEC && refusal.message.contains(advice),
            "{}",
            refusal.message
        );
    }
}

fn made_for(number: i64, run: u32) -> Candidate {
    Candidate { made_for: Some(run), ..pod(number, true) }
}

fn deleted(act: &Actions) -> Vec<&str> {
    act.delete.iter().map(|pod| pod.name.as_str()).collect()
}

#[test]
fn candidates_are_made_shortly_before_a_tick_and_go_after_its_run() {
    let mut story = Story::of(json!({"leadSeconds": 120}));
    let early = story.look("00:07:30");
    assert_eq!((early.create.count, early.next_look), (0, Some(Duration::from_secs(30))));
    let lead = story.look("00:08");
    assert_eq!((lead.create.count, lead.run.made_for()), (2, Some(1)));
    story.candidates = vec![made_for(1, 1), made_for(2, 1)];
    let ready = story.look("00:09:45");
    assert_eq!(
        (ready.create.count, deleted(&ready), ready.next_look),
        (0, vec![], Some(Duration::from_secs(15)))
    );
    let due = story.look("00:10");
    assert_eq!((due.create.count, deleted(&due), due.directives.run.desired), (0, vec![], Desired::Run));
    story.begins(1);
    story.ends(1);
    story.candidates[0].has_held = true;
    assert_eq!(deleted(&story.look("00:11")), ["web-2"], "who ended it stays for its log");
}

#[test]
fn after_a_run_that_was_given_up_candidates_are_made_before_the_next_tick() {
    let mut story = Story::of(json!({"startingDeadlineSeconds": 30, "leadSeconds": 120}));
    story.look("00:10");
    story.look("00:10:31");
    assert_eq!(story.look("00:17").create.count, 0);
    let lead = story.look("00:18");
    assert_eq!(
        (lead.create.count, lead.run.made_for(), lead.directives.run.desired),
        (2, Some(2), Desired::Stop)
    );
}

#[test]
fn a_standby_of_one_run_is_not_there_for_the_next_unless_that_is_wanted() {
    for (policy, leaves) in [("BeforeTick", vec!["web-2"]), ("Always", vec![])] {
        let mut story = Story::of(json!({"leadSeconds": 600, "candidates": policy}));
        story.look("00:10");
        story.candidates = vec![made_for(2, 1), made_for(3, 2)];
        story.begins(1);
        assert_eq!(deleted(&story.look("00:11")), Vec::<&str>::new(), "{policy}");
        story.ends(1);
        let between = story.look("00:12");
        assert_eq!(
            (deleted(&between), between.create.count, between.run.made_for()),
            (leaves.clone(), leaves.len(), Some(2)),
            "{policy}"
        );
    }
}

#[test]
fn what_follows_at_once_runs_in_the_standby_that_is_there() {
    let mut story = Story::of(json!({"concurrencyPolicy": "Enqueue"}));
    story.look("00:10");
    story.candidates = vec![made_for(2, 1), made_for(3, 1)];
    story.begins(1);
    story.look("00:20");
    story.ends(1);
    let follows = story.look("00:21");
    assert_eq!((follows.directives.run.number, deleted(&follows)), (2, vec![]));
}

#[test]
fn always_means_at_all_times_but_not_while_suspended() {
    let mut story = Story::of(json!({"candidates": "Always"}));
    assert_eq!(story.look("00:01").create.count, 2);
    story.candidates = vec![made_for(1, 1), made_for(2, 1)];
    story.job.spec.suspend = true;
    assert_eq!(deleted(&story.look("00:02")), ["web-1", "web-2"]);
}

fn ended(number: i64, code: i32, minute: &str) -> Candidate {
    let end = End {
        succeeded: code == 0,
        exit_code: Some(code),
        reason: None,
        message: None,
        at: Some(at(minute)),
        fault_of_pod: None,
        disrupted: false,
    };
    Candidate { has_held: true, phase: Phase::Terminated(end), ..made_for(number, 1) }
}

#[test]
fn ended_pods_stay_within_the_limits_and_for_as_long_as_they_live() {
    let pods = || {
        (1..=4).map(|n| ended(n, 0, "00:01")).chain((5..=7).map(|n| ended(n, 1, "00:03"))).collect::<Vec<_>>()
    };
    let mut story = Story::of(json!({}));
    story.candidates = pods();
    assert_eq!(
        deleted(&story.look("00:05")),
        ["web-1", "web-6", "web-5"],
        "three that succeeded, and one that failed"
    );
    story.schedule().successful_runs_history_limit = 0;
    assert_eq!(deleted(&story.look("00:05")), ["web-4", "web-3", "web-2", "web-1", "web-6", "web-5"]);
    let mut story = Story::of(json!({"successfulRunsHistoryLimit": 9, "failedRunsHistoryLimit": 9}));
    story.candidates = pods();
    story.job.spec.pod_ttl_seconds_after_finished = Some(180);
    assert_eq!(deleted(&story.look("00:04")), ["web-4", "web-3", "web-2", "web-1"]);
    story.candidates.retain(|pod| pod.number > 4);
    assert_eq!(
        (deleted(&story.look("00:05:45")), story.look("00:05:45").next_look),
        (vec![], Some(Duration::from_secs(15)))
    );
}

#[test]
fn failed_attempts_of_the_run_that_goes_on_are_kept_beside_older_ones() {
    let mut story = Story::of(json!({}));
    story.look("00:10");
    story.begins(1);
    story.candidates =
        (1..=8).map(|n| ended(n, 1, "00:10")).chain([made_for(9, 1), made_for(10, 1)]).collect();
    assert_eq!(deleted(&story.look("00:11")), Vec::<&str>::new());
    story.ends(1);
    assert_eq!(deleted(&story.look("00:12")).len(), 9, "one failure stays, and no standby");
}

#[test]
fn drains_wait_for_a_standby_between_runs_too() {
    let mut story = Story::of(json!({}));
    assert_eq!(story.look("00:05").budget, Some(1));
}

#[test]
fn a_decision_is_not_written_over_another_nor_over_the_end_of_its_run() {
    let mut story = Story::of(json!({"concurrencyPolicy": "Replace"}));
    story.look("00:10");
    story.begins(1);
    let lease = |value: &Value| {
        serde_json::from_value::<k8s_openapi::api::coordination::v1::Lease>(value.clone()).expect("a Lease")
    };
    let seen = lease(&story.lease);
    let quiet = act_at(&story, "00:11").directives;
    let takes = act_at(&story, "00:20").directives;
    let mut renewed = story.lease.clone();
    renewed["spec"]["renewTime"] = json!("2026-03-01T00:19:59.000000Z");
    let mut over = Story { job: story.job.clone(), lease: story.lease.clone(), candidates: Vec::new() };
    over.ends(1);
    story.look("00:20");
    for (there, may_write, may_take) in
        [(&renewed, true, true), (&over.lease, true, false), (&story.lease, false, false)]
    {
        let there = lease(there);
        assert_eq!(
            quiet.may_follow(&says(&seen), &says(&there)),
            may_write,
            "{:?}",
            Annotations::read(there.metadata.annotations.as_ref())
        );
        assert_eq!(takes.may_follow(&says(&seen), &says(&there)), may_take);
    }
}

fn act_at(story: &Story, time: &str) -> Actions {
    match plan(&story.job, &story.observed(), at(time)) {
        Plan::Act(act) => *act,
        other => panic!("expected something to do, not {other:?}"),
    }
}

#[test]
fn a_job_without_a_schedule_knows_nothing_of_ticks() {
    let mut story = Story::of(json!({}));
    story.job.spec.schedule = None;
    let act = act(&story.job, &Observed { candidates: vec![pod(1, true)], ..story.observed() });
    assert_eq!((act.run.made_for(), act.run.schedule, act.directives.ticks), (None, None, None));
    assert_eq!(runs::current(&story.job, &story.observed()), 1);
}

#[test]
fn a_job_with_jitter_starts_after_each_tick_and_the_tick_stays_what_it_is() {
    let offset = Duration::from_secs(names::offset("shop", "web", Duration::from_secs(300)).as_secs());
    assert!(!offset.is_zero(), "the job of these tests has one");
    let at = |time: &str, more: i64| at(time) + offset + jiff::SignedDuration::from_secs(more);
    let mut story = Story::of(json!({"jitterSeconds": 300, "startingDeadlineSeconds": 60}));
    let looks = |story: &mut Story, now: Timestamp| {
        let act = story.look_at(now);
        let schedule = act.run.schedule.clone().expect("it has one");
        (act.run, schedule, act.next_look)
    };
    let (run, before, look) = looks(&mut story, at("00:10", -1));
    assert_eq!((run.goes_on, before.next, look), (false, Some(at("00:10", 0)), Some(Duration::from_secs(1))));
    let (run, due, _) = looks(&mut story, at("00:10", 0));
    assert_eq!((run.number, run.scheduled_time, due.due), (1, Some(self::at("00:10")), Some(at("00:10", 0))));
    story.begins(1);
    story.ends(1);
    let (run, last, _) = looks(&mut story, at("00:20", 60));
    assert_eq!((run.number, last.ticks.missed), (2, 0), "the deadline counts from tick and offset");
    story.begins(2);
    story.ends(2);
    let (run, late, _) = looks(&mut story, at("00:30", 61));
    assert_eq!((run.goes_on, late.ticks.missed), (false, 1));
}

#[test]
fn no_tick_from_before_the_job_was_made_starts_for_its_offset() {
    let story = Story::of(json!({"cron": "0 0 * * *", "jitterSeconds": 86400}));
    let mut later = Story { job: story.job.clone(), ..story };
    later.job.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("00:01")));
    later.lease["metadata"]["annotations"] = json!({});
    let offset = names::offset("shop", "web", Duration::from_secs(86400));
    let run = later.look_at(at("00:02") + offset).run;
    assert_eq!((run.number, run.schedule.map(|schedule| schedule.ticks.missed)), (0, Some(0)));
}
