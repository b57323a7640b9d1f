//! What an end costs: attempts, failures, and how long it is waited before the next start.
//!
//! Only a workload that ends by itself, or takes its agent with it, is made to wait: that is what keeps anybody from spinning. Whoever
//! loses its Lease is followed at the pace of leases anyway.

use std::time::Duration;

use super::super::notes::{CompletionPolicy, Exit, Outcome, Policy, Progress, Reason, Run};
use super::super::record::Record;

const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(6 * 60);
/// Whoever ran this long had no setback that says anything about the next start.
const SOUND_RUN: Duration = Duration::from_secs(10 * 60);

/// A run that is over, and why.
pub(super) type Verdict = (Outcome, &'static str);

/// How long it is waited after this many setbacks in a row: a single crash is taken over at once, nobody spins.
pub(super) fn backoff(setbacks: u32) -> Duration {
    match setbacks {
        0 | 1 => Duration::ZERO,
        more => FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(more - 2)).min(LONGEST_BACKOFF),
    }
}

/// The account of `run` as `record` has it: a new run begins with an empty one.
pub(super) fn of(record: &Record, run: &Run) -> Progress {
    let current = |progress: &&Progress| progress.uid == run.uid && progress.run == run.number;
    let fresh = Progress { uid: run.uid.clone(), run: run.number, ..Progress::default() };
    record.notes.progress.as_ref().filter(current).cloned().unwrap_or(fresh)
}

