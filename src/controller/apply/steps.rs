//! The steps of an application. The controller skips a step while the API server refuses it, and records a
//! new refusal instead of failing.

mod apis;
mod pod_request;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Client, ResourceExt};

use super::applied::Applied;
use super::{access, lease, pods};
use crate::api::SingletonJob;
use crate::controller::api_call::Failure;
use crate::controller::build;
use crate::controller::observe::{Observed, ObservedLease};
use crate::controller::plan::directives::Directives;
use crate::controller::refusals::{Refused, Standing, Step};
use apis::Apis;
pub(super) use pod_request::PodRequest;

/// One plan that is being carried out.
pub(super) struct Steps<'a> {
    apis: Apis,
    pub(super) job: &'a SingletonJob,
    standing: &'a Standing,
    pub(super) applied: Applied,
}

impl<'a> Steps<'a> {
    /// The steps for `job`, none of them done yet.
    pub(super) fn new(client: &Client, job: &'a SingletonJob, standing: &'a Standing) -> Self {
        let applied = Applied { directives_stored: false, ..Applied::nothing() };
        Self { apis: Apis::of(client, &job.namespace().unwrap_or_default()), job, standing, applied }
    }

    /// Whether the controller skips this step, because it was refused a moment ago.
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

    /// Creates the Lease, or writes the directives into the existing one. `None` if there is none then.
    pub(super) async fn lease(
        &mut self,
        observed: &Observed,
        new: Option<(Lease, bool)>,
        directives: &Directives,
    ) -> Result<Option<Lease>, Failure> {
        match (&observed.lease, new) {
            (None, Some((lease, free))) => self.create_lease(&lease, free).await,
            (Some(ObservedLease { object, .. }), _) => self.annotate(object, directives).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    async fn create_lease(&mut self, lease: &Lease, free: bool) -> Result<Option<Lease>, Failure> {
        if self.is_refused(Step::MakeLease, "") {
            return Ok(None);
        }
        let created = lease::create(&self.apis.leases, lease, free).await;
        let created = self.unless_refused(Step::MakeLease, "", created)?;
        self.applied.lease_created = created.as_ref().map(|_| !free);
        self.applied.directives_stored = created.is_some();
        Ok(created)
    }

    /// Writes the directives into the Lease. If the API server refuses that, returns the Lease as it was
    /// seen.
    async fn annotate(&mut self, seen: &Lease, directives: &Directives) -> Result<Lease, Failure> {
        let Some(annotated) = build::lease::with_directives(seen, directives) else {
            self.applied.directives_stored = true;
            return Ok(seen.clone());
        };
        let subject = directives.fingerprint();
        if self.is_refused(Step::Annotate, &subject) {
            self.applied.directives_stored = false;
            return Ok(seen.clone());
        }
        let swap = lease::Swap { seen, annotated, directives };
        let written = lease::annotate(&self.apis.leases, swap, &mut self.applied).await;
        let written = self.unless_refused(Step::Annotate, &subject, written)?;
        self.applied.directives_stored = written.is_some();
        Ok(written.unwrap_or_else(|| seen.clone()))
    }

    /// Lets candidates use the Lease, and returns whether they can. An earlier Role or RoleBinding that must
    /// not be changed will do.
    pub(super) async fn grant(
        &mut self,
        observed: &Observed,
        lease: &Lease,
        mut role: Role,
        mut binding: RoleBinding,
    ) -> Result<bool, Failure> {
        build::rbac::owned_by(&mut role.metadata, lease);
        build::rbac::owned_by(&mut binding.metadata, lease);
        Ok(self.grant_role(observed.role.as_ref(), &role).await?
            && self.bind_role(observed.binding.as_ref(), &binding).await?)
    }

    async fn grant_role(&mut self, earlier: Option<&Role>, role: &Role) -> Result<bool, Failure> {
        if access::is_granted(earlier, role) || self.is_refused(Step::GrantRole, "") {
            return Ok(earlier.is_some());
        }
        let acts = ("creating Role", "changing Role");
        let result = access::put(&self.apis.roles, acts, earlier, role).await;
        let granted = self.unless_refused(Step::GrantRole, "", result)?;
        Ok(granted.is_some() || earlier.is_some())
    }

    async fn bind_role(
        &mut self,
        earlier: Option<&RoleBinding>,
        binding: &RoleBinding,
    ) -> Result<bool, Failure> {
        if access::is_bound(earlier, binding) || self.is_refused(Step::BindRole, "") {
            return Ok(earlier.is_some());
        }
        let acts = ("creating RoleBinding", "changing RoleBinding");
        let result = access::put(&self.apis.bindings, acts, earlier, binding).await;
        let bound = self.unless_refused(Step::BindRole, "", result)?;
        Ok(bound.is_some() || earlier.is_some())
    }

    /// Creates, changes or deletes the PodDisruptionBudget.
    pub(super) async fn guard_drains(
        &mut self,
        observed: &Observed,
        wanted: Option<PodDisruptionBudget>,
    ) -> Result<(), Failure> {
        let is = observed.budget.as_ref();
        // One without pods makes the disruption controller complain.
        let comes_too_early = is.is_none() && observed.candidates.is_empty();
        if comes_too_early
            || access::is_guarded(is, wanted.as_ref())
            || self.is_refused(Step::GuardDrains, "")
        {
            return Ok(());
        }
        let result = access::guard_drains(&self.apis.budgets, is, wanted).await;
        self.unless_refused(Step::GuardDrains, "", result).map(drop)
    }

    /// Whether the API server takes a pod of the template, or says nothing about the template itself: a quota
    /// or a policy is asked of real pods.
    pub(super) async fn validate(&mut self, template: &Pod) -> Result<bool, Failure> {
        if self.is_refused(Step::ValidateTemplate, "") {
            return Ok(false);
        }
        // No pod is made in any case.
        if !self.standing.is_asked(Step::MakePod) {
            return Ok(true);
        }
        let answer = match pods::validate(&self.apis.pods, template).await {
            Err(failure) if failure.is_invalid() || (failure.is_outage() && !self.job.spec.is_stopped()) => {
                Err(failure)
            }
            Ok(()) | Err(_) => Ok(()),
        };
        Ok(self.unless_refused(Step::ValidateTemplate, "", answer)?.is_some())
    }

    /// Creates `pods`, one after the other. What refuses one refuses the next: a number that was not taken is
    /// there for the next try. If the API server finds a pod of an `unvalidated` template invalid, it validates
    /// that template, so that status quotes what the user wrote.
    pub(super) async fn create_pods(
        &mut self,
        pods: Vec<Pod>,
        unvalidated: Option<&Pod>,
    ) -> Result<(), Failure> {
        for pod in pods {
            if self.is_refused(Step::MakePod, "") {
                return Ok(());
            }
            let result = pods::create(&self.apis.pods, self.job, pod, &mut self.applied).await;
            let is_invalid = result.as_ref().is_err_and(Failure::is_invalid);
            if let Some(template) = unvalidated
                && is_invalid
                && !self.validate(template).await?
            {
                return Ok(());
            }
            self.unless_refused(Step::MakePod, "", result)?;
        }
        Ok(())
    }

    /// Sends `requests`, one after the other.
    pub(super) async fn ask_about_pods(
        &mut self,
        requests: impl Iterator<Item = PodRequest>,
    ) -> Result<(), Failure> {
        for request in requests {
            let (step, subject) = request.step();
            if !self.is_refused(step, &subject) {
                let result = request.send(&self.apis.pods, self.job, &mut self.applied).await;
                self.unless_refused(step, &subject, result)?;
            }
        }
        Ok(())
    }
}
