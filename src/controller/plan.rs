//! What should be done: pure decisions over what was observed.
//!
//! # Guarantees
//! - The same observation gives the same plan; nothing here knows a client or reads a clock.
//! - A plan that has been carried out, looked at again, is an empty plan.
//! - Never more than one voluntary change of hands at a time, and none without a ready successor.
//!
//! # Layout
//! [`runs`]: how far a run has come. [`run_plan`]: what is decided about it. [`only_run`] and [`schedule`] decide that. [`wanted_run`]: what the Lease says of it. [`takeover`]: the Lease and its wishes.
//! [`clearance`]: whether a silent holder is gone. [`closing`]: which run cannot be started. [`candidates`]: how many pods. [`rollout`]: which template. [`trial`]: whether
//! that has been tried in vain. [`template`]: whether
//! the API server is asked of it first. [`progress`]: whether a rollout gets on. [`spread`]: whether one is to be elsewhere. [`handover`]: who should hold, by [`preference`] among others. [`retention`]: which ended pods stay. [`failure`]: what candidates
//! make of failures, [`failed_pods`] which ended pods are some. [`budget`]: whether drains wait for a standby. [`request`]: what a person asks for by annotation.

pub mod budget;
pub mod candidates;
pub mod clearance;
pub mod closing;
pub mod failed_pods;
pub mod failure;
pub mod handover;
pub mod only_run;
pub mod preference;
pub mod progress;
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
pub mod trial;
pub mod wanted_run;

use std::time::Duration;

use jiff::Timestamp;

use super::observe::candidate::{Candidate, PodRef};
use super::observe::{Observed, hanging};
use crate::api::conditions::{find_condition, reasons, types};
use crate::api::schedule::CandidatesPolicy;
use crate::api::{CompletionPolicy, SingletonJob};
use crate::lease::notes::Run;
use crate::lease::timing::{Timing, Wanted};
use candidates::{NewPods, RoleLabel};
use handover::Choice;
use handover::request::{HandoverAnswer, HandoverRequest};
use rollout::Step;
use run_plan::RunPlan;
use takeover::{Creation, Wishes};

/// What should be done about one SingletonJob.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing: it is being deleted, and the garbage collector does the rest; or another controller looks after it.
    LetGo,
    /// The SingletonJob itself goes: it has finished, and has stayed for as long as it is to.
    Delete,
    /// Nothing: this must be put right by a person first.
    Refuse(Refusal),
    /// This, in this order.
    Act(Box<Act>),
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`reasons`].
    pub reason: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// What is done, in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// The Lease is missing.
    pub create_lease: Option<Creation>,
    /// What the Lease should say; written where it says something else.
    pub wishes: Wishes,
    /// Service accounts that need the Role.
    pub service_accounts: Vec<String>,
    /// How many ready pods a drain has to leave, where it should wait for a standby at all.
    pub budget: Option<i32>,
    /// Whether the API server is asked to validate the template before.
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
    pub retire: Vec<PodRef>,
    /// What becomes of a request to hand over.
    pub request: Option<HandoverRequest>,
    /// What is decided about the run.
    pub run: RunPlan,
    /// To look again after.
    pub next_look: Duration,
}

