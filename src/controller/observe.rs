//! Reads the objects of a SingletonJob, from the caches or from the API server itself.
//!
//! A cache may be stale. Most decisions tolerate that, because the controller looks again. But a stale cache
//! must not make it create a pod or a Lease that exists already. Nor must the cache make it delete a standby,
//! which may hold the Lease by now. The controller therefore makes such a plan twice, the second time on
//! [`live`] data.

pub mod answer;
pub mod candidate;
pub mod hanging;
pub mod holder_pod;
pub mod lease_observations;
pub mod room;
pub mod undecodable;
pub mod volume_claims;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, Selector, SelectorExt};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};

use super::api_call::{self, Failure};
use super::names;
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::lease::annotations::Annotations;
use crate::lease::clock::Moment;
use crate::lease::identity::Identity;
use crate::lease::record::Record;
use candidate::Candidate;
use holder_pod::HolderPodState;
use lease_observations::{LeaseObservations, Observation};
use volume_claims::VolumeClaims;

/// The caches of the controller's watches.
#[derive(Clone)]
pub struct Caches {
    /// All SingletonJobs, those that do not decode included.
    pub jobs: Store<DeserializeGuard<SingletonJob>>,
    /// Candidate pods.
    pub pods: Store<Pod>,
    /// Leases of SingletonJobs.
    pub leases: Store<Lease>,
    /// Roles of SingletonJobs.
    pub roles: Store<Role>,
    /// RoleBindings of SingletonJobs.
    pub bindings: Store<RoleBinding>,
    /// All PodDisruptionBudgets, the user's too.
    pub budgets: Store<PodDisruptionBudget>,
    /// All nodes, reduced to the fields that the controller reads.
    pub nodes: Nodes,
}

/// The cache of all nodes. The controller reads it only for a SingletonJob that prefers nodes, or whose
/// candidates are all on one node.
pub type Nodes = Store<Node>;

impl Caches {
    /// Waits until the watches have listed all child objects. `false` if a watch has ended. The runtime waits
    /// for the cache of SingletonJobs. No reconciliation waits for nodes, because the controller merely does
    /// not prefer an unknown one.
    ///
    /// Only one task may wait at a time. kube keeps a single waker for each store, so an earlier task would
    /// never wake.
    pub async fn synced(&self) -> bool {
        let Self { jobs: _, pods, leases, roles, bindings, budgets, nodes: _ } = self;
        let all = tokio::try_join!(
            pods.wait_until_ready(),
            leases.wait_until_ready(),
            roles.wait_until_ready(),
            bindings.wait_until_ready(),
            budgets.wait_until_ready(),
        );
        all.is_ok()
    }
}

/// A Lease, and what this controller knows beyond its content.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedLease {
    /// The Lease itself.
    pub object: Lease,
    /// Its decoded content.
    pub record: Record,
    /// How long it has been unchanged, and who held it before.
    pub observation: Observation,
}

/// The objects of one SingletonJob, and what the controller knows of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its Lease.
    pub lease: Option<ObservedLease>,
    /// Its Role.
    pub role: Option<Role>,
    /// Its RoleBinding.
    pub binding: Option<RoleBinding>,
    /// Its PodDisruptionBudget.
    pub budget: Option<PodDisruptionBudget>,
    /// The name of another client's PodDisruptionBudget that selects the same pods, or has the needed name.
    pub other_budget: Option<String>,
    /// Its pods, by number.
    pub candidates: Vec<Candidate>,
    /// Labels of the nodes that run its pods, by node name, if the SingletonJob prefers nodes. An unknown
    /// node is missing.
    pub nodes: BTreeMap<String, BTreeMap<String, String>>,
    /// Since when another node could take a candidate, if all candidates are on one node and need not be.
    pub room: Option<Timestamp>,
    /// The hash of the current template.
    pub template_hash: String,
    /// Whether the API server has neither a Lease nor a pod of the SingletonJob. Only [`live`] can tell.
    pub nobody_there: bool,
    /// The message about another client's object under a needed name. `None` if there is no such object.
    pub foreign: Option<String>,
    /// What became of a silent holder's pod. `None` if the controller did not ask.
    pub holder_pod_state: Option<HolderPodState>,
    /// How the claims that its candidates share may be mounted. `None` if that was not asked, or the API
    /// server did not tell.
    pub claims: Option<VolumeClaims>,
}

impl Observed {
    /// The holder that acquired the Lease, unless its lease has expired on this controller's clock.
    pub fn holder(&self) -> Option<&Identity> {
        let seen = self.lease.as_ref()?;
        let proven = seen.record.acquire_time.is_some() && !self.remaining().is_zero();
        if proven { seen.record.holder.as_ref() } else { None }
    }

