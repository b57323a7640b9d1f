//! The `handover` directive: the controller asks a holder to give way to a standby.

use serde::{Deserialize, Serialize};

use super::super::identity::Identity;
use super::reason::Reason;

/// Please stop and release, you in particular.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// Which request this is.
    pub id: String,
    /// Any other holder ignores it.
    pub holder: Identity,
    /// Passed on into the release.
    pub reason: Reason,
}
