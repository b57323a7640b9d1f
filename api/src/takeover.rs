//! Who of the candidates should hold, when the holder should be asked to hand over, and when a silent one is
//! followed.

#[cfg(feature = "schema")]
use kube::KubeSchema;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// On a SingletonJob: a person says that this holder is gone for good. A pod's name, or a whole
/// `holderIdentity`.
pub const CLEARED_HOLDER: &str = "singletonjob.dev/cleared-holder";

/// `unreadyHolder.afterSeconds` where it is left out.
pub const DEFAULT_UNREADY_SECONDS: i32 = 60;

/// Who should hold, when it changes hands although the holder could go on, and what is waited for when the
/// holder fell silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct TakeoverPolicy {
    /// The controller ranks ready standbys by their nodes, as in a pod's preferred node affinity. It adds up
    /// the weights of all terms that match a node, and the standby with the highest sum takes over. The
    /// ranking decides between standbys, not where pods are scheduled: to schedule them, give the template a
    /// node affinity too. The candidate that is ready first makes the very first start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub preferred_nodes: Vec<PreferredNode>,

    /// The controller decides by this field whether a holder hands over to a ready standby on a node that
    /// `preferredNodes` prefers to its own. `Never`: the holder stays where it is. `WhenAvailable`: it hands
    /// over, at the earliest 60 s after it took over. It waits 10 minutes if it took over because the holder
    /// before was unready. It does not hand over if it took over on request. The API server accepts
    /// `WhenAvailable` only with `completionPolicy: Never`. Defaults to `Never`.
    #[serde(default)]
    pub failback: Failback,

    /// The controller follows this policy when the holder's pod is not ready although its lease is in order
    /// and the workload runs. A workload that has not become ready since its candidate took over counts as
    /// not ready.
    #[serde(default)]
    pub unready_holder: UnreadyHolder,

    /// Candidates follow this policy when a holder fell silent without giving the Lease back. Its node is cut
    /// off, has lost power, or hangs.
    #[serde(default)]
    pub unreachable_holder: UnreachableHolder,
}

/// Whether a holder gives way to a better placed standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Failback {
    /// The holder stays.
    #[default]
    Never,
    /// The holder hands over as soon as a better placed standby is ready.
    WhenAvailable,
}

/// What happens when the pod that holds is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnreadyHolder {
    /// The controller treats an unready holder by this policy. `Keep`: the holder goes on. `HandOver`: it
    /// hands over to a ready standby, if there is one. A holder of a new template hands back to a pod of the
    /// template before only once. The controller does not roll that new template out again by itself. The API
    /// server accepts `HandOver` only with `completionPolicy: Never`. Defaults to `Keep`.
    #[serde(default)]
    pub policy: UnreadyPolicy,

    /// The controller waits until the holder's pod has been not ready for this many seconds, counted at the
    /// earliest from when it took over. After such a handover, the next one for this reason waits 60 s longer
    /// than that. Two bad pods therefore do not pass the Lease back and forth. Defaults to 60.
    #[serde(default = "default_unready_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub after_seconds: i32,
}

/// Whether an unready holder hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum UnreadyPolicy {
    /// It goes on.
    #[default]
    Keep,
    /// It hands over to a ready standby.
    HandOver,
}

/// Candidates follow this policy when a holder fell silent. The holder's own agent has killed the workload
/// before its lease ends, whatever is written here. The policy is for users who want another confirmation
/// too, or whose effects are still on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnreachableHolder {
    /// A standby waits for this confirmation, after the lease, before it takes over from a silent holder.
    /// `AfterLeaseExpiry`: nothing more. `AfterPodGone`: until the workload's container is reported
    /// as terminated, the holder's pod is gone, or its node has the taint
    /// `node.kubernetes.io/out-of-service`. `Manual`: until a user names the holder's pod in the annotation
    /// `singletonjob.dev/cleared-holder`. Defaults to `AfterLeaseExpiry`.
    #[serde(default)]
    pub policy: UnreachableHolderPolicy,

    /// A standby waits this many seconds longer than the lease before it takes over from a silent holder.
    /// Effects that the holder has sent and that have not arrived get that time. Defaults to 0.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub delay_seconds: i32,
}

/// What the takeover of a silent holder waits for, after its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum UnreachableHolderPolicy {
    /// Nothing more.
    #[default]
    AfterLeaseExpiry,
    /// The cluster says that its pod runs nothing any more.
    AfterPodGone,
    /// A person says so.
    Manual,
}

/// Some nodes, and how much they are preferred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct PreferredNode {
    /// How much a matching node is preferred, from 1 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub weight: i32,

    /// The term matches the nodes that meet all of its requirements. A term without requirements matches no
    /// node.
    pub preference: NodeSelectorTerm,
}

/// Requirements of a node, all of which it has to meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorTerm {
    /// Requirements by the node's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub match_expressions: Vec<NodeSelectorRequirement>,

    /// Requirements by the node's fields; the only one is `metadata.name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// One requirement of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorRequirement {
    /// Name of the label, or of the field.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 317)))]
    pub key: String,

    /// How the node's value is compared with `values`.
    pub operator: NodeSelectorOperator,

    /// The controller compares the node's label or field with these values. `In` and `NotIn` need at least
    /// one value, `Gt` and `Lt` one whole number, `Exists` and `DoesNotExist` none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub values: Vec<NodeValue>,
}

/// What a node's label or field is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(transparent)]
pub struct NodeValue(#[cfg_attr(feature = "schema", schemars(length(max = 253)))] pub String);

/// How a node's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum NodeSelectorOperator {
    /// It is one of the values.
    In,
    /// It is none of the values, or the node has none.
    NotIn,
    /// The node has one.
    Exists,
    /// The node has none.
    DoesNotExist,
    /// It is a whole number, and greater.
    Gt,
    /// It is a whole number, and less.
    Lt,
}

impl Default for UnreadyHolder {
    fn default() -> Self {
        Self { policy: UnreadyPolicy::default(), after_seconds: DEFAULT_UNREADY_SECONDS }
    }
}

fn default_unready_seconds() -> i32 {
    DEFAULT_UNREADY_SECONDS
}
