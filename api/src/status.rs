//! What the controller answers.
//!
//! Nothing in here ticks: it changes when something happened, never for a renewal. Times are whole seconds
//! when written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
#[cfg(feature = "schema")]
use kube::KubeSchema;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most entries of [`SingletonJobStatus::candidates`].
pub const MOST_CANDIDATES: usize = 16;
/// Most entries of [`SingletonJobStatus::runs`] and of [`SingletonJobStatus::takeovers`].
pub const MOST_HISTORY: usize = 10;

/// What is the case, as far as the controller has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct SingletonJobStatus {
    /// The `metadata.generation` that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The state in short. `Ready` says whether the job does what it is for, in one sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()])))]
    #[cfg_attr(feature = "schema", schemars(length(max = 32)))]
    pub conditions: Vec<Condition>,

    /// Candidate pods there are, ended ones not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Candidate pods that are ready: the holder included, and without standbys where `spec.standbyReadiness`
    /// is `NotReady`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Candidates that could take over at once, whatever their pods' readiness is to be by
    /// `spec.standbyReadiness`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_standbys: Option<i32>,

    /// Label selector of the candidate pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// The Lease, and who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseStatus>,

    /// The candidate pods, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub candidates: Vec<Candidate>,

    /// The number of the newest candidate pod; no number is used twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_candidate_number: Option<i64>,

    /// The holder that the annotation `singletonjob.dev/cleared-holder` cleared last, or what the user wrote
    /// there without effect. A pod's name acts once: who holds in that pod later is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_cleared_holder: Option<String>,

    /// The run that is going on or waiting to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<CurrentRun>,

    /// Runs that ended, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 10)))]
    pub runs: Vec<FinishedRun>,

    /// How the Lease changed hands, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 10)))]
    pub takeovers: Vec<Takeover>,

    /// The last tick of the schedule that became a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,

    /// When the next run is due: the next tick of the schedule, with the offset of jitterSeconds. Absent
    /// while ticks are suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,

    /// Ticks that should have become a run and did not, ever: the controller was away, another run was going
    /// on, or nothing could start within `startingDeadlineSeconds`. An event `RunMissed` says of each why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_runs: Option<i64>,

    /// Runs that succeeded, ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_runs: Option<i32>,

    /// Runs that failed, ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_runs: Option<i32>,

    /// When the first attempt began, of a job without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the job was finished, of one without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// A request to hand over whose successor is not ready yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_handover_request: Option<PendingRequest>,

    /// The last value of the annotation `singletonjob.dev/handover-requested-at` that was acted on, refused,
    /// or there before anybody looked; it does nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_handover_request: Option<String>,

    /// The last value of the annotation `singletonjob.dev/run-requested-at` that was acted on, refused, or
    /// there before anybody looked; it does nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_run_request: Option<String>,
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingRequest {
    /// The value of its annotation.
    pub request: String,

    /// Since when it waits; refused 30 s later.
    pub since: Time,
}

/// The Lease, and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// Name of the Lease, in the same namespace.
    pub name: String,

    /// The pod that holds it; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,

    /// The node of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<Time>,

    /// The highest fencing token so far, a decimal number: the holder's while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<String>,

    /// How often the Lease changed hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<i32>,

    /// The last known `holderIdentity`, kept when it was given back: a Lease that was deleted is made again
    /// in this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_holder_identity: Option<String>,

    /// How long a challenger waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<i32>,

    /// The longest lease by which any candidate may still hold; larger than `leaseDurationSeconds` until a
    /// reduction has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_lease_duration_seconds: Option<i32>,

    /// After how long without a renewal the holder begins to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_deadline_milliseconds: Option<i32>,

    /// From SIGTERM to SIGKILL when the lease is being lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_milliseconds: Option<i32>,

    /// From one renewal to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_period_milliseconds: Option<i32>,
}

/// A candidate pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Name of the pod.
    pub name: String,

    /// Its node; absent until it is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// What it does at the moment.
    pub role: CandidateRole,

    /// Whether the pod is ready.
    pub ready: bool,

    /// Since when it has this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// What a candidate does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum CandidateRole {
    /// Holds the Lease.
    Active,
    /// Could take over at once.
    Standby,
    /// Is being ended.
    Draining,
    /// Could not take over yet, or not at the moment.
    Pending,
}

/// A run that is going on or waiting to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CurrentRun {
    /// Counts the runs of this SingletonJob, from 1.
    pub number: i64,

    /// The tick that it is the run of; absent where no schedule asked for it.
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

    /// Attempts that failed and, by `spec.failurePolicy`, do not count.
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

    /// Why, in one word: `Completed`, `Replaced`, `FailurePolicy`, `DeadlineExceeded` or
    /// `BackoffLimitExceeded`; instead of the last `OOMKilled` or `Unhealthy`, where that is how the last
    /// attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// Exit code of the last attempt; absent where that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,

    /// The pod that ran last.
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
    /// Gave way to the next tick.
    Replaced,
    /// Ended on request before it was finished.
    Stopped,
}

/// One change of hands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Takeover {
    /// When the new holder acquired the Lease, on its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<Time>,

    /// The pod that held it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,

    /// The pod that holds it now.
    pub to: String,

    /// Why it changed hands.
    pub reason: TakeoverReason,

    /// How long it had no holder: from the release, or from the last renewal, to the acquisition, each by its
    /// writer's time of day; by the controller's clock if these contradict each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_milliseconds: Option<i64>,

    /// The new holder's fencing token, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<String>,
}

/// Why the Lease changed hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum TakeoverReason {
    /// It had no holder before.
    InitialAcquire,
    /// It was asked for.
    Handover,
    /// The holder's pod had not been ready for too long.
    Unready,
    /// There was a standby on a preferred node.
    Failback,
    /// The holder's pod was ended: deleted, evicted, its node drained.
    Drain,
    /// The holder's pod was of an old template.
    RolledOut,
    /// The workload ended by itself.
    WorkloadFailed,
    /// The holder fell silent.
    Expired,
    /// The Lease was deleted or emptied by another client.
    Cleared,
    /// The holder could not renew and stopped in time.
    LeaseLost,
}
