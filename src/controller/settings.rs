//! Settings that the controller takes from its environment.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};

/// Where the agent comes from, and how it is installed; the same for all candidate pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// Image that contains `singletonjob-agent`.
    pub image: String,
    /// `imagePullPolicy` of the init container. `None` for Kubernetes' default.
    pub pull_policy: Option<String>,
    /// Added to the `imagePullSecrets` of every candidate pod.
    pub pull_secrets: Vec<String>,
    /// Resources of the init container. `None` for those of the gated container.
    pub installer_resources: Option<ResourceRequirements>,
    /// `securityContext` of the init container. `None` for what the restricted Pod Security Standard
    /// requires.
    pub installer_security_context: Option<SecurityContext>,
}
