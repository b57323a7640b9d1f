//! What candidates obey: written by the controller, so that a change of it restarts nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::identity::Version;
use super::super::timing::{Timing, TimingError, TimingSpec};
use super::exit::Exit;
use super::json::is_default;

/// When a run counts as finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CompletionPolicy {
    /// Exit 0 finishes the run.
    OnSuccess,
    /// A service: every exit is restarted.
    Never,
}

/// When a Lease may be taken that its holder did not give back. In any case not before the lease has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnreachableHolder {
    /// When the lease has passed.
    #[default]
    AfterLeaseExpiry,
    /// When it is [`Cleared`](super::Cleared) too, which the controller does when the cluster says that the
    /// holder's pod is gone.
    AfterPodGone,
    /// When it is [`Cleared`](super::Cleared) too, which the controller does when a person says so.
    Manual,
}

/// What every candidate obeys. Changing it restarts nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// `L`.
    pub lease_duration_seconds: u32,
    /// `S`.
    pub renew_deadline_milliseconds: u32,
    /// `G`.
    pub grace_period_milliseconds: u32,
    /// `R`.
    pub retry_period_milliseconds: u32,
    /// When a run counts as finished.
    pub completion_policy: CompletionPolicy,
    /// Failed attempts allowed per run; only under `OnSuccess`.
    pub backoff_limit: u32,
    /// How many candidates there are meant to be; spreads those who rank themselves.
    pub candidates: u32,
    /// What an end without success means; only under `OnSuccess`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failure_policy: FailurePolicy,
    /// How long a run may take, from its first start; only under `OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u32>,
    /// A token must exceed this one: the highest that the controller remembers, should the Lease have
    /// forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_floor: Option<Version>,
    /// When a Lease may be taken that was not given back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unreachable_holder: UnreachableHolder,
    /// How much longer than `L` is waited for such a Lease: for effects that are still on their way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delay_seconds: u32,
}

/// What an end without success means. By default every failure counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// The first that matches decides; none matches: the failure counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<FailureRule>,
    /// Whether a start is forgiven whose holder vanished, or lost its Lease.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgive_lease_loss: bool,
}

/// What some exit codes mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRule {
    /// Whether the exit code must be one of `values`, or none of them.
    pub operator: Operator,
    /// Exit codes.
    pub values: Vec<i32>,
    /// What follows.
    pub action: FailureAction,
}

/// How an exit code is compared with those of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// It is one of them.
    In,
    /// It is none of them.
    NotIn,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureAction {
    /// The run has failed; no further attempt.
    FailRun,
    /// It does not count against the limit.
    Ignore,
    /// It counts against the limit.
    Count,
}

impl FailurePolicy {
    /// The rule that decides about `exit`, and its place among the rules. Success is no failure, whatever a
    /// rule says.
    pub fn rule(&self, exit: Exit) -> Option<(usize, &FailureRule)> {
        let decides =
            |rule: &FailureRule| rule.values.contains(&exit.code()) == (rule.operator == Operator::In);
        self.rules.iter().enumerate().find(|(_, rule)| !exit.is_success() && decides(rule))
    }
}

impl Policy {
    /// These durations for one holder and one standby, and nothing forgiven.
    pub fn new(timing: Timing, completion_policy: CompletionPolicy) -> Self {
        let milliseconds = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Self {
            lease_duration_seconds: u32::try_from(timing.lease_duration().as_secs()).unwrap_or(u32::MAX),
            renew_deadline_milliseconds: milliseconds(timing.renew_deadline()),
            grace_period_milliseconds: milliseconds(timing.grace_period()),
            retry_period_milliseconds: milliseconds(timing.retry_period()),
            completion_policy,
            backoff_limit: 0,
            candidates: 2,
            failure_policy: FailurePolicy::default(),
            active_deadline_seconds: None,
            token_floor: None,
            unreachable_holder: UnreachableHolder::default(),
            delay_seconds: 0,
        }
    }

    /// The durations in force under this policy.
    ///
    /// # Errors
    /// [`TimingError`] if they do not fit.
    pub fn timing(&self) -> Result<Timing, TimingError> {
        let milliseconds = |value: u32| Some(Duration::from_millis(u64::from(value)));
        Timing::new(&TimingSpec {
            lease_duration: Duration::from_secs(u64::from(self.lease_duration_seconds)),
            renew_deadline: milliseconds(self.renew_deadline_milliseconds),
            grace_period: milliseconds(self.grace_period_milliseconds),
            retry_period: milliseconds(self.retry_period_milliseconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_the_same_after_it_has_travelled() {
        for lease in [15, 60, 300, 3600] {
            let derived = Timing::new(&TimingSpec::of(Duration::from_secs(lease))).expect("fits");
            assert_eq!(Policy::new(derived, CompletionPolicy::Never).timing(), Ok(derived), "{lease}");
        }
    }

    #[test]
    fn a_candidate_obeys_the_durations_it_is_told_and_derives_none() {
        let derived = Timing::new(&TimingSpec::of(Duration::from_secs(300))).expect("fits");
        let told = Policy {
            renew_deadline_milliseconds: 198_400,
            grace_period_milliseconds: 49_600,
            retry_period_milliseconds: 66_133,
            ..Policy::new(derived, CompletionPolicy::Never)
        };
        let timing = told.timing().expect("a grace of a fifth of D, as earlier controllers derive it");
        assert_eq!(timing.grace_period(), Duration::from_millis(49_600));
        assert_eq!(timing.renew_deadline(), Duration::from_millis(198_400));
        assert_eq!(timing.hard_deadline(), derived.hard_deadline());
    }
}
