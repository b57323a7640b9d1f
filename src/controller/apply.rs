//! Makes it so. Besides the candidates' own store, the only code that writes a Lease.
//!
//! # Guarantees
//! - The Lease comes before the pods: while it cannot be made or read, no pod is made.
//! - A Lease is written with uid and resourceVersion, and never its spec: candidates own that.
//! - Pods are made by name and deleted by uid: of two controllers that do the same at once, one is told no.
//! - What another made under a name that is needed is left alone, and reported.

use std::fmt::Debug;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::build::{self, Objects};
use super::observe::candidate::{Hindrance, PAST_DEADLINE, number};
use super::observe::{Observed, Seen, is_of_earlier, is_owned};
use super::plan::takeover::Wishes;
use super::request::{Failure, bounded, in_our_name, merging};
use crate::api::SingletonJob;
use crate::contract::field_managers::CONTROLLER;
use crate::contract::labels;
use crate::lease::notes::{FailedPod, Handover};

/// A wish loses a compare-and-swap only against renewals, which are seconds apart.
const MOST_SWAPS: usize = 4;
/// Numbers that are tried for one pod, should names be taken by others.
const MOST_NUMBERS: i64 = 20;

/// What was done. Only [`apply`] makes one, and status is computed from nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The Lease was missing and has been made; whether in the name of an earlier holder.
    pub lease_created: Option<bool>,
    /// A request to hand over that was written.
    pub handover: Option<Handover>,
    /// Whether the Lease had lost its labels, which are on it again.
    pub labels_restored: bool,
    /// Pods that candidates were told to count as failures.
    pub failed_pods: Vec<FailedPod>,
    /// Names of the pods that were made.
    pub created: Vec<String>,
    /// Names of the pods that were deleted.
    pub deleted: Vec<String>,
    /// Names of ended pods whose other containers were told to end.
    pub retired: Vec<String>,
    /// The highest number tried.
    pub last_number: Option<i64>,
    /// Why pods could not be made, in the API server's words.
    pub refused: Option<Hindrance>,
    /// Names that were needed and are another's.
    pub foreign: Vec<String>,
    /// Names that were needed and are those of pods of an earlier SingletonJob, which are on their way out.
    pub earlier: Vec<String>,
    /// See [`Seal`].
    pub seal: Seal,
}

/// Proof that it came from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal(());

impl Applied {
    fn nothing() -> Self {
        Self {
            lease_created: None,
            handover: None,
            labels_restored: false,
            failed_pods: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            retired: Vec::new(),
            last_number: None,
            refused: None,
            foreign: Vec::new(),
            earlier: Vec::new(),
            seal: Seal(()),
        }
    }
}

/// Nothing was to be done.
pub fn nothing() -> Applied {
    Applied::nothing()
}

struct Apis {
    leases: Api<Lease>,
    pods: Api<Pod>,
    roles: Api<Role>,
    bindings: Api<RoleBinding>,
    budgets: Api<PodDisruptionBudget>,
}

/// Carries out a plan, in the order that its safety needs. What is not there to be deleted is no failure. Whatever becomes of the whole, what
/// was done is done, and somebody is to be told.
///
/// # Errors
/// The first request that failed and without which the rest must not be done.
pub async fn apply(client: &Client, job: &SingletonJob, observed: &Observed, objects: Objects) -> (Applied, Result<(), Failure>) {
    let mut applied = Applied::nothing();
    let result = Box::pin(in_order(client, job, observed, objects, &mut applied)).await;
    (applied, result)
}

async fn in_order(
    client: &Client,
    job: &SingletonJob,
    observed: &Observed,
    objects: Objects,
    applied: &mut Applied,
) -> Result<(), Failure> {
    let Objects { lease, wishes, role, binding, budget, pods, delete, label, retire } = objects;
    let apis = Apis::of(client, &job.namespace().unwrap_or_default());
    let lease = match (&observed.lease, lease) {
        (None, Some((lease, free))) => {
            let lease = create_lease(&apis, &lease, free).await?;
            applied.lease_created = Some(!free);
            lease
        }
        (Some(Seen { object, .. }), _) => write_wishes(&apis, object, &wishes, applied).await?,
        (None, None) => return Ok(()),
    };
    grant(&apis, observed, &lease, role, binding).await?;
    guard_drains(&apis, observed.budget.as_ref(), budget).await?;
    for (name, uid, role) in label {
        set_role(&apis, &name, &uid, role).await?;
    }
    for (name, uid, version) in retire {
        retire_pod(&apis, &name, &uid, &version, applied).await?;
    }
    for pod in pods {
        create_pod(&apis, job, pod, applied).await?;
    }
    for (name, uid) in delete {
        remove(&apis.pods, "deleting Pod", &name, Some(uid)).await?;
        applied.deleted.push(name);
    }
    Ok(())
}

