//! Decides what the controller does. A plan is a pure function of what the controller observed.
//!
//! # Guarantees
//! - The same observation gives the same plan; nothing here knows a client or reads a clock.
//! - After the controller has carried out a plan, the next plan is empty.
//! - The controller asks for at most one handover at a time, and for none without a ready successor.
//!
//! # Layout
//! | module | what it decides |
//! |---|---|
//! | [`run_plan`], by [`only_run`] or [`schedule`] | which run goes on, and whether it is over; [`runs`] is how far it has come, [`closing`] which one cannot be started |
//! | [`directives`] | what the Lease says: [`policy`], [`wanted_run`], [`handover`], [`clearance`] |
//! | [`takeover`] | how a missing Lease is made, and what must not be forgotten of one |
//! | [`handover`] | who should hold, by [`preference`] among others |
//! | [`pods`] | which pods come and go: [`candidates`], [`rollout`], [`trial`], [`spread`], [`retention`] |
//! | [`progress`] | whether a rollout gets on |
//! | [`template`] | whether the API server validates the template first |
//! | [`failed_pods`] | which ended pods are failures that candidates have not counted |
//! | [`budget`] | whether drains wait for a standby |
//! | [`request`] | what a user asks for by annotation |
//! | [`questions`], [`live_read`], [`next_look`] | what else is asked, whether the API server itself is asked, and when again |

pub mod budget;
pub mod candidates;
pub mod clearance;
pub mod closing;
pub mod directives;
pub mod failed_pods;
pub mod handover;
pub mod live_read;
pub mod next_look;
pub mod only_run;
pub mod patience;
pub mod pods;
pub mod policy;
pub mod preference;
pub mod progress;
pub mod questions;
pub mod request;
pub mod retention;
pub mod rollout;
pub mod run_plan;
pub mod runs;
pub mod schedule;
pub mod spread;
pub mod takeover;
pub mod template;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;
pub mod time;
pub mod trial;
pub mod wanted_run;

use std::time::Duration;

use jiff::Timestamp;

use super::observe::Observed;
use super::observe::candidate::PodRef;
use crate::api::SingletonJob;
use crate::api::conditions::reasons;
use crate::lease::timing::Timing;
use candidates::{NewPods, RoleLabel};
use directives::{Decisions, Directives};
use handover::request::HandoverRequest;
use run_plan::RunPlan;
use takeover::Creation;

/// What the controller does about one SingletonJob.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing. The SingletonJob is being deleted, and the garbage collector does the rest. Or another
    /// controller manages it.
    LeaveAlone,
    /// The controller deletes the SingletonJob. It has finished, and its `ttlSecondsAfterFinished` has
    /// passed.
    Delete,
    /// Nothing. The user must correct the problem first.
    Invalid(Refusal),
    /// The controller carries out these actions.
    Act(Box<Actions>),
}

/// Why the controller does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`reasons`].
    pub reason: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// What the controller does about one SingletonJob. [`super::apply`] defines the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Actions {
    /// How the controller creates the Lease. `None` if there is one.
    pub create_lease: Option<Creation>,
    /// What the Lease should say. The controller writes it only if the Lease says something else.
    pub directives: Directives,
    /// Service accounts that need the Role.
    pub service_accounts: Vec<String>,
    /// How many ready pods a drain must leave. `None` if drains do not wait for a standby.
    pub budget: Option<i32>,
    /// Whether the API server validates the template before the controller creates a pod.
    pub validate: bool,
    /// Candidates to make.
    pub create: NewPods,
    /// Pods to delete.
    pub delete: Vec<PodRef>,
    /// Pods whose role label is wrong.
    pub label: Vec<RoleLabel>,
    /// Ended pods that should stay when their node is lost.
    pub keep: Vec<PodRef>,
    /// Ended pods whose other containers should end too.
    pub stop_sidecars: Vec<PodRef>,
    /// What the controller does about a handover request.
    pub request: Option<HandoverRequest>,
    /// What the controller decides about the run.
    pub run: RunPlan,
    /// Whether status must record a longer lease duration before the controller tells candidates.
    pub remembers_first: bool,
    /// When to reconcile again without a watch event. `None` if nothing is due.
    pub next_look: Option<Duration>,
}

/// Decides what the controller does about `job`.
pub fn plan(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Plan {
    if job.metadata.deletion_timestamp.is_some() || job.spec.is_anothers() {
        return Plan::LeaveAlone;
    }
    if retention::left_of_job(job, observed, now) == Some(Duration::ZERO) {
        return Plan::Delete;
    }
    let decided = policy::timing(job).and_then(|timing| Ok((timing, run_plan(job, observed, now)?)));
    match (decided, &observed.foreign) {
        (Err(message), _) => Plan::Invalid(Refusal { reason: reasons::INVALID_SPEC, message }),
        (Ok(_), Some(message)) => {
            Plan::Invalid(Refusal { reason: reasons::FOREIGN_OBJECT, message: message.clone() })
        }
        (Ok((timing, run)), None) => Plan::Act(Box::new(act(job, observed, timing, run, now))),
    }
}

fn run_plan(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Result<RunPlan, String> {
    match &job.spec.schedule {
        Some(schedule) => schedule::decide(job, schedule, observed, now),
        None => Ok(only_run::decide(job, observed, now)),
    }
}

fn act(job: &SingletonJob, observed: &Observed, timing: Timing, run: RunPlan, now: Timestamp) -> Actions {
    let spreading = spread::decide(job, observed, &run, now);
    let pods = pods::decide(job, observed, &run, spreading.surplus, now);
    let choice = handover::choose(job, observed, pods.rolls_out, now);
    let decisions = Decisions { timing, run: &run, choice: &choice, spread: spreading.note };
    let directives = Directives::decide(job, observed, decisions, now);
    let deadline = wanted_run::left_unheld(observed, &directives.run, now);
    let looks = [spreading.look, pods.look, choice.look, deadline, run.look];
    Actions {
        create_lease: observed.lease.is_none().then(|| takeover::creation(job, observed, timing)),
        directives,
        service_accounts: candidates::service_accounts(job, observed),
        budget: budget::min_available(job, observed),
        validate: template::is_in_doubt(job, observed, pods.create.count > 0),
        create: pods.create,
        delete: pods.delete,
        label: pods.label,
        keep: pods.keep,
        stop_sidecars: pods.stop_sidecars,
        request: choice.request,
        remembers_first: takeover::must_remember_first(job, observed),
        next_look: next_look::next_look(job, observed, &run, timing, &looks, now),
        run,
    }
}
