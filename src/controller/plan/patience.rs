//! Defines how long a service may be without a holder before the controller calls that a failure.

use std::time::Duration;

use super::policy::timing;
use crate::api::SingletonJob;
use crate::lease::timing::Timing;

/// How long the controller waits for a holder after the lease has expired.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The lease duration of `job`, and [`PATIENCE`] after it.
pub fn patience(job: &SingletonJob) -> Duration {
    timing(job).map_or(PATIENCE, patience_with)
}

/// The lease duration, and [`PATIENCE`] after it.
pub fn patience_with(timing: Timing) -> Duration {
    timing.lease_duration() + PATIENCE
}
