//! What the dead leave behind: giving a Lease back in the name of an elector that died, its process tree being gone.

use jiff::Timestamp;

use super::super::clock::Now;
use super::super::notes::{Exit, Finished, Progress, Reason};
use super::super::record::{Record, Version};
use super::release::End;
use super::{Candidate, Write, charges, limits};

/// What is left of a tenure whose elector died; its process tree is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The fencing token, where the Lease was held.
    pub token: Option<Version>,
    /// How the workload ended, where it did so before the elector.
    pub exit: Option<Exit>,
    /// Whether the elector was killed by its deadline.
    pub overdue: bool,
}

impl Remains {
    fn reason(self) -> Reason {
        match (self.exit, self.overdue) {
            (Some(exit), _) if exit.is_success() => Reason::WorkloadSucceeded,
            (Some(_), _) => Reason::WorkloadFailed,
            (None, true) => Reason::LeaseLost,
            (None, false) => Reason::ElectorDied,
        }
    }

    /// The write that gives back what `dead` still holds: an identity belongs to one process alone.
    pub fn release(self, record: &Record, dead: &Candidate, now: Now) -> Option<Write> {
        if record.holder.as_ref() != Some(&dead.identity) {
            return None;
        }
        let end = End {
            by: &dead.identity,
            reason: self.reason(),
            token: self.token,
            exit: self.exit,
            started: record.acquire_time,
            unhealthy: false,
            exceeded: is_exceeded(record, now.wall),
        };
        let renew_time = Record::next_renew_time(record.renew_time, now.wall);
        let (progress, finished) = settle(record, &end, now);
        Some(end.release(record, renew_time, progress, finished))
    }
}

/// Whether the run has taken as long as it may. What was stopped on purpose is not failed for that.
fn is_exceeded(record: &Record, wall: Timestamp) -> bool {
    let wanted = |progress: &Progress| record.notes.run.as_ref().is_none_or(|run| run.goes_on(progress));
    let of_run = record.notes.progress.as_ref().zip(record.notes.policy.as_ref()).filter(|(progress, _)| wanted(progress));
    limits::is_exceeded(of_run.and_then(|(progress, policy)| limits::left(progress, policy, wall)))
}

