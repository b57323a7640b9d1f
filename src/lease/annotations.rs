//! The annotations in which the controller and the candidates speak to each other through their Lease.
//!
//! The controller writes *directives* and candidates write *reports*. Candidates remove a request to hand
//! over and a clearance once they are done with, and the controller marks a Lease that it has made as free.
//! An annotation that does not parse is kept as it is, reported, and treated as absent: its writer is of
//! another version or no part of this protocol.

mod policy;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::identity::{Identity, Version};
pub use policy::{
    CompletionPolicy, FailureAction, FailurePolicy, FailureRule, Operator, Policy, UnreachableHolder,
};

/// Names of the annotations.
pub mod keys {
    /// See [`Policy`](super::Policy).
    pub const POLICY: &str = "singletonjob.dev/policy";
    /// See [`Run`](super::Run).
    pub const RUN: &str = "singletonjob.dev/run";
    /// See [`Handover`](super::Handover).
    pub const HANDOVER: &str = "singletonjob.dev/handover";
    /// See [`Cleared`](super::Cleared).
    pub const CLEARED: &str = "singletonjob.dev/cleared";
    /// JSON list of pod uids.
    pub const SUCCESSION: &str = "singletonjob.dev/succession";
    /// JSON string: see [`Annotations::handled_request`](super::Annotations::handled_request).
    pub const HANDLED_REQUEST: &str = "singletonjob.dev/handled-handover-request";
    /// JSON string: see [`Annotations::handed_back`](super::Annotations::handed_back).
    pub const HANDED_BACK: &str = "singletonjob.dev/handed-back";
    /// See [`Spread`](super::Spread).
    pub const SPREAD: &str = "singletonjob.dev/spread";
    /// See [`Ticks`](super::Ticks).
    pub const TICKS: &str = "singletonjob.dev/ticks";
    /// See [`Progress`](super::Progress).
    pub const PROGRESS: &str = "singletonjob.dev/progress";
    /// See [`Released`](super::Released).
    pub const RELEASED: &str = "singletonjob.dev/released";
    /// See [`Finished`](super::Finished).
    pub const FINISHED: &str = "singletonjob.dev/finished";
    /// See [`Health`](super::Health).
    pub const HEALTH: &str = "singletonjob.dev/health";
}

/// Everything said through annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Annotations {
    /// Directive: what candidates obey.
    pub policy: Option<Policy>,
    /// Directive: what should be run.
    pub run: Option<Run>,
    /// Directive: please stop and release.
    pub handover: Option<Handover>,
    /// Directive: the holder is gone for good.
    pub cleared: Option<Cleared>,
    /// Directive: pod uids in the order in which they should take over; empty where candidates rank
    /// themselves.
    pub succession: Vec<String>,
    /// The controller's own: the last request to hand over that was granted, written together with its
    /// [`Handover`].
    pub handled_request: Option<String>,
    /// The controller's own: the hash of the template whose holder was asked to hand back to one of the
    /// template before, because its workload was not ready. Written together with that [`Handover`], so that
    /// it is asked once.
    pub handed_back: Option<String>,
    /// The controller's own: what it has tried to have candidates on several nodes.
    pub spread: Option<Spread>,
    /// The controller's own: what has become of the ticks of a schedule, written together with its [`Run`].
    pub ticks: Option<Ticks>,
    /// Report: how the current run goes.
    pub progress: Option<Progress>,
    /// Report: the Lease was given back, the workload being gone.
    pub released: Option<Released>,
    /// Report: how a run ended.
    pub finished: Option<Finished>,
    /// Report: how the holder fares.
    pub health: Option<Health>,
}

impl Annotations {
    /// What can be understood of `annotations`.
    pub fn read(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let Some(annotations) = annotations else { return Self::default() };
        Self {
            policy: read(annotations, keys::POLICY),
            run: read(annotations, keys::RUN),
            handover: read(annotations, keys::HANDOVER),
            cleared: read(annotations, keys::CLEARED),
            succession: read(annotations, keys::SUCCESSION).unwrap_or_default(),
            handled_request: read(annotations, keys::HANDLED_REQUEST),
            handed_back: read(annotations, keys::HANDED_BACK),
            spread: read(annotations, keys::SPREAD),
            ticks: read(annotations, keys::TICKS),
            progress: read(annotations, keys::PROGRESS),
            released: read(annotations, keys::RELEASED),
            finished: read(annotations, keys::FINISHED),
            health: read(annotations, keys::HEALTH),
        }
    }
}

fn read<T: DeserializeOwned>(annotations: &BTreeMap<String, String>, key: &str) -> Option<T> {
    let text = annotations.get(key)?;
    serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!(key, %error, "cannot read an annotation of the Lease"))
        .ok()
}

/// Sets or removes one annotation.
///
/// # Panics
/// Never: annotations are plain data, which always has a JSON form.
pub fn write<T: Serialize>(annotations: &mut BTreeMap<String, String>, key: &str, note: Option<&T>) {
    match note.map(|note| serde_json::to_string(note).expect("annotations are plain data")) {
        Some(text) => annotations.insert(key.to_owned(), text),
        None => annotations.remove(key),
    };
}

