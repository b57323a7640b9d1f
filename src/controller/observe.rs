//! What is there: read from the caches, or from the API server itself before anything is made or deleted.
//!
//! A cache may be old. For most of what is decided that does no harm, for it is looked at again; but whoever makes a pod or a Lease because
//! it is missing must not be told so by a cache, nor whoever deletes a standby, which may hold the Lease by now. Therefore a plan that makes
//! or deletes something is made twice: the second time on [`live`] data.

pub mod candidate;
pub mod claims;
pub mod fate;
pub mod sightings;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, PartialObjectMeta, Selector, SelectorExt};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};

use super::names;
use super::request::{self, Failure};
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::lease::clock::Moment;
use crate::lease::notes::Notes;
use crate::lease::record::{Identity, Record};
use candidate::Candidate;
use claims::Claims;
use fate::Fate;
use sightings::{Look, Sightings};

/// What the watches have told.
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
    /// All PodDisruptionBudgets, whoever made them.
    pub budgets: Store<PodDisruptionBudget>,
    /// All nodes, by their metadata.
    pub nodes: Nodes,
}

/// All nodes, by their metadata: looked at only for a SingletonJob that prefers some of them.
pub type Nodes = Store<PartialObjectMeta<Node>>;

impl Caches {
    /// Waits until the watches have told of everything that was made for SingletonJobs; false where one has ended. The cache of SingletonJobs
    /// themselves is waited for by the runtime, and nobody waits for nodes: one that is not known is not preferred.
    ///
    /// Only one may wait at a time: kube keeps a single waker for each store, and whoever waited before would never hear of it.
    pub async fn filled(&self) -> bool {
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

/// A Lease, and what is known beyond its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// As it is.
    pub object: Lease,
    /// Decoded.
    pub record: Record,
    /// Since when it is so.
    pub look: Look,
}

/// What is there of one SingletonJob.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its Lease.
    pub lease: Option<Seen>,
    /// Its Role.
    pub role: Option<Role>,
    /// Its RoleBinding.
    pub binding: Option<RoleBinding>,
    /// Its PodDisruptionBudget.
    pub budget: Option<PodDisruptionBudget>,
    /// The name of another's PodDisruptionBudget that selects its pods.
    pub other_budget: Option<String>,
    /// Its pods, by number.
    pub candidates: Vec<Candidate>,
    /// Labels of the nodes that its pods are on, by the nodes' names, where it prefers some; what is not known is missing.
    pub nodes: BTreeMap<String, BTreeMap<String, String>>,
    /// The hash of its template as it is now.
    pub template_hash: String,
    /// Whether the API server itself knows neither a Lease nor a pod of that name.
    pub nobody_there: bool,
    /// What stands in the way: another's object under a name that is needed.
    pub foreign: Option<String>,
    /// What has become of a silent holder's pod, where that was asked.
    pub fate: Option<Fate>,
    /// How the claims that its candidates share may be mounted, where that was asked.
    pub claims: Claims,
}

impl Observed {
    /// Who holds the Lease and has been heard of within it.
    pub fn holder(&self) -> Option<&Identity> {
        let seen = self.lease.as_ref()?;
        let proven = seen.record.acquire_time.is_some() && !self.remaining().is_zero();
        seen.record.holder.as_ref().filter(|_| proven)
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

    /// How long the Lease is good for if nothing more is heard; on this controller's clock.
    pub fn remaining(&self) -> Duration {
        self.lease.as_ref().map_or(Duration::ZERO, |seen| seen.record.lease_duration.saturating_sub(seen.look.unchanged))
    }
}

/// What the caches say.
///
/// # Errors
/// A Lease that no candidate could work with either.
pub fn cached(job: &SingletonJob, caches: &Caches, sightings: &Sightings, now: Moment) -> Result<Observed, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let pods: Vec<_> = caches.pods.state_filter(|pod| is_named(pod, &namespace, &name));
    let lease = caches.leases.get(&ObjectRef::new(&name).within(&namespace));
    let rbac = ObjectRef::new(&names::beside(&name)).within(&namespace);
    let budgets = caches.budgets.state_filter(|budget| budget.metadata.namespace.as_deref() == Some(&namespace));
    let (budget, other_budget) = sort_out(job, budgets.iter().map(AsRef::as_ref));
    let observed = Observed {
        budget,
        other_budget,
        role: caches.roles.get(&rbac).map(|role| (*role).clone()),
        binding: caches.bindings.get(&ObjectRef::new(&names::beside(&name)).within(&namespace)).map(|binding| (*binding).clone()),
        ..Observed::default()
    };
    let observed = complete(job, observed, lease.map(|lease| (*lease).clone()), pods.iter().map(AsRef::as_ref), sightings, now)?;
    Ok(with_nodes(job, observed, &caches.nodes))
}