impl Apis {
    fn of(client: &Client, namespace: &str) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            roles: Api::namespaced(client.clone(), namespace),
            bindings: Api::namespaced(client.clone(), namespace),
            budgets: Api::namespaced(client.clone(), namespace),
        }
    }
}

/// Makes a Lease. The mark that frees it needs its uid, so it is a second write, on the version that the first one left: it is lost if
/// anybody else was there meanwhile, and everybody waits.
async fn create_lease(apis: &Apis, lease: &Lease, free: bool) -> Result<Lease, Failure> {
    let name = lease.name_any();
    let lease = bounded("creating Lease", &name, apis.leases.create(&in_our_name(), lease)).await?;
    if !free {
        return Ok(lease);
    }
    let marked = build::lease::marked_free(&lease);
    bounded("freeing the new Lease", &name, apis.leases.replace(&name, &in_our_name(), &marked)).await
}

/// Makes the Lease of the controllers themselves.
///
/// # Errors
/// Where a request fails; that it is there already is none.
pub async fn create_own_lease(client: &Client, namespace: &str, lease: &Lease) -> Result<(), Failure> {
    match create_lease(&Apis::of(client, namespace), lease, true).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_conflict() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Read, annotate, swap; again on what is there then, while it is the same Lease and nobody has decided meanwhile what should run.
async fn write_wishes(apis: &Apis, seen: &Lease, wishes: &Wishes, applied: &mut Applied) -> Result<Lease, Failure> {
    let (name, uid) = (seen.name_any(), seen.uid());
    let (mut base, mut swaps) = (seen.clone(), 1);
    loop {
        let Some(next) = build::lease::with_wishes(&base, wishes) else { return Ok(base) };
        match bounded("annotating Lease", &name, apis.leases.replace(&name, &in_our_name(), &next)).await {
            Ok(written) => {
                applied.handover = build::lease::new_handover(&base, wishes).cloned();
                applied.labels_restored = build::lease::lacks_labels(&base);
                applied.failed_pods = build::lease::new_failed_pods(&base, wishes);
                return Ok(written);
            }
            Err(failure) if failure.is_conflict() && swaps < MOST_SWAPS => {
                swaps += 1;
                base = bounded("reading Lease", &name, apis.leases.get(&name)).await?;
                if base.uid() != uid || !build::lease::may_follow(wishes, seen, &base) {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn grant(apis: &Apis, observed: &Observed, lease: &Lease, mut role: Role, mut binding: RoleBinding) -> Result<(), Failure> {
    build::rbac::owned_by(&mut role.metadata, lease);
    build::rbac::owned_by(&mut binding.metadata, lease);
    let same = |is: &Role| is.rules == role.rules && build::rbac::has_metadata(&is.metadata, &role.metadata);
    if !observed.role.as_ref().is_some_and(same) {
        put(&apis.roles, "applying Role", &role).await?;
    }
    let same = |is: &RoleBinding| subjects(is) == subjects(&binding) && build::rbac::has_metadata(&is.metadata, &binding.metadata);
    if !observed.binding.as_ref().is_some_and(same) {
        put(&apis.bindings, "applying RoleBinding", &binding).await?;
    }
    Ok(())
}

/// Makes it as it should be, whether it is there or not.
async fn put<K>(api: &Api<K>, act: &str, object: &K) -> Result<(), Failure>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let (name, params) = (object.name_any(), PatchParams::apply(CONTROLLER).force());
    bounded(act, &name, api.patch(&name, &params, &Patch::Apply(object))).await.map(drop)
}

/// A budget that is not wanted goes: it would keep drains waiting for nobody.
async fn guard_drains(apis: &Apis, is: Option<&PodDisruptionBudget>, wanted: Option<PodDisruptionBudget>) -> Result<(), Failure> {
    match (is, wanted) {
        (None, None) => Ok(()),
        (Some(is), Some(wanted)) if is.spec == wanted.spec && build::rbac::has_metadata(&is.metadata, &wanted.metadata) => Ok(()),
        (_, Some(wanted)) => put(&apis.budgets, "applying PodDisruptionBudget", &wanted).await,
        (Some(is), None) => remove(&apis.budgets, "deleting PodDisruptionBudget", &is.name_any(), is.uid()).await,
    }
}

/// The API server fills in the rest of a subject.
fn subjects(binding: &RoleBinding) -> Vec<(&str, Option<&str>)> {
    let subjects = binding.subjects.iter().flatten();
    subjects.map(|subject| (subject.name.as_str(), subject.namespace.as_deref())).collect()
}

/// Makes one pod, under the first number that nobody has. One of this very job under that number was made by somebody who knew more than we
/// did: it is the one that was wanted.
async fn create_pod(apis: &Apis, job: &SingletonJob, mut pod: Pod, applied: &mut Applied) -> Result<(), Failure> {
    let first = number(&pod.name_any()).max(applied.last_number.map_or(0, |last| last + 1));
    for number in first..first + MOST_NUMBERS {
        let name = format!("{}-{number}", job.name_any());
        pod.metadata.name = Some(name.clone());
        applied.last_number = Some(number);
        match bounded("creating Pod", &name, apis.pods.create(&in_our_name(), &pod)).await {
            Ok(_) => {
                applied.created.push(name);
                return Ok(());
            }
            Err(failure) if failure.is_conflict() => {
                let there = bounded("reading Pod", &name, apis.pods.get_opt(&name)).await?;
                match there {
                    Some(there) if is_owned(&there, job) => return Ok(()),
                    Some(there) if is_of_earlier(&there, job) => applied.earlier.push(name),
                    Some(_) => applied.foreign.push(name),
                    None => {}
                }
            }
            Err(failure) => return refuse(failure, number, applied),
        }
    }
    Ok(())
}

/// Quota, Pod Security and webhooks refuse a pod, not the reconciliation: the rest goes on, and status says why. An API server that is too
/// busy refuses nobody in particular.
fn refuse(failure: Failure, number: i64, applied: &mut Applied) -> Result<(), Failure> {
    let Some((400..500, message)) = failure.refusal().filter(|_| !failure.is_outage()) else { return Err(failure) };
    let message = message.to_owned();
    applied.last_number = number.checked_sub(1).filter(|last| *last > 0);
    applied.refused = Some(Hindrance { reason: "FailedCreate".into(), message });
    Ok(())
}

async fn set_role(apis: &Apis, name: &str, uid: &str, role: &str) -> Result<(), Failure> {
    let patch = json!({"metadata": {"uid": uid, "labels": {labels::ROLE: role}}});
    let result = bounded("labelling Pod", name, apis.pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    tolerate_absence(result.map(drop))
}

/// Ends what still runs in a pod, and keeps the pod with its logs: on the version that was seen, so that of all who see it only one does it.
/// Where it has changed since, the change will be seen too.
async fn retire_pod(apis: &Apis, name: &str, uid: &str, version: &str, applied: &mut Applied) -> Result<(), Failure> {
    let exactly = json!({"uid": uid, "resourceVersion": version});
    let patch = json!({"metadata": exactly, "spec": {"activeDeadlineSeconds": PAST_DEADLINE}});
    let result = bounded("retiring Pod", name, apis.pods.patch(name, &merging(), &Patch::Merge(&patch))).await;
    if result.is_ok() {
        applied.retired.push(name.to_owned());
    }
    tolerate_absence(result.map(drop))
}

/// Nothing but the very object of this uid.
async fn remove<K>(api: &Api<K>, act: &str, name: &str, uid: Option<String>) -> Result<(), Failure>
where
    K: Clone + Debug + DeserializeOwned,
{
    let params = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
    tolerate_absence(bounded(act, name, api.delete(name, &params)).await.map(drop))
}

/// A pod that is gone, or another of its name: what was wanted no longer applies.
fn tolerate_absence(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        result => result,
    }
}

/// Removes a Lease whose SingletonJob is gone; not if anything has happened to it since it was looked at.
///
/// # Errors
/// Where the request fails.
pub async fn remove_lease(client: &Client, lease: &Lease) -> Result<(), Failure> {
    let (namespace, name) = (lease.namespace().unwrap_or_default(), lease.name_any());
    let exactly = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let params = DeleteParams::background().preconditions(exactly);
    tolerate_absence(bounded("deleting Lease", &name, leases.delete(&name, &params)).await.map(drop))
}
