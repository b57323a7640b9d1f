//! Decides which run the Lease should ask for.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::failed_pods;
use super::run_plan::RunPlan;
use super::runs::{ended, noted};
use crate::api::SingletonJob;
use crate::api::conditions::reasons;
use crate::lease::annotations::{Desired, Run};
use crate::lease::elector;

/// Why nothing runs although a Lease that was made again does not know that the run is over.
const FINISHED: &str = "Finished";
/// Why nothing runs yet.
const NOTHING_DUE: &str = "NothingDue";

/// The run that the Lease should ask for.
pub fn wanted(job: &SingletonJob, observed: &Observed, run: &RunPlan, now: Timestamp) -> Run {
    let RunPlan { number, scheduled_time, .. } = *run;
    let reason = stop_reason(job, observed, run);
    let desired = if reason.is_some() { Desired::Stop } else { Desired::Run };
    let has_deadline = desired == Desired::Run && job.spec.active_deadline_seconds.is_some();
    Run {
        uid: job.metadata.uid.clone().unwrap_or_default(),
        number,
        desired,
        scheduled_time,
        reason: reason.map(str::to_owned),
        resumptions: resumptions(job, observed, number, desired),
        since: has_deadline.then(|| since(job, observed, number, now)),
        failed_pods: failed_pods::of(job, observed, number),
    }
}

/// Why nothing should run. `None` if the run should.
fn stop_reason(job: &SingletonJob, observed: &Observed, run: &RunPlan) -> Option<&'static str> {
    if let Some(closed) = run.closed {
        return Some(closed.reason());
    }
    match (job.spec.suspend, job.spec.replicas) {
        _ if run.number == 0 => Some(NOTHING_DUE),
        _ if !run.goes_on && ended(job, observed, run.number).is_none() => Some(FINISHED),
        (_, 0) => Some(reasons::SCALED_TO_ZERO),
        (true, _) if run.schedule.is_none() => Some(reasons::SUSPENDED),
        _ => None,
    }
}

/// How often the run was resumed: one more than the Lease has if that says Stop and should say Run.
fn resumptions(job: &SingletonJob, observed: &Observed, number: u32, desired: Desired) -> u32 {
    let same = noted(job, observed).filter(|run| run.number == number);
    same.map_or(0, |run| {
        run.resumptions.saturating_add(u32::from(run.desired == Desired::Stop && desired == Desired::Run))
    })
}

/// Since when the Lease asks for the run. That is when a user creates the job, when the controller takes the
/// tick, or when a user resumes the run.
fn since(job: &SingletonJob, observed: &Observed, number: u32, now: Timestamp) -> Timestamp {
    let same = noted(job, observed).filter(|run| run.number == number && run.desired == Desired::Run);
    same.and_then(|run| run.since).unwrap_or(now)
}

/// How long the run may still take, as its candidates reckon. `None` if it has not begun, or has no deadline.
pub fn left(job: &SingletonJob, observed: &Observed, run: &RunPlan, now: Timestamp) -> Option<Duration> {
    time_left(observed, &wanted(job, observed, run, now), now)
}

/// How long the `wanted` run may still take. `None` also if the Lease is held, because the holder stops by
/// itself.
pub fn left_unheld(observed: &Observed, wanted: &Run, now: Timestamp) -> Option<Duration> {
    if observed.holder().is_some() { None } else { time_left(observed, wanted, now) }
}

