//! What the controller reports of runs: the one that goes on, and those that ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A run that is going on or waiting to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CurrentRun {
    /// Counts the runs of this SingletonJob, from 1.
    pub number: i64,

    /// The schedule asked for the run at this tick. Absent if no schedule asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Time>,

    /// When the first attempt of this run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// Attempts begun.
    #[serde(default)]
    pub attempts: i32,

    /// Attempts that failed.
    #[serde(default)]
    pub failures: i32,

    /// Candidates do not count this many failed attempts, because `spec.failurePolicy` says so.
    #[serde(default)]
    pub ignored_failures: i32,
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FinishedRun {
    /// Counts the runs of this SingletonJob, from 1.
    pub number: i64,

    /// How it ended.
    pub outcome: RunOutcome,

    /// The tick that it was the run of; absent where no schedule asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Time>,

    /// The controller gives the reason for the end of the run in one word: `Completed`, `Replaced`,
    /// `FailurePolicy`, `DeadlineExceeded` or `BackoffLimitExceeded`. Instead of the last, it writes
    /// `OOMKilled` or `Unhealthy` if that is how the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// The workload exited with this code in the last attempt. Absent if the exit code
    /// was lost, or if the run was replaced or could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,

    /// The last attempt ran in this pod. After a lost attempt it can be the pod that recorded the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,

    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// Attempts begun.
    #[serde(default)]
    pub attempts: i32,

    /// When the first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Fencing token of the last attempt, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum RunOutcome {
    /// The workload exited 0.
    Succeeded,
    /// No further attempt was allowed.
    Failed,
    /// It gave way to the next tick, or to a run on request.
    Replaced,
    /// Ended on request before it was finished.
    Stopped,
}
