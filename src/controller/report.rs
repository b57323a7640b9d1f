//! Reports to users by status and events. The controller computes them from what it applied, and writes them
//! only when they change.
//!
//! An event about what the controller did appears at once, whether status can be written or not. An event
//! about what came about appears with the status that says it, because only one of several controllers writes
//! that status.
//!
//! No status field changes with a renewal, so a renewal causes no write.

pub mod blocked;
pub mod conditions;
pub mod events;
pub mod format;
pub mod history;
pub mod job_metrics;
pub mod outcome;
pub mod recorder;
pub mod refused;
pub mod rollout;
pub mod status;
pub mod template_warnings;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};

use super::api_call::{Failure, in_our_name, with_deadline};
use super::apply::Applied;
use super::observe::candidate::Candidate;
use super::observe::candidate::start_failure::StartFailure;
use super::observe::{Observed, ObservedLease};
use super::plan::candidates::has_made_its_attempt;
use super::plan::handover::request::{HandoverAnswer, HandoverRequest};
use super::plan::run_plan::{RunAnswer, RunPlan};
use super::plan::{Actions, Plan, Refusal, clearance, spread};
use super::refusals::{Refused, Step};
use crate::api::{SingletonJob, SingletonJobStatus};
use crate::lease::identity::Identity;
use crate::lease::record::Record;

/// Everything that a report is made from.
#[derive(Clone, Debug)]
pub struct ReportContext<'a> {
    /// The SingletonJob, with its status as it was.
    pub job: &'a SingletonJob,
    /// What was there.
    pub observed: &'a Observed,
    /// Why nothing was done.
    pub refusal: Option<&'a Refusal>,
    /// Whether a Lease was made, and whether in the name of an earlier holder.
    pub lease_created: Option<bool>,
    /// What becomes of a request to hand over.
    pub request: Option<&'a HandoverRequest>,
    /// What is decided about the run: as the Lease says it.
    pub run: RunPlan,
    /// The highest number of a candidate that was tried.
    pub last_number: Option<i64>,
    /// What the API server refuses.
    pub refused: Vec<Refused>,
    /// Why the API server fails to do the rest.
    pub failed: Option<String>,
    /// Whether the Lease says what was decided: status says no more than that.
    pub stored: bool,
    /// For times that users read.
    pub now: Timestamp,
}

impl<'a> ReportContext<'a> {
    /// Takes everything that was done into account.
    pub fn new(
        job: &'a SingletonJob,
        observed: &'a Observed,
        plan: &'a Plan,
        applied: Applied,
        now: Timestamp,
    ) -> Self {
        // What was made and deleted shows in the candidates when it has happened.
        let Applied {
            lease_created,
            directives_stored: stored,
            handover: _,
            labels_restored: _,
            failed_pods: _,
            created: _,
            deleted: _,
            retired: _,
            last_number,
            refused,
            failed,
            foreign: _,
            earlier: _,
            seal: _,
        } = applied;
        let (refusal, act) = match plan {
            Plan::Invalid(refusal) => (Some(refusal), None),
            Plan::LeaveAlone | Plan::Delete => (None, None),
            Plan::Act(act) => (None, Some(act.as_ref())),
        };
        Self {
            job,
            observed,
            refusal,
            lease_created,
            // What was granted stands in the Lease.
            request: act
                .and_then(|act| act.request.as_ref())
                .filter(|request| stored || !matches!(request.answer, HandoverAnswer::Granted(_))),
            run: run(job, observed, act, stored),
            last_number,
            refused,
            failed,
            stored,
            now,
        }
    }

    /// The status as it was.
    pub fn old(&self) -> SingletonJobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    /// The Lease, decoded.
    pub fn record(&self) -> Option<&Record> {
        self.seen().map(|seen| &seen.record)
    }

    /// The Lease.
    pub fn seen(&self) -> Option<&ObservedLease> {
        self.observed.lease.as_ref()
    }

    /// The holder of the Lease, by all that the controller knows: see [`clearance::silence::is_remembered`].
    /// An attempt that has recorded its outcome holds no more.
    pub fn holder(&self) -> Option<&Identity> {
        let tells_outcome = self.record().is_some_and(Record::tells_outcome);
        let holder =
            self.observed.holder().filter(|holder| holder.is_of(&self.job.name_any()) && !tells_outcome);
        if clearance::silence::is_remembered(self.job, self.observed) { None } else { holder }
    }

    /// The holder's pod, where it is still there.
    pub fn holder_pod(&self) -> Option<&Candidate> {
        self.holder().and(self.observed.holder_pod())
    }

