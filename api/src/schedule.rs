//! When a scheduled job runs, as users say it.

#![allow(clippy::struct_field_names, reason = "a number in the API carries its unit in its name")]

#[cfg(feature = "schema")]
use kube::KubeSchema;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `schedule.leadSeconds` where it is left out.
pub const DEFAULT_LEAD_SECONDS: i32 = 60;
/// `schedule.successfulRunsHistoryLimit` where it is left out, as in batch/v1.
pub const DEFAULT_SUCCESSFUL_RUNS_HISTORY_LIMIT: i32 = 3;
/// `schedule.failedRunsHistoryLimit` where it is left out, as in batch/v1.
pub const DEFAULT_FAILED_RUNS_HISTORY_LIMIT: i32 = 1;

/// When to run. All runs share one Lease, so no two of them ever overlap, and a tick becomes at most one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When, in the five fields of cron: minute, hour, day of month, month, day of week; or `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`. Read in `timeZone`. A changed schedule counts from the
    /// moment of the change: ticks before that are never made up for.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub cron: String,

    /// The time zone of `cron`, by its name in the IANA database, such as `Europe/Stockholm`. Each local time
    /// happens once: one that is left out when clocks are put forward runs right after the gap, one that
    /// comes twice when they are put back runs the first time. Defaults to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub time_zone: Option<String>,

    /// How many seconds after its time a run may still start. A tick that could not start until then, because
    /// the controller was away, another run was going on or no candidate was ready, is missed: counted in
    /// `status.missedRuns` and reported by an event. Left out, the latest tick starts however late it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub starting_deadline_seconds: Option<i32>,

    /// Over how many seconds the starts of different jobs are spread. Each job has an offset from 0 to this,
    /// which follows from its namespace and name, and starts that much after each of its ticks: a thousand
    /// jobs at midnight do not start at once. `SINGLETONJOB_SCHEDULED_TIME` is the tick all the same;
    /// `startingDeadlineSeconds` and `leadSeconds` count from tick and offset. Defaults to 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub jitter_seconds: i32,

    /// What a tick does while a run is going on. `Forbid`: it is missed. `Replace`: the run is stopped, and
    /// when nothing of it is left the tick runs. `Enqueue`: the tick waits and runs right after; of several
    /// that wait, the latest, and the others are missed. `Allow` is refused, because runs never overlap.
    /// Defaults to `Forbid`.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,

    /// When candidates are there. `BeforeTick`: they are made `leadSeconds` before a tick, with the Secrets,
    /// ConfigMaps and init containers of that moment, and nothing is reserved between runs. `Always`: they
    /// stand by at all times, with the environment of when they were made. Defaults to `BeforeTick`.
    #[serde(default)]
    pub candidates: CandidatesPolicy,

    /// How many seconds before a tick its candidates are made: long enough to pull the image and to run the
    /// init containers. Only used with `candidates: BeforeTick`. Defaults to 60.
    #[serde(default = "default_lead_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub lead_seconds: i32,

    /// How many pods that succeeded are kept for their logs, newest first. Defaults to 3.
    #[serde(default = "default_successful_runs_history_limit")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub successful_runs_history_limit: i32,

    /// How many pods that ended without success are kept for their logs between runs, newest first; while a
    /// run goes on, those of its own attempts are kept beside them. Defaults to 1.
    #[serde(default = "default_failed_runs_history_limit")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub failed_runs_history_limit: i32,
}

/// What a tick does while a run is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum ConcurrencyPolicy {
    /// It is missed.
    #[default]
    Forbid,
    /// The run gives way to it.
    Replace,
    /// It waits, and runs right after.
    Enqueue,
}

/// When candidates are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum CandidatesPolicy {
    /// Shortly before a tick, and during its run.
    #[default]
    BeforeTick,
    /// At all times.
    Always,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn default_lead_seconds() -> i32 {
    DEFAULT_LEAD_SECONDS
}

fn default_successful_runs_history_limit() -> i32 {
    DEFAULT_SUCCESSFUL_RUNS_HISTORY_LIMIT
}

fn default_failed_runs_history_limit() -> i32 {
    DEFAULT_FAILED_RUNS_HISTORY_LIMIT
}
