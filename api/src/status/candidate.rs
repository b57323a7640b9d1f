//! What the controller reports of each candidate pod: its node, and its role.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
