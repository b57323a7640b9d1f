//! The `progress` report: the account of the current run, carried from tenure to tenure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::json::is_default;

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
    /// The next start comes no sooner than this after first sight.
    pub retry_after_seconds: u32,
    /// Whether the last start has no outcome yet.
    pub open: bool,
    /// When the first attempt of a run that can end began, on that holder's clock. `None` again once the run
    /// was stopped on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// How often the run had been resumed when this was last begun or taken over: see
    /// [`Run::resumptions`](super::Run::resumptions).
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
