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
pub mod delays;
mod effects;
pub mod events;
pub mod format;
pub mod history;
pub mod job_metrics;
pub mod outcome;
pub mod recorder;
pub mod refused;
pub mod rollout;
mod start_failures;
pub mod status;
pub mod template_warnings;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use std::borrow::Cow;

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
use super::plan::{Actions, Plan, Refusal, clearance};
use crate::api::status::FinishedRun;
use crate::api::{SingletonJob, SingletonJobStatus};
use crate::lease::identity::Identity;
use crate::lease::record::Record;
use effects::Effects;

/// Everything that the controller makes a report from.
#[derive(Clone, Debug)]
pub struct ReportContext<'a> {
    /// The SingletonJob, with the status that the API server has.
    job: &'a SingletonJob,
    /// The Lease and the pods, as the controller observed them before it acted.
    observed: &'a Observed,
    /// Why the controller did nothing.
    refusal: Option<&'a Refusal>,
    /// What the controller did.
    effects: Effects,
    /// A request to hand over, and what becomes of it.
    request: Option<&'a HandoverRequest>,
    /// What is decided about the run, as the Lease says it.
    run: RunPlan,
    /// The time of day that users read.
    now: Timestamp,
    /// The status of `job`.
    old: Cow<'a, SingletonJobStatus>,
    /// Why some candidate does not start.
    trouble: Option<StartFailure>,
    /// How the job's runs ended, as the new status says it.
    runs: Vec<FinishedRun>,
}

impl<'a> ReportContext<'a> {
    /// Takes everything that the controller did into account.
    pub fn new(
        job: &'a SingletonJob,
        observed: &'a Observed,
        plan: &'a Plan,
        applied: Applied,
        now: Timestamp,
    ) -> Self {
        let effects = Effects::from(applied);
        let (refusal, act) = match plan {
            Plan::Invalid(refusal) => (Some(refusal), None),
            Plan::LeaveAlone | Plan::Delete => (None, None),
            Plan::Act(act) => (None, Some(act.as_ref())),
        };
        let request = request(act, effects.stored);
        let run = run(job, observed, act, effects.stored);
        let old = job.status.as_ref().map_or_else(Cow::default, Cow::Borrowed);
        let (trouble, runs) = (None, Vec::new());
        Self { job, observed, refusal, effects, request, run, now, old, trouble, runs }.completed()
    }

    /// Adds what follows from the rest and is needed at many places.
    fn completed(mut self) -> Self {
        self.trouble = start_failures::first(&self);
        self.runs = history::finished_runs::all(&self);
        self
    }

    /// The status that the API server has; empty if the controller has written none.
    pub fn old(&self) -> &SingletonJobStatus {
        &self.old
    }

    /// Why some candidate does not start. `None` if none is held up.
    fn trouble(&self) -> Option<&StartFailure> {
        self.trouble.as_ref()
    }

    /// The Lease, decoded.
    fn record(&self) -> Option<&Record> {
        self.seen().map(|seen| &seen.record)
    }

    /// The Lease.
    fn seen(&self) -> Option<&ObservedLease> {
        self.observed.lease.as_ref()
    }

    /// The candidate that holds the Lease, by all that the controller knows: see
    /// [`clearance::silence::is_remembered`]. A candidate that has recorded its outcome holds the Lease no
    /// more.
    fn holder(&self) -> Option<&Identity> {
        let tells_outcome = self.record().is_some_and(Record::tells_outcome);
        let holder =
            self.observed.holder().filter(|holder| holder.is_of(&self.job.name_any()) && !tells_outcome);
        if clearance::silence::is_remembered(self.job, self.observed) { None } else { holder }
    }

    /// The holder's pod. `None` if it is gone.
    fn holder_pod(&self) -> Option<&Candidate> {
        self.holder().and(self.observed.holder_pod())
    }

    /// Candidates that could take over at once.
    fn standbys(&self) -> impl Iterator<Item = &Candidate> {
        self.observed.candidates.iter().filter(|candidate| self.is_standby(candidate))
    }

    /// Whether the candidate could take over at once. A candidate that may still run the workload is no
    /// standby, nor is a pod of a one-shot that has made its attempt.
    fn is_standby(&self, candidate: &Candidate) -> bool {
        let takes_part =
            candidate.is_alive() && candidate.can_take_over && !has_made_its_attempt(self.job, candidate);
        takes_part
            && self.may_still_run().is_none_or(|holder| holder.pod_uid() != Some(candidate.uid.as_str()))
    }

    /// The holder that the Lease names, silent or not. If the Lease is missing or was emptied, its last
    /// holder.
    fn may_still_run(&self) -> Option<Identity> {
        let last =
            || self.job.status.as_ref()?.lease.as_ref()?.last_holder_identity.clone().map(Identity::read);
        match self.record() {
            Some(record) if record.is_released() => None,
            Some(record) => record.holder.clone().or_else(last),
            None => last(),
        }
    }
}

/// The request to hand over. The Lease keeps a granted one, so status waits until the Lease has it.
fn request(act: Option<&Actions>, stored: bool) -> Option<&HandoverRequest> {
    act?.request.as_ref().filter(|request| stored || !matches!(request.answer, HandoverAnswer::Granted(_)))
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

/// Writes the status `new` if it has changed, and then events about what happened.
///
/// # Errors
/// If status cannot be written. The controller then repeats the reconciliation. An event that cannot be
/// written is only logged.
pub async fn report(
    client: &Client,
    context: &ReportContext<'_>,
    new: &SingletonJobStatus,
    recorder: &recorder::Recorder,
) -> Result<(), Failure> {
    if Some(new) != context.job.status.as_ref() {
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
        recorder.record(context.job, events::between(context, context.old(), new)).await;
    }
    Ok(())
}
