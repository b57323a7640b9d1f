//! When another candidate takes over.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// On a SingletonJob: a person says that this holder is gone for good. A pod's name, or a whole `holderIdentity`.
pub const CLEARED_HOLDER: &str = "singletonjob.dev/cleared-holder";

/// When another candidate takes over. What is left out is as with any Lease: when the lease has passed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Takeover {
    /// What is done about a holder that fell silent without giving the Lease back: its node is cut off, has lost power, or hangs.
    #[serde(default)]
    pub unreachable_holder: UnreachableHolder,
}

/// What is done about a holder that fell silent. Its own agent has killed the workload before its lease ends, whatever is written here; this
/// is for those who want to hear it from somebody else too, or whose effects are still on their way.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreachableHolder {
    /// What a takeover waits for, after the lease. `AfterLeaseExpiry`: nothing more. `AfterPodGone`: until the containers of the holder's pod
    /// are reported as terminated, the pod is gone, or its node has the taint `node.kubernetes.io/out-of-service`. `Manual`: until a person
    /// names the holder's pod in the annotation `singletonjob.dev/cleared-holder`. Defaults to `AfterLeaseExpiry`.
    #[serde(default)]
    pub policy: UnreachableHolderPolicy,

    /// How much longer than its lease a silent holder is waited for: for effects that it has sent and that have not arrived. Defaults to 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub delay_seconds: i32,
}

/// What the takeover of a silent holder waits for, after its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UnreachableHolderPolicy {
    /// Nothing more.
    #[default]
    AfterLeaseExpiry,
    /// The cluster says that its pod runs nothing any more.
    AfterPodGone,
    /// A person says so.
    Manual,
}
