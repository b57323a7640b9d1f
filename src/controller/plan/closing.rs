//! Closes runs that no candidate could start. Otherwise only a candidate that takes the Lease writes an
//! outcome.
//!
//! The controller closes the run in the `run` annotation, by compare-and-swap. A candidate that acquires the
//! Lease at that moment counts a start in its own write. The API server stores only one of the two writes:
//! the run is closed, or it has begun.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::candidates::has_made_its_attempt;
use super::runs::{self, Closed, closed};
use super::time::{left as left_of, seconds};
use crate::api::SingletonJob;
use crate::lease::annotations::Desired;
use crate::lease::elector;

/// Whether the Lease says that the controller closed the current run at its deadline, and status does not say
/// so yet.
pub fn is_untold(job: &SingletonJob, observed: &Observed) -> bool {
    let number = i64::from(runs::current(job, observed));
    let is_told =
        job.status.as_ref().is_some_and(|status| status.runs.iter().any(|run| run.number >= number));
    closed(job, observed) == Some(Closed::DeadlineExceeded) && !is_told
}

/// What is left of `spec.activeDeadlineSeconds` while no candidate can heed it. None has begun the run then,
/// or none is there to end it. The deadline counts from the first start, or else from when the run was wanted
/// or resumed.
///
/// `None` if there is no deadline, nothing is to run, the Lease is held, or a candidate is there.
pub fn left(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Option<Duration> {
    if job.spec.is_stopped() {
        return None;
    }
    let limit = seconds(job.spec.active_deadline_seconds?);
    let record = &observed.lease.as_ref()?.record;
    let run = runs::noted(job, observed).filter(|run| run.desired == Desired::Run)?;
    let is_able = observed
        .candidates
        .iter()
        .any(|pod| pod.is_alive() && pod.can_take_over && !has_made_its_attempt(job, pod));
    if !record.is_released() || is_able || runs::is_over(job, observed) {
        return None;
    }
    let begun =
        elector::time_left(&elector::progress_of(record, run), record.annotations.policy.as_ref()?, now);
    // A run that replaces another waits for its end.
    let since = run.since.map(|since| record.renew_time.map_or(since, |released| released.max(since)));
    begun.or_else(|| Some(left_of(since?, limit, now)))
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::super::directives::Directives;
    use super::super::tests::{act, job, lease, now, pod, settled};
    use super::*;
    use crate::controller::build::lease::says;
    use crate::lease::annotations::keys;
    use k8s_openapi::api::coordination::v1::Lease;

    const POLICY: &str = r#"{"leaseDurationSeconds": 15, "renewDeadlineMilliseconds": 8800, "gracePeriodMilliseconds": 2200,
        "retryPeriodMilliseconds": 2900, "completionPolicy": "OnSuccess", "backoffLimit": 6, "candidates": 2, "activeDeadlineSeconds": 60}"#;

    /// A run that has been wanted for so long. The Lease is free unless there is a `holder`.
    fn waiting(seconds_ago: u64, holder: Option<i64>, more: Value) -> Observed {
        let since = (now() - Duration::from_secs(seconds_ago)).to_string();
        let mut run = json!({"uid": "j", "number": 1, "desired": "Run", "since": since});
        run.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let released = json!({"leaseUid": "l", "renewTime": "2026-01-01T00:00:00Z", "by": "controller", "reason": "Created"});
        let mut annotations =
            json!({"singletonjob.dev/run": run.to_string(), "singletonjob.dev/policy": POLICY});
        if holder.is_none() {
            annotations["singletonjob.dev/released"] = json!(released.to_string());
        }
        Observed { lease: Some(lease(holder, annotations)), ..Observed::default() }
    }

    #[test]
    fn a_run_that_no_candidate_starts_has_until_its_deadline() {
        let limited = || job(json!({"activeDeadlineSeconds": 60}), settled());
        let seconds =
            |job: SingletonJob, observed: Observed| left(&job, &observed, now()).map(|left| left.as_secs());
        assert_eq!(seconds(limited(), waiting(20, None, json!({}))), Some(40));
        assert_eq!(seconds(limited(), waiting(70, None, json!({}))), Some(0));
        assert_eq!(seconds(job(json!({}), settled()), waiting(70, None, json!({}))), None, "no deadline");
        let suspended = job(json!({"activeDeadlineSeconds": 60, "suspend": true}), settled());
        assert_eq!(seconds(suspended, waiting(70, None, json!({}))), None, "suspended");
        assert_eq!(seconds(limited(), waiting(70, Some(1), json!({}))), None, "it is held");
        assert_eq!(
            seconds(limited(), waiting(70, None, json!({"desired": "Stop"}))),
            None,
            "it is being resumed"
        );
        let able = Observed { candidates: vec![pod(1, true)], ..waiting(70, None, json!({})) };
        assert_eq!(seconds(limited(), able), None, "a candidate is there to write the outcome");
        let unable = Observed { candidates: vec![pod(1, false)], ..waiting(70, None, json!({})) };
        assert_eq!(seconds(limited(), unable), Some(0));
    }

    #[test]
    fn the_note_of_the_run_says_why_it_is_closed() {
        let by = |reason: &str| {
            closed(
                &job(json!({}), settled()),
                &waiting(0, None, json!({"desired": "Stop", "reason": reason})),
            )
        };
        assert_eq!(
            [by("Missed"), by("DeadlineExceeded")],
            [Some(Closed::Missed), Some(Closed::DeadlineExceeded)]
        );
        assert_eq!([by("Suspended"), by("Finished")], [None, None]);
    }

    /// The directives that close a run which no candidate has started within its deadline.
    fn closing(observed: &Observed) -> Directives {
        let directives = act(&job(json!({"activeDeadlineSeconds": 60}), settled()), observed).directives;
        assert_eq!(
            (directives.run.desired, directives.run.reason.as_deref()),
            (Desired::Stop, Some("DeadlineExceeded"))
        );
        directives
    }

    #[test]
    fn a_candidate_that_acquires_as_the_controller_closes_the_run_wins() {
        let observed = waiting(70, None, json!({}));
        let (directives, seen) = (closing(&observed), &observed.lease.as_ref().expect("a Lease").object);
        let meanwhile = |key: &str, note: Value| {
            let mut lease = seen.clone();
            lease
                .metadata
                .annotations
                .get_or_insert_default()
                .insert(format!("singletonjob.dev/{key}"), note.to_string());
            lease
        };
        let began = json!({"uid": "j", "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true});
        let finished = json!({"uid": "j", "run": 1, "outcome": "Failed", "reason": "BackoffLimitExceeded", "attempt": 1, "failures": 1,
                              "by": "web-1_u1_0", "completionTime": "2026-01-01T00:00:00Z"});
        let follows = |later: &Lease| directives.may_follow(&says(seen), &says(later));
        assert!(!follows(&meanwhile("progress", began)), "a candidate has acquired the Lease");
        assert!(!follows(&meanwhile("finished", finished)), "a candidate has written the outcome");
        assert!(follows(&meanwhile("health", json!({"warnings": ["late"]}))), "nothing has begun or ended");
    }

    #[test]
    fn a_closed_run_does_not_keep_other_directives_from_being_written() {
        let noted =
            waiting(70, None, json!({"desired": "Stop", "reason": "DeadlineExceeded", "since": null}));
        let seen = &noted.lease.as_ref().expect("a Lease").object;
        let directives = closing(&noted);
        let mut later = seen.clone();
        let progress = json!({"uid": "j", "run": 1, "starts": 0, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": false});
        later
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(keys::PROGRESS.to_owned(), progress.to_string());
        assert!(directives.may_follow(&says(seen), &says(&later)));
    }
}