/// Writes a note, or leaves what is there.
pub fn write_if_some<T: Serialize>(annotations: &mut BTreeMap<String, String>, key: &str, note: Option<&T>) {
    if note.is_some() {
        write(annotations, key, note);
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether anything should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Desired {
    /// The candidate that takes the Lease runs the workload.
    Run,
    /// The holder stops, and no candidate acquires.
    Stop,
}

/// What should be run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The SingletonJob's uid: a recreated one runs anew.
    pub uid: String,
    /// Counts the runs of this SingletonJob, from 1; 0 where none has been due yet.
    pub number: u32,
    /// Run or Stop.
    pub desired: Desired,
    /// The tick that it is the run of; none where no schedule asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Timestamp>,
    /// Why it should stop, in one `CamelCase` word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was to run again after it was to stop.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resumptions: u32,
    /// Since when candidates may start it, where it has a deadline: from when it was wanted, or resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Pods whose attempts candidates count as failures: the kubelet ended them for their own fault. See
    /// [`Tenant::provisional`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_pods: Vec<FailedPod>,
}

/// A pod that the kubelet ended for its own fault, after it had held the Lease in this run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedPod {
    /// The pod's uid.
    pub uid: String,
    /// The pod's name.
    pub name: String,
    /// The kubelet's word: `DeadlineExceeded`, `Evicted`.
    pub reason: String,
    /// What the kubelet says beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Run {
    /// The first run of the SingletonJob with this uid, wanted now, and by no schedule.
    pub fn first(uid: impl Into<String>) -> Self {
        Self {
            uid: uid.into(),
            number: 1,
            desired: Desired::Run,
            scheduled_time: None,
            reason: None,
            resumptions: 0,
            since: None,
            failed_pods: Vec::new(),
        }
    }

    /// Whether the holder that runs it by this account should go on: it has not been stopped since, nor
    /// followed by another.
    pub fn goes_on(&self, progress: &Progress) -> bool {
        let same = self.uid == progress.uid && self.number == progress.run;
        same && self.desired == Desired::Run && self.resumptions <= progress.resumptions
    }
}

/// What has become of the ticks of a schedule. It changes only together with [`Run`], by compare-and-swap: so
/// a tick becomes at most one run, which candidate looks, and however often.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticks {
    /// The SingletonJob's uid.
    pub uid: String,
    /// Which schedule they are of: those of a changed one count from when it was first seen.
    pub schedule: String,
    /// Something has become of every tick up to this moment.
    pub settled: Timestamp,
    /// The last tick that became a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Ticks that should have become a run and did not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub missed: u64,
    /// Whether ticks pass unheeded, because nothing should run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The last request to run that was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// While all candidates are on one node: how often the controller has made one more, and when last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How often.
    pub tries: u32,
    /// By the controller's time of day.
    pub last: Timestamp,
}

/// Please stop and release, you in particular.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// Which request this is.
    pub id: String,
    /// Any other holder ignores it.
    pub holder: Identity,
    /// Passed on into the release.
    pub reason: Reason,
}

/// The holder that this names is gone for good: its expired lease may be taken where the policy asks for
/// that. It frees nothing sooner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleared {
    /// Which Lease; a recreated one is another.
    pub lease_uid: String,
    /// Any other holder is not meant; none for a Lease that was emptied by a client that is no candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Identity>,
}

/// Why a Lease was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Made new by the controller, with no candidate there that could hold it.
    Created,
    /// Asked for.
    Handover,
    /// The holder's pod has not been ready for too long.
    Unready,
    /// A standby is ready on a better node.
    Failback,
    /// The holder's pod is of an old template.
    RolledOut,
    /// The holder's pod is ending.
    Drain,
    /// The workload ended by itself, with success, or asked for another holder.
    WorkloadSucceeded,
    /// The workload ended by itself, without success, or could not be started.
    WorkloadFailed,
    /// Nothing should run.
    Stopped,
    /// The holder could not renew in time and stopped before its lease ended.
    LeaseLost,
    /// The holder's elector died; its PID 1 killed everything.
    ElectorDied,
}

impl Reason {
    /// Whether the holder gave way to a successor that stood ready.
    pub fn is_handover(self) -> bool {
        match self {
            Self::Handover | Self::Unready | Self::Failback | Self::RolledOut => true,
            Self::Created
            | Self::Drain
            | Self::WorkloadSucceeded
            | Self::WorkloadFailed
            | Self::Stopped
            | Self::LeaseLost
            | Self::ElectorDied => false,
        }
    }

    /// Whether a running workload is told to stop for this reason, which then neither succeeds nor fails by
    /// its exit.
    pub fn is_interruption(self) -> bool {
        match self {
            Self::Handover
            | Self::Unready
            | Self::Failback
            | Self::RolledOut
            | Self::Drain
            | Self::Stopped => true,
            Self::Created
            | Self::WorkloadSucceeded
            | Self::WorkloadFailed
            | Self::LeaseLost
            | Self::ElectorDied => false,
        }
    }
}

