//! What the controller did just now. The recorder writes these events at once, whether the controller can
//! write status or not.

use super::super::format;
use super::{Event, normal, warning};
use crate::controller::apply::Applied;
use crate::lease::annotations::{FailedPod, Handover};

const LABELS_RESTORED: &str = "the Lease lacked labels by which the controller and the admission policy know it, and the controller restored them; \
                              find out who may change Leases here";
const LEASE_RECREATED: &str = "the Lease was missing: the controller created it again in the name of its last holder, and candidates wait \
                               until that holder cannot be running any more";

/// All events about what the controller did.
pub fn all(applied: &Applied) -> Vec<Event> {
    let mut events = Vec::new();
    if applied.lease_created == Some(true) {
        events.push(warning("LeaseRecreated", LEASE_RECREATED));
    }
    if applied.labels_restored {
        events.push(warning("LeaseLabelsRestored", LABELS_RESTORED));
    }
    events.extend(applied.handover.as_ref().map(handover_requested));
    events.extend(applied.failed_pods.iter().map(pod_failed));
    events.extend(applied.sidecars_stopped.iter().map(|pod| pod_retired(pod)));
    events.extend(applied.foreign.iter().map(|pod| foreign_object(pod)));
    events.extend(applied.earlier.iter().map(|pod| earlier_pod(pod)));
    events
}

/// Says in the API server's words that a finished job stays.
pub fn deletion_refused(message: &str) -> Event {
    let note = format!(
        "the API server refuses to delete this SingletonJob, although spec.ttlSecondsAfterFinished has passed: {message}; the controller tries \
         again: correct what refuses it, or remove ttlSecondsAfterFinished"
    );
    warning("ObjectRefused", note)
}

fn handover_requested(handover: &Handover) -> Event {
    let pod = handover.holder.pod();
    let note = format!("the controller asked {pod} to hand over: {}", format::release(handover.reason));
    normal("HandoverRequested", note).about(pod.to_owned())
}

fn pod_failed(pod: &FailedPod) -> Event {
    let note = format!(
        "{}: its attempt counts as a failure, and a back-off may delay the next attempt",
        format::failed_pod(pod)
    );
    warning("PodFailed", note).about(pod.name.clone())
}

fn pod_retired(pod: &str) -> Event {
    let note = format!(
        "the workload of {pod} has ended: the controller told the other containers of the pod to end too, and keeps the pod for its logs"
    );
    normal("PodRetired", note).about(pod.to_owned())
}

/// The event is related to no pod, because the pod belongs to another client.
fn foreign_object(pod: &str) -> Event {
    let note = format!(
        "the Pod {pod} is not of this SingletonJob: the controller left it alone and went on to the next number"
    );
    warning("ForeignObject", note)
}

fn earlier_pod(pod: &str) -> Event {
    let note = format!(
        "the Pod {pod} belongs to an earlier SingletonJob of this name, and the garbage collector deletes it: the controller went \
         on to the next number"
    );
    normal("EarlierPod", note).about(pod.to_owned())
}
