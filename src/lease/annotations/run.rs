//! The `run` directive: what the controller wants done.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::json::is_default;
use super::progress::Progress;

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
    /// The tick that it is the run of; `None` if no schedule asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Timestamp>,
    /// Why it should stop, in one `CamelCase` word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often the run was resumed after it was stopped.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resumptions: u32,
    /// Since when candidates may start it: from when it was wanted, or resumed. Set if it has a deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Pods whose attempts candidates count as failures: the kubelet ended them for their own fault. See
    /// [`Tenant::provisional`](super::Tenant::provisional).
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
    /// The kubelet's reason: `DeadlineExceeded`, `Evicted`.
    pub reason: String,
    /// The kubelet's message.
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

    /// Whether the holder with this progress should go on: its run was neither stopped since, nor followed by
    /// another.
    pub fn goes_on(&self, progress: &Progress) -> bool {
        let same = self.uid == progress.uid && self.number == progress.run;
        same && self.desired == Desired::Run && self.resumptions <= progress.resumptions
    }
}
