//! Finds out why a pod hangs on its node, from its newest warning event. The controller asks the API server
//! only if no container status tells.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::candidate::Candidate;
use super::candidate::start_failure::StartFailure;
use super::observed::Observed;
use crate::api::SingletonJob;
use crate::controller::api_call::with_deadline;
use crate::controller::quote::without_ids;

/// How long a pod on a node may take to start before the controller asks why.
pub const HANGS_AFTER: Duration = Duration::from_secs(30);
/// The reason that status gives if the API server does not tell why a pod hangs.
const NOT_STARTED: &str = "NotStarted";
/// Lists of a pod's spec whose containers an event may be about.
const CONTAINERS: [&str; 3] = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];

/// How long `candidate` may still take to start on its node before it hangs. `None` if it is not starting, or
/// its status says why it does not start.
pub fn left(candidate: &Candidate, now: Timestamp) -> Option<Duration> {
    if !candidate.is_alive() || candidate.start_failure.is_some() {
        return None;
    }
    let since = candidate.starting_since?;
    Some(HANGS_AFTER.saturating_sub(Duration::try_from(now.duration_since(since)).unwrap_or_default()))
}

/// Adds why the youngest candidate that hangs does not start. If the API server does not tell, the reason
/// says so.
pub async fn explain(
    client: &Client,
    job: &SingletonJob,
    mut observed: Observed,
    now: Timestamp,
) -> Observed {
    let hangs = |candidate: &&mut Candidate| left(candidate, now) == Some(Duration::ZERO);
    if let Some(hanging) = observed.candidates.iter_mut().filter(hangs).last() {
        hanging.start_failure = cause(client, job, hanging).await;
    }
    observed
}

/// Why `hanging` does not start. `None` if no event says so.
async fn cause(client: &Client, job: &SingletonJob, hanging: &Candidate) -> Option<StartFailure> {
    let Some(warnings) = warnings(client, job, hanging).await else {
        let message = format!(
            "the controller cannot list the events of the pod: kubectl describe pod {} shows them",
            hanging.name
        );
        return Some(StartFailure { reason: NOT_STARTED.to_owned(), message });
    };
    newest(warnings, hanging.starting_since)
}

/// The warning events about `pod`. `None` if the API server does not tell.
async fn warnings(client: &Client, job: &SingletonJob, pod: &Candidate) -> Option<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(client.clone(), &job.namespace().unwrap_or_default());
    let about = ListParams::default().fields(&format!("type=Warning,involvedObject.uid={}", pod.uid));
    match with_deadline("listing events about Pod", &pod.name, events.list(&about)).await {
        Ok(list) => Some(list.items),
        Err(failure) => {
            let advice = if failure.is_denied() { "; apply the operator's manifests again" } else { "" };
            tracing::warn!(%failure, "the controller cannot list the events of a pod that does not start{advice}");
            None
        }
    }
}

/// The newest warning that was seen `since` the pod began to start. Earlier ones no longer explain anything.
fn newest(warnings: Vec<Event>, since: Option<Timestamp>) -> Option<StartFailure> {
    let newest = warnings.into_iter().filter(|event| last_seen(event) >= since).max_by_key(last_seen)?;
    let place = container(&newest).map_or(String::new(), |container| format!("container {container}: "));
    let message = place + &without_ids(newest.message.as_deref().unwrap_or_default());
    Some(StartFailure { reason: newest.reason.unwrap_or_default(), message })
}

/// The container that `event` is about: its `fieldPath` reads `spec.containers{web}`. `None` if it is about
/// the whole pod.
fn container(event: &Event) -> Option<&str> {
    let (list, name) = event.involved_object.field_path.as_deref()?.strip_suffix('}')?.split_once('{')?;
    CONTAINERS.contains(&list).then_some(name)
}

/// When the event was seen last, by whichever of its three times its reporter has set.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.max(last).max(event.event_time.as_ref().map(|time| time.0))
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(reason: &str, message: &str, times: Value) -> Event {
        let mut event = json!({"metadata": {}, "involvedObject": {}, "reason": reason, "message": message, "type": "Warning"});
        event.as_object_mut().expect("an object").extend(times.as_object().expect("an object").clone());
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn the_newest_warning_counts_however_its_time_is_written() {
        let at = |second: u32| format!("2026-01-01T00:00:{second:02}Z");
        let precise = |second: u32| format!("2026-01-01T00:00:{second:02}.000000Z");
        let events = [
            event("FailedMount", "once", json!({"lastTimestamp": at(3)})),
            event(
                "FailedCreatePodSandBox",
                "again",
                json!({"eventTime": precise(1), "series": {"count": 2, "lastObservedTime": precise(5)}}),
            ),
            event("Failed", "early", json!({"eventTime": precise(4)})),
        ];
        let reasons =
            |events: &[Event]| newest(events.to_vec(), None).map(|start_failure| start_failure.reason);
        assert_eq!(reasons(&events).as_deref(), Some("FailedCreatePodSandBox"));
        assert_eq!(reasons(&events[2..]).as_deref(), Some("Failed"));
        assert_eq!(reasons(&[]), None);
    }

    #[test]
    fn a_warning_about_one_container_names_it() {
        let about = |path: Value| {
            let event = event(
                "Failed",
                "Error: secret \"key\" not found",
                json!({"involvedObject": {"fieldPath": path}}),
            );
            newest(vec![event], None).expect("a warning").message
        };
        let said = "Error: secret \"key\" not found";
        assert_eq!(about(json!("spec.containers{web}")), format!("container web: {said}"));
        assert_eq!(about(json!("spec.initContainers{migrate}")), format!("container migrate: {said}"));
        for whole in [json!(null), json!(""), json!("spec.volumes{data}"), json!("spec.containers")] {
            assert_eq!(about(whole.clone()), said, "{whole}");
        }
    }

    #[test]
    fn a_warning_of_the_time_before_the_pod_was_on_its_node_explains_nothing() {
        let events = || {
            vec![event(
                "FailedScheduling",
                "0/2 nodes are available",
                json!({"lastTimestamp": "2026-01-01T00:00:09Z"}),
            )]
        };
        let since = |second: &str| format!("2026-01-01T00:00:{second}Z").parse().ok();
        assert_eq!(newest(events(), since("10")), None);
        assert!(newest(events(), since("09")).is_some());
    }
}
