//! Who takes a free Lease first: candidates acquire in a line, so that a takeover normally costs one PUT however many stand by.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::record::{Identity, Record};

/// A little more than a PUT and a watch hop take: whoever is next sees that the one before was faster.
const STEP: Duration = Duration::from_millis(50);

/// How long this candidate lets others go first, once `record` may be replaced.
pub(super) fn delay(identity: &Identity, record: &Record, candidates: u32) -> Duration {
    STEP * rank(identity, record, candidates)
}

fn rank(identity: &Identity, record: &Record, candidates: u32) -> u32 {
    let line = &record.notes.succession;
    let place = line.iter().position(|uid| Some(uid.as_str()) == identity.pod_uid());
    match place.and_then(|place| u32::try_from(place).ok()) {
        Some(place) => place,
        None => u32::try_from(line.len()).unwrap_or(u32::MAX).saturating_add(own_rank(identity, record, candidates)).min(16),
    }
}

/// Another one at every takeover: nobody is always last.
fn own_rank(identity: &Identity, record: &Record, candidates: u32) -> u32 {
    let standbys = u64::from(candidates.saturating_sub(1).max(1));
    let mut hasher = DefaultHasher::new();
    (identity, record.transitions).hash(&mut hasher);
    u32::try_from(hasher.finish() % standbys).unwrap_or(0)
}
