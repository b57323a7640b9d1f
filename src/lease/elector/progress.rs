//! Computes the progress of a run: what a start and an end change in its account of attempts, failures, and
//! the wait before the next start.
//!
//! The back-off applies only after a workload that ended by itself or took its agent with it, so that no
//! candidate spins. After a lost Lease, the next holder waits for the lease anyway.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{
    CompletionPolicy, Exit, FailureAction, Outcome, Policy, Progress, Reason, Run,
};
use super::super::record::Record;
use super::backoff::{SOUND_RUN, backoff};
use super::charges;
use super::limits::{self, Verdict};

/// The account of `run` as `record` has it: a new run begins with an empty one. As in batch/v1, what was
/// stopped on purpose and resumed has all its time again, whether a candidate held the Lease meanwhile or
/// not.
pub fn of(record: &Record, run: &Run) -> Progress {
    let current = |progress: &&Progress| progress.uid == run.uid && progress.run == run.number;
    let fresh = Progress { uid: run.uid.clone(), run: run.number, ..Progress::default() };
    let known = record.annotations.progress.as_ref().filter(current).cloned().unwrap_or(fresh);
    let start_time = if known.resumptions == run.resumptions { known.start_time } else { None };
    charges::settle(Progress { start_time, resumptions: run.resumptions, ..known }, run)
}

/// The account once a start without an outcome is written off as lost: its holder, or its node, is gone. It
/// has not failed where that holder was told to stop, and said so.
pub(super) fn write_off(progress: Progress, policy: &Policy, record: &Record) -> Progress {
    if !progress.open {
        return progress;
    }
    let ran = match (record.acquire_time, record.renew_time) {
        (Some(acquired), Some(renewed)) => {
            Duration::try_from(renewed.duration_since(acquired)).unwrap_or_default()
        }
        _ => Duration::ZERO,
    };
    let reason =
        record.annotations.health.as_ref().and_then(|health| health.stopping).unwrap_or(Reason::LeaseLost);
    let lost = loss(failed(progress.clone(), limits::action(policy, reason, None)), ran);
    charges::end(&progress, lost, reason, ran)
}

/// The account with one more start; unchanged where nothing of the run is left.
pub(super) fn start(progress: Progress, policy: &Policy, wall: Timestamp) -> Progress {
    if is_spent(&progress, policy, limits::left(&progress, policy, wall)) {
        return progress;
    }
    let first = (policy.completion_policy == CompletionPolicy::OnSuccess).then_some(wall);
    let start_time = progress.start_time.or(first);
    Progress {
        starts: progress.starts.saturating_add(1),
        open: true,
        retry_after_seconds: 0,
        start_time,
        ..progress
    }
}

/// The account of `record` without its last start. The candidate that acquired says itself that it has
/// started nothing, because no other candidate can know that.
pub(super) fn take_back(progress: Progress, record: &Record) -> Progress {
    let start_time = progress.start_time.filter(|began| Some(*began) != record.acquire_time);
    Progress { starts: progress.starts.saturating_sub(1), open: false, start_time, ..progress }
}

/// Whether there is nothing more to start.
pub(super) fn is_spent(progress: &Progress, policy: &Policy, left: Option<Duration>) -> bool {
    !progress.open && limits::verdict(progress, policy, limits::is_exceeded(left)).is_some()
}

/// How a tenure ended.
#[derive(Clone, Copy)]
pub(super) struct Closing {
    pub(super) reason: Reason,
    pub(super) exit: Option<Exit>,
    pub(super) ran: Duration,
    /// Whether the run has taken as long as it may.
    pub(super) exceeded: bool,
}

