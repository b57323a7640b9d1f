//! Translates the spec into the policy that candidates obey, as the Lease tells it.

use super::super::observe::Observed;
use super::takeover;
use super::time::seconds;
use crate::api::failure::{ExitCodesOperator, FailureAction, FailureRule, LeaseLossAction};
use crate::api::takeover::UnreachableHolderPolicy;
use crate::api::{SingletonJob, failure};
use crate::lease::annotations::{self, CompletionPolicy, Policy, UnreachableHolder};
use crate::lease::timing::{Timing, TimingSpec};

/// The durations of the spec, proven to fit together.
///
/// # Errors
/// A sentence, if the durations do not fit or the gated container is missing. The schema of the CRD prevents
/// both, so only another schema lets such an object in.
pub fn timing(job: &SingletonJob) -> Result<Timing, String> {
    if job.spec.workload().and_then(|container| container.command.as_ref()).is_none_or(Vec::is_empty) {
        return Err(
            "the template has no container with a command to run; see spec.workloadContainer".to_owned()
        );
    }
    let lease = &job.spec.lease;
    let wanted = TimingSpec {
        lease_duration: seconds(lease.lease_duration_seconds),
        renew_deadline: lease.renew_deadline_seconds.map(seconds),
        grace_period: lease.grace_period_seconds.map(seconds),
        retry_period: lease.retry_period_seconds.map(seconds),
    };
    Timing::new(&wanted).map_err(|misfit| format!("spec.lease: {misfit}"))
}

/// The policy of `job`. Candidates learn of a longer lease duration only after status records it.
pub fn policy(job: &SingletonJob, observed: &Observed, timing: Timing) -> Policy {
    let told = observed.lease.as_ref().and_then(|lease| lease.record.annotations.policy.clone());
    if let Some(told) = told
        && takeover::must_remember_first(job, observed)
    {
        return told;
    }
    wanted(job, observed, timing)
}

fn wanted(job: &SingletonJob, observed: &Observed, timing: Timing) -> Policy {
    let backoff_limit = job.spec.backoff_limit();
    let completion_policy =
        if backoff_limit.is_some() { CompletionPolicy::OnSuccess } else { CompletionPolicy::Never };
    Policy {
        backoff_limit: backoff_limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(0),
        candidates: u32::try_from(job.spec.replicas).unwrap_or(0),
        failure_policy: job
            .spec
            .failure_policy
            .as_ref()
            .map_or_else(annotations::FailurePolicy::default, failure_policy),
        active_deadline_seconds: job
            .spec
            .active_deadline_seconds
            .and_then(|seconds| u32::try_from(seconds).ok()),
        token_floor: takeover::token_floor(job, observed),
        unreachable_holder: unreachable_holder(job),
        delay_seconds: delay_seconds(job),
        ..Policy::new(timing, completion_policy)
    }
}

/// What candidates wait for when a holder falls silent.
pub fn unreachable_holder(job: &SingletonJob) -> UnreachableHolder {
    match job.spec.takeover.unreachable_holder.policy {
        UnreachableHolderPolicy::AfterLeaseExpiry => UnreachableHolder::AfterLeaseExpiry,
        UnreachableHolderPolicy::AfterPodGone => UnreachableHolder::AfterPodGone,
        UnreachableHolderPolicy::Manual => UnreachableHolder::Manual,
    }
}

/// How many seconds longer than its lease candidates wait for a silent holder.
pub fn delay_seconds(job: &SingletonJob) -> u32 {
    u32::try_from(job.spec.takeover.unreachable_holder.delay_seconds).unwrap_or(0)
}

fn failure_policy(policy: &failure::FailurePolicy) -> annotations::FailurePolicy {
    annotations::FailurePolicy {
        rules: policy.rules.iter().map(failure_rule).collect(),
        forgive_lease_loss: policy.on_lease_loss == LeaseLossAction::Ignore,
    }
}

fn failure_rule(rule: &FailureRule) -> annotations::FailureRule {
    annotations::FailureRule {
        operator: match rule.on_exit_codes.operator {
            ExitCodesOperator::In => annotations::Operator::In,
            ExitCodesOperator::NotIn => annotations::Operator::NotIn,
        },
        values: rule.on_exit_codes.values.iter().map(|code| code.0).collect(),
        action: match rule.action {
            FailureAction::FailRun => annotations::FailureAction::FailRun,
            FailureAction::Ignore => annotations::FailureAction::Ignore,
            FailureAction::Count => annotations::FailureAction::Count,
        },
    }
}
