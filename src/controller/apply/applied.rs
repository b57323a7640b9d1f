//! The record of what one application of a plan has done. Status and events are computed from it.

use crate::controller::observe::candidate::Candidate;
use crate::controller::refusals::Refused;
use crate::lease::annotations::{FailedPod, Handover};

/// What the controller has done. Only [`apply`](super) makes one, and the controller reports no status
/// without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Whether the new Lease names an earlier holder. `None` if the controller created no Lease.
    pub lease_created: Option<bool>,
    /// Whether the Lease contains the plan's directives.
    pub directives_stored: bool,
    /// The handover that the controller has just requested in the Lease.
    pub handover: Option<Handover>,
    /// Whether the controller has restored labels that the Lease had lost.
    pub labels_restored: bool,
    /// Pods that candidates were told to count as failures.
    pub failed_pods: Vec<FailedPod>,
    /// The pods that the controller created, as the API server answered.
    pub created: Vec<Candidate>,
    /// Names of the pods that the controller deleted.
    pub deleted: Vec<String>,
    /// Names of ended pods whose other containers the controller told to end.
    pub sidecars_stopped: Vec<String>,
    /// The highest candidate number that the controller has tried.
    pub last_number: Option<i64>,
    /// Requests that the API server refuses, including those that the controller does not repeat yet.
    pub refused: Vec<Refused>,
    /// Why the API server fails to serve the rest, if it has failed for a while.
    pub failed: Option<String>,
    /// Needed pod names that belong to another client's pods.
    pub foreign: Vec<String>,
    /// Needed pod names that pods of an earlier SingletonJob still have. The garbage collector removes those
    /// pods.
    pub earlier: Vec<String>,
    /// See [`Seal`].
    pub seal: Seal,
}

/// Proof that [`apply`](super) made the [`Applied`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal(());

impl Applied {
    /// Nothing done yet, and nothing to do.
    pub(super) fn nothing() -> Self {
        Self {
            lease_created: None,
            directives_stored: true,
            handover: None,
            labels_restored: false,
            failed_pods: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            sidecars_stopped: Vec::new(),
            last_number: None,
            refused: Vec::new(),
            failed: None,
            foreign: Vec::new(),
            earlier: Vec::new(),
            seal: Seal(()),
        }
    }
}