/// The account after a tenure that ended like this, and the verdict if it ends the run.
pub(super) fn close(progress: Progress, policy: &Policy, end: Closing) -> (Progress, Option<Verdict>) {
    let Closing { reason, exit, ran, exceeded } = end;
    if !progress.open {
        let verdict = limits::verdict(&progress, policy, exceeded);
        return (progress, verdict);
    }
    let succeeded = reason == Reason::WorkloadSucceeded && exit.is_some_and(Exit::is_success);
    let action = limits::action(policy, reason, exit);
    let counted = Progress { open: false, ..failed(progress, action) };
    let closed = match reason {
        Reason::WorkloadSucceeded if exit == Some(Exit::HAND_OVER) => loss(counted, ran),
        Reason::WorkloadSucceeded | Reason::WorkloadFailed | Reason::ElectorDied => setback(counted, ran),
        Reason::LeaseLost => loss(counted, ran),
        // As in batch/v1, what is stopped on purpose and resumed has all its time again.
        Reason::Stopped if !exceeded => Progress { start_time: None, ..counted },
        Reason::Created
        | Reason::Handover
        | Reason::Unready
        | Reason::Failback
        | Reason::RolledOut
        | Reason::Drain
        | Reason::Stopped => counted,
    };
    let verdict = match policy.completion_policy {
        CompletionPolicy::Never => None,
        CompletionPolicy::OnSuccess if succeeded => Some((Outcome::Succeeded, "Completed")),
        CompletionPolicy::OnSuccess if action == Some(FailureAction::FailRun) => {
            Some((Outcome::Failed, "FailurePolicy"))
        }
        CompletionPolicy::OnSuccess => limits::verdict(&closed, policy, exceeded),
    };
    (closed, verdict)
}

/// The account with one more failure, if it was one, in the column where it belongs.
fn failed(progress: Progress, action: Option<FailureAction>) -> Progress {
    match action {
        None => progress,
        Some(FailureAction::Ignore) => Progress { ignored: progress.ignored.saturating_add(1), ..progress },
        Some(FailureAction::FailRun | FailureAction::Count) => {
            Progress { failures: progress.failures.saturating_add(1), ..progress }
        }
    }
}

/// An end that says nothing against the workload, as a lost lease: it is no reason to wait before the next
/// start.
fn loss(progress: Progress, ran: Duration) -> Progress {
    let setbacks = if ran >= SOUND_RUN { 0 } else { progress.setbacks };
    Progress { setbacks, retry_after_seconds: 0, open: false, ..progress }
}

/// A failure that is ignored is none the less a setback, so that no candidate spins.
fn setback(progress: Progress, ran: Duration) -> Progress {
    let setbacks = if ran >= SOUND_RUN { 1 } else { progress.setbacks.saturating_add(1) };
    let retry_after_seconds = u32::try_from(backoff(setbacks).as_secs()).unwrap_or(u32::MAX);
    Progress { setbacks, retry_after_seconds, open: false, ..progress }
}

#[cfg(test)]
mod tests {
    use super::super::super::annotations::{FailurePolicy, FailureRule, Operator};
    use super::super::tests;
    use super::super::tests::INTERRUPTIONS;
    use super::*;

    fn wall() -> Timestamp {
        Timestamp::from_second(1_700_000_000).expect("valid")
    }

    fn end(reason: Reason, exit: Option<Exit>, ran: Duration) -> Closing {
        Closing { reason, exit, ran, exceeded: false }
    }

    fn policy(completion_policy: CompletionPolicy, backoff_limit: u32) -> Policy {
        Policy { completion_policy, backoff_limit, ..tests::policy() }
    }

    fn started() -> Progress {
        Progress { uid: "job".into(), run: 1, starts: 1, open: true, ..Progress::default() }
    }