    /// The uid of the holder's pod.
    pub fn holder_uid(&self) -> Option<&str> {
        self.holder()?.pod_uid()
    }

    /// The holder's pod, where it is still there.
    pub fn holder_pod(&self) -> Option<&Candidate> {
        let uid = self.holder_uid()?;
        self.candidates.iter().find(|candidate| candidate.uid == uid)
    }

    /// Whether `candidate` is the holder's pod.
    pub fn is_holder(&self, candidate: &Candidate) -> bool {
        self.holder_uid() == Some(&candidate.uid)
    }

    /// Whether `candidate` was made from the template as it is now.
    pub fn is_current(&self, candidate: &Candidate) -> bool {
        candidate.template_hash.as_deref() == Some(&self.template_hash)
    }

    /// Whether `candidate` does what it is there for: a holder whose workload is ready, or a standby that
    /// could take over.
    pub fn serves(&self, candidate: &Candidate) -> bool {
        if self.is_holder(candidate) { candidate.ready } else { candidate.can_take_over }
    }

    /// Whether `candidate` holds the Lease, whether its workload is ready or not, or could take over.
    pub fn takes_part(&self, candidate: &Candidate) -> bool {
        candidate.can_take_over || self.is_holder(candidate)
    }

    /// The node of all candidates that hold the Lease or could take over. `None` if there are several nodes,
    /// or only one such candidate.
    pub fn crowded(&self) -> Option<&str> {
        room::crowded(self.candidates.iter().filter(|candidate| self.takes_part(candidate)))
    }

    /// Whether the holder's agent has yet to say that its workload is ready.
    pub fn awaits_readiness(&self) -> bool {
        self.lease
            .as_ref()
            .zip(self.holder_pod())
            .is_some_and(|(seen, holder)| awaits_readiness(holder, &seen.record))
    }

    /// How long the Lease is good for if nothing more is heard; on this controller's clock.
    pub fn remaining(&self) -> Duration {
        self.lease.as_ref().map_or(Duration::ZERO, |seen| {
            seen.record.lease_duration.saturating_sub(seen.observation.unchanged)
        })
    }
}

/// Reads the objects of `job` from the caches.
///
/// # Errors
/// If the Lease is malformed, so that no candidate can use it either.
pub fn cached(
    job: &SingletonJob,
    caches: &Caches,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<Observed, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let pods: Vec<_> = caches.pods.state_filter(|pod| is_named(pod, &namespace, &name));
    let lease = caches.leases.get(&ObjectRef::new(&name).within(&namespace));
    let rbac = ObjectRef::new(&names::child_name(&name)).within(&namespace);
    let budgets =
        caches.budgets.state_filter(|budget| budget.metadata.namespace.as_deref() == Some(&namespace));
    let (budget, other_budget) = sort_out(job, budgets.iter().map(AsRef::as_ref));
    let observed = Observed {
        budget,
        other_budget,
        role: caches.roles.get(&rbac).map(|role| (*role).clone()),
        binding: caches
            .bindings
            .get(&ObjectRef::new(&names::child_name(&name)).within(&namespace))
            .map(|binding| (*binding).clone()),
        ..Observed::default()
    };
    let observed = complete(
        job,
        observed,
        lease.map(|lease| (*lease).clone()),
        pods.iter().map(AsRef::as_ref),
        lease_observations,
        now,
    )?;
    Ok(with_nodes(job, observed, &caches.nodes))
}

/// Reads `job` and its objects from the API server, and nodes from the cache. `None` if the SingletonJob is
/// gone.
///
/// # Errors
/// If a request fails.
pub async fn live(
    job: &SingletonJob,
    client: &Client,
    nodes: &Nodes,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<Option<(SingletonJob, Observed)>, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let jobs: Api<SingletonJob> = Api::namespaced(client.clone(), &namespace);
    let job = match api_call::with_deadline("reading SingletonJob", &name, jobs.get_opt(&name)).await? {
        Some(current) if current.uid() == job.uid() => current,
        Some(_) | None => return Ok(None),
    };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let lease = api_call::with_deadline("reading Lease", &name, leases.get_opt(&name)).await?;
    let rbac = names::child_name(&name);
    let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
    let role = api_call::with_deadline("reading Role", &rbac, roles.get_opt(&rbac)).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &namespace);
    let binding = api_call::with_deadline("reading RoleBinding", &rbac, bindings.get_opt(&rbac)).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let selector = ListParams::default().labels(&format!("{}={name}", labels::JOB));
    let pods = api_call::with_deadline("listing pods of", &name, pods.list(&selector)).await?.items;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &namespace);
    let budgets = api_call::with_deadline(
        "listing PodDisruptionBudgets beside",
        &name,
        budgets.list(&ListParams::default()),
    )
    .await?
    .items;
    let (budget, other_budget) = sort_out(&job, budgets.iter());
    let observed = Observed {
        budget,
        other_budget,
        nobody_there: lease.is_none() && pods.is_empty(),
        foreign: foreign(role.as_ref(), "Role", &name)
            .or_else(|| foreign(binding.as_ref(), "RoleBinding", &name)),
        role,
        binding,
        ..Observed::default()
    };
    let observed = complete(&job, observed, lease, pods.iter(), lease_observations, now)?;
    let observed = with_nodes(&job, observed, nodes);
    Ok(Some((job, observed)))
}