/// The account of the run, where one is open.
fn settle(record: &Record, end: &End<'_>, now: Now) -> (Option<Progress>, Option<Finished>) {
    let (Some(progress), Some(policy)) = (record.notes.progress.clone(), &record.notes.policy) else {
        return (record.notes.progress.clone(), None);
    };
    if !progress.open {
        return (Some(progress), None);
    }
    let ran = record.acquire_time.and_then(|acquired| now.wall.duration_since(acquired).try_into().ok());
    let charged = match &record.notes.run {
        Some(run) => charges::settle(progress, run),
        None => progress,
    };
    let (progress, finished) = end.settle(charged, policy, ran.unwrap_or_default(), now.wall);
    (Some(progress), finished)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::clock::Moment;
    use super::super::super::notes::{
        CompletionPolicy, Desired, FailureAction, FailurePolicy, FailureRule, Notes, Operator, Outcome, Policy, Run,
    };
    use super::super::super::record::Identity;
    use super::super::tests;
    use super::*;

    fn now() -> Now {
        Now { at: Moment::default(), wall: Timestamp::from_second(1_700_000_000).expect("valid") }
    }

    fn dead() -> Candidate {
        Candidate { identity: Identity::new("web-1", "6f1c", 7), job_uid: "job".into(), stop_grace: Duration::ZERO }
    }

    fn held_by(holder: &Candidate, completion_policy: CompletionPolicy) -> Record {
        let policy = Policy { completion_policy, ..tests::policy() };
        let progress = Progress { uid: "job".into(), run: 1, starts: 1, open: true, ..Progress::default() };
        let wall = now().wall;
        Record {
            uid: "lease".into(),
            version: Version(10),
            holder: Some(holder.identity.clone()),
            lease_duration: Duration::from_secs(15),
            acquire_time: Some(wall),
            renew_time: Some(wall),
            transitions: 1,
            notes: Notes { policy: Some(policy), progress: Some(progress), ..Notes::default() },
        }
    }

    const CRASHED: Remains = Remains { token: Some(Version(9)), exit: None, overdue: false };

    #[test]
    fn a_lease_of_a_dead_elector_is_free_at_once_and_its_attempt_counts() {
        let record = held_by(&dead(), CompletionPolicy::OnSuccess);
        let write = CRASHED.release(&record, &dead(), now()).expect("it is held by the dead one");
        assert_eq!((write.holder, write.base), (None, Version(10)));
        let mark = write.released.expect("a mark");
        assert_eq!((mark.reason, mark.renew_time, mark.token), (Reason::ElectorDied, Some(write.renew_time), Some(Version(9))));
        assert!(record.renew_time < Some(write.renew_time));
        let progress = write.progress.expect("an account");
        assert_eq!((progress.failures, progress.open), (1, false));
        assert_eq!(write.finished, None);
    }

    #[test]
    fn a_workload_that_finished_before_its_elector_died_is_not_run_again() {
        let remains = Remains { exit: Some(Exit::Code(0)), ..CRASHED };
        let write = remains.release(&held_by(&dead(), CompletionPolicy::OnSuccess), &dead(), now()).expect("held");
        assert_eq!(write.finished.map(|finished| finished.outcome), Some(Outcome::Succeeded));
    }

    /// Its policy fails the run at 42, forgives a lost lease and gives it a minute, which is over.
    fn limited() -> Record {
        let mut record = held_by(&dead(), CompletionPolicy::OnSuccess);
        let rule = FailureRule { operator: Operator::In, values: vec![42], action: FailureAction::FailRun };
        let policy = record.notes.policy.as_mut().expect("one");
        policy.failure_policy = FailurePolicy { rules: vec![rule], forgive_lease_loss: true };
        policy.active_deadline_seconds = Some(60);
        record.notes.progress.as_mut().expect("one").start_time = Some(now().wall - Duration::from_secs(59));
        record
    }

    #[test]
    fn the_failure_policy_decides_about_the_dead_too() {
        let fatal = Remains { exit: Some(Exit::Code(42)), ..CRASHED };
        let finished = fatal.release(&limited(), &dead(), now()).and_then(|write| write.finished).expect("an outcome");
        assert_eq!((finished.outcome, finished.reason.as_str()), (Outcome::Failed, "FailurePolicy"));
        let forgiven = CRASHED.release(&limited(), &dead(), now()).expect("held");
        assert_eq!((forgiven.progress.map(|progress| progress.failures), forgiven.finished), (Some(0), None));
    }

    #[test]
    fn the_time_of_a_run_ends_it_with_the_dead_unless_it_is_to_stop() {
        let later = Now { wall: now().wall + Duration::from_secs(1), ..now() };
        let finished = CRASHED.release(&limited(), &dead(), later).and_then(|write| write.finished).expect("an outcome");
        assert_eq!(finished.reason, "DeadlineExceeded");
        let mut suspended = limited();
        suspended.notes.run = Some(Run {
            uid: "job".into(),
            number: 1,
            desired: Desired::Stop,
            scheduled_time: None,
            reason: None,
            resumptions: 0,
            failed_pods: Vec::new(),
        });
        assert_eq!(CRASHED.release(&suspended, &dead(), later).and_then(|write| write.finished), None);
    }

    #[test]
    fn another_process_of_the_same_pod_is_left_alone() {
        let other = Candidate { identity: Identity::new("web-1", "6f1c", 8), ..dead() };
        assert_eq!(CRASHED.release(&held_by(&other, CompletionPolicy::Never), &dead(), now()), None);
    }
}
