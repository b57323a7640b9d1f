//! What the controller is told by its environment.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};

/// Where the agent comes from, and how it is installed; the same for all candidate pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// Image that contains `singletonjob-agent`.
    pub image: String,
    /// `imagePullPolicy` of the init container; none for Kubernetes' default.
    pub pull_policy: Option<String>,
    /// Added to the `imagePullSecrets` of every candidate pod.
    pub pull_secrets: Vec<String>,
    /// What the init container asks for; none for what the gated container asks for.
    pub installer_resources: Option<ResourceRequirements>,
    /// The init container's; none for what the restricted Pod Security Standard asks.
    pub installer_security_context: Option<SecurityContext>,
}