    /// Candidates that could take over at once.
    pub fn standbys(&self) -> impl Iterator<Item = &Candidate> {
        self.observed.candidates.iter().filter(|candidate| self.is_standby(candidate))
    }

    /// Whether the candidate could take over at once. A candidate that may still run the workload is no
    /// standby, nor is a pod of a one-shot that has made its attempt.
    pub fn is_standby(&self, candidate: &Candidate) -> bool {
        let takes_part =
            candidate.is_alive() && candidate.can_take_over && !has_made_its_attempt(self.job, candidate);
        takes_part
            && self.may_still_run().is_none_or(|holder| holder.pod_uid() != Some(candidate.uid.as_str()))
    }

    /// Who holds the Lease, heard of or not; where it is missing or was emptied, who held it last.
    fn may_still_run(&self) -> Option<Identity> {
        let last =
            || self.job.status.as_ref()?.lease.as_ref()?.last_holder_identity.clone().map(Identity::read);
        match self.record() {
            Some(record) if record.is_released() => None,
            Some(record) => record.holder.clone().or_else(last),
            None => last(),
        }
    }

    /// What the API server finds wrong with the template.
    pub fn invalid_template(&self) -> Option<&Refused> {
        self.refused.iter().find(|refused| refused.step == Step::ValidateTemplate)
    }

    /// Why a new pod cannot be made.
    fn pod_trouble(&self) -> Option<StartFailure> {
        let refused = self.refused.iter().find(|refused| refused.step == Step::MakePod);
        let start_failure = |reason: &str, message: &String| StartFailure {
            reason: reason.to_owned(),
            message: message.clone(),
        };
        let refused = refused.map(|refused| start_failure("FailedCreate", &refused::of_pod(refused)));
        let invalid = || {
            self.invalid_template()
                .map(|invalid| start_failure(invalid.step.reason(), &refused::sentence(invalid)))
        };
        refused
            .or_else(invalid)
            .or_else(|| self.failed.as_ref().map(|message| start_failure("RequestFailed", message)))
    }

    /// What cannot be made or changed beside new pods.
    pub fn refused_objects(&self) -> impl Iterator<Item = &Refused> {
        self.refused.iter().filter(|refused| !matches!(refused.step, Step::MakePod | Step::ValidateTemplate))
    }

    /// Why some candidate does not start. Nothing waits for the one that is tried on another node.
    pub fn trouble(&self) -> Option<StartFailure> {
        let tried = spread::tried(self.job, self.observed).map(|tried| &tried.uid);
        let alive = self
            .observed
            .candidates
            .iter()
            .filter(|candidate| candidate.is_alive() && Some(&candidate.uid) != tried);
        let mut stuck = alive.filter_map(|candidate| {
            let start_failure = candidate.start_failure.as_ref()?;
            Some(StartFailure {
                reason: start_failure.reason.clone(),
                message: format!("{}: {}: {}", candidate.name, start_failure.reason, start_failure.message),
            })
        });
        self.pod_trouble()
            .or_else(|| stuck.next_back())
            .or_else(|| outcome::in_vain(self, self.run.made_for()))
    }
}

fn run(job: &SingletonJob, observed: &Observed, act: Option<&Actions>, stored: bool) -> RunPlan {
    let noted = || RunPlan::noted(job, observed);
    let Some(run) = act.map(|act| &act.run) else { return noted() };
    if stored {
        return run.clone();
    }
    let request = run.request.clone().filter(|request| request.answer != RunAnswer::Granted);
    RunPlan { request, schedule: run.schedule.clone(), ..noted() }
}

/// Writes status if it changed, and then events about what happened.
///
/// # Errors
/// If status cannot be written. The controller then repeats the reconciliation. An event that cannot be
/// written is only logged.
pub async fn report(
    client: &Client,
    context: &ReportContext<'_>,
    recorder: &recorder::Recorder,
) -> Result<SingletonJobStatus, Failure> {
    let (old, new) = (context.old(), status::compute(context));
    if Some(&new) != context.job.status.as_ref() {
        let jobs: Api<SingletonJob> =
            Api::namespaced(client.clone(), &context.job.namespace().unwrap_or_default());
        let mut job = context.job.clone();
        job.metadata.managed_fields = None;
        job.status = Some(new.clone());
        let name = job.name_any();
        with_deadline(
            "writing status of SingletonJob",
            &name,
            jobs.replace_status(&name, &in_our_name(), &job),
        )
        .await?;
        recorder.record(context.job, events::between(context, &old, &new)).await;
    }
    Ok(new)
}
