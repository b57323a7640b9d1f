//! The annotations in which the controller and the candidates speak to each other through their Lease.
//!
//! The controller writes *directives* and candidates write *reports*. Candidates remove a request to hand
//! over and a clearance once they are done with, and the controller marks a Lease that it has made as free.
//! An annotation that does not parse is kept as it is, reported, and treated as absent: its writer is of
//! another version or no part of this protocol.
//!
//! # Layout
//! - Directives: [`Policy`], [`Run`], [`Handover`] and [`Cleared`] have a file each.
//! - The controller's own: [`Ticks`], [`Spread`].
//! - Reports: [`Progress`], [`Released`], [`Finished`], [`Health`]; what they share is [`Reason`] and
//!   [`Exit`].
//! - [`keys`] has the names, `json` their form.

mod cleared;
mod exit;
mod finished;
mod handover;
mod health;
mod json;
pub mod keys;
mod policy;
mod progress;
mod reason;
mod released;
mod run;
mod spread;
mod ticks;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

pub use cleared::Cleared;
pub use exit::Exit;
pub use finished::{Finished, Outcome};
pub use handover::Handover;
pub use health::Health;
pub use json::{write, write_if_some};
pub use policy::{
    CompletionPolicy, FailureAction, FailurePolicy, FailureRule, Operator, Policy, UnreachableHolder,
};
pub use progress::{MOST_TENANTS, Progress, Provisional, Tenant};
pub use reason::Reason;
pub use released::Released;
pub use run::{Desired, FailedPod, Run};
pub use spread::Spread;
pub use ticks::Ticks;

/// All annotations of the protocol, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Annotations {
    /// Directive: what candidates obey.
    pub policy: Option<Policy>,
    /// Directive: what should be run.
    pub run: Option<Run>,
    /// Directive: the holder is asked to stop and to release.
    pub handover: Option<Handover>,
    /// Directive: the holder is gone for good.
    pub cleared: Option<Cleared>,
    /// Directive: pod uids in the order in which they should take over; empty where candidates rank
    /// themselves.
    pub succession: Vec<String>,
    /// The controller's own: the last request to hand over that was granted, written together with its
    /// [`Handover`].
    pub handled_request: Option<String>,
    /// The controller's own: the hash of the template whose holder was asked to hand back to one of the
    /// template before, because its workload was not ready. Written together with that [`Handover`], so that
    /// it is asked once.
    pub handed_back: Option<String>,
    /// The controller's own: what it has tried to have candidates on several nodes.
    pub spread: Option<Spread>,
    /// The controller's own: what has become of the ticks of a schedule, written together with its [`Run`].
    pub ticks: Option<Ticks>,
    /// Report: how the current run goes.
    pub progress: Option<Progress>,
    /// Report: the Lease was given back, the workload being gone.
    pub released: Option<Released>,
    /// Report: how a run ended.
    pub finished: Option<Finished>,
    /// Report: how the holder fares.
    pub health: Option<Health>,
}

impl Annotations {
    /// Decodes `annotations`. An annotation that cannot be read is left out.
    pub fn read(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let Some(annotations) = annotations else { return Self::default() };
        Self {
            policy: read(annotations, keys::POLICY),
            run: read(annotations, keys::RUN),
            handover: read(annotations, keys::HANDOVER),
            cleared: read(annotations, keys::CLEARED),
            succession: read(annotations, keys::SUCCESSION).unwrap_or_default(),
            handled_request: read(annotations, keys::HANDLED_REQUEST),
            handed_back: read(annotations, keys::HANDED_BACK),
            spread: read(annotations, keys::SPREAD),
            ticks: read(annotations, keys::TICKS),
            progress: read(annotations, keys::PROGRESS),
            released: read(annotations, keys::RELEASED),
            finished: read(annotations, keys::FINISHED),
            health: read(annotations, keys::HEALTH),
        }
    }
}

fn read<T: DeserializeOwned>(annotations: &BTreeMap<String, String>, key: &str) -> Option<T> {
    let text = annotations.get(key)?;
    serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!(key, %error, "cannot read an annotation of the Lease"))
        .ok()
}
