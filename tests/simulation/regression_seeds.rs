//! Seeds that are worth an hour at every run, each with the reason.
//!
//! What a seed plays changes with every change of the simulation itself. A bug that was found is therefore
//! kept as a scenario of its own as well, where one can be made; the seeds stay for as long as they do what
//! is said of them.

use crate::coverage::Coverage;

/// Seed, why it is kept, and how to see that it still does what it is kept for.
pub type RegressionSeed = (u64, &'static str, fn(&Coverage) -> bool);

pub const REGRESSION_SEEDS: [RegressionSeed; 4] = [
    (21, "a workload that cannot be killed: its agent gives up and leaves the Lease to expire", |seen| {
        seen.endings.contains_key("not everything could be killed")
    }),
    (9, "attempts are used up, again and again, under faults of every kind", |seen| {
        seen.outcomes.get("BackoffLimitExceeded").is_some_and(|count| *count > 2)
    }),
    (34, "an agent comes close to the bound within which a takeover must happen", |seen| seen.closest > 85),
    (23, "an agent is paused between its acquisition and the fork, and does not start", |seen| {
        seen.not_started > 0
    }),
];
