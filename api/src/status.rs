//! What the controller answers.
//!
//! Nothing in here ticks: it changes when something happened, never for a renewal. Times are whole seconds
//! when written.
//!
//! # Layout
//! `lease`: who holds, and by which timing. `candidate`: each pod. `run`: the run that goes on, and the history
//! of runs. `takeover`: the history of holders.

mod candidate;
mod lease;
mod run;
mod takeover;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
#[cfg(feature = "schema")]
use kube::KubeSchema;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use candidate::{Candidate, CandidateRole};
pub use lease::LeaseStatus;
pub use run::{CurrentRun, FinishedRun, RunOutcome};
pub use takeover::{Takeover, TakeoverReason};

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
