//! Finds the image of the agent: the one in the arguments, else the image of the controller's own container.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::Failure;
use super::arguments::Arguments;
use crate::controller::api_call::{self, once_reached, with_deadline};
use crate::controller::settings::Agent;

/// The name of the controller's container in the manifests.
const OWN_CONTAINER: &str = "controller";

/// Returns where the agent comes from. Waits for the API server if the arguments name no image.
pub(super) async fn agent(client: &Client, arguments: &Arguments) -> Result<Agent, Failure> {
    let mut agent = arguments.agent();
    if agent.image.is_empty() {
        let Arguments { pod_name, pod_namespace, .. } = arguments;
        let image = once_reached(async || own_image(client, pod_namespace, pod_name).await).await?;
        agent.image = image.ok_or_else(|| {
            format!("there is no pod {pod_name} in {pod_namespace} to take the agent's image from; set POD_NAME right, or AGENT_IMAGE")
        })?;
    }
    Ok(agent)
}

/// Returns the image of the controller's own container, which contains the agent too. A mesh may inject a
/// container before it, so the lookup prefers the name [`OWN_CONTAINER`]. If no container has that name, the
/// first one counts.
///
/// # Errors
/// If the API server does not return the pod.
pub async fn own_image(
    client: &Client,
    namespace: &str,
    pod: &str,
) -> Result<Option<String>, api_call::Failure> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = with_deadline("reading the controller's own Pod", pod, pods.get_opt(pod)).await?;
    let containers = found.and_then(|pod| pod.spec).map(|spec| spec.containers).unwrap_or_default();
    let own =
        containers.iter().find(|container| container.name == OWN_CONTAINER).or_else(|| containers.first());
    Ok(own.and_then(|container| container.image.clone()))
}
