//! Decides the release of a Lease in the name of an elector that died, after its process tree is gone.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Exit, Finished, Progress, Reason};
use super::super::clock::Now;
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::release::End;
use super::{Cause, Write, charges, limits, progress};

/// A tenure whose elector died: what the death left of it. Its process tree is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The fencing token, if the Lease was held.
    pub token: Option<Version>,
    /// How the workload ended, if it did so before the elector.
    pub exit: Option<Exit>,
    /// Why the workload was told to end, if it was before it ended by itself.
    pub cause: Option<Cause>,
    /// Whether the elector was killed by its deadline.
    pub overdue: bool,
    /// The elector itself ended without a start, and without knowing whether its acquisition, based on this
    /// version, was stored.
    pub in_doubt: Option<Version>,
}

impl Orphan {
    fn reason(self, record: &Record, wall: Timestamp) -> Reason {
        if let Some(cause) = self.cause {
            return reason_of(cause);
        }
        match (self.exit, self.overdue) {
            _ if self.in_doubt.is_some() => Reason::Drain,
            (Some(exit), _) => own_end(record, exit, wall),
            (None, true) => Reason::LeaseLost,
            (None, false) => Reason::ElectorDied,
        }
    }

    /// As the elector itself would have settled it.
    fn exceeded(self, record: &Record, wall: Timestamp) -> bool {
        match self.cause {
            Some(Cause::Exceeded) => true,
            Some(Cause::Release(Reason::Stopped)) => false,
            Some(Cause::Release(_) | Cause::Unhealthy) | None => is_exceeded(record, wall),
        }
    }

    /// Whether nothing more can be stored in the name of the dead once `record` is: what was based on an
    /// older version conflicts.
    pub fn is_settled_by(self, record: &Record) -> bool {
        self.in_doubt.is_none_or(|base| record.version > base)
    }

    /// The write that gives back what `dead` still holds: an identity belongs to one process alone.
    pub fn release(self, record: &Record, dead: &Identity, now: Now) -> Option<Write> {
        if record.holder.as_ref() != Some(dead) {
            return None;
        }
        let end = End {
            by: dead,
            reason: self.reason(record, now.wall),
            token: self.token,
            exit: self.exit,
            started: if self.in_doubt.is_none() { record.acquire_time } else { None },
            unhealthy: self.cause == Some(Cause::Unhealthy),
            ready: record.annotations.health.as_ref().is_some_and(|health| health.workload_ready.is_some()),
            exceeded: self.exceeded(record, now.wall),
        };
        let renew_time = Record::next_renew_time(record.renew_time, now.wall);
        let (progress, finished) =
            if self.in_doubt.is_some() { (not_started(record), None) } else { settle(record, &end, now) };
        Some(end.release(record, renew_time, progress, finished))
    }
}

/// What is told to end neither succeeds nor fails by its exit, unless its liveness probe has failed.
fn reason_of(cause: Cause) -> Reason {
    match cause {
        Cause::Release(reason) => reason,
        Cause::Unhealthy => Reason::WorkloadFailed,
        Cause::Exceeded => Reason::Stopped,
    }
}

fn own_end(record: &Record, exit: Exit, wall: Timestamp) -> Reason {
    let other = if exit.is_success() { Reason::WorkloadSucceeded } else { Reason::WorkloadFailed };
    record
        .annotations
        .policy
        .as_ref()
        .map_or(other, |policy| limits::own_end(policy, exit, ran(record, wall)))
}

/// From the acquisition on, by the node's time of day: its own process is dead.
fn ran(record: &Record, wall: Timestamp) -> Duration {
    record.acquire_time.and_then(|acquired| wall.duration_since(acquired).try_into().ok()).unwrap_or_default()
}

/// Whether the run has taken as long as it may. What was stopped on purpose is not failed for that.
fn is_exceeded(record: &Record, wall: Timestamp) -> bool {
    let wanted =
        |progress: &Progress| record.annotations.run.as_ref().is_none_or(|run| run.goes_on(progress));
    let of_run = record
        .annotations
        .progress
        .as_ref()
        .zip(record.annotations.policy.as_ref())
        .filter(|(progress, _)| wanted(progress));
    limits::is_exceeded(of_run.and_then(|(progress, policy)| limits::left(progress, policy, wall)))
}

/// The account of the run without the start that was counted and not made.
fn not_started(record: &Record) -> Option<Progress> {
    let progress = record.annotations.progress.clone()?;
    Some(if progress.open { progress::take_back(progress, record) } else { progress })
}

