//! Removes Leases that have outlived their SingletonJob.
//!
//! Such a Lease tells the next SingletonJob of that name which process may still run. The controller removes
//! it when none can: its holder has released it, or it has expired on this controller's own clock.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use super::api_call::{Failure, with_deadline};
use super::apply;
use super::observe::lease_observations::{LeaseObservations, Observation};
use super::observe::{Caches, is_ours};
use crate::api::SingletonJob;
use crate::lease::clock;
use crate::lease::record::Record;

/// The pause between two rounds over all Leases.
const ROUND: Duration = Duration::from_secs(5);

/// Removes such Leases, for ever.
pub async fn collect_leases(client: Client, caches: Caches, lease_observations: Arc<LeaseObservations>) {
    loop {
        sleep(ROUND).await;
        for known in caches.leases.all() {
            let lease = &known.0;
            if let Err(failure) = remove_if_orphaned(&client, &caches, &lease_observations, lease).await {
                tracing::warn!(%failure, "the controller cannot remove the Lease of a SingletonJob that is gone, and tries again");
            }
        }
    }
}

/// Removes `lease` if its SingletonJob is gone and no process of it can run. The API server confirms that the
/// SingletonJob is gone, because the cache may be stale.
async fn remove_if_orphaned(
    client: &Client,
    caches: &Caches,
    lease_observations: &LeaseObservations,
    lease: &Lease,
) -> Result<(), Failure> {
    let (namespace, name) = (lease.namespace().unwrap_or_default(), lease.name_any());
    if !is_ours(lease, &name) || caches.jobs.get(&ObjectRef::new(&name).within(&namespace)).is_some() {
        return Ok(());
    }
    let Ok(record) = Record::read(lease) else { return Ok(()) };
    let look = lease_observations.observation(&namespace, &name, &record, clock::now().at);
    let jobs: Api<SingletonJob> = Api::namespaced(client.clone(), &namespace);
    if is_over(&record, &look)
        && with_deadline("looking for SingletonJob", &name, jobs.get_metadata_opt(&name)).await?.is_none()
    {
        tracing::info!(namespace, name, "the controller removes the Lease of a SingletonJob that is gone");
        apply::lease::remove(client, lease).await?;
    }
    Ok(())
}

/// Whether no process can run that held the Lease: the Lease is released, or unchanged for the longest
/// duration that its holder may go by.
fn is_over(record: &Record, look: &Observation) -> bool {
    let directed = record
        .annotations
        .policy
        .as_ref()
        .map_or(Duration::ZERO, |policy| Duration::from_secs(u64::from(policy.lease_duration_seconds)));
    record.is_released() || look.unchanged >= record.lease_duration.max(directed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(holder: &str) -> Record {
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
        }))
        .expect("a Lease");
        Record::read(&lease).expect("a record")
    }

    fn after(seconds: u64) -> Observation {
        Observation { unchanged: Duration::from_secs(seconds), ..Observation::default() }
    }

    #[test]
    fn a_lease_goes_only_when_nobody_can_still_be_running() {
        assert!(!is_over(&record("a_u_1"), &after(14)));
        assert!(is_over(&record("a_u_1"), &after(15)));
        assert!(!is_over(&record(""), &after(14)), "emptied by an unknown client");
    }
}
