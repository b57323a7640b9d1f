//! Who of the candidates should hold, and when the holder should be asked to hand over.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `unreadyHolder.afterSeconds` where it is left out.
pub const DEFAULT_UNREADY_SECONDS: i32 = 60;

/// Who should hold, and when it changes hands although the holder could go on.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakeoverPolicy {
    /// Which nodes are the better places, as in a pod's preferred node affinity: the weights of all terms that match a node are added up,
    /// and of several ready standbys the one on the node with the highest sum takes over. It decides between standbys, not where pods are
    /// scheduled: for that, give the template a node affinity too. The very first start goes to whoever is ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub preferred_nodes: Vec<PreferredNode>,

    /// Whether a holder hands over to a ready standby on a node that `preferredNodes` prefers to its own. `Never`: it stays where it is.
    /// `WhenAvailable`: it hands over, at the earliest 60 s after it took over; 10 minutes where it took over because the one before was
    /// unready; not at all where it took over on request. Only with `completionPolicy: Never`. Defaults to `Never`.
    #[serde(default)]
    pub failback: Failback,

    /// What happens when the pod that holds is not ready, although its lease is in order and its workload runs.
    #[serde(default)]
    pub unready_holder: UnreadyHolder,
}

/// Whether a holder gives way to a better placed standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Failback {
    /// The holder stays.
    #[default]
    Never,
    /// The holder hands over as soon as a better placed standby is ready.
    WhenAvailable,
}

/// What happens when the pod that holds is not ready.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreadyHolder {
    /// `Keep`: it goes on. `HandOver`: it hands over to a ready standby, if there is one; only with `completionPolicy: Never`. Defaults to
    /// `Keep`.
    #[serde(default)]
    pub policy: UnreadyPolicy,

    /// How long the holder's pod has to be not ready, counted at the earliest from when it took over. After such a handover, the next one
    /// for this reason waits 60 s longer than that: two bad pods do not play tennis. Defaults to 60.
    #[serde(default = "default_unready_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub after_seconds: i32,
}

/// Whether an unready holder hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnreadyPolicy {
    /// It goes on.
    #[default]
    Keep,
    /// It hands over to a ready standby.
    HandOver,
}

/// Some nodes, and how much they are preferred.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNode {
    /// How much a matching node is preferred, from 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,

    /// Which nodes match: those that meet all of its requirements. Without any, none does.
    pub preference: NodeSelectorTerm,
}

/// Requirements of a node, all of which it has to meet.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorTerm {
    /// Requirements by the node's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<NodeSelectorRequirement>,

    /// Requirements by the node's fields; the only one is `metadata.name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// One requirement of a node.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorRequirement {
    /// Name of the label, or of the field.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,

    /// How the node's value is compared with `values`.
    pub operator: NodeSelectorOperator,

    /// With `In` and `NotIn` at least one; with `Gt` and `Lt` one whole number; with `Exists` and `DoesNotExist` none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub values: Vec<NodeValue>,
}

/// What a node's label or field is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeValue(#[schemars(length(max = 253))] pub String);

/// How a node's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
