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

/// The controller starts runs by this schedule. All runs share one Lease, so no two of them ever overlap, and
/// a tick becomes at most one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The controller starts a run at every tick of this cron expression, which it reads in `timeZone`. The
    /// expression has five fields: minute, hour, day of month, month, day of week. It can also be `@hourly`,
    /// `@daily`, `@weekly`, `@monthly` or `@yearly`. A changed schedule counts from the moment of the change:
    /// the controller never makes up for ticks before that.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub cron: String,

    /// The controller reads `cron` in this time zone, a name of the IANA database such as `Europe/Stockholm`.
    /// Each local time happens once. A time that is left out when clocks are put forward runs right after the
    /// gap. A time that comes twice when they are put back runs the first time. Defaults to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub time_zone: Option<String>,

    /// A candidate may start a run up to this many seconds after its time. A tick that cannot start until
    /// then, because the controller is away, another run is going on or no candidate is ready, is missed. The
    /// controller counts it in `status.missedRuns` and reports it by an event. If this field is left out, the
    /// latest tick starts however late it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub starting_deadline_seconds: Option<i32>,

    /// The controller spreads the starts of different jobs over this many seconds. Each job has an offset
    /// from 0 to this, which follows from its namespace and name. It starts that much after each of its
    /// ticks, so that a thousand jobs at midnight do not start at once. `SINGLETONJOB_SCHEDULED_TIME` is the
    /// tick all the same. `startingDeadlineSeconds` and `leadSeconds` count from tick and offset. Defaults to
    /// 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub jitter_seconds: i32,

    /// The controller decides by this policy what a tick does while a run is going on. `Forbid`: the tick is
    /// missed. `Replace`: the controller stops the run, and the tick runs when nothing of that run is left.
    /// `Enqueue`: the tick waits and runs right after. If several ticks wait, the latest runs, and the others
    /// are missed. The API server refuses `Allow`, because runs never overlap. Defaults to `Forbid`.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,

    /// The controller creates candidates at the times that this policy says. `BeforeTick`: it creates them
    /// `leadSeconds` before a tick, with the Secrets, ConfigMaps and init containers of that moment, and
    /// reserves nothing between runs. `Always`: they stand by at all times, with the environment of when they
    /// were created. Defaults to `BeforeTick`.
    #[serde(default)]
    pub candidates: CandidatesPolicy,

    /// The controller creates the candidates of a tick this many seconds before it. The time should be long
    /// enough to pull the image and to run the init containers. The controller uses this field only with
    /// `candidates: BeforeTick`. Defaults to 60.
    #[serde(default = "default_lead_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub lead_seconds: i32,

    /// The controller retains this many succeeded pods for their logs, the newest ones. Defaults to 3.
    #[serde(default = "default_successful_runs_history_limit")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub successful_runs_history_limit: i32,

    /// The controller retains this many pods that ended without success for their logs between runs, the
    /// newest ones. While a run goes on, it retains the pods of that run's attempts beside them. Defaults to
    /// 1.
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