/// What the API server itself says, and the SingletonJob as it is now; none where that is gone. Of nodes, what the cache says.
///
/// # Errors
/// Where a request fails.
pub async fn live(
    job: &SingletonJob,
    client: &Client,
    nodes: &Nodes,
    sightings: &Sightings,
    now: Moment,
) -> Result<Option<(SingletonJob, Observed)>, Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let jobs: Api<SingletonJob> = Api::namespaced(client.clone(), &namespace);
    let job = match request::bounded("reading SingletonJob", &name, jobs.get_opt(&name)).await? {
        Some(current) if current.uid() == job.uid() => current,
        Some(_) | None => return Ok(None),
    };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let lease = request::bounded("reading Lease", &name, leases.get_opt(&name)).await?;
    let rbac = names::beside(&name);
    let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
    let role = request::bounded("reading Role", &rbac, roles.get_opt(&rbac)).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &namespace);
    let binding = request::bounded("reading RoleBinding", &rbac, bindings.get_opt(&rbac)).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let selector = ListParams::default().labels(&format!("{}={name}", labels::JOB));
    let pods = request::bounded("listing pods of", &name, pods.list(&selector)).await?.items;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &namespace);
    let budgets = request::bounded("listing PodDisruptionBudgets beside", &name, budgets.list(&ListParams::default())).await?.items;
    let (budget, other_budget) = sort_out(&job, budgets.iter());
    let observed = Observed {
        budget,
        other_budget,
        nobody_there: lease.is_none() && pods.is_empty(),
        foreign: foreign(role.as_ref(), "Role", &name).or_else(|| foreign(binding.as_ref(), "RoleBinding", &name)),
        role,
        binding,
        ..Observed::default()
    };
    let observed = complete(&job, observed, lease, pods.iter(), sightings, now)?;
    let observed = with_nodes(&job, observed, nodes);
    Ok(Some((job, observed)))
}

/// The PodDisruptionBudget of `job` among those of its namespace, and the name of one that was made by somebody else for the same pods, or
/// under the same name.
fn sort_out<'a>(
    job: &SingletonJob,
    budgets: impl Iterator<Item = &'a PodDisruptionBudget>,
) -> (Option<PodDisruptionBudget>, Option<String>) {
    let labels = names::pod_labels(job);
    let stands_in_the_way = |budget: &&PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        let selects = selector.and_then(|selector| Selector::try_from(selector).ok()).is_some_and(|selector| selector.matches(&labels));
        selects || budget.name_any() == names::beside(&job.name_any())
    };
    let (own, others): (Vec<_>, Vec<_>) = budgets.partition(|budget| is_ours(*budget, &job.name_any()));
    (own.first().map(|budget| (*budget).clone()), others.into_iter().find(stands_in_the_way).map(ResourceExt::name_any))
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

fn complete<'a>(
    job: &SingletonJob,
    observed: Observed,
    lease: Option<Lease>,
    pods: impl Iterator<Item = &'a Pod>,
    sightings: &Sightings,
    now: Moment,
) -> Result<Observed, Failure> {
    let mut candidates: Vec<_> = pods.filter(|pod| is_owned(pod, job)).map(Candidate::read).collect();
    candidates.sort_by_key(|candidate| candidate.number);
    let strange = lease.as_ref().filter(|lease| !is_about(lease, job));
    let foreign = observed.foreign.or_else(|| foreign(strange, "Lease", &job.name_any()));
    let seen = lease.filter(|_| foreign.is_none()).map(|lease| see(lease, job, sightings, now)).transpose()?;
    for candidate in &mut candidates {
        candidate.has_held = has_held(candidate, job, seen.as_ref().map(|seen| &seen.record));
    }
    Ok(Observed { lease: seen, candidates, template_hash: names::template_hash(&job.spec), foreign, ..observed })
}

/// As the Lease has it; status knows of pods whose agents do not write that down.
fn has_held(candidate: &Candidate, job: &SingletonJob, record: Option<&Record>) -> bool {
    let notes = record.map(|record| &record.notes);
    let tenants = notes.and_then(|notes| notes.progress.as_ref()).into_iter().flat_map(|progress| &progress.tenants);
    let holders = [
        record.and_then(|record| record.holder.as_ref()),
        notes.and_then(|notes| notes.released.as_ref()).map(|released| &released.by),
        notes.and_then(|notes| notes.finished.as_ref()).map(|finished| &finished.by),
    ];
    let takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    holders.into_iter().flatten().any(|holder| holder.pod_uid() == Some(&candidate.uid))
        || tenants.into_iter().any(|tenant| tenant.uid == candidate.uid)
        || takeovers.into_iter().any(|takeover| takeover.to == candidate.name)
}

fn see(object: Lease, job: &SingletonJob, sightings: &Sightings, now: Moment) -> Result<Seen, Failure> {
    let record = Record::read(&object).map_err(|malformed| Failure::Unusable(malformed.to_string()))?;
    let look = sightings.look(&job.namespace().unwrap_or_default(), &job.name_any(), &record, now);
    Ok(Seen { object, record, look })
}