fn time_left(observed: &Observed, wanted: &Run, now: Timestamp) -> Option<Duration> {
    let record = &observed.lease.as_ref()?.record;
    let account = elector::progress_of(record, wanted);
    elector::time_left(&account, record.annotations.policy.as_ref()?, now)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{job, lease, now, settled};
    use super::*;

    /// A Lease that says so of this very run.
    fn told(desired: &str, resumptions: u32, more: Value) -> Observed {
        let run = json!({"uid": "j", "number": 1, "desired": desired, "resumptions": resumptions});
        let mut annotations = json!({"singletonjob.dev/run": run.to_string()});
        annotations.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Observed { lease: Some(lease(None, annotations)), ..Observed::default() }
    }

    #[test]
    fn every_time_that_it_is_resumed_is_counted_once() {
        let (running, suspended) = (job(json!({}), settled()), job(json!({"suspend": true}), settled()));
        let none = || json!({});
        let another = json!({"singletonjob.dev/run": json!({"uid": "earlier", "number": 1, "desired": "Stop", "resumptions": 4}).to_string()});
        let table = vec![
            ("the Lease is new", &running, Observed::default(), (Desired::Run, 0)),
            ("it runs", &running, told("Run", 2, none()), (Desired::Run, 2)),
            ("it is suspended", &suspended, told("Run", 2, none()), (Desired::Stop, 2)),
            ("it stays so", &suspended, told("Stop", 2, none()), (Desired::Stop, 2)),
            ("it is resumed", &running, told("Stop", 2, none()), (Desired::Run, 3)),
            ("and looked at again", &running, told("Run", 3, none()), (Desired::Run, 3)),
            ("another's", &running, told("Stop", 4, another), (Desired::Run, 0)),
        ];
        for (what, job, observed, expected) in table {
            let wanted = wanted(job, &observed, &RunPlan::noted(job, &observed), now());
            assert_eq!((wanted.desired, wanted.resumptions), expected, "{what}");
        }
    }

    #[test]
    fn a_deadline_is_counted_from_when_the_run_is_wanted_or_resumed() {
        let ago = |seconds: u64| (now() - Duration::from_secs(seconds)).to_string();
        let limited = |more: Value| {
            let mut spec = json!({"activeDeadlineSeconds": 60});
            spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            job(spec, settled())
        };
        let noted = |desired: &str, more: Value| {
            let mut run = json!({"uid": "j", "number": 1, "desired": desired});
            run.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            Observed {
                lease: Some(lease(None, json!({"singletonjob.dev/run": run.to_string()}))),
                ..Observed::default()
            }
        };
        let since = |job: SingletonJob, observed: Observed| {
            wanted(&job, &observed, &RunPlan::noted(&job, &observed), now())
                .since
                .map(|since| since.to_string())
        };
        assert_eq!(since(limited(json!({})), Observed::default()), Some(ago(0)), "it is new");
        assert_eq!(
            since(limited(json!({})), noted("Run", json!({"since": ago(30)}))),
            Some(ago(30)),
            "it waits"
        );
        assert_eq!(
            since(limited(json!({"suspend": true})), noted("Run", json!({"since": ago(30)}))),
            None,
            "it is suspended"
        );
        assert_eq!(since(limited(json!({})), noted("Stop", json!({}))), Some(ago(0)), "it is resumed");
        assert_eq!(since(job(json!({}), settled()), Observed::default()), None, "it has no deadline");
    }

    #[test]
    fn the_time_that_is_left_is_reckoned_as_candidates_do() {
        let begun = |seconds: u64, resumptions: u32| {
            let started = (now() - Duration::from_secs(seconds)).to_string();
            let progress = json!({"uid": "j", "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": false,
                                  "startTime": started, "resumptions": resumptions});
            let policy = json!({"leaseDurationSeconds": 15, "renewDeadlineMilliseconds": 8800, "gracePeriodMilliseconds": 2200,
                                "retryPeriodMilliseconds": 2900, "completionPolicy": "OnSuccess", "backoffLimit": 6, "candidates": 2,
                                "activeDeadlineSeconds": 60});
            json!({"singletonjob.dev/progress": progress.to_string(), "singletonjob.dev/policy": policy.to_string()})
        };
        let job = job(json!({}), settled());
        let seconds = |observed: &Observed| {
            left(&job, observed, &RunPlan::noted(&job, observed), now()).map(|left| left.as_secs())
        };
        assert_eq!(
            [20, 60, 99].map(|ago| seconds(&told("Run", 1, begun(ago, 1)))),
            [Some(40), Some(0), Some(0)]
        );
        assert_eq!(seconds(&told("Run", 1, begun(99, 0))), None, "it was resumed since");
        assert_eq!(seconds(&told("Stop", 1, begun(99, 1))), None, "it is being resumed");
    }
}