/// The account of the run, settled if it is open.
fn settle(record: &Record, end: &End<'_>, now: Now) -> (Option<Progress>, Option<Finished>) {
    let (Some(progress), Some(policy)) = (record.annotations.progress.clone(), &record.annotations.policy)
    else {
        return (record.annotations.progress.clone(), None);
    };
    if !progress.open {
        return (Some(progress), None);
    }
    let charged = match &record.annotations.run {
        Some(run) => charges::settle(progress, run),
        None => progress,
    };
    let (progress, finished) = end.settle(charged, policy, ran(record, now.wall), now.wall);
    (Some(progress), finished)
}

#[cfg(test)]
mod tests {
    use super::super::super::annotations::{
        Annotations, CompletionPolicy, Desired, FailureAction, FailurePolicy, FailureRule, Operator, Outcome,
        Policy, Run,
    };
    use super::super::super::clock::Moment;
    use super::super::super::identity::Identity;
    use super::super::tests;
    use super::*;

    fn now() -> Now {
        Now { at: Moment::default(), wall: Timestamp::from_second(1_700_000_000).expect("valid") }
    }

    fn dead() -> Identity {
        Identity::new("web-1", "6f1c", 7)
    }

    fn held_by(holder: &Identity, completion_policy: CompletionPolicy) -> Record {
        let policy = Policy { completion_policy, ..tests::policy() };
        let progress = Progress { uid: "job".into(), run: 1, starts: 1, open: true, ..Progress::default() };
        let wall = now().wall;
        Record {
            uid: "lease".into(),
            version: Version(10),
            holder: Some(holder.clone()),
            lease_duration: Duration::from_secs(15),
            acquire_time: Some(wall),
            renew_time: Some(wall),
            transitions: 1,
            annotations: Annotations {
                policy: Some(policy),
                progress: Some(progress),
                ..Annotations::default()
            },
        }
    }

    const CRASHED: Orphan =
        Orphan { token: Some(Version(9)), exit: None, cause: None, overdue: false, in_doubt: None };

    #[test]
    fn a_lease_of_a_dead_elector_is_free_at_once_and_its_attempt_counts() {
        let record = held_by(&dead(), CompletionPolicy::OnSuccess);
        let write = CRASHED.release(&record, &dead(), now()).expect("it is held by the dead one");
        assert_eq!((write.holder, write.base), (None, Version(10)));
        let mark = write.released.expect("a mark");
        assert_eq!(
            (mark.reason, mark.renew_time, mark.token),
            (Reason::ElectorDied, Some(write.renew_time), Some(Version(9)))
        );
        assert!(record.renew_time < Some(write.renew_time));
        let progress = write.progress.expect("an account");
        assert_eq!((progress.failures, progress.open), (1, false));
        assert_eq!(write.finished, None);
    }

    #[test]
    fn a_workload_that_finished_before_its_elector_died_is_not_run_again() {
        let orphan = Orphan { exit: Some(Exit::Code(0)), ..CRASHED };
        let write =
            orphan.release(&held_by(&dead(), CompletionPolicy::OnSuccess), &dead(), now()).expect("held");
        assert_eq!(write.finished.map(|finished| finished.outcome), Some(Outcome::Succeeded));
    }

    #[test]
    fn a_service_that_handed_over_before_its_elector_died_has_no_setback() {
        let orphan = Orphan { exit: Some(Exit::HAND_OVER), ..CRASHED };
        let service = held_by(&dead(), CompletionPolicy::Never);
        let after = |seconds| {
            let now = Now { wall: now().wall + Duration::from_secs(seconds), ..now() };
            let write = orphan.release(&service, &dead(), now).expect("held");
            (write.released.map(|mark| mark.reason), write.progress.map(|progress| progress.setbacks))
        };
        assert_eq!(after(15), (Some(Reason::WorkloadSucceeded), Some(0)));
        assert_eq!(after(14), (Some(Reason::WorkloadFailed), Some(1)));
    }

    #[test]
    fn a_start_that_was_not_made_is_taken_back_by_its_candidate() {
        let doubting = Orphan { token: None, in_doubt: Some(Version(9)), ..CRASHED };
        let mut record = held_by(&dead(), CompletionPolicy::OnSuccess);
        let counted = Progress {
            starts: 3,
            failures: 2,
            start_time: Some(now().wall - Duration::from_secs(60)),
            ..started_now()
        };
        record.annotations.progress = Some(counted.clone());
        let write = doubting.release(&record, &dead(), now()).expect("its acquisition was stored");
        assert_eq!(write.progress, Some(Progress { starts: 2, open: false, ..counted }));
        let mark = write.released.expect("a mark");
        assert_eq!((mark.reason, mark.token, write.finished), (Reason::Drain, None, None));
        record.annotations.progress = Some(started_now());
        let first =
            doubting.release(&record, &dead(), now()).and_then(|write| write.progress).expect("an account");
        assert_eq!((first.starts, first.failures, first.start_time), (0, 0, None), "the run has not begun");
    }

