//! Why a candidate does not start, as the kubelet and the scheduler say.

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

/// States of a container that is merely on its way.
const ON_THE_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// The kubelet says this and [`BACKED_OFF`] in turn for as long as an image cannot be pulled: to the user it is one and the same.
const PULL_FAILS: &str = "ErrImagePull";
const BACKED_OFF: &str = "ImagePullBackOff";

/// Why a candidate does not start, in the words of the kubelet, the scheduler or the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// `ErrImagePull`, `Unschedulable`, `FailedCreate`, ...
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Of a pod that is not able to take over.
pub fn of(status: &PodStatus) -> Option<Hindrance> {
    let mut containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    containers.find_map(waiting).or_else(|| unschedulable(status))
}

fn waiting(container: &ContainerStatus) -> Option<Hindrance> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| !ON_THE_WAY.contains(reason))?;
    let said = waiting.message.clone().unwrap_or_else(|| format!("container {} is waiting", container.name));
    let (reason, said) = if reason == BACKED_OFF { (PULL_FAILS, why_backed_off(&said)) } else { (reason, said.as_str()) };
    Some(Hindrance { reason: reason.to_owned(), message: format!("container {}: {said}", container.name) })
}

fn unschedulable(status: &PodStatus) -> Option<Hindrance> {
    let condition =
        status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(Hindrance {
        reason: condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
        message: condition.message.clone().unwrap_or_else(|| "no node takes the pod".to_owned()),
    })
}

/// What the kubelet quotes of the last pull that failed; everything, where it quotes nothing.
fn why_backed_off(said: &str) -> &str {
    let quoted = format!("{PULL_FAILS}: ");
    said.split_once(quoted.as_str()).map_or(said, |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting_for(reason: &str, message: &str) -> Hindrance {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        let container = json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        of(&serde_json::from_value(json!({"containerStatuses": [container]})).expect("a status")).expect("a hindrance")
    }

    #[test]
    fn a_pull_that_fails_and_the_wait_for_the_next_are_one_news() {
        let fails = waiting_for("ErrImagePull", "failed to resolve image: no such host");
        let waits = waiting_for("ImagePullBackOff", "Back-off pulling image \"nope\": ErrImagePull: failed to resolve image: no such host");
        assert_eq!(fails, waits);
        assert_eq!(fails.message, "container main: failed to resolve image: no such host");
    }
}
