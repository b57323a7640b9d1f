//! What the agents of one SingletonJob would write into their Lease, with all the waiting left out.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use singletonjob::contract::labels;
use singletonjob::controller::observe::candidate::Candidate;
use singletonjob::lease::annotations::{
    self, CompletionPolicy, Desired, Exit, Finished, Outcome, Reason, Released, keys,
};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;

/// Well within the lease.
const RENEWAL: SignedDuration = SignedDuration::from_secs(4);

/// The next write of the agent that has one to make.
pub fn next(lease: &Lease, pods: &[&Pod]) -> Option<Lease> {
    let record = Record::read(lease).ok()?;
    let wanted = record.annotations.run.as_ref()?.desired == Desired::Run && !record.is_finished();
    let Some(holder) = &record.holder else {
        return if wanted { successor(&record, pods).map(|pod| taken(lease, pod)) } else { None };
    };
    let pod = pods.iter().find(|pod| pod.metadata.uid.as_deref() == holder.pod_uid());
    match pod {
        None => Some(released(lease, &record, Reason::Drain)),
        Some(_) if !wanted => Some(released(lease, &record, Reason::Stopped)),
        Some(_) if is_asked(&record, holder) => Some(released(lease, &record, Reason::RolledOut)),
        Some(pod) if is_done(&record, pod) => Some(finished(lease, &record)),
        Some(_) => is_due(&record).then(|| renewed(lease)),
    }
}

/// `lease` in the hands of `pod`.
pub fn taken(lease: &Lease, pod: &Pod) -> Lease {
    let mut lease = renewed(lease);
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity =
        Some(Identity::new(&pod.name_any(), &pod.uid().unwrap_or_default(), 7).to_string());
    spec.acquire_time.clone_from(&spec.renew_time);
    spec.lease_transitions = spec.lease_transitions.map(|transitions| transitions + 1);
    lease
}

/// Agents in the line that the controller asks for, otherwise the oldest. One that has just given the Lease
/// back is not there yet: its agent has ended, and starts anew.
fn successor<'a>(record: &Record, pods: &[&'a Pod]) -> Option<&'a Pod> {
    let able = |pod: &&&Pod| {
        let candidate = Candidate::read(pod);
        candidate.is_alive() && candidate.ready
    };
    let last = record.annotations.released.as_ref().and_then(|mark| mark.by.pod_uid());
    let place = |pod: &&Pod| {
        let uid = pod.metadata.uid.as_deref();
        let line = &record.annotations.succession;
        let place = line.iter().position(|next| Some(next.as_str()) == uid).unwrap_or(line.len());
        (uid == last, place, Candidate::read(pod).number)
    };
    pods.iter().filter(able).copied().min_by_key(place)
}

fn is_asked(record: &Record, holder: &Identity) -> bool {
    record.annotations.handover.as_ref().is_some_and(|handover| handover.holder == *holder)
}

/// The workload of a one-shot ends as soon as the controller has seen who runs it.
fn is_done(record: &Record, pod: &Pod) -> bool {
    let is_one_shot = record
        .annotations
        .policy
        .as_ref()
        .is_some_and(|policy| policy.completion_policy == CompletionPolicy::OnSuccess);
    is_one_shot && pod.labels().get(labels::ROLE).is_some_and(|role| role == labels::ROLE_ACTIVE)
}

fn is_due(record: &Record) -> bool {
    record.renew_time.is_none_or(|renewed| Timestamp::now().duration_since(renewed) > RENEWAL)
}

fn renewed(lease: &Lease) -> Lease {
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    let spec = lease.spec.get_or_insert_default();
    let previous = spec.renew_time.as_ref().map(|time| time.0);
    spec.renew_time = Some(MicroTime(Record::next_renew_time(previous, now())));
    lease
}

/// As precise as a Lease stores it: a release is bound to the very renewTime of its write.
fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).expect("a time of this century")
}

fn released(lease: &Lease, record: &Record, reason: Reason) -> Lease {
    let mut lease = renewed(lease);
    let spec: &mut LeaseSpec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    let mark = Released {
        lease_uid: record.uid.clone(),
        renew_time: spec.renew_time.as_ref().map(|time| time.0),
        by: record.holder.clone().unwrap_or_else(|| Identity::read("absent")),
        reason,
        token: None,
        exit: None,
        unhealthy: false,
        last_renew_time: None,
        ready: false,
    };
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations::write(annotations, keys::RELEASED, Some(&mark));
    annotations::write::<()>(annotations, keys::HANDOVER, None);
    annotations::write::<()>(annotations, keys::CLEARED, None);
    lease
}

fn finished(lease: &Lease, record: &Record) -> Lease {
    let mut lease = released(lease, record, Reason::WorkloadSucceeded);
    let now = now();
    let finished = record.annotations.run.as_ref().zip(record.holder.clone()).map(|(run, by)| Finished {
        uid: run.uid.clone(),
        run: run.number,
        outcome: Outcome::Succeeded,
        reason: "Completed".into(),
        exit: Some(Exit::Code(0)),
        unhealthy: false,
        attempt: 1,
        failures: 0,
        token: None,
        by,
        start_time: Some(now),
        completion_time: now,
    });
    annotations::write(lease.metadata.annotations.get_or_insert_default(), keys::FINISHED, finished.as_ref());
    lease
}
