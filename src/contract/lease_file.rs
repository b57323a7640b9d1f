//! The file `lease.json`, in which the agent publishes what its candidate knows of the Lease. The workload
//! and the agent's own probes read it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lease::identity::{Identity, Version};

/// What a candidate is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The candidate has not read its Lease yet, or not lately.
    Pending,
    /// The candidate waits.
    Standby,
    /// The candidate holds the Lease; the workload runs or is about to.
    Active,
    /// The workload was told to stop, or has ended.
    Stopping,
}

/// The content of [`paths::LEASE_FILE`](super::paths::LEASE_FILE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseFile {
    /// What this candidate is.
    pub role: Role,
    /// This candidate.
    pub identity: Identity,
    /// The candidate that holds the Lease, as far as this candidate knows.
    pub holder: Option<Identity>,
    /// The fencing token, while active.
    pub token: Option<Version>,
    /// Until when the tenure is proven, in nanoseconds of `CLOCK_BOOTTIME`, while active. The workload acts
    /// on nothing outside after that.
    pub valid_until_boottime_nanoseconds: Option<u64>,
    /// When the workload was started, in nanoseconds of `CLOCK_BOOTTIME`.
    pub started_boottime_nanoseconds: Option<u64>,
    /// The workload's first process, in the PID namespace of the container; `None` before the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_pid: Option<i32>,
    /// The tick whose run the workload is; `None` before the start, and if no schedule asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Timestamp>,
    /// Why the Lease cannot be read or renewed at the moment: address and class of error.
    pub trouble: Option<String>,
}
