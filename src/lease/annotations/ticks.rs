//! The `ticks` annotation: the controller's account of a schedule.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::json::is_default;

/// What has become of the ticks of a schedule. It changes only together with [`Run`](super::Run), by
/// compare-and-swap: so a tick becomes at most one run, whichever controller looks, and however often.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticks {
    /// The SingletonJob's uid.
    pub uid: String,
    /// The schedule that they are of. Ticks of a changed schedule count from when the controller first saw
    /// it.
    pub schedule: String,
    /// The controller has decided about every tick up to this moment.
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
