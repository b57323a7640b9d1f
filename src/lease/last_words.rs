//! Releases the Lease in the name of a holder that died. The process that does so knows that nothing of the
//! holder runs any more.
//!
//! # Guarantees
//! It releases only a Lease that the dead holder still holds, because an identity belongs to one process
//! alone. If an acquisition of the dead holder may still be stored, it waits for that, and takes the start
//! back.

use std::time::Duration;

use kube::Config;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use super::clock;
use super::elector::Candidate;
pub use super::elector::Remains;
use super::store::{self, Event, Place, Store};

/// Short, for the whole attempt is: the container is about to end.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

/// Releases the Lease, unless it is no longer the dead candidate's. Tries again until that is certain: it is
/// for the caller to limit it.
///
/// # Errors
/// Where `config` cannot be made into a client: bad certificates or credentials.
pub async fn speak(
    config: Config,
    place: Place<'_>,
    dead: &Candidate,
    remains: Remains,
) -> Result<(), kube::Error> {
    let (sender, mut events) = unbounded_channel();
    let mut store = Store::open(store::unchanging(config), place, sender)?;
    store.read(REQUEST_DEADLINE);
    while let Some(event) = events.recv().await {
        match event {
            Event::Read(Ok(lease)) => {
                let record = store.remember(lease, false).ok();
                let write = record.as_ref().and_then(|record| remains.release(record, dead, clock::now()));
                match write {
                    Some(write) => store.put(0, &write, REQUEST_DEADLINE),
                    None if record.is_none_or(|record| remains.is_settled_by(&record)) => return Ok(()),
                    None => {
                        sleep(BETWEEN_ATTEMPTS).await;
                        store.read(REQUEST_DEADLINE);
                    }
                }
            }
            Event::Read(Err(store::Failure::NotFound)) | Event::Written { result: Ok(_), .. } => {
                return Ok(());
            }
            Event::Read(Err(_)) | Event::Written { result: Err(_), .. } => {
                sleep(BETWEEN_ATTEMPTS).await;
                store.reconnect();
                store.read(REQUEST_DEADLINE);
            }
            // Only what was read is a base for a write.
            Event::Watched(_) | Event::Deleted(_) => {}
        }
    }
    Ok(())
}
