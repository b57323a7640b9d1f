//! Settings that the controller takes from its environment.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};

/// Where the agent comes from, and how it is installed. All candidate pods share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// The image that contains `singletonjob-agent`.
    pub image: String,
    /// `imagePullPolicy` of the init container. `None` for Kubernetes' default.
    pub pull_policy: Option<String>,
    /// Names that the controller adds to the `imagePullSecrets` of every candidate pod.
    pub pull_secrets: Vec<String>,
    /// The resources of the init container. `None` for those of the gated container.
    pub installer_resources: Option<ResourceRequirements>,
    /// The `securityContext` of the init container. `None` for what the restricted Pod Security Standard
    /// requires.
    pub installer_security_context: Option<SecurityContext>,
}