    #[test]
    fn a_single_crash_is_taken_over_at_once_and_nobody_spins() {
        let seconds: Vec<u64> = (0..9).map(|setbacks| backoff(setbacks).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 10, 20, 40, 80, 160, 320, 360]);
        assert_eq!(backoff(u32::MAX).as_secs(), 360);
    }

    #[test]
    fn as_in_batch_v1_the_limit_is_the_number_of_failures_forgiven() {
        let policy = policy(CompletionPolicy::OnSuccess, 1);
        let exit = Some(Exit::Code(1));
        let (once, verdict) = close(started(), &policy, end(Reason::WorkloadFailed, exit, Duration::ZERO));
        assert_eq!((once.failures, once.retry_after_seconds, verdict), (1, 0, None));
        let (twice, verdict) =
            close(start(once, &policy, wall()), &policy, end(Reason::WorkloadFailed, exit, Duration::ZERO));
        assert_eq!((twice.failures, twice.retry_after_seconds), (2, 10));
        assert_eq!(verdict, Some((Outcome::Failed, "BackoffLimitExceeded")));
    }

    #[test]
    fn a_service_is_never_finished_and_backs_off_after_exit_zero_too() {
        let policy = policy(CompletionPolicy::Never, 0);
        let before = Progress { setbacks: 1, ..started() };
        let (after, verdict) =
            close(before, &policy, end(Reason::WorkloadSucceeded, Some(Exit::Code(0)), Duration::ZERO));
        assert_eq!((after.failures, after.retry_after_seconds, verdict), (0, 10, None));
    }

    #[test]
    fn a_service_that_hands_over_by_exit_code_too_soon_has_a_setback() {
        let policy = policy(CompletionPolicy::Never, 0);
        let before = Progress { setbacks: 1, ..started() };
        let exit = Some(Exit::HAND_OVER);
        let after = |reason, ran| close(before.clone(), &policy, end(reason, exit, ran)).0;
        let well = after(Reason::WorkloadSucceeded, Duration::from_secs(15));
        assert_eq!((well.failures, well.setbacks, well.retry_after_seconds, well.open), (0, 1, 0, false));
        assert_eq!(after(Reason::WorkloadSucceeded, SOUND_RUN).setbacks, 0);
        let hasty = after(Reason::WorkloadFailed, Duration::from_secs(14));
        assert_eq!((hasty.failures, hasty.setbacks, hasty.retry_after_seconds), (1, 2, 10));
    }

    #[test]
    fn interruptions_cost_nothing() {
        let policy = policy(CompletionPolicy::OnSuccess, 0);
        for reason in INTERRUPTIONS {
            let (after, verdict) =
                close(started(), &policy, end(reason, Some(Exit::Code(143)), Duration::ZERO));
            assert_eq!(
                (after.failures, after.ignored, after.setbacks, after.open, verdict),
                (0, 0, 0, false, None),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn a_lost_lease_counts_as_a_failure_and_delays_nothing() {
        let policy = policy(CompletionPolicy::OnSuccess, 6);
        let before = Progress { setbacks: 3, ..started() };
        let (after, verdict) = close(before.clone(), &policy, end(Reason::LeaseLost, None, Duration::ZERO));
        assert_eq!((after.failures, after.setbacks, after.retry_after_seconds, verdict), (1, 3, 0, None));
        assert_eq!(
            loss(before, SOUND_RUN).setbacks,
            0,
            "a workload that ran this long had no trouble of its own"
        );
    }

    #[test]
    fn ten_minutes_of_running_forgive_earlier_setbacks() {
        let policy = policy(CompletionPolicy::Never, 0);
        let before = Progress { setbacks: 5, ..started() };
        let (after, _) =
            close(before, &policy, end(Reason::WorkloadFailed, Some(Exit::Signal(9)), SOUND_RUN));
        assert_eq!((after.setbacks, after.retry_after_seconds), (1, 0));
    }

    #[test]
    fn an_exit_zero_after_a_signal_to_stop_does_not_finish_a_run() {
        let policy = policy(CompletionPolicy::OnSuccess, 0);
        let (_, verdict) = close(started(), &policy, end(Reason::Drain, Some(Exit::Code(0)), Duration::ZERO));
        assert_eq!(verdict, None);
    }

    fn ignoring(code: i32, backoff_limit: u32) -> Policy {
        let rule = |operator, value, action| FailureRule { operator, values: vec![value], action };
        let rules = vec![
            rule(Operator::In, code, FailureAction::Ignore),
            rule(Operator::In, 42, FailureAction::FailRun),
        ];
        Policy {
            failure_policy: FailurePolicy { rules, forgive_lease_loss: true },
            ..policy(CompletionPolicy::OnSuccess, backoff_limit)
        }
    }

    #[test]
    fn an_exit_code_that_fails_the_run_ends_it_at_the_first_attempt() {
        let (after, verdict) = close(
            started(),
            &ignoring(43, 6),
            end(Reason::WorkloadFailed, Some(Exit::Code(42)), Duration::ZERO),
        );
        assert_eq!(
            (after.failures, after.open, verdict),
            (1, false, Some((Outcome::Failed, "FailurePolicy")))
        );
    }

    #[test]
    fn an_ignored_failure_does_not_count_and_is_waited_for_all_the_same() {
        let policy = ignoring(43, 0);
        let before = Progress { setbacks: 1, ..started() };
        let (after, verdict) =
            close(before, &policy, end(Reason::WorkloadFailed, Some(Exit::Code(43)), Duration::ZERO));
        assert_eq!(
            (after.failures, after.ignored, after.setbacks, after.retry_after_seconds, verdict),
            (0, 1, 2, 10, None)
        );
    }

    #[test]
    fn a_forgiven_loss_of_the_lease_costs_nothing_and_a_dead_agent_a_wait() {
        let policy = ignoring(43, 0);
        let before = Progress { setbacks: 1, ..started() };
        let (after, verdict) = close(before.clone(), &policy, end(Reason::LeaseLost, None, Duration::ZERO));
        assert_eq!(
            (after.failures, after.ignored, after.setbacks, after.retry_after_seconds, verdict),
            (0, 1, 1, 0, None)
        );
        let (after, verdict) = close(before, &policy, end(Reason::ElectorDied, None, Duration::ZERO));
        assert_eq!((after.failures, after.setbacks, after.retry_after_seconds, verdict), (0, 2, 10, None));
    }

    #[test]
    fn a_run_that_took_too_long_has_failed_unless_it_has_succeeded() {
        let policy = policy(CompletionPolicy::OnSuccess, 6);
        let late = |reason, exit| Closing { exceeded: true, ..end(reason, exit, Duration::ZERO) };
        let verdict = |end| close(started(), &policy, end).1.map(|(_, reason)| reason);
        assert_eq!(verdict(late(Reason::Stopped, Some(Exit::Signal(15)))), Some("DeadlineExceeded"));
        assert_eq!(verdict(late(Reason::Drain, Some(Exit::Code(0)))), Some("DeadlineExceeded"));
        assert_eq!(verdict(late(Reason::WorkloadSucceeded, Some(Exit::Code(0)))), Some("Completed"));
    }

    #[test]
    fn the_first_start_is_remembered_until_the_run_is_stopped_on_purpose() {
        let once = policy(CompletionPolicy::OnSuccess, 6);
        let begun = start(Progress::default(), &once, wall());
        assert_eq!(begun.start_time, Some(wall()));
        let (drained, _) = close(begun.clone(), &once, end(Reason::Drain, None, Duration::ZERO));
        assert_eq!(start(drained, &once, wall() + SOUND_RUN).start_time, Some(wall()));
        let (suspended, _) = close(begun, &once, end(Reason::Stopped, None, Duration::ZERO));
        assert_eq!(start(suspended, &once, wall() + SOUND_RUN).start_time, Some(wall() + SOUND_RUN));
        assert_eq!(
            start(Progress::default(), &policy(CompletionPolicy::Never, 0), wall()).start_time,
            None,
            "a service has no end"
        );
    }

    #[test]
    fn nothing_starts_when_the_time_of_a_run_is_over() {
        let policy = Policy { active_deadline_seconds: Some(60), ..policy(CompletionPolicy::OnSuccess, 6) };
        let begun = Progress { start_time: Some(wall()), ..Progress::default() };
        assert!(start(begun.clone(), &policy, wall() + Duration::from_secs(59)).open);
        assert_eq!(start(begun.clone(), &policy, wall() + Duration::from_secs(60)), begun);
    }
}
