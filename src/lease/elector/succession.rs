//! Who takes a free Lease first: candidates acquire in a line, so that a takeover normally costs one PUT
//! however many stand by.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::annotations::Reason;
use super::super::identity::Identity;
use super::super::record::Record;

/// A little more than a PUT and a watch hop take: the next candidate sees that the one before was faster.
const STEP: Duration = Duration::from_millis(50);
/// How long the others leave a Lease that was handed over to the first in line: longer than its write takes
/// in a busy cluster, because the one that was asked for, on the better node, or of the new template is the
/// point of the handover.
const PRECEDENCE: Duration = Duration::from_secs(1);

/// How long this candidate lets others go first, once `record` may be replaced.
pub(super) fn delay(identity: &Identity, record: &Record, candidates: u32) -> Duration {
    let rank = rank(identity, record, candidates);
    let precedence = if rank > 0 && has_successor(record) { PRECEDENCE } else { Duration::ZERO };
    precedence + STEP * rank
}

/// Whether the Lease was given back in favour of the first in line.
fn has_successor(record: &Record) -> bool {
    let reason = record.annotations.released.as_ref().map(|released| released.reason);
    record.is_released()
        && reason.is_some_and(Reason::is_handover)
        && !record.annotations.succession.is_empty()
}

fn rank(identity: &Identity, record: &Record, candidates: u32) -> u32 {
    let line = &record.annotations.succession;
    let place = line.iter().position(|uid| Some(uid.as_str()) == identity.pod_uid());
    match place.and_then(|place| u32::try_from(place).ok()) {
        Some(place) => place,
        None => u32::try_from(line.len())
            .unwrap_or(u32::MAX)
            .saturating_add(own_rank(identity, record, candidates))
            .min(16),
    }
}

/// The rank changes at every takeover, so that no candidate is always last.
fn own_rank(identity: &Identity, record: &Record, candidates: u32) -> u32 {
    let standbys = u64::from(candidates.saturating_sub(1).max(1));
    let mut hasher = DefaultHasher::new();
    (identity, record.transitions).hash(&mut hasher);
    u32::try_from(hasher.finish() % standbys).unwrap_or(0)
}
