//! What the controller reports of the Lease: its holder, its token and its timing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
