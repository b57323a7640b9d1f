//! Releases the Lease in the name of a holder that died. The process that does so knows that nothing of the
//! holder runs any more.
//!
//! # Guarantees
//! It releases only a Lease that the dead holder still holds, because an identity belongs to one process
//! alone. If an acquisition of the dead holder may still be stored, it waits for that, and takes the start
//! back.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Config;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use super::clock;
use super::elector::Candidate;
pub use super::elector::Orphan;
use super::store::{self, Event, Failure, Place, Store};

/// Short, because the whole release is: the container is about to end.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

/// Releases the Lease, unless it is no longer the dead candidate's. Tries again until that is certain: the
/// caller limits it.
///
/// # Errors
/// If `config` cannot be made into a client: bad certificates or credentials.
pub async fn release(
    config: Config,
    place: Place<'_>,
    dead: &Candidate,
    orphan: Orphan,
) -> Result<(), kube::Error> {
    let (sender, mut events) = unbounded_channel();
    let mut store = Store::open(store::unchanging(config), place, sender)?;
    store.read(REQUEST_DEADLINE);
    while let Some(event) = events.recv().await {
        match next(&mut store, event, dead, orphan) {
            Next::Wait => {}
            Next::Read => {
                sleep(BETWEEN_ATTEMPTS).await;
                store.read(REQUEST_DEADLINE);
            }
            Next::Reconnect => {
                sleep(BETWEEN_ATTEMPTS).await;
                store.reconnect();
                store.read(REQUEST_DEADLINE);
            }
            Next::Done => return Ok(()),
        }
    }
    Ok(())
}

/// What follows an event.
enum Next {
    /// A request is under way, or the event says nothing.
    Wait,
    /// The Lease may still change in the name of the dead holder.
    Read,
    /// A request has failed.
    Reconnect,
    /// Nothing is left to release.
    Done,
}

fn next(store: &mut Store, event: Event, dead: &Candidate, orphan: Orphan) -> Next {
    match event {
        Event::Read(Ok(lease)) => give_back(store, lease, dead, orphan),
        Event::Read(Err(Failure::NotFound)) | Event::Written { result: Ok(_), .. } => Next::Done,
        Event::Read(Err(_)) | Event::Written { result: Err(_), .. } => Next::Reconnect,
        // Only what was read is a base for a write.
        Event::Watched(_) | Event::Deleted(_) => Next::Wait,
    }
}

fn give_back(store: &mut Store, lease: Lease, dead: &Candidate, orphan: Orphan) -> Next {
    let Ok(record) = store.remember(lease, false) else { return Next::Done };
    match orphan.release(&record, &dead.identity, clock::now()) {
        Some(write) => {
            store.put(0, &write, REQUEST_DEADLINE);
            Next::Wait
        }
        None if orphan.is_settled_by(&record) => Next::Done,
        None => Next::Read,
    }
}
