//! The `released` report: the mark of a holder that has given the Lease back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::identity::{Identity, Version};
use super::exit::Exit;
use super::reason::Reason;

/// The Lease was given back by a holder whose workload is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// Which Lease; a recreated one is another.
    pub lease_uid: String,
    /// `spec.renewTime` of this same write: the mark means nothing after any other.
    pub renew_time: Option<Timestamp>,
    /// The renewTime of the tenure that ended, where another process gave it back some time after its death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_renew_time: Option<Timestamp>,
    /// Who gave it back.
    pub by: Identity,
    /// Why.
    pub reason: Reason,
    /// The fencing token of the tenure that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Version>,
    /// How the workload ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether it was ended because its liveness probe failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhealthy: bool,
    /// Whether the workload had become ready in this tenure, as far as the holder had said so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
}

impl Released {
    /// The mark of a Lease that `by` has just created, and that no candidate has ever held.
    pub fn created(lease_uid: impl Into<String>, by: Identity) -> Self {
        Self {
            lease_uid: lease_uid.into(),
            renew_time: None,
            last_renew_time: None,
            by,
            reason: Reason::Created,
            token: None,
            exit: None,
            unhealthy: false,
            ready: false,
        }
    }

    /// Whether the workload asked for it by its exit code.
    pub fn hands_over(&self) -> bool {
        self.reason == Reason::WorkloadSucceeded && self.exit == Some(Exit::HAND_OVER)
    }
}
