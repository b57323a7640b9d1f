//! Carries out a plan. Besides the candidates' own store, only this module writes a Lease.
//!
//! # Guarantees
//! - The Lease comes before the pods. While the controller cannot create or read the Lease, it creates no
//!   pod.
//! - The controller updates a Lease with its uid and resourceVersion. It never changes the spec, because
//!   candidates own that.
//! - The controller creates pods by name, and deletes them with the uid and resourceVersion that it read. If
//!   two controllers do the same at once, the API server refuses one of them.
//! - The controller does not touch another client's object under a needed name, and reports it.
//! - The controller remembers what the API server refuses, and skips requests that depend on it. The rest
//!   goes on.

pub mod access;
pub mod lease;
pub mod pods;

use std::fmt::Debug;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;

use super::api_call::{Failure, with_deadline};
use super::build::{self, Objects};
use super::observe::candidate::PodRef;
use super::observe::{Observed, ObservedLease};
use super::plan;
use super::plan::candidates::RoleLabel;
use super::plan::directives::Directives;
use super::refusals::{Refused, Standing, Step};
use crate::api::SingletonJob;
use crate::lease::annotations::{FailedPod, Handover};

/// What the controller has done. Only this module makes one, and the controller reports no status without
/// one.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Whether the new Lease names an earlier holder. `None` if the controller created no Lease.
    pub lease_created: Option<bool>,
    /// Whether the Lease contains the plan's directives.
    pub directives_stored: bool,
    /// The handover that the controller has just requested in the Lease.
    pub handover: Option<Handover>,
    /// Whether the controller has restored labels that the Lease had lost.
    pub labels_restored: bool,
    /// Pods that candidates were told to count as failures.
    pub failed_pods: Vec<FailedPod>,
    /// Names of the pods that were made.
    pub created: Vec<String>,
    /// Names of the pods that were deleted.
    pub deleted: Vec<String>,
    /// Names of ended pods whose other containers were told to end.
    pub retired: Vec<String>,
    /// The highest candidate number that the controller has tried.
    pub last_number: Option<i64>,
    /// Requests that the API server refuses, including those that the controller does not repeat yet.
    pub refused: Vec<Refused>,
    /// Why the API server fails to serve the rest, if it has failed for a while.
    pub failed: Option<String>,
    /// Needed pod names that belong to another client's pods.
    pub foreign: Vec<String>,
    /// Needed pod names that pods of an earlier SingletonJob still have. The garbage collector removes those
    /// pods.
    pub earlier: Vec<String>,
    /// See [`Seal`].
    pub seal: Seal,
}

