//! Writes events.
//!
//! kube's own recorder counts events of one reason together and repeats the note of the first; the notes are what people read, and each of
//! ours tells of a change that happens once. So each is written as it is.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Api, Client, Resource, ResourceExt};

use super::events::Event;
use crate::controller::request::{bounded, in_our_name};

/// `reportingController` of all events.
const REPORTER: &str = "singletonjob.dev/controller";
/// What the API server takes.
const LONGEST_NOTE: usize = 1024;

/// Writes events in the name of this controller.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    instance: String,
}

impl Recorder {
    /// A recorder for the controller in the pod `instance`.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Writes `events` about `subject`. One that cannot be written is logged: nothing depends on it.
    pub async fn record<K: Resource<DynamicType = ()>>(&self, subject: &K, events: Vec<Event>) {
        let regarding = subject.object_ref(&());
        for event in events {
            tracing::info!(namespace = regarding.namespace, name = regarding.name, reason = event.reason, "{}", event.note);
            let api: Api<v1::Event> = Api::namespaced(self.client.clone(), regarding.namespace.as_deref().unwrap_or("default"));
            let event = self.event(&regarding, event);
            if let Err(error) = bounded("writing an event about", &subject.name_any(), api.create(&in_our_name(), &event)).await {
                tracing::warn!(%error, "cannot write an event; it is lost");
            }
        }
    }

    fn event(&self, regarding: &ObjectReference, event: Event) -> v1::Event {
        let related = event.pod.map(|name| ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(name),
            namespace: regarding.namespace.clone(),
            ..ObjectReference::default()
        });
        let time = Timestamp::now();
        v1::Event {
            metadata: ObjectMeta {
                name: Some(event_name(regarding.name.as_deref().unwrap_or("singletonjob"), time)),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".into()),
            event_time: Some(MicroTime(time)),
            note: Some(shortened(event.note)),
            reason: Some(event.reason.to_owned()),
            regarding: Some(regarding.clone()),
            related,
            reporting_controller: Some(REPORTER.into()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            ..v1::Event::default()
        }
    }
}

/// Names sort by time, so that `kubectl describe`, which lists events as they come, tells them in the order in which they happened.
fn event_name(subject: &str, time: Timestamp) -> String {
    format!("{subject}.{:016x}", time.as_nanosecond())
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE - 3).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
        note.truncate(end);
        note.push_str("...");
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_events_have_later_names() {
        let times =
            [999_999_999, 1_000_000_000, 1_700_000_000_000_000_000_i128].map(|time| Timestamp::from_nanosecond(time).expect("valid"));
        let names = times.map(|time| event_name("web", time));
        assert!(names.is_sorted(), "{names:?}");
    }
}
