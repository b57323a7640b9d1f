//! What the dead leave behind: giving a Lease back in the name of an elector that died, its process tree being gone.

use super::super::clock::Now;
use super::super::notes::{Exit, Finished, Progress, Reason};
use super::super::record::{Record, Version};
use super::release::End;
use super::{Candidate, Write};

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
        let end = End { by: &dead.identity, reason: self.reason(), token: self.token, exit: self.exit, started: record.acquire_time };
        let renew_time = Record::next_renew_time(record.renew_time, now.wall);
        let (progress, finished) = settle(record, &end, now);
        Some(end.release(record, renew_time, progress, finished))
    }
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
    let (progress, finished) = end.settle(progress, policy, ran.unwrap_or_default(), now.wall);
    (Some(progress), finished)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::super::super::clock::Moment;
    use super::super::super::notes::{CompletionPolicy, Notes, Outcome, Policy, UnreachableHolder};
    use super::super::super::record::Identity;
    use super::*;

    fn now() -> Now {
        Now { at: Moment::default(), wall: Timestamp::from_second(1_700_000_000).expect("valid") }
    }

    fn dead() -> Candidate {
        Candidate { identity: Identity::new("web-1", "6f1c", 7), job_uid: "job".into(), stop_grace: Duration::ZERO }
    }

    fn held_by(holder: &Candidate, completion_policy: CompletionPolicy) -> Record {
        let policy = Policy {
            lease_duration_seconds: 15,
            renew_deadline_milliseconds: 8800,
            grace_period_milliseconds: 2200,
            retry_period_milliseconds: 2900,
            completion_policy,
            backoff_limit: 6,
            candidates: 2,
            token_floor: None,
            unreachable_holder: UnreachableHolder::AfterLeaseExpiry,
            delay_seconds: 0,
        };
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

    #[test]
    fn another_process_of_the_same_pod_is_left_alone() {
        let other = Candidate { identity: Identity::new("web-1", "6f1c", 8), ..dead() };
        assert_eq!(CRASHED.release(&held_by(&other, CompletionPolicy::Never), &dead(), now()), None);
    }
}