/// However quiet it is: a watch may have missed something.
const LONGEST_LOOK: Duration = Duration::from_secs(300);
/// Beyond the lease, until any standby would have taken over.
const TAKEOVER_SLACK: Duration = Duration::from_secs(1);
/// No watch tells of a node that is marked as out of service.
const BLOCKED_LOOK: Duration = Duration::from_secs(5);
/// How long after the lease a service may be without a holder before that is called a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Decides.
pub fn plan(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Plan {
    if job.metadata.deletion_timestamp.is_some() || job.spec.is_anothers() {
        return Plan::LetGo;
    }
    if retention::left_of_job(job, observed, now) == Some(Duration::ZERO) {
        return Plan::Delete;
    }
    let decided = timing(job).and_then(|timing| Ok((timing, decide(job, observed, now)?)));
    match (decided, &observed.foreign) {
        (Err(message), _) => Plan::Refuse(Refusal { reason: reasons::INVALID_SPEC, message }),
        (Ok(_), Some(message)) => Plan::Refuse(Refusal { reason: reasons::FOREIGN_OBJECT, message: message.clone() }),
        (Ok((timing, run)), None) => Plan::Act(Box::new(act(job, observed, timing, run, now))),
    }
}

/// The durations of the spec.
///
/// # Errors
/// A sentence, where they do not fit or the gated container is missing: only where another schema let the object in.
pub fn timing(job: &SingletonJob) -> Result<Timing, String> {
    if job.spec.workload().and_then(|container| container.command.as_ref()).is_none_or(Vec::is_empty) {
        return Err("the template has no container with a command to run; see spec.workloadContainer".to_owned());
    }
    let lease = &job.spec.lease;
    let wanted = Wanted {
        lease_duration: seconds(lease.lease_duration_seconds),
        renew_deadline: lease.renew_deadline_seconds.map(seconds),
        grace_period: lease.grace_period_seconds.map(seconds),
        retry_period: lease.retry_period_seconds.map(seconds),
    };
    Timing::new(&wanted).map_err(|misfit| format!("spec.lease: {misfit}"))
}

fn decide(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Result<RunPlan, String> {
    match &job.spec.schedule {
        Some(schedule) => schedule::decide(job, schedule, observed, now),
        None => Ok(only_run::decide(job, observed, now)),
    }
}

fn act(job: &SingletonJob, observed: &Observed, timing: Timing, run: RunPlan, now: Timestamp) -> Act {
    let pace = candidates::pace(observed, now);
    let number = candidates::next_number(job, observed);
    let time_to_live = retention::time_to_live(job, observed, now);
    let spreading = spread::decide(job, observed, &run, now);
    let Step { create, delete, rolls_out } = pods(job, observed, &run, time_to_live, spreading.surplus, now);
    let choice = handover::choose(job, observed, rolls_out, now);
    let awaited = progress::awaited(job, observed).map(|awaited| awaited.left(now));
    let is_free = observed.holder().is_none();
    let left = if is_free { wanted_run::left(job, observed, &run, now) } else { None };
    let wanted = wanted_run::wanted(job, observed, &run, now);
    let create = if pace.is_zero() { create } else { 0 };
    let hangs = observed.candidates.iter().filter_map(|candidate| hanging::left(candidate, now)).min();
    // Nothing wakes the controller when another event is written about a pod that hangs.
    let hangs = hangs.map(|left| if left.is_zero() { hanging::HANGS_AFTER } else { left });
    let due = [
        Some(pace),
        hangs,
        spreading.look,
        retention::left_of_job(job, observed, now),
        time_to_live,
        choice.look,
        awaited,
        left,
        run.look,
        unheld_left(job, observed, now),
    ];
    Act {
        create_lease: observed.lease.is_none().then(|| takeover::creation(job, observed, timing)),
        wishes: Wishes { spread: spreading.note, ..wishes(job, observed, timing, wanted, &run, &choice) },
        service_accounts: candidates::service_accounts(job, observed),
        budget: budget::min_available(job, observed),
        validate: template::is_in_doubt(job, observed, create > 0),
        create: NewPods { first: number, count: create },
        keep: retention::fleeting(observed, &delete),
        retire: retention::lingering(observed, &delete),
        delete,
        label: candidates::labels(observed),
        next_look: next_look(job, observed, &due),
        request: choice.request,
        run,
    }
}

fn wishes(job: &SingletonJob, observed: &Observed, timing: Timing, wanted: Run, run: &RunPlan, choice: &Choice) -> Wishes {
    let granted =
        choice.request.as_ref().filter(|request| matches!(request.answer, HandoverAnswer::Granted(_))).map(|request| request.text.clone());
    let wishes = takeover::wishes(job, observed, timing, wanted, run, choice.handover.clone());
    Wishes { succession: choice.succession.clone(), granted, handed_back: choice.handed_back.clone(), ..wishes }
}

fn pods(job: &SingletonJob, observed: &Observed, run: &RunPlan, time_to_live: Option<Duration>, surplus: usize, now: Timestamp) -> Step {
    if run.schedule.is_none() && time_to_live == Some(Duration::ZERO) {
        return Step { delete: observed.candidates.iter().map(Candidate::pod_ref).collect(), ..Step::default() };
    }
    let mut delete = retention::surplus(job, observed, run, now);
    if run.is_at_rest() {
        delete.extend(candidates::left_over(observed));
        return Step { delete, ..Step::default() };
    }
    if job.spec.is_stopped() {
        delete.extend(candidates::stopped(job, observed));
        return Step { delete, ..Step::default() };
    }
    let stale = stale(job, observed, run);
    let step = rollout::step(job, &without(observed, &stale), surplus);
    delete.extend(stale);
    delete.extend(step.delete);
    Step { delete, ..step }
}

/// Between runs, candidates that are not for the next one.
fn stale(job: &SingletonJob, observed: &Observed, run: &RunPlan) -> Vec<PodRef> {
    let as_of_the_tick = job.spec.schedule.as_ref().is_some_and(|schedule| schedule.candidates == CandidatesPolicy::BeforeTick);
    match run.made_for() {
        Some(next) if as_of_the_tick && !run.goes_on => candidates::stale(observed, next),
        _ => Vec::new(),
    }
}

fn without(observed: &Observed, leaving: &[PodRef]) -> Observed {
    let stays = |candidate: &&Candidate| !leaving.iter().any(|pod| pod.uid == candidate.uid);
    Observed { candidates: observed.candidates.iter().filter(stays).cloned().collect(), ..observed.clone() }
}

/// The next moment at which something may be different without anybody telling, besides what is `due`.
fn next_look(job: &SingletonJob, observed: &Observed, due: &[Option<Duration>]) -> Duration {
    let held = if observed.holder().is_some() { observed.remaining() + TAKEOVER_SLACK } else { PATIENCE };
    let look = if clearance::block(job, observed).is_some() { held.min(BLOCKED_LOOK) } else { held.min(LONGEST_LOOK) };
    due.iter().flatten().copied().filter(|left| !left.is_zero()).fold(look, Duration::min)
}

/// How long a service may be without a holder before that is called a failure.
pub fn patience(job: &SingletonJob) -> Duration {
    timing(job).map_or(Duration::ZERO, |timing| timing.lease_duration()) + PATIENCE
}

/// What is left of that.
fn unheld_left(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Option<Duration> {
    let held = find_condition(&job.status.as_ref()?.conditions, types::HELD).filter(|held| held.status == "False")?;
    observed.holder().is_none().then(|| left(held.last_transition_time.0, patience(job), now))
}

/// So many seconds of the API, where none are less than none.
pub fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// What is left of `wait` since then; of a time that is still to come, by another's clock, all.
pub fn left(since: Timestamp, wait: Duration, now: Timestamp) -> Duration {
    wait.saturating_sub(Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

/// Whether `job` is a service.
pub fn is_service(job: &SingletonJob) -> bool {
    job.spec.completion_policy == CompletionPolicy::Never
}
