//! Remembers which status the controller has written, until the cache shows it.
//!
//! A reconciliation that begins before that reads the status before. If it finds that one right, it writes
//! nothing, and no event tells it that the API server has another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lease::identity::Version;

/// How long the controller remembers a write. The cache has it by then, unless its watch is interrupted.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// By namespace and name of each SingletonJob, the version that the last status was written over, and when.
#[derive(Default)]
pub struct StatusWrites(Mutex<HashMap<(String, String), (Version, Instant)>>);

impl StatusWrites {
    /// Remembers that the status of `key` was written over its version `base`.
    pub(super) fn note(&self, key: (String, String), base: Version, now: Instant) {
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writes.retain(|_, (_, at)| *at + FORGOTTEN > now);
        writes.insert(key, (base, now));
    }

    /// Whether the version `read` of `key` is older than the status that the controller has written.
    pub(super) fn is_ahead_of(&self, key: &(String, String), read: Option<Version>, now: Instant) -> bool {
        let writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writes.get(key).zip(read).is_some_and(|((base, at), read)| *at + FORGOTTEN > now && read <= *base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> (String, String) {
        ("shop".to_owned(), name.to_owned())
    }

    #[test]
    fn a_status_is_ahead_of_the_version_that_it_was_written_over() {
        let (writes, now) = (StatusWrites::default(), Instant::now());
        assert!(!writes.is_ahead_of(&key("web"), Some(Version(7)), now), "nothing was written");
        writes.note(key("web"), Version(7), now);
        let is_ahead_of = |version| writes.is_ahead_of(&key("web"), Some(Version(version)), now);
        assert_eq!([is_ahead_of(6), is_ahead_of(7), is_ahead_of(8)], [true, true, false]);
        assert!(!writes.is_ahead_of(&key("job"), Some(Version(7)), now));
    }

    #[test]
    fn writes_of_long_ago_are_forgotten() {
        let (writes, now) = (StatusWrites::default(), Instant::now());
        writes.note(key("gone"), Version(7), now);
        writes.note(key("web"), Version(9), now + FORGOTTEN);
        assert!(!writes.is_ahead_of(&key("gone"), Some(Version(7)), now));
        assert!(writes.is_ahead_of(&key("web"), Some(Version(9)), now + FORGOTTEN));
        assert!(
            !writes.is_ahead_of(&key("web"), Some(Version(9)), now + 2 * FORGOTTEN),
            "nothing else was noted"
        );
    }
}
