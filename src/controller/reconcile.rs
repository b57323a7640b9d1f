//! Reconciles one SingletonJob once: observe, plan, build, apply, report.

mod failures;
mod status_writes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::{Client, Resource};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::api_call::Failure;
use super::apply::{self, Applied};
use super::build;
use super::observe::answer::answer;
use super::observe::lease_observations::LeaseObservations;
use super::observe::{self, Caches, LiveRead, Observed, hanging, volume_claims};
use super::plan::next_look;
use super::plan::questions::questions;
use super::plan::{self, Actions, Plan};
use super::refusals::{self, Refusals, Standing, asked};
use super::report::delays::Delays;
use super::report::events::{Event, actions};
use super::report::recorder::Recorder;
use super::report::{self, ReportContext};
use super::settings::Agent;
use crate::api::status::Takeover;
use crate::api::{SingletonJob, SingletonJobStatus};
use crate::lease::clock;
use crate::lease::identity::Version;
use crate::telemetry::Telemetry;
pub use failures::Failures;
pub use status_writes::StatusWrites;

/// The pause while a namespace is being deleted, and its SingletonJobs are still to go.
const TERMINATING_RETRY: Duration = Duration::from_secs(30);
/// After so many failures in a row, status says that the API server fails.
const TOLD_FAILURES: u32 = 3;

/// What every reconciliation needs.
pub struct Context {
    /// The client, which never retries by itself.
    pub client: Client,
    /// The caches of the controller's watches.
    pub caches: Caches,
    /// Whether all caches have synced.
    pub caches_synced: watch::Receiver<bool>,
    /// How long each Lease has been unchanged.
    pub lease_observations: Arc<LeaseObservations>,
    /// Where the agent comes from.
    pub agent: Agent,
    /// The writer of events.
    pub recorder: Recorder,
    /// Metrics and health, which operators of the controller read.
    pub telemetry: Arc<Telemetry>,
    /// Failures in a row, by SingletonJob.
    pub failures: Failures,
    /// What the API server refuses, by SingletonJob.
    pub refusals: Refusals,
    /// Which status the controller has written last, by SingletonJob.
    pub status_writes: StatusWrites,
    /// Which changes of status wait, by SingletonJob.
    pub delays: Delays,
}

/// Reconciles one SingletonJob. One that does not decode is reported, and does not stop the others.
///
/// # Errors
/// The first request that failed and without which the rest must not be done.
pub async fn reconcile(
    guarded: Arc<DeserializeGuard<SingletonJob>>,
    context: Arc<Context>,
) -> Result<Action, Failure> {
    if context.caches_synced.clone().wait_for(|caches_synced| *caches_synced).await.is_err() {
        // The controller is being stopped.
        return Ok(Action::await_change());
    }
    let Telemetry { metrics, health } = context.telemetry.as_ref();
    let (started, under_way) = (Instant::now(), health.reconciling());
    metrics.set_active_workers(health.under_way());
    let result = match &guarded.0 {
        // On the heap: most of its size is requests that are seldom made.
        Ok(job) => Box::pin(reconcile_job(job, &context)).await,
        Err(invalid) => report_undecodable(&guarded, invalid, &context).await,
    };
    if result.is_ok() {
        context.failures.none(&key(guarded.meta()));
    }
    drop(under_way);
    metrics.set_active_workers(health.under_way());
    metrics.count_reconciliation(result.is_ok(), started.elapsed());
    result
}

/// Returns when to try again, and logs why.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the runtime's")]
pub fn on_failure(
    guarded: Arc<DeserializeGuard<SingletonJob>>,
    failure: &Failure,
    context: Arc<Context>,
) -> Action {
    let key = key(guarded.meta());
    if failure.is_of_terminating_namespace() {
        tracing::debug!(namespace = key.0, name = key.1, %failure, "the namespace is being deleted; the SingletonJob is left alone");
        return Action::requeue(TERMINATING_RETRY);
    }
    if failure.is_conflict() {
        tracing::debug!(namespace = key.0, name = key.1, %failure, "something else was written first; looking again");
    } else {
        tracing::warn!(namespace = key.0, name = key.1, %failure, "the controller cannot reconcile this SingletonJob and tries again");
    }
    Action::requeue(context.failures.one_more(key))
}