/// The account once a start without an outcome is written off as lost: its holder, or its node, is gone.
pub(super) fn write_off(progress: Progress, record: &Record) -> Progress {
    if !progress.open {
        return progress;
    }
    let ran = match (record.acquire_time, record.renew_time) {
        (Some(acquired), Some(renewed)) => Duration::try_from(renewed.duration_since(acquired)).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    loss(progress, ran)
}

/// The account with one more start; unchanged where the attempts are used up.
pub(super) fn start(progress: Progress, policy: &Policy) -> Progress {
    if is_exhausted(&progress, policy) {
        return progress;
    }
    Progress { starts: progress.starts.saturating_add(1), open: true, retry_after_seconds: 0, ..progress }
}

/// Whether no further attempt is allowed, as batch/v1 counts: `backoffLimit` failures are forgiven.
pub(super) fn is_exhausted(progress: &Progress, policy: &Policy) -> bool {
    policy.completion_policy == CompletionPolicy::OnSuccess && progress.failures > policy.backoff_limit
}

/// The account after a tenure that ended for `reason`, and the verdict where it ends the run.
pub(super) fn close(progress: Progress, policy: &Policy, reason: Reason, exit: Option<Exit>, ran: Duration) -> (Progress, Option<Verdict>) {
    if is_exhausted(&progress, policy) && !progress.open {
        return (progress, Some((Outcome::Failed, "BackoffLimitExceeded")));
    }
    let succeeded = reason == Reason::WorkloadSucceeded && exit.is_some_and(Exit::is_success);
    let closed = match reason {
        Reason::WorkloadSucceeded | Reason::WorkloadFailed => setback(progress, ran, !succeeded),
        Reason::ElectorDied => setback(progress, ran, true),
        Reason::LeaseLost => loss(progress, ran),
        Reason::Created | Reason::Handover | Reason::Unready | Reason::Failback | Reason::RolledOut | Reason::Drain | Reason::Stopped => {
            Progress { open: false, ..progress }
        }
    };
    let verdict = match policy.completion_policy {
        CompletionPolicy::Never => None,
        CompletionPolicy::OnSuccess if succeeded => Some((Outcome::Succeeded, "Completed")),
        CompletionPolicy::OnSuccess if is_exhausted(&closed, policy) => Some((Outcome::Failed, "BackoffLimitExceeded")),
        CompletionPolicy::OnSuccess => None,
    };
    (closed, verdict)
}

/// A lost lease says nothing about the workload: it is a failure, and no reason to wait before the next start.
fn loss(progress: Progress, ran: Duration) -> Progress {
    let setbacks = if ran >= SOUND_RUN { 0 } else { progress.setbacks };
    Progress { failures: progress.failures.saturating_add(1), setbacks, retry_after_seconds: 0, open: false, ..progress }
}

fn setback(progress: Progress, ran: Duration, failed: bool) -> Progress {
    let setbacks = if ran >= SOUND_RUN { 1 } else { progress.setbacks.saturating_add(1) };
    let retry_after_seconds = u32::try_from(backoff(setbacks).as_secs()).unwrap_or(u32::MAX);
    Progress { failures: progress.failures.saturating_add(u32::from(failed)), setbacks, retry_after_seconds, open: false, ..progress }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(completion_policy: CompletionPolicy, backoff_limit: u32) -> Policy {
        Policy {
            lease_duration_seconds: 15,
            renew_deadline_milliseconds: 8800,
            grace_period_milliseconds: 2200,
            retry_period_milliseconds: 2900,
            completion_policy,
            backoff_limit,
            candidates: 2,
            token_floor: None,
        }
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
        let (once, verdict) = close(started(), &policy, Reason::WorkloadFailed, exit, Duration::ZERO);
        assert_eq!((once.failures, once.retry_after_seconds, verdict), (1, 0, None));
        let (twice, verdict) = close(start(once, &policy), &policy, Reason::WorkloadFailed, exit, Duration::ZERO);
        assert_eq!((twice.failures, twice.retry_after_seconds), (2, 10));
        assert_eq!(verdict, Some((Outcome::Failed, "BackoffLimitExceeded")));
    }

    #[test]
    fn a_service_is_never_finished_and_backs_off_after_exit_zero_too() {
        let policy = policy(CompletionPolicy::Never, 0);
        let before = Progress { setbacks: 1, ..started() };
        let (after, verdict) = close(before, &policy, Reason::WorkloadSucceeded, Some(Exit::Code(0)), Duration::ZERO);
        assert_eq!((after.failures, after.retry_after_seconds, verdict), (0, 10, None));
    }

    #[test]
    fn interruptions_cost_nothing() {
        let policy = policy(CompletionPolicy::OnSuccess, 0);
        for reason in [Reason::Handover, Reason::Unready, Reason::Failback, Reason::Drain, Reason::RolledOut, Reason::Stopped] {
            let (after, verdict) = close(started(), &policy, reason, Some(Exit::Code(143)), Duration::ZERO);
            assert_eq!((after.failures, after.setbacks, after.open, verdict), (0, 0, false, None), "{reason:?}");
        }
    }

    #[test]
    fn a_lost_lease_counts_as_a_failure_and_delays_nothing() {
        let policy = policy(CompletionPolicy::OnSuccess, 6);
        let before = Progress { setbacks: 3, ..started() };
        let (after, verdict) = close(before.clone(), &policy, Reason::LeaseLost, None, Duration::ZERO);
        assert_eq!((after.failures, after.setbacks, after.retry_after_seconds, verdict), (1, 3, 0, None));
        assert_eq!(loss(before, SOUND_RUN).setbacks, 0, "whoever ran this long had no trouble of its own");
    }

    #[test]
    fn ten_minutes_of_running_forgive_earlier_setbacks() {
        let policy = policy(CompletionPolicy::Never, 0);
        let before = Progress { setbacks: 5, ..started() };
        let (after, _) = close(before, &policy, Reason::WorkloadFailed, Some(Exit::Signal(9)), SOUND_RUN);
        assert_eq!((after.setbacks, after.retry_after_seconds), (1, 0));
    }

    #[test]
    fn an_exit_zero_after_a_signal_to_stop_does_not_finish_a_run() {
        let policy = policy(CompletionPolicy::OnSuccess, 0);
        let (_, verdict) = close(started(), &policy, Reason::Drain, Some(Exit::Code(0)), Duration::ZERO);
        assert_eq!(verdict, None);
    }
}