/// How the current run goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The SingletonJob's uid.
    pub uid: String,
    /// The run this is about.
    pub run: u32,
    /// Attempts begun.
    pub starts: u32,
    /// Attempts that count against the limit.
    pub failures: u32,
    /// Ends of the workload, or of its agent, in a row: each makes the wait before the next start longer. A
    /// lost lease is none.
    pub setbacks: u32,
    /// The next start not sooner than this after first sight.
    pub retry_after_seconds: u32,
    /// Whether the last start has no outcome yet.
    pub open: bool,
    /// When the first attempt began, on that holder's clock; of a run that can end. None again once it was
    /// stopped on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// How often the run had been resumed when this was last begun or taken over: see [`Run::resumptions`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub resumptions: u32,
    /// Attempts that failed and, by the failure policy, do not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored: u32,
    /// Pods that have held the Lease in this run, the last one last; only the newest [`MOST_TENANTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Tenant>,
}

/// How many pods of a run are remembered. More do not end at the same time without the kubelet's having said
/// so.
pub const MOST_TENANTS: usize = 16;

/// A pod that has held the Lease in a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// The pod's uid.
    pub uid: String,
    /// How its last attempt was counted, where that is not final: the kubelet may have ended the pod for its
    /// own fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional: Option<Provisional>,
    /// Whether that attempt ran for so long that earlier setbacks are forgiven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sound: bool,
}

/// How an attempt was counted whose end may turn out to be a failure of its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Provisional {
    /// Not at all: its container was told to end.
    Interrupted,
    /// As ignored: its lease was lost, which the failure policy forgives.
    Ignored,
    /// As a failure that no start waits for: its lease was lost.
    Lost,
    /// As a later version has it: it stays so.
    #[serde(other)]
    Otherwise,
}

/// The Lease was given back by a holder whose workload is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// Which Lease; a recreated one is another.
    pub lease_uid: String,
    /// `spec.renewTime` of this same write: the mark means nothing after any other.
    pub renew_time: Option<Timestamp>,
    /// Who gave it back.
    pub by: Identity,
    /// Why.
    pub reason: Reason,
    /// Of the tenure that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Version>,
    /// How the workload ended, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether it was ended because its liveness probe failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhealthy: bool,
    /// Whether the workload had become ready in this tenure, as far as the holder had said so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
}

impl Released {
    /// The mark of a Lease that `by` has just created, and that no candidate has ever held.
    pub fn created(lease_uid: impl Into<String>, by: Identity) -> Self {
        Self {
            lease_uid: lease_uid.into(),
            renew_time: None,
            by,
            reason: Reason::Created,
            token: None,
            exit: None,
            unhealthy: false,
            ready: false,
        }
    }

    /// Whether the workload asked for it by its exit code.
    pub fn hands_over(&self) -> bool {
        self.reason == Reason::WorkloadSucceeded && self.exit == Some(Exit::HAND_OVER)
    }
}

/// How a workload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// By which the workload of a service says: hand over, I am well.
    pub const HAND_OVER: Self = Self::Code(120);

    /// As a shell would report it: a signal as 128 + its number.
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }

    /// Whether the workload did what it was to do.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The workload exited 0.
    Succeeded,
    /// No further attempt is allowed.
    Failed,
}

/// A run that will not be run again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// The SingletonJob's uid.
    pub uid: String,
    /// Which run.
    pub run: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// One `CamelCase` word, as in batch/v1: `Completed`, `BackoffLimitExceeded`, `DeadlineExceeded`,
    /// `FailurePolicy`.
    pub reason: String,
    /// Of the last attempt; none where that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether the last attempt was ended because its liveness probe failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhealthy: bool,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// Of the last attempt; none where that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Version>,
    /// The candidate that recorded the end: as a rule, the one that ran the workload last.
    pub by: Identity,
    /// On that one's clock.
    pub start_time: Option<Timestamp>,
    /// On that one's clock.
    pub completion_time: Timestamp,
}

/// How the holder fares; in every write that keeps the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The fencing token in force: the acquiring write could not name itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Version>,
    /// When the holder's agent started, by its node's time of day: to be compared with what the kubelet of
    /// that node says, and with nothing else. `None` if an earlier version wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_started: Option<Timestamp>,
    /// When the workload's readiness probe first succeeded in this tenure, by its node's time of day. `None`
    /// until then, if the template has neither a readiness nor a startup probe, and if an earlier version
    /// wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ready: Option<Timestamp>,
    /// Why the holder was told to stop, since it was: what falls silent after that was cut short and has not
    /// failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Reason>,
    /// What an administrator should know, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The kernel's name for what the clocks of the holder's node count; `None` if that is not known. No
    /// decision depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_source: Option<String>,
}