/// The PodDisruptionBudget of `job` among those of its namespace, and the name of one that another client
/// made for the same pods, or under the same name.
fn sort_out<'a>(
    job: &SingletonJob,
    budgets: impl Iterator<Item = &'a PodDisruptionBudget>,
) -> (Option<PodDisruptionBudget>, Option<String>) {
    let labels = names::pod_labels(job);
    let stands_in_the_way = |budget: &&PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        let selects = selector
            .and_then(|selector| Selector::try_from(selector).ok())
            .is_some_and(|selector| selector.matches(&labels));
        selects || budget.name_any() == names::child_name(&job.name_any())
    };
    let (own, others): (Vec<_>, Vec<_>) = budgets.partition(|budget| is_ours(*budget, &job.name_any()));
    (
        own.first().map(|budget| (*budget).clone()),
        others.into_iter().find(stands_in_the_way).map(ResourceExt::name_any),
    )
}

fn with_nodes(job: &SingletonJob, observed: Observed, known: &Nodes) -> Observed {
    if job.spec.takeover.preferred_nodes.is_empty() {
        return observed;
    }
    let names = observed.candidates.iter().filter_map(|candidate| candidate.node.as_ref());
    let labels = |name: &String| Some((name.clone(), known.get(&ObjectRef::new(name))?.labels().clone()));
    let nodes = names.filter_map(labels).collect();
    Observed { nodes, ..observed }
}

/// Adds since when another node could take a candidate, if all candidates are on one node.
pub fn with_room(job: &SingletonJob, observed: Observed, known: &Nodes) -> Observed {
    let Some(crowded) = observed.crowded() else { return observed };
    if observed.claims.as_ref().is_none_or(|claims| room::is_pinned(job, claims)) {
        return observed;
    }
    let room = room::since(job, crowded, known.state().iter().map(AsRef::as_ref));
    Observed { room, ..observed }
}

fn complete<'a>(
    job: &SingletonJob,
    observed: Observed,
    lease: Option<Lease>,
    pods: impl Iterator<Item = &'a Pod>,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<Observed, Failure> {
    let mut candidates: Vec<_> = pods.filter(|pod| is_owned(pod, job)).map(Candidate::read).collect();
    candidates.sort_by_key(|candidate| candidate.number);
    let strange = lease.as_ref().filter(|lease| !is_about(lease, job));
    let foreign = observed.foreign.or_else(|| foreign(strange, "Lease", &job.name_any()));
    let seen = match lease {
        Some(lease) if foreign.is_none() => Some(see(lease, job, lease_observations, now)?),
        Some(_) | None => None,
    };
    let record = seen.as_ref().map(|seen| &seen.record);
    for candidate in &mut candidates {
        candidate.has_held = has_held(candidate, job, record);
        if let Some(record) = record.filter(|record| awaits_readiness(candidate, record)) {
            candidate.ready = false;
            candidate.unready_since = candidate.unready_since.or(record.acquire_time);
        }
    }
    Ok(Observed {
        lease: seen,
        candidates,
        template_hash: names::template_hash(&job.spec),
        foreign,
        ..observed
    })
}

/// Whether it holds the Lease, and its agent has yet to say that the workload is ready: its pod may be so
/// still, from when it stood by.
fn awaits_readiness(candidate: &Candidate, record: &Record) -> bool {
    let holds = record.holder.as_ref().and_then(Identity::pod_uid) == Some(&candidate.uid);
    holds
        && candidate.reports_readiness
        && record.annotations.health.as_ref().is_none_or(|health| health.workload_ready.is_none())
}