    /// As the acquisition counted it.
    fn started_now() -> Progress {
        Progress {
            uid: "job".into(),
            run: 1,
            starts: 1,
            open: true,
            start_time: Some(now().wall),
            ..Progress::default()
        }
    }

    #[test]
    fn a_doubt_is_settled_by_a_newer_version_and_not_by_the_replaced_one() {
        let doubting = Orphan { token: None, in_doubt: Some(Version(10)), ..CRASHED };
        let free = |version| Record {
            version: Version(version),
            holder: None,
            ..held_by(&dead(), CompletionPolicy::Never)
        };
        assert!(!doubting.is_settled_by(&free(10)) && doubting.is_settled_by(&free(11)));
        assert!(CRASHED.is_settled_by(&free(10)), "a holder that died has nothing else under way");
    }

    /// Its policy fails the run at 42, forgives a lost lease and gives it a minute, which is over.
    fn limited() -> Record {
        let mut record = held_by(&dead(), CompletionPolicy::OnSuccess);
        let rule = FailureRule { operator: Operator::In, values: vec![42], action: FailureAction::FailRun };
        let policy = record.annotations.policy.as_mut().expect("one");
        policy.failure_policy = FailurePolicy { rules: vec![rule], forgive_lease_loss: true };
        policy.active_deadline_seconds = Some(60);
        record.annotations.progress.as_mut().expect("one").start_time =
            Some(now().wall - Duration::from_secs(59));
        record
    }

    #[test]
    fn the_failure_policy_decides_about_the_dead_too() {
        let fatal = Orphan { exit: Some(Exit::Code(42)), ..CRASHED };
        let finished =
            fatal.release(&limited(), &dead(), now()).and_then(|write| write.finished).expect("an outcome");
        assert_eq!((finished.outcome, finished.reason.as_str()), (Outcome::Failed, "FailurePolicy"));
        let forgiven = CRASHED.release(&limited(), &dead(), now()).expect("held");
        assert_eq!((forgiven.progress.map(|progress| progress.failures), forgiven.finished), (Some(0), None));
    }

    #[test]
    fn the_time_of_a_run_ends_it_with_the_dead_unless_it_is_to_stop() {
        let later = Now { wall: now().wall + Duration::from_secs(1), ..now() };
        let finished =
            CRASHED.release(&limited(), &dead(), later).and_then(|write| write.finished).expect("an outcome");
        assert_eq!(finished.reason, "DeadlineExceeded");
        let mut suspended = limited();
        suspended.annotations.run = Some(Run { desired: Desired::Stop, ..Run::first("job") });
        assert_eq!(CRASHED.release(&suspended, &dead(), later).and_then(|write| write.finished), None);
    }

    #[test]
    fn what_was_told_to_stop_is_settled_as_the_elector_would_have() {
        let settled = |cause, exit| {
            let orphan = Orphan { exit, cause: Some(cause), ..CRASHED };
            let write =
                orphan.release(&held_by(&dead(), CompletionPolicy::OnSuccess), &dead(), now()).expect("held");
            let mark = write.released.expect("a mark");
            let failures = write.progress.expect("an account").failures;
            (mark.reason, failures, write.finished.map(|finished| (finished.outcome, finished.unhealthy)))
        };
        let [well, ill] = [Exit::Code(0), Exit::Code(1)].map(Some);
        assert_eq!(
            settled(Cause::Release(Reason::Drain), well),
            (Reason::Drain, 0, None),
            "half-way is not done"
        );
        assert_eq!(
            settled(Cause::Release(Reason::Handover), ill),
            (Reason::Handover, 0, None),
            "what was asked for is no failure"
        );
        assert_eq!(settled(Cause::Release(Reason::Handover), None), (Reason::Handover, 0, None));
        assert_eq!(settled(Cause::Release(Reason::LeaseLost), well), (Reason::LeaseLost, 1, None));
        assert_eq!(settled(Cause::Unhealthy, well), (Reason::WorkloadFailed, 1, None));
        assert_eq!(settled(Cause::Exceeded, well), (Reason::Stopped, 0, Some((Outcome::Failed, false))));
        assert_eq!(settled(Cause::Release(Reason::Stopped), well), (Reason::Stopped, 0, None));
    }

    #[test]
    fn another_process_of_the_same_pod_is_left_alone() {
        let other = Identity::new("web-1", "6f1c", 8);
        assert_eq!(CRASHED.release(&held_by(&other, CompletionPolicy::Never), &dead(), now()), None);
    }
}