fn key(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn version(job: &SingletonJob) -> Option<Version> {
    job.metadata.resource_version.as_deref()?.parse().ok()
}

/// Reports that the controller cannot read a SingletonJob, unless that is another controller's.
async fn report_undecodable(
    guarded: &DeserializeGuard<SingletonJob>,
    invalid: &InvalidObject,
    context: &Context,
) -> Result<Action, Failure> {
    if observe::undecodable::is_anothers(&context.client, &invalid.metadata).await? {
        return Ok(Action::await_change());
    }
    let (namespace, name) = key(&invalid.metadata);
    let error = &invalid.error;
    tracing::warn!(
        namespace,
        name,
        error,
        "the controller cannot read a SingletonJob and leaves it alone until a user applies it again"
    );
    let note = format!(
        "this version of the controller cannot read this SingletonJob and leaves it alone: {error}; correct it and apply it again, or upgrade the operator"
    );
    let event = Event { reason: "InvalidSpec", warning: true, note, pod: None };
    context.recorder.record(guarded, vec![event]).await;
    Ok(Action::await_change())
}

/// Plans one SingletonJob. The search for a tick that is years away leaves the other reconciliations of its
/// worker to another thread.
fn plan_one(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Plan {
    let has_workers = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if job.spec.schedule.is_some() && has_workers {
        block_in_place(|| plan::plan(job, observed, now))
    } else {
        plan::plan(job, observed, now)
    }
}

/// What the controller has observed of a SingletonJob, and what it plans to do.
struct Decision<'a> {
    job: &'a SingletonJob,
    observed: Observed,
    plan: Plan,
    /// When it was made.
    now: Timestamp,
}

async fn reconcile_job(job: &SingletonJob, context: &Context) -> Result<Action, Failure> {
    let (now, asked) = (Timestamp::now(), asked(&job.metadata));
    let standing = context.refusals.standing(&key(&job.metadata), asked, Instant::now());
    let observed = observe::cached(job, &context.caches, &context.lease_observations, clock::now().at)?;
    let decision = decide(job, observed, now, context).await?;
    let has_failed = context.failures.in_a_row(&key(&job.metadata)) > 0;
    let Some(read) = decision.plan.live_read(job, &decision.observed, &standing, has_failed) else {
        return Box::pin(execute(decision, asked, &standing, context)).await;
    };
    let Some((job, observed)) = live(job, read, context).await? else {
        return Ok(Action::await_change());
    };
    let decision = decide(&job, observed, now, context).await?;
    Box::pin(execute(decision, asked, &standing, context)).await
}

/// Asks what else must be known, and plans.
async fn decide<'a>(
    job: &'a SingletonJob,
    observed: Observed,
    now: Timestamp,
    context: &Context,
) -> Result<Decision<'a>, Failure> {
    let questions = questions(job, &observed);
    let observed = answer(&context.client, job, observed, questions, &context.caches.nodes).await?;
    let plan = plan_one(job, &observed, now);
    Ok(Decision { job, observed, plan, now })
}

/// Observes the SingletonJob itself again, on the API server. `None` if it is gone.
async fn live(
    job: &SingletonJob,
    read: LiveRead,
    context: &Context,
) -> Result<Option<(SingletonJob, Observed)>, Failure> {
    let Context { client, caches, lease_observations, .. } = context;
    observe::live(job, client, (caches, read), lease_observations, clock::now().at).await
}

/// Carries out the plan, reports it, and returns when to look again.
async fn execute(
    decision: Decision<'_>,
    asked: u64,
    standing: &Standing,
    context: &Context,
) -> Result<Action, Failure> {
    let (mut applied, result) = match &decision.plan {
        Plan::LeaveAlone => return Ok(Action::await_change()),
        Plan::Delete => return delete(decision.job, context).await,
        Plan::Invalid(_) => (apply::nothing(), Ok(())),
        Plan::Act(actions) => act(&decision, actions, standing, context).await,
    };
    let key = key(&decision.job.metadata);
    let ask_again = context.refusals.note(&key, asked, standing, &mut applied.refused, Instant::now());
    if let Err(failure) = result {
        Box::pin(tell_failure(decision, applied, &failure, context)).await;
        return Err(failure);
    }
    let (now, look) = (decision.now, decision.plan.next_look(applied.directives_stored, ask_again));
    let again = Box::pin(tell(decision, applied, context)).await?;
    // It was counted from `now`, and a tick does not wait for what was written since.
    let spent = Duration::try_from(Timestamp::now().duration_since(now)).unwrap_or_default();
    let look = look.map(|look| look.saturating_sub(spent)).into_iter().chain(again).min();
    Ok(look.map_or_else(Action::await_change, Action::requeue))
}