/// Whether `object` carries the labels of what is made for the SingletonJob of that name.
pub fn is_ours(object: &impl Resource, job: &str) -> bool {
    let has = |label: &str, value: &str| object.meta().labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|is| is == value);
    has(labels::MANAGED_BY, labels::MANAGED_BY_VALUE) && has(labels::JOB, job)
}

/// Whether the notes of `lease` name this very SingletonJob: then it is its own, whatever has become of the labels.
fn is_about(lease: &Lease, job: &SingletonJob) -> bool {
    let notes = Notes::read(lease.metadata.annotations.as_ref());
    let uids = [
        notes.run.map(|run| run.uid),
        notes.progress.map(|progress| progress.uid),
        notes.finished.map(|finished| finished.uid),
        notes.ticks.map(|ticks| ticks.uid),
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
    pod.metadata.namespace.as_deref() == Some(namespace) && pod.labels().get(labels::JOB).is_some_and(|name| name == job)
}

/// Whether the controlling owner is this very SingletonJob.
pub fn is_owned(pod: &Pod, job: &SingletonJob) -> bool {
    let uid = job.uid();
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref())
}

/// Whether the controlling owner is a SingletonJob of that name that is gone: the garbage collector removes it.
pub fn is_of_earlier(pod: &Pod, job: &SingletonJob) -> bool {
    let (name, uid) = (job.name_any(), job.uid());
    let is_one = |owner: &OwnerReference| owner.controller == Some(true) && owner.kind == SingletonJob::kind(&()) && owner.name == name;
    is_ours(pod, &name) && pod.owner_references().iter().any(|owner| is_one(owner) && Some(&owner.uid) != uid.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lease::notes::keys;

    #[test]
    fn a_pod_is_this_jobs_or_an_earlier_ones_or_a_strangers() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let kinds = |owner: &str, name: &str, uid: &str, label: &str| {
            let owner = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": owner, "name": name, "uid": uid, "controller": true});
            let labels = json!({labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: label});
            let pod = json!({"metadata": {"name": "web-1", "labels": labels, "ownerReferences": [owner]}});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            (is_owned(&pod, &job), is_of_earlier(&pod, &job))
        };
        assert_eq!(kinds("SingletonJob", "web", "j", "web"), (true, false));
        assert_eq!(kinds("SingletonJob", "web", "i", "web"), (false, true));
        for stranger in
            [kinds("SingletonJob", "other", "i", "web"), kinds("Job", "web", "i", "web"), kinds("SingletonJob", "web", "i", "x")]
        {
            assert_eq!(stranger, (false, false));
        }
    }

    #[test]
    fn who_has_held_the_lease_is_said_by_the_lease_and_of_older_agents_by_status() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
            "status": {"takeovers": [{"to": "web-5", "reason": "Drain"}]},
        }))
        .expect("a SingletonJob");
        let progress = json!({"uid": "j", "run": 1, "starts": 3, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
                              "tenants": [{"uid": "u1"}, {"uid": "u3"}]});
        let mark = json!({"leaseUid": "l", "renewTime": null, "by": "web-2_u2_7", "reason": "Drain"});
        let notes = json!({keys::PROGRESS: progress.to_string(), keys::RELEASED: mark.to_string()});
        let lease =
            json!({"metadata": {"uid": "l", "resourceVersion": "7", "annotations": notes}, "spec": {"holderIdentity": "web-4_u4_7"}});
        let record = Record::read(&serde_json::from_value(lease).expect("a Lease")).expect("a record");
        let pod = |number: u32| {
            let pod = json!({"metadata": {"name": format!("web-{number}"), "uid": format!("u{number}")}});
            Candidate::read(&serde_json::from_value(pod).expect("a pod"))
        };
        let held: Vec<_> = (1..=6).filter(|number| has_held(&pod(*number), &job, Some(&record))).collect();
        assert_eq!(held, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_lease_is_this_jobs_by_its_labels_or_by_the_uid_in_its_notes() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let seen = |labels: serde_json::Value, uid: &str| {
            let run = json!({"uid": uid, "number": 1, "desired": "Run"});
            let metadata =
                json!({"name": "web", "uid": "l", "resourceVersion": "7", "labels": labels, "annotations": {keys::RUN: run.to_string()}});
            let lease = serde_json::from_value(json!({"metadata": metadata})).expect("a Lease");
            let observed = complete(&job, Observed::default(), Some(lease), [].into_iter(), &Sightings::default(), Moment::default());
            observed.expect("a record").foreign
        };
        let both = || json!({labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: "web"});
        assert_eq!([seen(both(), "earlier"), seen(json!({}), "j"), seen(json!({labels::JOB: "web"}), "j")], [None, None, None]);
        let said = seen(json!({labels::JOB: "web"}), "earlier").expect("foreign");
        for label in ["app.kubernetes.io/managed-by=singletonjob-controller", "singletonjob.dev/name=web"] {
            assert!(said.contains(label), "{said}");
        }
    }
}
