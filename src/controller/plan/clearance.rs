//! Decides whether a silent holder is known to be gone, if the takeover policy requires that, and otherwise
//! why takeover waits.
//!
//! The controller only writes a directive into the Lease. Candidates heed it if their policy requires it.
//! They wait in any case until the lease has expired on their own clocks, because processes may outlive their
//! pod object.
//!
//! # Layout
//! [`silence`]: which holder fell silent. [`confirmation`]: what a user writes about it.

pub mod confirmation;
pub mod silence;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use std::time::Duration;

use super::super::observe::holder_pod::HolderPodState;
use super::super::observe::{Observed, ObservedLease};
use super::policy::{delay_seconds, unreachable_holder};
use crate::api::SingletonJob;
use crate::lease::annotations::{Cleared, UnreachableHolder};
use crate::lease::identity::Identity;
use silence::{silent, suspect};

/// Why no candidate may take over from a holder whose lease has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The pod of the holder may still run.
    PodNotGone {
        /// The pod whose end candidates wait for.
        pod: String,
        /// The node of that pod.
        node: Option<String>,
    },
    /// No user has confirmed that the holder is gone.
    AwaitingConfirmation {
        /// Who fell silent.
        holder: Identity,
        /// The annotation value that would confirm it.
        confirmation: String,
        /// The current annotation value.
        current: Option<String>,
    },
    /// The holder has not been silent for long enough.
    Delay {
        /// Who fell silent.
        holder: Identity,
        /// How long candidates wait after the lease has expired.
        delay: Duration,
    },
}

/// The silent holder whose pod the controller must look up. `None` if no decision depends on that pod.
pub fn in_question(job: &SingletonJob, observed: &Observed) -> Option<Identity> {
    let seen = silent(job, observed)?;
    let asked = unreachable_holder(job) == UnreachableHolder::AfterPodGone && !seen.record.is_cleared();
    asked.then(|| suspect(job, seen))
}

/// The confirmation that the silent holder is gone. `None` if the policy needs none, or if it is not known.
pub fn cleared(job: &SingletonJob, observed: &Observed) -> Option<Cleared> {
    let seen = silent(job, observed)?;
    let known = match unreachable_holder(job) {
        UnreachableHolder::AfterLeaseExpiry => return None,
        UnreachableHolder::AfterPodGone => {
            observed.holder_pod_state.as_ref().is_some_and(HolderPodState::is_over)
        }
        UnreachableHolder::Manual => confirmation::is_given(job, &suspect(job, seen)),
    };
    let record = &seen.record;
    (known || silence::was_never_held(job, seen))
        .then(|| Cleared { lease_uid: record.uid.clone(), holder: record.holder.clone() })
}

/// Why no candidate may take over yet. `None` if no holder is silent, or if nothing blocks.
pub fn block(job: &SingletonJob, observed: &Observed) -> Option<Block> {
    silent(job, observed).and_then(|seen| block_of(job, observed, seen))
}

/// Whether takeover waits until the cluster or a user confirms that the holder is gone, however long that
/// takes.
pub fn awaits_confirmation(job: &SingletonJob, observed: &Observed) -> bool {
    let block = block(job, observed).or_else(|| remembered_block(job, observed));
    matches!(block, Some(Block::PodNotGone { .. } | Block::AwaitingConfirmation { .. }))
}

/// What blocks takeover according to status, while this controller cannot tell yet. It has only begun to
/// watch the Lease, and has seen no sign of life.
pub fn remembered_block(job: &SingletonJob, observed: &Observed) -> Option<Block> {
    block_of(job, observed, silence::remembered(job, observed)?)
}

fn block_of(job: &SingletonJob, observed: &Observed, seen: &ObservedLease) -> Option<Block> {
    let is_clear = seen.record.is_cleared() || cleared(job, observed).is_some();
    let holder = suspect(job, seen);
    match unreachable_holder(job) {
        UnreachableHolder::AfterPodGone if !is_clear => Some(not_gone(&holder, observed)),
        UnreachableHolder::Manual if !is_clear => Some(awaiting_confirmation(job, holder)),
        _ => delayed(job, seen, holder),
    }
}

fn not_gone(holder: &Identity, observed: &Observed) -> Block {
    let (pod, node) = match &observed.holder_pod_state {
        Some(state) => (state.pod().unwrap_or(holder.pod()), state.node()),
        None => (holder.pod(), None),
    };
    Block::PodNotGone { pod: pod.to_owned(), node: node.map(str::to_owned) }
}

fn awaiting_confirmation(job: &SingletonJob, holder: Identity) -> Block {
    Block::AwaitingConfirmation {
        confirmation: confirmation::needed(job, &holder).to_owned(),
        current: confirmation::current(job).map(str::to_owned),
        holder,
    }
}

fn delayed(job: &SingletonJob, seen: &ObservedLease, holder: Identity) -> Option<Block> {
    let delay = Duration::from_secs(delay_seconds(job).into());
    let waits = seen.observation.unchanged < seen.record.lease_duration + delay;
    waits.then_some(Block::Delay { holder, delay })
}
