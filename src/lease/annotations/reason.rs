//! Why a Lease is given back: the reasons that requests, releases and reports share.

use serde::{Deserialize, Serialize};

/// Why a Lease was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Made new by the controller, with no candidate there that could hold it.
    Created,
    /// Asked for.
    Handover,
    /// The holder's pod has not been ready for too long.
    Unready,
    /// A standby is ready on a better node.
    Failback,
    /// The holder's pod is of an old template.
    RolledOut,
    /// The holder's pod is ending.
    Drain,
    /// The workload ended by itself, with success, or asked for another holder.
    WorkloadSucceeded,
    /// The workload ended by itself, without success, or could not be started.
    WorkloadFailed,
    /// Nothing should run.
    Stopped,
    /// The holder could not renew in time and stopped before its lease ended.
    LeaseLost,
    /// The holder's elector died; its PID 1 killed everything.
    ElectorDied,
}

impl Reason {
    /// Whether the holder gave way to a successor that stood ready.
    pub fn is_handover(self) -> bool {
        match self {
            Self::Handover | Self::Unready | Self::Failback | Self::RolledOut => true,
            Self::Created
            | Self::Drain
            | Self::WorkloadSucceeded
            | Self::WorkloadFailed
            | Self::Stopped
            | Self::LeaseLost
            | Self::ElectorDied => false,
        }
    }

    /// Whether a running workload is told to stop for this reason, which then neither succeeds nor fails by
    /// its exit.
    pub fn is_interruption(self) -> bool {
        match self {
            Self::Handover
            | Self::Unready
            | Self::Failback
            | Self::RolledOut
            | Self::Drain
            | Self::Stopped => true,
            Self::Created
            | Self::WorkloadSucceeded
            | Self::WorkloadFailed
            | Self::LeaseLost
            | Self::ElectorDied => false,
        }
    }
}
