//! Counts failures in a row, and decides when to try again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::controller::api_call::doubled;
use crate::controller::quote;

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How often in a row each SingletonJob could not be reconciled, by namespace and name.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<(String, String), Row>>);

#[derive(Default)]
struct Row {
    failures: u32,
    /// The message about them in status.
    told: Option<String>,
}

impl Failures {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the failures of a SingletonJob that was reconciled.
    pub(super) fn none(&self, key: &(String, String)) {
        self.lock().remove(key);
    }

    /// How often in a row it has failed.
    pub(super) fn in_a_row(&self, key: &(String, String)) -> u32 {
        self.lock().get(key).map_or(0, |row| row.failures)
    }

    /// The message of a failure for status. If the last message says the same, it stays, so that another try
    /// of the controller changes no status.
    pub(super) fn words(&self, key: (String, String), message: String) -> String {
        let mut rows = self.lock();
        let told = &mut rows.entry(key).or_default().told;
        match told {
            Some(told) if quote::is_the_same(told, &message) => told.clone(),
            _ => told.insert(message).clone(),
        }
    }

    /// Counts one more failure, and returns how long to wait before the next try.
    pub(super) fn one_more(&self, key: (String, String)) -> Duration {
        let mut failures = self.lock();
        let row = failures.entry(key).or_default();
        row.failures = row.failures.saturating_add(1);
        doubled(FIRST_RETRY, row.failures, LONGEST_RETRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_wait_longer_and_a_success_forgives_them() {
        let failures = Failures::default();
        let key = || ("shop".to_owned(), "web".to_owned());
        let waits: Vec<_> = (0..3).map(|_| failures.one_more(key()).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800]);
        assert_eq!((0..40).map(|_| failures.one_more(key())).max(), Some(LONGEST_RETRY));
        failures.none(&key());
        assert_eq!(failures.one_more(key()), FIRST_RETRY);
    }
}
