//! What status keeps of the past, newest first: how runs ended, and how the Lease changed hands.

pub mod finished_runs;
pub mod takeovers;
