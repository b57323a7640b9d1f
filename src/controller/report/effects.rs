//! What the controller did, as far as a report says it.

use crate::controller::apply::Applied;
use crate::controller::refusals::Refused;

/// What status says of the requests that the controller made.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    /// Whether the new Lease names an earlier holder. `None` if the controller created no Lease.
    pub(super) lease_created: Option<bool>,
    /// Whether the Lease contains the plan's directives. If it does not, status says only what the Lease
    /// says.
    pub(super) stored: bool,
    /// The highest candidate number that the controller has tried.
    pub(super) last_number: Option<i64>,
    /// What the API server refuses.
    pub(super) refused: Vec<Refused>,
    /// Why the API server fails to serve the rest.
    pub(super) failed: Option<String>,
}

impl From<Applied> for Effects {
    fn from(applied: Applied) -> Self {
        // Pods that the controller created are among the observed candidates. Those that it deleted show there as
        // soon as its watch sees them.
        let Applied {
            lease_created,
            directives_stored: stored,
            handover: _,
            labels_restored: _,
            failed_pods: _,
            created: _,
            deleted: _,
            sidecars_stopped: _,
            last_number,
            refused,
            failed,
            foreign: _,
            earlier: _,
            seal: _,
        } = applied;
        Self { lease_created, stored, last_number, refused, failed }
    }
}
