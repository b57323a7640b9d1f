//! How long the next start waits after setbacks in a row, as batch/v1 has it.

use std::time::Duration;

const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(6 * 60);
/// A workload that ran this long had no setback that says anything about the next start.
pub(super) const SOUND_RUN: Duration = Duration::from_secs(10 * 60);

/// How long the next start waits after this many setbacks in a row: a single crash is taken over at once, and
/// no candidate spins.
pub(super) fn backoff(setbacks: u32) -> Duration {
    match setbacks {
        0 | 1 => Duration::ZERO,
        more => FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(more - 2)).min(LONGEST_BACKOFF),
    }
}