/// Deletes a finished SingletonJob, with the uid and resourceVersion that the controller read. The API server
/// keeps one that has changed since. The garbage collector removes the pods, and
/// [`lease_gc`](super::lease_gc) the Lease.
///
/// # Errors
/// If the SingletonJob has changed, or the request fails.
pub async fn delete(client: &Client, job: &SingletonJob) -> Result<(), Failure> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let jobs: Api<SingletonJob> = Api::namespaced(client.clone(), &namespace);
    let exactly = Preconditions { uid: job.uid(), resource_version: job.resource_version() };
    let params = DeleteParams::background().preconditions(exactly);
    tracing::info!(
        namespace,
        name,
        "deleting a SingletonJob that has finished, by its spec.ttlSecondsAfterFinished"
    );
    match with_deadline("deleting SingletonJob", &name, jobs.delete(&name, &params)).await {
        Err(failure) if failure.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

/// Proof that this module made the [`Applied`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal(());

impl Applied {
    fn nothing() -> Self {
        Self {
            lease_created: None,
            directives_stored: true,
            handover: None,
            labels_restored: false,
            failed_pods: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            retired: Vec::new(),
            last_number: None,
            refused: Vec::new(),
            failed: None,
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

/// Carries out a plan, in the order that safety needs. An object that is already gone is no failure. The
/// caller reports what was done, even if a later request fails. The controller skips every request that is in
/// `standing`.
///
/// # Errors
/// The first request that failed and without which the rest must not be done.
pub async fn apply(
    client: &Client,
    job: &SingletonJob,
    observed: &Observed,
    standing: &Standing,
    objects: Objects,
) -> (Applied, Result<(), Failure>) {
    let applied = Applied { directives_stored: false, ..Applied::nothing() };
    let mut work =
        Work { apis: Apis::of(client, &job.namespace().unwrap_or_default()), job, standing, applied };
    let result = Box::pin(work.in_order(observed, objects)).await;
    (work.applied, result)
}

struct Apis {
    leases: Api<Lease>,
    pods: Api<Pod>,
    roles: Api<Role>,
    bindings: Api<RoleBinding>,
    budgets: Api<PodDisruptionBudget>,
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

/// One plan that is being carried out.
struct Work<'a> {
    apis: Apis,
    job: &'a SingletonJob,
    standing: &'a Standing,
    applied: Applied,
}

impl Work<'_> {
    async fn in_order(&mut self, observed: &Observed, objects: Objects) -> Result<(), Failure> {
        let Objects {
            lease,
            directives,
            role,
            binding,
            budget,
            template,
            pods,
            delete,
            label,
            keep,
            stop_sidecars,
        } = objects;
        let lease = match (&observed.lease, lease) {
            (None, Some((lease, free))) => self.make_lease(&lease, free).await?,
            (Some(ObservedLease { object, .. }), _) => Some(self.annotate(object, &directives).await?),
            (None, None) => None,
        };
        let Some(lease) = lease else { return Ok(()) };
        let granted = self.grant(observed, &lease, role, binding).await?;
        // One without pods makes the disruption controller complain.
        if observed.budget.is_some() || !observed.candidates.is_empty() {
            self.guard_drains(observed.budget.as_ref(), budget).await?;
        }
        let asks = label.into_iter().map(Ask::Label).chain(stop_sidecars.into_iter().map(Ask::Retire));
        self.ask_about_pods(asks.chain(keep.into_iter().map(Ask::Keep))).await?;
        // Pods come and go by what the Lease says, and it does not say so yet.
        if !self.applied.directives_stored {
            return Ok(());
        }
        let is_valid = self.validate(template).await?;
        // Pods that would make room for it stay: the plan knows of that when status does.
        if !is_valid && !plan::template::is_refused(self.job) && !self.job.spec.is_stopped() {
            return Ok(());
        }
        if granted && is_valid {
            self.ask_about_pods(pods.into_iter().map(|pod| Ask::Make(Box::new(pod)))).await?;
        }
        self.ask_about_pods(delete.into_iter().map(Ask::Delete)).await
    }

    /// Whether the controller does not ask for this now, because it was refused a moment ago.
    fn is_refused(&mut self, step: Step, subject: &str) -> bool {
        if self.applied.refused.iter().any(|refused| refused.step == step && refused.subject == subject) {
            return true;
        }
        let standing = self.standing.find(step, subject);
        self.applied.refused.extend(standing.cloned());
        standing.is_some()
    }

    /// `None` if the API server refuses it: the rest goes on, and status says why.
    fn unless_refused<T>(
        &mut self,
        step: Step,
        subject: &str,
        result: Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(failure) => {
                let message = failure.refuses().ok_or(failure)?;
                self.applied.refused.push(Refused { step, subject: subject.to_owned(), message });
                Ok(None)
            }
        }
    }

    async fn make_lease(&mut self, lease: &Lease, free: bool) -> Result<Option<Lease>, Failure> {
        if self.is_refused(Step::MakeLease, "") {
            return Ok(None);
        }
        let made =
            self.unless_refused(Step::MakeLease, "", lease::create(&self.apis.leases, lease, free).await)?;
        self.applied.lease_created = made.as_ref().map(|_| !free);
        self.applied.directives_stored = made.is_some();
        Ok(made)
    }

    /// Where it is refused, the Lease as it was seen.
    async fn annotate(&mut self, seen: &Lease, directives: &Directives) -> Result<Lease, Failure> {
        let says_so = build::lease::with_directives(seen, directives).is_none();
        let subject = directives.fingerprint();
        if says_so || self.is_refused(Step::Annotate, &subject) {
            self.applied.directives_stored = says_so;
            return Ok(seen.clone());
        }
        let written = lease::annotate(&self.apis.leases, seen, directives, &mut self.applied).await;
        let written = self.unless_refused(Step::Annotate, &subject, written)?;
        self.applied.directives_stored = written.is_some();
        Ok(written.unwrap_or_else(|| seen.clone()))
    }

    /// Whether candidates have what they need; an earlier Role or RoleBinding that must not be changed will
    /// do.
    async fn grant(
        &mut self,
        observed: &Observed,
        lease: &Lease,
        mut role: Role,
        mut binding: RoleBinding,
    ) -> Result<bool, Failure> {
        build::rbac::owned_by(&mut role.metadata, lease);
        build::rbac::owned_by(&mut binding.metadata, lease);
        let (earlier, bound) = (observed.role.as_ref(), observed.binding.as_ref());
        let mut has_role = earlier.is_some();
        if !access::is_granted(earlier, &role) && !self.is_refused(Step::GrantRole, "") {
            let result = access::put(&self.apis.roles, "applying Role", &role).await;
            has_role |= self.unless_refused(Step::GrantRole, "", result)?.is_some();
        }
        let mut is_bound = bound.is_some();
        if has_role && !access::is_bound(bound, &binding) && !self.is_refused(Step::BindRole, "") {
            let result = access::put(&self.apis.bindings, "applying RoleBinding", &binding).await;
            is_bound |= self.unless_refused(Step::BindRole, "", result)?.is_some();
        }
        Ok(has_role && is_bound)
    }

    async fn guard_drains(
        &mut self,
        is: Option<&PodDisruptionBudget>,
        wanted: Option<PodDisruptionBudget>,
    ) -> Result<(), Failure> {
        if access::is_guarded(is, wanted.as_ref()) || self.is_refused(Step::GuardDrains, "") {
            return Ok(());
        }
        let result = access::guard_drains(&self.apis.budgets, is, wanted).await;
        self.unless_refused(Step::GuardDrains, "", result).map(drop)
    }

    /// Whether the API server takes a pod of the template, or says nothing about the template itself: a quota
    /// or a policy is asked of real pods.
    async fn validate(&mut self, template: Option<Pod>) -> Result<bool, Failure> {
        let Some(template) = template else { return Ok(true) };
        if self.is_refused(Step::ValidateTemplate, "") {
            return Ok(false);
        }
        // No pod is made in any case.
        if !self.standing.is_asked(Step::MakePod) {
            return Ok(true);
        }
        let answer = match pods::validate(&self.apis.pods, &template).await {
            Err(failure) if failure.is_invalid() || (failure.is_outage() && !self.job.spec.is_stopped()) => {
                Err(failure)
            }
            Ok(()) | Err(_) => Ok(()),
        };
        Ok(self.unless_refused(Step::ValidateTemplate, "", answer)?.is_some())
    }

    /// What refuses one new pod refuses the next: a number that was not taken is there for the next try.
    async fn ask_about_pods(&mut self, asks: impl Iterator<Item = Ask>) -> Result<(), Failure> {
        for ask in asks {
            let (step, subject) = ask.what();
            if !self.is_refused(step, &subject) {
                let result = self.ask(ask).await;
                self.unless_refused(step, &subject, result)?;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Failure> {
        let (pods, applied) = (&self.apis.pods, &mut self.applied);
        match ask {
            Ask::Label(label) => pods::set_role(pods, self.job, &label).await,
            Ask::Retire(pod) => pods::stop_sidecars(pods, &pod, applied).await,
            Ask::Keep(pod) => pods::keep(pods, &pod).await,
            Ask::Make(pod) => pods::create(pods, self.job, *pod, applied).await,
            Ask::Delete(pod) => {
                let exactly = Preconditions { uid: Some(pod.uid), resource_version: Some(pod.version) };
                remove(pods, "deleting Pod", &pod.name, exactly).await?;
                applied.deleted.push(pod.name);
                Ok(())
            }
        }
    }
}

/// One request about one pod, with what [`Objects`] says of it.
enum Ask {
    Label(RoleLabel),
    Retire(PodRef),
    Keep(PodRef),
    Make(Box<Pod>),
    /// Only as it was read: what has changed since is looked at again.
    Delete(PodRef),
}

impl Ask {
    /// All new pods are alike.
    fn what(&self) -> (Step, String) {
        match self {
            Self::Label(label) => (Step::Label, label.pod.name.clone()),
            Self::Retire(pod) => (Step::Retire, pod.name.clone()),
            Self::Keep(pod) => (Step::Keep, pod.name.clone()),
            Self::Make(_) => (Step::MakePod, String::new()),
            Self::Delete(pod) => (Step::DeletePod, pod.name.clone()),
        }
    }
}

/// Nothing but exactly this object.
async fn remove<K>(api: &Api<K>, act: &str, name: &str, exactly: Preconditions) -> Result<(), Failure>
where
    K: Clone + Debug + DeserializeOwned,
{
    let params = DeleteParams::default().preconditions(exactly);
    tolerate_absence(with_deadline(act, name, api.delete(name, &params)).await.map(drop))
}

/// A pod that is gone, has changed, or is another of its name: what was wanted no longer applies.
fn tolerate_absence(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        result => result,
    }
}
