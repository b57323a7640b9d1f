//! What a failure of the workload means, as users say it.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Candidates decide by this policy what a failed attempt means for the run, as by the `podFailurePolicy` of
/// a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// The holder looks at these rules in order when its workload fails. The workload fails if it ends by
    /// itself with an exit code other than 0, or because its liveness probe failed. The first rule that
    /// matches decides. If no rule matches, the failure counts towards `backoffLimit`. Interruptions (drain,
    /// handover, suspension) never count, and no rule applies to them. At most 20 rules are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 20)))]
    pub rules: Vec<FailureRule>,

    /// Candidates decide by this field what it means when an attempt is lost together with its holder. The
    /// holder's node or agent died, or it could not renew its Lease in time. `Count`: the attempt counts
    /// towards `backoffLimit`. `Ignore`: it does not. Defaults to `Count`.
    #[serde(default)]
    pub on_lease_loss: LeaseLossAction,
}

/// What some exit codes of the workload mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FailureRule {
    /// Which exit codes this rule is about.
    pub on_exit_codes: OnExitCodes,

    /// The holder takes this action when the rule matches. `FailRun`: the run fails at once. `Ignore`: the
    /// failure does not count towards `backoffLimit`, but the next attempt still waits for its back-off.
    /// `Count`: the failure counts, as without a rule.
    pub action: FailureAction,
}

/// A set of exit codes. A workload that was ended by a signal has 128 plus the signal's number, as in a
/// shell: 137 for SIGKILL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OnExitCodes {
    /// `In`: the exit code must be one of `values`. `NotIn`: it must be none of them.
    pub operator: ExitCodesOperator,

    /// Exit codes from 0 to 255, at least one and at most 255 of them. 0 is success and may stand only with
    /// `NotIn`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 255)))]
    pub values: Vec<ExitCode>,
}

/// An exit code of the workload, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(transparent)]
pub struct ExitCode(#[cfg_attr(feature = "schema", schemars(range(min = 0, max = 255)))] pub i32);

/// How an exit code is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum ExitCodesOperator {
    /// It is one of the values.
    In,
    /// It is none of the values.
    NotIn,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum FailureAction {
    /// The run has failed, at once.
    FailRun,
    /// The failure does not count towards `backoffLimit`.
    Ignore,
    /// The failure counts towards `backoffLimit`.
    Count,
}

/// What follows when an attempt is lost together with its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum LeaseLossAction {
    /// It counts towards `backoffLimit`.
    #[default]
    Count,
    /// It does not count towards `backoffLimit`.
    Ignore,
}
