//! Writes events as core/v1, because `kubectl get events --sort-by=.lastTimestamp` needs timestamps that
//! events.k8s.io/v1 refuses.
//!
//! kube's own recorder counts events of one reason together, and repeats the note of the first. Users read
//! the notes. The controller therefore writes each event as it is, until there are too many: see
//! [`correlator`].

mod correlator;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self, EventSeries, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::Patch;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use super::events::Event;
use crate::controller::api_call::{Failure, in_our_name, merging, with_deadline};
use correlator::{Correlator, Decision, Series};

/// `reportingComponent` of all events.
const REPORTER: &str = "singletonjob.dev/controller";
/// How long a note the API server accepts.
const LONGEST_NOTE: usize = 1024;

/// Writes events in the name of this controller.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    instance: String,
    correlator: Arc<Mutex<Correlator>>,
}

impl Recorder {
    /// Makes a recorder for the controller in the pod `instance`.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance, correlator: Arc::default() }
    }

    /// Writes `events` about `subject`. The recorder only logs an event that it cannot write, because nothing
    /// depends on it.
    pub async fn record<K: Resource<DynamicType = ()>>(&self, subject: &K, events: Vec<Event>) {
        let regarding = subject.object_ref(&());
        for event in events {
            tracing::info!(
                namespace = regarding.namespace,
                name = regarding.name,
                reason = event.reason,
                "{}",
                event.note
            );
            match self.write(&regarding, event).await {
                Ok(()) => {}
                Err(error) if error.is_of_terminating_namespace() => {
                    tracing::debug!(%error, "no event is written any more");
                }
                Err(error) => tracing::warn!(%error, "the controller cannot write an event and drops it"),
            }
        }
    }

    async fn write(&self, regarding: &ObjectReference, event: Event) -> Result<(), Failure> {
        let now = Timestamp::now();
        match self.decide(regarding, &event, now) {
            Decision::Withhold => Ok(()),
            Decision::Create(series) => self.create(regarding, event, &series, now).await,
            Decision::Count(series) => self.count(regarding, event, &series, now).await,
        }
    }

    fn decide(&self, regarding: &ObjectReference, event: &Event, now: Timestamp) -> Decision {
        let name = event_name(subject(regarding), now);
        let uid = regarding.uid.as_deref().unwrap_or(subject(regarding));
        self.correlator.lock().unwrap_or_else(PoisonError::into_inner).decide(uid, event, name, now)
    }

    async fn create(
        &self,
        regarding: &ObjectReference,
        event: Event,
        series: &Series,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let (api, params) = (self.events_beside(regarding), in_our_name());
        let event = self.event(regarding, event, series, now);
        with_deadline("writing an event about", subject(regarding), api.create(&params, &event))
            .await
            .map(drop)
    }

    async fn count(
        &self,
        regarding: &ObjectReference,
        event: Event,
        series: &Series,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let (api, params) = (self.events_beside(regarding), merging());
        let patch = Patch::Merge(again(&event, series, now));
        let patching = api.patch(&series.name, &params, &patch);
        match with_deadline("counting an event about", subject(regarding), patching).await {
            // Its time to live has passed.
            Err(failure) if failure.is_not_found() => self.create(regarding, event, series, now).await,
            result => result.map(drop),
        }
    }

    fn events_beside(&self, regarding: &ObjectReference) -> Api<v1::Event> {
        Api::namespaced(self.client.clone(), regarding.namespace.as_deref().unwrap_or("default"))
    }

    fn event(&self, regarding: &ObjectReference, event: Event, series: &Series, now: Timestamp) -> v1::Event {
        let related = event.pod.map(|name| ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(name),
            namespace: regarding.namespace.clone(),
            ..ObjectReference::default()
        });
        v1::Event {
            metadata: ObjectMeta {
                name: Some(series.name.clone()),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".into()),
            count: Some(series.count),
            event_time: Some(MicroTime(series.first)),
            first_timestamp: Some(Time(series.first)),
            involved_object: regarding.clone(),
            last_timestamp: Some(Time(now)),
            message: Some(shortened(event.note)),
            reason: Some(event.reason.to_owned()),
            related,
            reporting_component: Some(REPORTER.into()),
            reporting_instance: Some(self.instance.clone()),
            series: (series.count > 1).then(|| event_series(series, now)),
            source: Some(EventSource { component: Some(REPORTER.into()), host: None }),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
        }
    }
}

/// What the recorder changes of an Event that counts one more.
fn again(event: &Event, series: &Series, now: Timestamp) -> Value {
    let message = shortened(event.note.clone());
    let (count, more) = (series.count, event_series(series, now));
    json!({"message": message, "count": count, "lastTimestamp": Time(now), "series": more})
}

fn event_series(series: &Series, now: Timestamp) -> EventSeries {
    EventSeries { count: Some(series.count), last_observed_time: Some(MicroTime(now)) }
}

fn subject(regarding: &ObjectReference) -> &str {
    regarding.name.as_deref().unwrap_or("singletonjob")
}

/// The name of a new Event. Names sort by time, because `kubectl describe` lists events as they come, and
/// users read them in the order in which they happened.
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
        let times = [999_999_999, 1_000_000_000, 1_700_000_000_000_000_000_i128]
            .map(|time| Timestamp::from_nanosecond(time).expect("valid"));
        let names = times.map(|time| event_name("web", time));
        assert!(names.is_sorted(), "{names:?}");
    }
}
