//! What the controller is told by its environment.

/// Where the agent comes from; the same for all candidate pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Image that contains `singletonjob-agent`.
    pub image: String,
    /// `imagePullPolicy` of the init container; none for Kubernetes' default.
    pub pull_policy: Option<String>,
    /// Added to the `imagePullSecrets` of every candidate pod.
    pub pull_secrets: Vec<String>,
}