/// As the Lease has it; status knows of pods whose agents do not write that down.
fn has_held(candidate: &Candidate, job: &SingletonJob, record: Option<&Record>) -> bool {
    let annotations = record.map(|record| &record.annotations);
    let tenants = annotations
        .and_then(|annotations| annotations.progress.as_ref())
        .into_iter()
        .flat_map(|progress| &progress.tenants);
    let holders = [
        record.and_then(|record| record.holder.as_ref()),
        annotations.and_then(|annotations| annotations.released.as_ref()).map(|released| &released.by),
        annotations.and_then(|annotations| annotations.finished.as_ref()).map(|finished| &finished.by),
    ];
    let takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    holders.into_iter().flatten().any(|holder| holder.pod_uid() == Some(&candidate.uid))
        || tenants.into_iter().any(|tenant| tenant.uid == candidate.uid)
        || takeovers.into_iter().any(|takeover| takeover.to == candidate.name)
}

fn see(
    object: Lease,
    job: &SingletonJob,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<ObservedLease, Failure> {
    let record = Record::read(&object).map_err(|malformed| Failure::Unusable(malformed.to_string()))?;
    let observation =
        lease_observations.look(&job.namespace().unwrap_or_default(), &job.name_any(), &record, now);
    Ok(ObservedLease { object, record, observation })
}

/// Whether `object` carries the labels of what is made for the SingletonJob of that name.
pub fn is_ours(object: &impl Resource, job: &str) -> bool {
    let has = |label: &str, value: &str| {
        object.meta().labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|is| is == value)
    };
    has(labels::MANAGED_BY, labels::MANAGED_BY_VALUE) && has(labels::JOB, job)
}

/// Whether the annotations of `lease` name this very SingletonJob: then it is its own, whatever has become of
/// the labels.
fn is_about(lease: &Lease, job: &SingletonJob) -> bool {
    let annotations = Annotations::read(lease.metadata.annotations.as_ref());
    let uids = [
        annotations.run.map(|run| run.uid),
        annotations.progress.map(|progress| progress.uid),
        annotations.finished.map(|finished| finished.uid),
        annotations.ticks.map(|ticks| ticks.uid),
    ];
    uids.into_iter().flatten().any(|uid| !uid.is_empty() && Some(&uid) == job.metadata.uid.as_ref())
}

fn foreign<K: Resource>(object: Option<&K>, kind: &str, job: &str) -> Option<String> {
    let object = object.filter(|object| !is_ours(*object, job))?;
    let name = object.meta().name.as_deref().unwrap_or_default();
    Some(format!(
        "the {kind} {name} is not of this SingletonJob (it lacks the labels {}={} and {}={job}, or one of them); it is left alone: delete it, use \
         another name for the SingletonJob, or put the labels on where it is known to be a leftover of it",
        labels::MANAGED_BY,
        labels::MANAGED_BY_VALUE,
        labels::JOB
    ))
}

fn is_named(pod: &Pod, namespace: &str, job: &str) -> bool {
    pod.metadata.namespace.as_deref() == Some(namespace)
        && pod.labels().get(labels::JOB).is_some_and(|name| name == job)
}

/// Whether the controlling owner is this very SingletonJob.
pub fn is_owned(pod: &Pod, job: &SingletonJob) -> bool {
    let uid = job.uid();
    pod.owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref())
}

