//! Which candidates a Service routes to.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the pod of a standby says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum StandbyReadiness {
    /// It is ready when it could take over.
    #[default]
    Ready,
    /// It is not ready: only the pod whose workload runs is.
    NotReady,
}
