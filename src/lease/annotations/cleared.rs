//! The `cleared` directive: the controller confirms that a silent holder is gone.

use serde::{Deserialize, Serialize};

use super::super::identity::Identity;

/// Confirms that the holder that it names is gone for good. If the policy asks for a clearance, the expired
/// lease of that holder may be taken only with it. It frees nothing sooner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleared {
    /// Which Lease; a recreated one is another.
    pub lease_uid: String,
    /// The holder that is meant, and no other; `None` for a Lease that was emptied by a client that is no
    /// candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Identity>,
}
