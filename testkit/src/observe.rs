//! Waiting for what should happen, with a deadline for everything.

use std::fmt::Debug;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use singletonjob::lease::clock;
use tokio::time::{sleep, timeout};

use crate::witness::{Records, Tenure};

/// Between two looks at what has no events: files and processes.
const LOOK: Duration = Duration::from_millis(5);

/// `CLOCK_BOOTTIME`, in which every witness counts.
pub fn now() -> Duration {
    clock::now().at.boot
}

/// When `time`, written by a process of this machine, was in `CLOCK_BOOTTIME`.
///
/// # Panics
/// Where it was before the machine was booted.
pub fn boot_time(time: Timestamp) -> Duration {
    let now = clock::now();
    let age = now.wall.duration_since(time);
    now.at.boot.checked_sub(age.try_into().expect("a time in the past")).expect("a time since boot")
}

/// Waits until an object satisfies `condition`, which gets `None` while there is none; returns what satisfied
/// it.
///
/// The watch outlives what breaks it: scenarios stop API servers.
///
/// # Panics
/// When `deadline` passes first, with the last that was seen.
#[track_caller]
pub fn await_object<K, C>(
    api: Api<K>,
    name: &str,
    what: &str,
    deadline: Duration,
    mut condition: C,
) -> impl Future<Output = Option<K>>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
    C: FnMut(Option<&K>) -> bool,
{
    let (name, what) = (name.to_owned(), what.to_owned());
    async move {
        let mut last = None;
        let wait = async {
            let mut events = pin!(watcher::watch_object(api, &name).default_backoff());
            loop {
                if let Ok(Some(seen)) = events.try_next().await {
                    let met = condition(seen.as_ref());
                    last.clone_from(&seen);
                    if met {
                        return seen;
                    }
                }
            }
        };
        let met = timeout(deadline, wait).await.ok();
        met.unwrap_or_else(|| panic!("{name}: {what}: not within {deadline:?}; last seen: {last:#?}"))
    }
}

/// Looks again and again until `look` finds something.
///
/// # Panics
/// When `deadline` passes first.
pub async fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(LOOK).await;
        }
    };
    timeout(deadline, search).await.unwrap_or_else(|_| panic!("{what}: not within {deadline:?}"))
}

/// What the witnesses have said so far.
///
/// # Panics
/// Where a record is broken.
pub fn read_records(records: &Path) -> Records {
    Records::read(records).expect("readable records")
}

/// Waits until workloads were started `number` times in all, and returns the last.
///
/// # Panics
/// When `deadline` passes first.
pub async fn await_tenure(records: &Path, number: usize, deadline: Duration) -> Tenure {
    let nth = || read_records(records).tenures().into_iter().nth(number - 1);
    eventually(&format!("start number {number} of the workload"), deadline, nth).await
}

/// The tenure of this token as it is now known.
///
/// # Panics
/// Where there is none.
pub fn tenure(records: &Path, token: u128) -> Tenure {
    let tenures = read_records(records).tenures();
    tenures
        .into_iter()
        .find(|tenure| tenure.token == token)
        .unwrap_or_else(|| panic!("no record of token {token}"))
}

/// Watches for `time` that no workload is started but the `number` that were.
///
/// # Panics
/// Where one is.
pub async fn nothing_starts(records: &Path, number: usize, time: Duration) {
    sleep(time).await;
    let tenures = read_records(records).tenures();
    assert_eq!(tenures.len(), number, "nothing more should have been started: {tenures:#?}");
}
