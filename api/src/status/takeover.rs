//! What the controller reports of takeovers: from which pod to which, and why.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
