//! The `finished` report: how a run ended that will not be run again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::identity::{Identity, Version};
use super::exit::Exit;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The workload exited 0.
    Succeeded,
    /// No further attempt is allowed.
    Failed,
}

/// A run that will not be run again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// The SingletonJob's uid.
    pub uid: String,
    /// Which run.
    pub run: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// One `CamelCase` word, as in batch/v1: `Completed`, `BackoffLimitExceeded`, `DeadlineExceeded`,
    /// `FailurePolicy`.
    pub reason: String,
    /// Of the last attempt; none where that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether the last attempt was ended because its liveness probe failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhealthy: bool,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// Of the last attempt; none where that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Version>,
    /// The candidate that recorded the end: as a rule, the one that ran the workload last.
    pub by: Identity,
    /// On that one's clock.
    pub start_time: Option<Timestamp>,
    /// On that one's clock.
    pub completion_time: Timestamp,
}
