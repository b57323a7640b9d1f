//! The `health` report: how the holder fares.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::identity::Version;
use super::reason::Reason;

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
