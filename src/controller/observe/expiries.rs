//! Notices that a Lease has expired because no renewal arrived.
//!
//! Each held Lease has one timer. A renewal does not move it. When the timer fires, it is set anew for what is
//! left by then, so that a renewal costs nothing here, whatever the number of Leases.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::index::Key;

/// The timers of all held Leases.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    timers: Mutex<Timers>,
    /// Wakes the task that waits, because another timer is the first now.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Timers {
    armed: HashMap<Key, Instant>,
    /// The first is that of the next Lease. A timer that was replaced by a sooner one is still among these.
    first: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Expiries {
    /// Arms the timer of the Lease `key`, unless it fires sooner already, or nothing is `left` to wait for.
    pub(super) fn arm(&self, key: &Key, left: Option<Duration>) {
        if let Some(left) = left.filter(|left| !left.is_zero())
            && self.lock().arm(key, Instant::now() + left)
        {
            self.sooner.notify_one();
        }
    }

    /// Waits until a Lease has expired. `left` tells how long it has yet to go. `None` if no candidate holds
    /// it.
    pub(super) async fn next(&self, left: impl Fn(&Key) -> Option<Duration>) -> Key {
        loop {
            let first = self.lock().first_at();
            let Some(at) = first else {
                self.sooner.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.sooner.notified() => continue,
            }
            let fired = self.lock().take(Instant::now());
            if let Some(expired) = fired.and_then(|key| self.expired(key, &left)) {
                return expired;
            }
        }
    }

    /// The Lease whose timer has fired, if it has expired. Otherwise its timer is armed anew.
    fn expired(&self, key: Key, left: impl Fn(&Key) -> Option<Duration>) -> Option<Key> {
        let left = left(&key)?;
        if left.is_zero() {
            return Some(key);
        }
        self.lock().arm(&key, Instant::now() + left);
        None
    }

    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timers {
    /// Returns whether this timer is the first of all now.
    fn arm(&mut self, key: &Key, at: Instant) -> bool {
        if self.armed.get(key).is_some_and(|armed| *armed <= at) {
            return false;
        }
        self.armed.insert(key.clone(), at);
        let is_first = self.first_at().is_none_or(|first| at < first);
        self.first.push(Reverse((at, key.clone())));
        is_first
    }

    fn first_at(&self) -> Option<Instant> {
        self.first.peek().map(|Reverse((at, _))| *at)
    }

    /// Disarms and returns the first timer if it has fired. `None` also if it was replaced by a sooner one.
    fn take(&mut self, now: Instant) -> Option<Key> {
        if self.first_at()? > now {
            return None;
        }
        let Reverse((at, key)) = self.first.pop()?;
        if self.armed.get(&key) != Some(&at) {
            return None;
        }
        self.armed.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;

    fn key(name: &str) -> Key {
        ("shop".to_owned(), name.to_owned())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_expires_once_and_only_when_nothing_has_renewed_it() {
        let expiries = Expiries::default();
        let began = Instant::now();
        let ends = RefCell::new(HashMap::from([
            (key("web"), began + seconds(16)),
            (key("job"), began + seconds(20)),
        ]));
        let left = |key: &Key| Some(ends.borrow().get(key)?.saturating_duration_since(Instant::now()));
        expiries.arm(&key("job"), Some(seconds(20)));
        expiries.arm(&key("web"), Some(seconds(16)));
        ends.borrow_mut().insert(key("web"), began + seconds(30));
        expiries.arm(&key("web"), Some(seconds(30)));
        expiries.arm(&key("short"), Some(seconds(600)));
        ends.borrow_mut().insert(key("short"), began + seconds(10));
        expiries.arm(&key("short"), Some(seconds(10)));
        assert_eq!((expiries.next(left).await, began.elapsed()), (key("short"), seconds(10)));
        assert_eq!((expiries.next(left).await, began.elapsed()), (key("job"), seconds(20)));
        assert_eq!((expiries.next(left).await, began.elapsed()), (key("web"), seconds(30)));
        tokio::time::timeout(seconds(1000), expiries.next(left)).await.expect_err("all have expired");
    }

    #[tokio::test(start_paused = true)]
    async fn a_released_lease_does_not_expire_and_a_shorter_one_is_heard_of_at_once() {
        let expiries = Expiries::default();
        let began = Instant::now();
        expiries.arm(&key("released"), Some(seconds(600)));
        expiries.arm(&key("free"), None);
        let later = async {
            tokio::time::sleep(seconds(1)).await;
            expiries.arm(&key("web"), Some(seconds(6)));
            std::future::pending::<()>().await;
        };
        let left = |lease: &Key| (*lease == key("web")).then_some(Duration::ZERO);
        tokio::select! {
            expired = expiries.next(left) => assert_eq!((expired, began.elapsed()), (key("web"), seconds(7))),
            () = later => {}
        }
        tokio::time::timeout(seconds(1000), expiries.next(left)).await.expect_err("it was released");
    }
}