/// Whether the controlling owner is a SingletonJob of that name that is gone: the garbage collector removes
/// it.
pub fn is_of_earlier(pod: &Pod, job: &SingletonJob) -> bool {
    let (name, uid) = (job.name_any(), job.uid());
    let is_named = pod.labels().get(labels::JOB) == Some(&name);
    let is_one = |owner: &OwnerReference| {
        owner.controller == Some(true) && owner.kind == SingletonJob::kind(&()) && owner.name == name
    };
    is_named && pod.owner_references().iter().any(|owner| is_one(owner) && Some(&owner.uid) != uid.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lease::annotations::keys;

    #[test]
    fn a_pod_is_this_jobs_or_an_earlier_ones_or_a_strangers() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let kinds = |owner: &str, name: &str, uid: &str, label: &str| {
            let owner = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": owner, "name": name, "uid": uid, "controller": true});
            let labels = json!({labels::JOB: label});
            let pod = json!({"metadata": {"name": "web-1", "labels": labels, "ownerReferences": [owner]}});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            (is_owned(&pod, &job), is_of_earlier(&pod, &job))
        };
        assert_eq!(kinds("SingletonJob", "web", "j", "web"), (true, false));
        assert_eq!(kinds("SingletonJob", "web", "i", "web"), (false, true));
        for stranger in [
            kinds("SingletonJob", "other", "i", "web"),
            kinds("Job", "web", "i", "web"),
            kinds("SingletonJob", "web", "i", "x"),
        ] {
            assert_eq!(stranger, (false, false));
        }
    }

    #[test]
    fn who_has_held_the_lease_is_said_by_the_lease_or_by_status() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
            "status": {"takeovers": [{"to": "web-5", "reason": "Drain"}]},
        }))
        .expect("a SingletonJob");
        let progress = json!({"uid": "j", "run": 1, "starts": 3, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
                              "tenants": [{"uid": "u1"}, {"uid": "u3"}]});
        let mark = json!({"leaseUid": "l", "renewTime": null, "by": "web-2_u2_7", "reason": "Drain"});
        let annotations = json!({keys::PROGRESS: progress.to_string(), keys::RELEASED: mark.to_string()});
        let lease = json!({"metadata": {"uid": "l", "resourceVersion": "7", "annotations": annotations}, "spec": {"holderIdentity": "web-4_u4_7"}});
        let record = Record::read(&serde_json::from_value(lease).expect("a Lease")).expect("a record");
        let pod = |number: u32| {
            let pod = json!({"metadata": {"name": format!("web-{number}"), "uid": format!("u{number}")}});
            Candidate::read(&serde_json::from_value(pod).expect("a pod"))
        };
        let held: Vec<_> = (1..=6).filter(|number| has_held(&pod(*number), &job, Some(&record))).collect();
        assert_eq!(held, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_holder_is_ready_once_its_agent_has_said_so_in_this_tenure() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let pod = |number: u32, readiness: &str| -> Pod {
            let owner = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "name": "web", "uid": "j", "controller": true});
            serde_json::from_value(json!({
                "metadata": {"name": format!("web-{number}"), "uid": format!("u{number}"), "ownerReferences": [owner],
                             "annotations": {labels::READINESS: readiness}},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .expect("a pod")
        };
        let holder = |readiness: &str, health: serde_json::Value| {
            let lease = json!({
                "metadata": {"name": "web", "uid": "l", "resourceVersion": "7",
                             "labels": {labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: "web"},
                             "annotations": {keys::HEALTH: health.to_string()}},
                "spec": {"holderIdentity": "web-1_u1_7", "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:01:00.000000Z",
                         "renewTime": "2026-01-01T00:01:00.000000Z"},
            });
            let lease = serde_json::from_value(lease).expect("a Lease");
            let pods = [pod(1, readiness), pod(2, readiness)];
            let observed = complete(
                &job,
                Observed::default(),
                Some(lease),
                pods.iter(),
                &LeaseObservations::default(),
                Moment::default(),
            );
            let observed = observed.expect("a record");
            assert!(
                observed.candidates[1].ready && observed.candidates[1].unready_since.is_none(),
                "a standby is none of this"
            );
            let Candidate { ready, unready_since, .. } = observed.candidates[0].clone();
            (ready, unready_since, observed.awaits_readiness())
        };
        let waits = (false, "2026-01-01T00:01:00Z".parse().ok(), true);
        assert_eq!(holder(labels::READINESS_REPORTED, json!({"token": "7"})), waits);
        assert_eq!(
            holder(labels::READINESS_REPORTED, json!({"workloadReady": "2026-01-01T00:01:03Z"})),
            (true, None, false)
        );
        assert_eq!(holder("", json!({})), (true, None, false), "an agent that does not report");
    }

    #[test]
    fn a_lease_is_this_jobs_by_its_labels_or_by_the_uid_in_its_notes() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let seen = |labels: serde_json::Value, uid: &str| {
            let run = json!({"uid": uid, "number": 1, "desired": "Run"});
            let metadata = json!({"name": "web", "uid": "l", "resourceVersion": "7", "labels": labels, "annotations": {keys::RUN: run.to_string()}});
            let lease = serde_json::from_value(json!({"metadata": metadata})).expect("a Lease");
            let observed = complete(
                &job,
                Observed::default(),
                Some(lease),
                [].into_iter(),
                &LeaseObservations::default(),
                Moment::default(),
            );
            observed.expect("a record").foreign
        };
        let both = || json!({labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: "web"});
        assert_eq!(
            [seen(both(), "earlier"), seen(json!({}), "j"), seen(json!({labels::JOB: "web"}), "j")],
            [None, None, None]
        );
        let said = seen(json!({labels::JOB: "web"}), "earlier").expect("foreign");
        for label in ["app.kubernetes.io/managed-by=singletonjob-controller", "singletonjob.dev/name=web"] {
            assert!(said.contains(label), "{said}");
        }
    }
}