/// Builds and applies the objects, and writes events about what was done.
async fn act(
    decision: &Decision<'_>,
    actions: &Actions,
    standing: &Standing,
    context: &Context,
) -> (Applied, Result<(), Failure>) {
    let Decision { job, observed, .. } = decision;
    let objects = build::objects(job, actions, &observed.template_hash, &context.agent);
    let (applied, result) = apply::apply(&context.client, job, observed, standing, objects).await;
    context.recorder.record(*job, actions::all(&applied)).await;
    (applied, result)
}

/// Deletes a finished SingletonJob. If the API server refuses that, an event says so, because status says how
/// the job ended.
async fn delete(job: &SingletonJob, context: &Context) -> Result<Action, Failure> {
    let Err(failure) = apply::delete(&context.client, job).await else { return Ok(Action::await_change()) };
    let Some(message) = failure.refuses() else { return Err(failure) };
    context.recorder.record(job, vec![actions::deletion_refused(&message)]).await;
    Ok(Action::requeue(refusals::LONGEST_PAUSE))
}

/// Writes status and events. Returns when to look again, because the change of status waits, because another
/// plan follows from what status says now, because the cache has yet to show what it said before, or because a
/// claim could not be read. Nothing of this wakes a reconciliation.
async fn tell(
    decision: Decision<'_>,
    applied: Applied,
    context: &Context,
) -> Result<Option<Duration>, Failure> {
    let Decision { job, observed, plan, now } = decision;
    let claims = if observed.claims.is_some() {
        observed.claims
    } else {
        volume_claims::look(&context.client, job).await
    };
    let unread = volume_claims::ask_again(job, claims.as_ref());
    let observed = Observed { claims, ..observed }.with_created(&applied.created);
    let observed = hanging::explain(&context.client, job, observed, now).await;
    let report_context = ReportContext::new(job, &observed, &plan, applied, now);
    let (status, old) = (report::status::compute(&report_context), report_context.old());
    if let Some(left) = context.delays.left(&key(&job.metadata), old, &status, Instant::now()) {
        return Ok(Some(left));
    }
    report::report(&context.client, &report_context, &status, &context.recorder).await?;
    count_takeover(context, old, &status);
    if Some(&status) == job.status.as_ref() {
        let is_behind = context.status_writes.is_ahead_of(&key(&job.metadata), version(job), Instant::now());
        return Ok(if is_behind { Some(next_look::STATUS_LOOK) } else { unread });
    }
    if let Some(base) = version(job) {
        context.status_writes.note(key(&job.metadata), base, Instant::now());
    }
    let told = SingletonJob { status: Some(status), ..job.clone() };
    let follows = plan_one(&told, &observed, now) != plan;
    Ok(if follows { Some(next_look::STATUS_LOOK) } else { unread })
}

/// Counts the takeover that the status `new` has and the status `old` has not.
fn count_takeover(context: &Context, old: &SingletonJobStatus, new: &SingletonJobStatus) {
    let is_new = |takeover: &&Takeover| old.takeovers.first() != Some(takeover);
    if let Some(takeover) = new.takeovers.first().filter(is_new) {
        context.telemetry.metrics.count_takeover(takeover);
    }
}

/// Says in status that one request fails again and again, as it does while a webhook is down. Status does not
/// mention what is over in a moment.
async fn tell_failure(decision: Decision<'_>, applied: Applied, failure: &Failure, context: &Context) {
    let hangs = matches!(failure, Failure::Timeout { .. });
    let fails = failure.refusal().is_some_and(|(code, _)| code >= 500);
    let key = key(&decision.job.metadata);
    if (hangs || fails) && context.failures.in_a_row(&key) >= TOLD_FAILURES {
        let applied = Applied { failed: Some(context.failures.words(key, failure.to_string())), ..applied };
        if let Err(untold) = Box::pin(tell(decision, applied, context)).await {
            tracing::debug!(%untold, "status does not say why");
        }
    }
}
