//! The `cleared` directive: the controller confirms that a silent holder is gone.

use serde::{Deserialize, Serialize};

use super::super::identity::Identity;

/// The holder that this names is gone for good: its expired lease may be taken where the policy asks for
/// that. It frees nothing sooner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleared {
    /// Which Lease; a recreated one is another.
    pub lease_uid: String,
    /// Any other holder is not meant; none for a Lease that was emptied by a client that is no candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Identity>,
}
