//! The `spread` annotation: what the controller has tried to have candidates on several nodes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// While all candidates are on one node: how often the controller has made one more, and when last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How often.
    pub tries: u32,
    /// By the controller's time of day.
    pub last: Timestamp,
}
