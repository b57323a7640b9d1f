//! The `handover` directive: the controller asks a holder to give way to a standby.

use serde::{Deserialize, Serialize};

use super::super::identity::Identity;
use super::reason::Reason;

/// Asks one holder to stop and to release the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// Which request this is.
    pub id: String,
    /// The holder that is asked; any other ignores it.
    pub holder: Identity,
    /// Why it is asked; the release repeats it.
    pub reason: Reason,
}
