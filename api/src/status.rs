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

/// The controller reports here what it has seen of the SingletonJob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct SingletonJobStatus {
    /// The `metadata.generation` that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The controller sums up the state of the SingletonJob in these conditions. `Ready` says in one sentence
    /// whether the job does what it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()])))]
    #[cfg_attr(feature = "schema", schemars(length(max = 32)))]
    pub conditions: Vec<Condition>,

    /// The controller counts this many candidate pods. Pods that have ended, that are being deleted, or whose
    /// node is gone do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// The controller counts this many ready candidate pods, the holder's included. Standbys do not count if
    /// `spec.standbyReadiness` is `NotReady`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// The controller counts this many candidates that could take over at once. They count whether
    /// `spec.standbyReadiness` lets their pods be ready or not.
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

    /// The controller gave this number to the newest candidate pod. It uses no number twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_candidate_number: Option<i64>,

    /// The user cleared this holder last, with the annotation `singletonjob.dev/cleared-holder`. If the user
    /// wrote a value without effect, the controller keeps that value here. A pod's name acts once, because a
    /// later process in that pod is another holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_cleared_holder: Option<String>,

    /// Candidates execute this run now, or are about to start it.
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

    /// The controller last made a run of this tick of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,

    /// The controller starts the next run at this time: the next tick of the schedule, with the offset of
    /// `jitterSeconds`. Absent while ticks are suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,

    /// The controller has missed this many ticks since the SingletonJob was created: they should have become
    /// a run and did not. It was away, another run was going on, or nothing could start within
    /// `startingDeadlineSeconds`. An event `RunMissed` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_runs: Option<i64>,

    /// The controller has counted this many succeeded runs since the SingletonJob was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_runs: Option<i32>,

    /// The controller has counted this many failed runs since the SingletonJob was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_runs: Option<i32>,

    /// A candidate began the first attempt of the job at this time. Absent if the job has a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// The job finished at this time, with success or without. Absent if the job has a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// A request to hand over whose successor is not ready yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_handover_request: Option<PendingRequest>,

    /// The controller has handled this value of the annotation `singletonjob.dev/handover-requested-at` last.
    /// It acted on the value, refused it, or found it when it first saw the SingletonJob. The value does
    /// nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_handover_request: Option<String>,

    /// The controller has handled this value of the annotation `singletonjob.dev/run-requested-at` last. It
    /// acted on the value, refused it, or found it when it first saw the SingletonJob. The value does nothing
    /// any more.
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

    /// The controller has let the request wait since this time. It refuses the request 30 s later.
    pub since: Time,
}

/// The Lease, and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// Name of the Lease, in the same namespace.
    pub name: String,

    /// The pod of this name holds the Lease. Absent while no pod does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,

    /// The node of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,

    /// The holder acquired the Lease at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<Time>,

    /// The holder has this fencing token, a decimal number. While there is no holder, it is the highest token
    /// so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<String>,

    /// How often the Lease changed hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<i32>,

    /// The last known holder has this `holderIdentity`. It stays here after the holder gave the Lease back.
    /// The controller creates a deleted Lease again in this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_holder_identity: Option<String>,

    /// A standby waits this many seconds after the holder's last sign of life before it takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<i32>,

    /// A candidate may still hold by a lease of this many seconds, and by no longer one. The number is larger
    /// than `leaseDurationSeconds` until a reduction has reached the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_lease_duration_seconds: Option<i32>,

    /// The holder begins to stop the workload after this many milliseconds without a renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_deadline_milliseconds: Option<i32>,

    /// The workload gets this many milliseconds between SIGTERM and SIGKILL when its candidate is losing the
    /// Lease.
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

    /// The candidate has this role at the moment. `Active`: it holds the Lease. `Standby`: it could take over
    /// at once. `Draining`: it is being ended. `Pending`: it could not take over yet, or not at the moment.
    pub role: CandidateRole,

    /// Whether the pod is ready.
    pub ready: bool,

    /// The pod has been as it is since this time: ready, or else its container started, or else created.
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

    /// No candidate held the Lease for this many milliseconds, from the release or the last renewal to the
    /// acquisition. Each of these times is the time of day of its writer. If they contradict each other, the
    /// controller's clock counts.
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
