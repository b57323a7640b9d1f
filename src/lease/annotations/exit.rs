//! How a workload ended, as the releases and the ends of runs tell it.

use serde::{Deserialize, Serialize};

/// How a workload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The exit code by which the workload of a service asks for a handover while it is well.
    pub const HAND_OVER: Self = Self::Code(120);

    /// As a shell would report it: a signal as 128 + its number.
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }

    /// Whether the workload did what it was to do.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}
