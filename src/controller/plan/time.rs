//! Converts durations of the API, and calculates what is left of them.

use std::time::Duration;

use jiff::Timestamp;

/// Converts an API field in seconds; a negative value counts as zero.
pub fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// What is left of a `wait` that began at `since`. All of it if `since` lies ahead, as it may by another
/// clock.
pub fn left(since: Timestamp, wait: Duration, now: Timestamp) -> Duration {
    wait.saturating_sub(Duration::try_from(now.duration_since(since)).unwrap_or_default())
}
