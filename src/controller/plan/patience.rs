//! How long a service may be without a holder before that is called a failure.

use std::time::Duration;

use super::policy::timing;
use crate::api::SingletonJob;

/// After the lease.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The lease, and [`PATIENCE`] after it.
pub fn patience(job: &SingletonJob) -> Duration {
    timing(job).map_or(Duration::ZERO, |timing| timing.lease_duration()) + PATIENCE
}
