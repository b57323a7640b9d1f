//! The failure policy, as candidates are told of it.

use crate::api::SingletonJob;
use crate::api::failure::{ExitCodesOperator, FailureAction, LeaseLossAction};
use crate::lease::notes;

/// What `job` asks for; by default every failure counts.
pub fn policy(job: &SingletonJob) -> notes::FailurePolicy {
    let Some(policy) = &job.spec.failure_policy else { return notes::FailurePolicy::default() };
    notes::FailurePolicy {
        rules: policy.rules.iter().map(rule).collect(),
        forgive_lease_loss: policy.on_lease_loss == LeaseLossAction::Ignore,
    }
}

fn rule(rule: &crate::api::failure::FailureRule) -> notes::FailureRule {
    notes::FailureRule {
        operator: match rule.on_exit_codes.operator {
            ExitCodesOperator::In => notes::Operator::In,
            ExitCodesOperator::NotIn => notes::Operator::NotIn,
        },
        values: rule.on_exit_codes.values.iter().map(|code| code.0).collect(),
        action: match rule.action {
            FailureAction::FailRun => notes::FailureAction::FailRun,
            FailureAction::Ignore => notes::FailureAction::Ignore,
            FailureAction::Count => notes::FailureAction::Count,
        },
    }
}

/// How long a run may take, in seconds.
pub fn active_deadline_seconds(job: &SingletonJob) -> Option<u32> {
    job.spec.active_deadline_seconds.and_then(|seconds| u32::try_from(seconds).ok())
}
