//! What ends a run that has not succeeded: a rule of its failure policy, its attempts, its time.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{CompletionPolicy, Exit, FailureAction, Outcome, Policy, Progress, Reason};

/// A run that is over, and why.
pub(super) type Verdict = (Outcome, &'static str);

/// What a failure means for the run; `None` if an end for `reason` is no failure. An interruption is no
/// failure, whatever exit code it leads to.
pub(super) fn action(policy: &Policy, reason: Reason, exit: Option<Exit>) -> Option<FailureAction> {
    let failure_policy = &policy.failure_policy;
    match reason {
        Reason::WorkloadFailed => {
            let rule = exit.and_then(|exit| failure_policy.rule(exit));
            Some(rule.map_or(FailureAction::Count, |(_, rule)| rule.action))
        }
        Reason::LeaseLost | Reason::ElectorDied if failure_policy.forgive_lease_loss => {
            Some(FailureAction::Ignore)
        }
        Reason::LeaseLost | Reason::ElectorDied => Some(FailureAction::Count),
        Reason::WorkloadSucceeded
        | Reason::Created
        | Reason::Handover
        | Reason::Unready
        | Reason::Failback
        | Reason::RolledOut
        | Reason::Drain
        | Reason::Stopped => None,
    }
}

/// Why a workload that ended by itself gives the Lease back.
pub(super) fn own_end(policy: &Policy, exit: Exit, ran: Duration) -> Reason {
    let succeeded = exit.is_success() || hands_over(policy, exit, ran);
    if succeeded { Reason::WorkloadSucceeded } else { Reason::WorkloadFailed }
}

/// Whether a service asks for another holder and is well. One that asks before a lease has passed may be
/// unable to work at all: candidates that hand the Lease to each other would spin.
fn hands_over(policy: &Policy, exit: Exit, ran: Duration) -> bool {
    let lease = Duration::from_secs(u64::from(policy.lease_duration_seconds));
    policy.completion_policy == CompletionPolicy::Never && exit == Exit::HAND_OVER && ran >= lease
}

/// Why nothing of the run is left, if nothing is: as in batch/v1, its attempts are looked at before its time.
pub(super) fn verdict(progress: &Progress, policy: &Policy, exceeded: bool) -> Option<Verdict> {
    if policy.completion_policy == CompletionPolicy::Never {
        None
    } else if progress.failures > policy.backoff_limit {
        Some((Outcome::Failed, "BackoffLimitExceeded"))
    } else {
        exceeded.then_some((Outcome::Failed, "DeadlineExceeded"))
    }
}

/// How long a run that has begun may still take; `None` if it may take as long as it likes.
///
/// Attempts on several nodes are counted together, and the time of day is the only clock that two nodes have
/// in common. It decides nothing but when a run has failed: where clocks differ, that is sooner or later by
/// as much.
pub fn left(progress: &Progress, policy: &Policy, wall: Timestamp) -> Option<Duration> {
    if policy.completion_policy != CompletionPolicy::OnSuccess {
        return None;
    }
    let limit = policy.active_deadline_seconds?;
    let taken = Duration::try_from(wall.duration_since(progress.start_time?)).unwrap_or_default();
    Some(Duration::from_secs(u64::from(limit)).saturating_sub(taken))
}

/// Whether a run has taken as long as it may.
pub(super) fn is_exceeded(left: Option<Duration>) -> bool {
    left.is_some_and(|left| left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::super::super::annotations::{FailurePolicy, FailureRule, Operator};
    use super::super::tests;
    use super::super::tests::INTERRUPTIONS;
    use super::*;

    fn rule(operator: Operator, values: &[i32], action: FailureAction) -> FailureRule {
        FailureRule { operator, values: values.to_vec(), action }
    }

    fn policy(rules: Vec<FailureRule>) -> Policy {
        let failure_policy = FailurePolicy { rules, forgive_lease_loss: false };
        Policy { backoff_limit: 1, failure_policy, active_deadline_seconds: Some(60), ..tests::policy() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("valid")
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_without_one_a_failure_counts() {
        let policy = policy(vec![
            rule(Operator::In, &[42, 137], FailureAction::FailRun),
            rule(Operator::In, &[42, 43], FailureAction::Ignore),
            rule(Operator::NotIn, &[1, 2], FailureAction::FailRun),
        ]);
        let table = [
            (Exit::Code(42), FailureAction::FailRun),
            (Exit::Signal(9), FailureAction::FailRun),
            (Exit::Code(43), FailureAction::Ignore),
            (Exit::Code(44), FailureAction::FailRun),
            (Exit::Code(1), FailureAction::Count),
            (Exit::Code(0), FailureAction::Count),
        ];
        for (exit, follows) in table {
            assert_eq!(action(&policy, Reason::WorkloadFailed, Some(exit)), Some(follows), "{exit:?}");
        }
    }

    #[test]
    fn a_service_that_ran_for_a_lease_hands_over_by_its_exit_code() {
        let service = Policy { completion_policy: CompletionPolicy::Never, ..policy(Vec::new()) };
        let reason = |policy: &Policy, exit, ran| own_end(policy, exit, Duration::from_millis(ran));
        let table = [
            (Exit::Code(120), 15_000, Reason::WorkloadSucceeded),
            (Exit::Code(120), 14_999, Reason::WorkloadFailed),
            (Exit::Code(121), 99_000, Reason::WorkloadFailed),
            (Exit::Signal(9), 99_000, Reason::WorkloadFailed),
            (Exit::Code(0), 0, Reason::WorkloadSucceeded),
        ];
        for (exit, ran, follows) in table {
            assert_eq!(reason(&service, exit, ran), follows, "{exit:?} after {ran} ms");
        }
        assert_eq!(
            reason(&policy(Vec::new()), Exit::Code(120), 99_000),
            Reason::WorkloadFailed,
            "of a one-shot it is an exit code like any other"
        );
    }

    #[test]
    fn an_interruption_never_counts_and_no_rule_speaks_of_it() {
        let policy = policy(vec![rule(Operator::In, &[143], FailureAction::FailRun)]);
        for reason in INTERRUPTIONS {
            assert_eq!(action(&policy, reason, Some(Exit::Signal(15))), None, "{reason:?}");
        }
    }

    #[test]
    fn a_lost_holder_counts_unless_that_is_forgiven_whatever_its_exit_code() {
        let strict = policy(vec![rule(Operator::In, &[143], FailureAction::FailRun)]);
        let failure_policy = FailurePolicy { forgive_lease_loss: true, ..strict.failure_policy.clone() };
        let kind = Policy { failure_policy, ..strict.clone() };
        for reason in [Reason::LeaseLost, Reason::ElectorDied] {
            assert_eq!(
                action(&strict, reason, Some(Exit::Signal(15))),
                Some(FailureAction::Count),
                "{reason:?}"
            );
            assert_eq!(action(&kind, reason, None), Some(FailureAction::Ignore), "{reason:?}");
        }
    }

    #[test]
    fn the_time_of_a_run_counts_from_its_first_start() {
        let begun = Progress { start_time: Some(at(0)), ..Progress::default() };
        let policy = policy(Vec::new());
        let of = |progress: &Progress, second| left(progress, &policy, at(second)).map(|left| left.as_secs());
        assert_eq!(
            [of(&begun, 0), of(&begun, 59), of(&begun, 60), of(&begun, 99)],
            [Some(60), Some(1), Some(0), Some(0)]
        );
        assert_eq!(of(&begun, -3600), Some(60), "a clock that is behind gives no more than there is");
        assert_eq!(of(&Progress::default(), 99), None);
        let service = Policy { completion_policy: CompletionPolicy::Never, ..policy };
        assert_eq!(left(&begun, &service, at(99)), None);
    }

    #[test]
    fn as_in_batch_v1_used_up_attempts_are_named_before_used_up_time() {
        let policy = policy(Vec::new());
        let failed = |failures| Progress { failures, ..Progress::default() };
        let reason =
            |failures, exceeded| verdict(&failed(failures), &policy, exceeded).map(|(_, reason)| reason);
        assert_eq!([reason(1, false), reason(1, true)], [None, Some("DeadlineExceeded")]);
        assert_eq!([reason(2, false), reason(2, true)], [Some("BackoffLimitExceeded"); 2]);
    }
}
