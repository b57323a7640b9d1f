//! Conditions: the state table of the API, row by row.

mod scheduled;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::format::{moment, to_seconds};
use super::{ReportContext, blocked, format, outcome, refused, rollout, template_warnings};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{
    Statement, find_condition, is_true, reasons, remove_condition, set_condition, types,
};
use crate::api::status::{FinishedRun, RunOutcome};
use crate::controller::plan::patience::patience;
use crate::controller::plan::{self, clearance, runs, takeover, wanted_run};
use crate::lease::annotations::{Reason, Released};
use crate::lease::identity::{Identity, Version};

/// To a run that is over.
const TEMPLATE_CHANGED: &str = "; the template has changed since, which starts nothing: to run the new one, delete this SingletonJob and apply it again";
/// What users may wait for.
const NOT_STALLED: &str = "nothing needs a change by the user";
/// `NotReady`, for a holder whose pod is not ready.
const NOT_READY: &str = "NotReady";

/// What is said about the whole, in three conditions.
struct Verdict {
    /// `None` leaves it as it was: a takeover under way is no news for tools that watch health.
    ready: Option<Statement>,
    reconciling: Option<Statement>,
    stalled: Option<Statement>,
}

/// All conditions, each with its transition time kept where its status did not change.
pub fn all(context: &ReportContext<'_>, old: &SingletonJobStatus) -> Vec<Condition> {
    let mut conditions = old.conditions.clone();
    let held = held(context);
    let verdict = verdict(context, old, &held);
    let unchanged = verdict.ready.is_none();
    let mut optional = vec![
        (
            types::STALLED,
            Some(
                verdict
                    .stalled
                    .unwrap_or_else(|| Statement::no(types::STALLED, reasons::AS_EXPECTED, NOT_STALLED)),
            ),
        ),
        (types::TAKEOVER_BLOCKED, blocked::statement(context)),
        (types::OBJECT_REFUSED, refused::statement(context)),
    ];
    if template_warnings::is_known(context.job, context.observed) {
        optional
            .push((types::TEMPLATE_HAZARDOUS, template_warnings::statement(context.job, context.observed)));
    }
    if verdict.reconciling.is_some() || !unchanged {
        let nothing = || Statement::no(types::RECONCILING, reasons::AS_EXPECTED, "nothing is under way");
        optional.push((types::RECONCILING, Some(verdict.reconciling.unwrap_or_else(nothing))));
    }
    optional.extend(if context.job.spec.schedule.is_some() {
        scheduled::last_run(context, old)
    } else {
        finished(context, old).into()
    });
    let mut statements: Vec<_> = verdict.ready.into_iter().collect();
    let suspended = context.job.spec.suspend;
    statements.push(if suspended {
        Statement::yes(types::SUSPENDED, reasons::SUSPENDED, "spec.suspend is true")
    } else {
        Statement::no(types::SUSPENDED, reasons::AS_EXPECTED, "spec.suspend is false")
    });
    if context.refusal.is_none() {
        statements.extend([held, healthy(context)]);
        optional.push((types::STANDBY_AVAILABLE, wants_standbys(context).then(|| standby(context))));
    }
    let generation = context.job.metadata.generation;
    let now = to_seconds(context.now);
    for (type_, statement) in optional {
        match statement {
            Some(statement) => statements.push(statement),
            None => remove_condition(&mut conditions, type_),
        }
    }
    for statement in statements {
        set_condition(&mut conditions, statement, generation, &now);
    }
    for condition in &mut conditions {
        condition.observed_generation = generation;
    }
    conditions
}

/// Of a schedule whose decision the Lease does not say: all as it was, but for what keeps the controller from
/// writing it.
pub fn of_unstored(context: &ReportContext<'_>, old: &SingletonJobStatus) -> Vec<Condition> {
    let mut conditions = old.conditions.clone();
    let refused = refused::statement(context);
    if refused.is_none() {
        remove_condition(&mut conditions, types::OBJECT_REFUSED);
    }
    let blocked =
        refused::block(context).map(|refused| stalled(refused.step.reason(), refused::sentence(refused)));
    if blocked.is_none() && find_condition(old.conditions.as_slice(), types::OBJECT_REFUSED).is_some() {
        remove_condition(&mut conditions, types::STALLED);
    }
    let failed = || context.failed.as_ref().map(|message| progressing("RequestFailed", message));
    let verdict = blocked
        .or_else(failed)
        .into_iter()
        .flat_map(|verdict| [verdict.ready, verdict.reconciling, verdict.stalled])
        .flatten();
    for statement in refused.into_iter().chain(verdict) {
        set_condition(&mut conditions, statement, context.job.metadata.generation, &to_seconds(context.now));
    }
    conditions
}

fn ready(statement: Statement) -> Verdict {
    Verdict { ready: Some(statement), reconciling: None, stalled: None }
}

fn progressing(reason: impl Into<String>, message: impl Into<String>) -> Verdict {
    let (reason, message) = (reason.into(), message.into());
    let reconciling = Statement::yes(types::RECONCILING, reason.clone(), message.clone());
    Verdict {
        ready: Some(Statement::no(types::READY, reason, message)),
        reconciling: Some(reconciling),
        stalled: None,
    }
}

fn stalled(reason: impl Into<String>, message: impl Into<String>) -> Verdict {
    let (reason, message) = (reason.into(), message.into());
    let stalled = Statement::yes(types::STALLED, reason.clone(), message.clone());
    Verdict {
        ready: Some(Statement::no(types::READY, reason, message)),
        reconciling: None,
        stalled: Some(stalled),
    }
}

fn verdict(context: &ReportContext<'_>, old: &SingletonJobStatus, held: &Statement) -> Verdict {
    let verdict = fares(context, old, held);
    if let Some(invalid) = context.invalid_template() {
        let stalled = Statement::yes(types::STALLED, invalid.step.reason(), refused::sentence(invalid));
        return Verdict { reconciling: None, stalled: Some(stalled), ..verdict };
    }
    let Some(agent_error) = rollout::agent_error(context) else { return rolling_out(context, verdict) };
    let says = |type_| Some(Statement::yes(type_, reasons::PROGRESS_DEADLINE_EXCEEDED, agent_error));
    // What runs may yet succeed: a run is not given up for a template that it is not made from.
    let (type_, reconciling, stalled) = if context.job.spec.is_service() {
        (types::STALLED, None, says(types::STALLED))
    } else {
        (types::RECONCILING, says(types::RECONCILING), None)
    };
    let ready = verdict
        .ready
        .map(|ready| adding(ready, &format!("the rollout does not get on: see the condition {type_}")));
    Verdict { ready, reconciling, stalled }
}

/// A service does its work meanwhile, so `Ready` is as it is.
fn rolling_out(context: &ReportContext<'_>, verdict: Verdict) -> Verdict {
    if verdict.stalled.is_some() || !context.job.spec.is_service() || context.job.spec.is_stopped() {
        return verdict;
    }
    let rests =
        || rollout::rest(context).map(|rest| Statement::yes(types::RECONCILING, reasons::BACKOFF, rest));
    let goes_on = || {
        rollout::under_way(context).map(|step| Statement::yes(types::RECONCILING, reasons::ROLLING_OUT, step))
    };
    Verdict { reconciling: verdict.reconciling.or_else(rests).or_else(goes_on), ..verdict }
}

fn adding(statement: Statement, more: &str) -> Statement {
    Statement { message: format!("{}; {more}", statement.message), ..statement }
}

/// Rollouts apart.
fn fares(context: &ReportContext<'_>, old: &SingletonJobStatus, held: &Statement) -> Verdict {
    if let Some(refusal) = context.refusal {
        return stalled(refusal.reason, &refusal.message);
    }
    let blocked =
        || refused::block(context).map(|refused| stalled(refused.step.reason(), refused::sentence(refused)));
    if let Some(schedule) = &context.run.schedule {
        return blocked().unwrap_or_else(|| scheduled::verdict(context, schedule, held));
    }
    if let Some(run) = over(context, old) {
        return match run.outcome {
            RunOutcome::Succeeded => {
                ready(Statement::yes(types::READY, reasons::COMPLETE, sentence(context, &run)))
            }
            RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => {
                stalled(reasons::FAILED, sentence(context, &run))
            }
        };
    }
    if context.job.spec.is_stopped() {
        return stopped(context);
    }
    if let Some(blocked) = blocked() {
        return blocked;
    }
    if context.job.spec.is_service() { service(context, old, held) } else { one_shot(context, held) }
}

fn stopped(context: &ReportContext<'_>) -> Verdict {
    let (reason, why) = if context.job.spec.suspend {
        (reasons::SUSPENDED, "spec.suspend is true")
    } else {
        (reasons::SCALED_TO_ZERO, "spec.replicas is 0")
    };
    let leaving = context.observed.candidates.iter().filter(|candidate| candidate.end().is_none()).count();
    let message = match leaving {
        0 => format!("stopped: {why}"),
        many => format!("stopping: {why}; {} to go", format::count(many, "candidate has", "candidates have")),
    };
    if context.job.spec.suspend || context.job.spec.is_service() {
        let reconciling = (leaving > 0).then(|| Statement::yes(types::RECONCILING, reason, message.clone()));
        return Verdict {
            ready: Some(Statement::yes(types::READY, reason, message)),
            reconciling,
            stalled: None,
        };
    }
    progressing(reason, message)
}

fn one_shot(context: &ReportContext<'_>, held: &Statement) -> Verdict {
    if held.holds == Some(true) {
        return progressing(reasons::RUNNING, holder(context));
    }
    if let Some(overdue) = overdue(context) {
        return progressing(
            context.trouble().map_or(reasons::PENDING.to_owned(), |trouble| trouble.reason),
            overdue,
        );
    }
    if held.reason == reasons::BACKOFF {
        return progressing(reasons::BACKOFF, &held.message);
    }
    match context.trouble() {
        Some(trouble) => progressing(trouble.reason, trouble.message),
        None => progressing(
            reasons::PENDING,
            format!("waiting for a candidate to take the Lease: {}", held.message),
        ),
    }
}

/// That the time of a run is over and no candidate is there to write it down: it does so in the write that
/// takes the Lease. The controller does it where the Lease is free.
fn overdue(context: &ReportContext<'_>) -> Option<String> {
    let left = wanted_run::left(context.job, context.observed, &context.run, context.now)?;
    if !left.is_zero() || context.standbys().next().is_some() {
        return None;
    }
    let limit = context.job.spec.active_deadline_seconds?;
    let why = context.trouble().map_or_else(|| "no candidate is ready".to_owned(), |trouble| trouble.message);
    Some(format!(
        "spec.activeDeadlineSeconds of {limit} has passed: nothing more is started, and the run ends as failed as soon as the Lease is free, \
         or a candidate is there to take it; {why}"
    ))
}

fn service(context: &ReportContext<'_>, old: &SingletonJobStatus, held: &Statement) -> Verdict {
    let holder_ready = context.holder_pod().is_some_and(|pod| pod.ready);
    if held.holds == Some(true) && holder_ready {
        return ready(Statement::yes(types::READY, reasons::HELD, holder(context)));
    }
    if clearance::awaits_confirmation(context.job, context.observed) {
        return progressing(held.reason.clone(), held.message.clone());
    }
    // Patience is for takeovers of what was ready, and not for what has just been applied.
    let is_as_before = old.observed_generation == context.job.metadata.generation;
    let was_ready = is_as_before && is_true(&old.conditions, types::READY) && is_true_for(old, reasons::HELD);
    let on_trial = held.holds == Some(true) && plan::trial::is_on_trial(context.observed);
    if was_ready
        && !on_trial
        && held.reason != reasons::BACKOFF
        && unheld_for(context, old) < patience(context.job)
    {
        return Verdict { ready: None, reconciling: None, stalled: None };
    }
    if held.reason == reasons::BACKOFF {
        return progressing(reasons::BACKOFF, &held.message);
    }
    match context.trouble() {
        Some(trouble) => progressing(trouble.reason, trouble.message),
        None if held.holds == Some(true) => {
            progressing(NOT_READY, format!("{}; {}", holder(context), unready(context)))
        }
        None => progressing(held.reason.clone(), held.message.clone()),
    }
}

fn unready(context: &ReportContext<'_>) -> &'static str {
    if context.observed.awaits_readiness() {
        "its workload has not become ready since it took over"
    } else {
        "its pod is not ready"
    }
}

fn is_true_for(old: &SingletonJobStatus, reason: &str) -> bool {
    find_condition(&old.conditions, types::READY).is_some_and(|ready| ready.reason == reason)
}

/// Since when no candidate has held the Lease, or since when the holder of now has had it.
fn unheld_for(context: &ReportContext<'_>, old: &SingletonJobStatus) -> Duration {
    let held = find_condition(&old.conditions, types::HELD);
    let acquired = context.holder().and(context.record()).and_then(|record| record.acquire_time);
    let released = held.filter(|held| held.status == "False").map(|held| held.last_transition_time.0);
    acquired.or(released).map_or(Duration::ZERO, |since| {
        Duration::try_from(context.now.duration_since(since)).unwrap_or_default()
    })
}

/// "held by web-2 on node-a since 2026-01-01T14:03:11Z".
fn held_by(context: &ReportContext<'_>, identity: &Identity) -> String {
    let node = context
        .holder_pod()
        .and_then(|pod| pod.node.as_ref())
        .map_or(String::new(), |node| format!(" on {node}"));
    let since = context
        .record()
        .and_then(|record| record.acquire_time)
        .map_or(String::new(), |time| format!(" since {}", moment(time)));
    format!("held by {}{node}{since}", identity.pod())
}

/// "held by web-2 on node-a since 2026-01-01T14:03:11Z, token 48213; 1 standby ready".
fn holder(context: &ReportContext<'_>) -> String {
    let Some(identity) = context.holder() else { return "no candidate holds the Lease".to_owned() };
    let token = context
        .seen()
        .and_then(|seen| seen.observation.token)
        .map(|token| token.to_string())
        .or_else(|| remembered_token(context));
    let token = token.map_or(String::new(), |token| format!(", token {token}"));
    let standbys = match context.standbys().count() {
        0 => "no standby ready".to_owned(),
        many => format!("{} ready", format::count(many, "standby", "standbys")),
    };
    let trouble = context.trouble().map_or(String::new(), |trouble| format!("; {}", trouble.message));
    format!("{}{token}; {standbys}{trouble}", held_by(context, identity))
}

/// Of the same holder, from before this controller looked.
fn remembered_token(context: &ReportContext<'_>) -> Option<String> {
    let lease = context.old().lease?;
    let is_its = lease.last_holder_identity.as_deref() == context.holder().map(Identity::as_str);
    if is_its { lease.fencing_token } else { None }
}

fn never_held() -> Statement {
    Statement::no(types::HELD, reasons::NEVER_HELD, "no candidate has held the Lease yet")
}

fn held(context: &ReportContext<'_>) -> Statement {
    let Some(record) = context.record() else {
        return match context.lease_created {
            Some(true) => quarantined(
                context,
                "was missing and has been made again",
                takeover::longest(context.job, context.observed),
            ),
            Some(false) | None => never_held(),
        };
    };
    if context.holder().is_none()
        && let Some(floor) = record.floor_above()
    {
        return token_too_low(record.version, floor);
    }
    let seconds = record.lease_duration.as_secs();
    match (&record.holder, &record.annotations.released) {
        (Some(_), _) if record.acquire_time.is_none() => {
            quarantined(context, "has been made again", record.lease_duration)
        }
        (Some(holder), _) if !holder.is_of(&context.job.name_any()) => {
            let message =
                format!("the Lease names {holder}, which is no candidate: takeover waits {seconds} s");
            Statement::no(types::HELD, reasons::FOREIGN_HOLDER, message)
        }
        (Some(holder), _) if record.tells_outcome() => recorded(context, holder, seconds),
        (Some(holder), _) if context.holder().is_none() => {
            let then = blocked::hint(context).unwrap_or("the next ready candidate takes over");
            let message = format!("{} has not renewed its lease of {seconds} s; {then}", holder.pod());
            Statement::no(types::HELD, reasons::EXPIRED, message)
        }
        (Some(holder), _) => Statement::yes(types::HELD, reasons::HELD, held_by(context, holder)),
        (None, Some(released)) if record.is_released() => free(context, released),
        (None, _) => {
            quarantined(context, "was emptied by a client that is no candidate", record.lease_duration)
        }
    }
}

fn token_too_low(version: Version, floor: Version) -> Statement {
    let message = format!(
        "no candidate acquires the Lease: its resourceVersion {version} is not above {floor}, the highest fencing token known, as after a restore \
         of etcd; restore it with a bumped revision (docs/safety.md); where no receiver keeps tokens, delete the SingletonJob, wait until its pods \
         are gone, delete its Lease, and apply it again"
    );
    Statement::no(types::HELD, reasons::TOKEN_TOO_LOW, message)
}

/// The container of `holder` ends with what survives in it; the Lease is left to expire.
fn recorded(context: &ReportContext<'_>, holder: &Identity, seconds: u64) -> Statement {
    let wait =
        runs::progress(context.job, context.observed).map_or(0, |progress| progress.retry_after_seconds);
    let more = if wait > 0 { format!(" and {wait} s more") } else { String::new() };
    let next = blocked::hint(context)
        .map_or_else(|| format!("the next attempt waits {seconds} s{more} from then on"), str::to_owned);
    let then = if !context.run.goes_on || context.job.spec.is_stopped() {
        "nothing is to follow".to_owned()
    } else {
        next
    };
    let pod = holder.pod();
    let message = format!(
        "{pod} recorded how its attempt ended and could not give the Lease back, because a process in its container survived SIGKILL; {then}"
    );
    Statement::no(types::HELD, reasons::OUTCOME_RECORDED, message)
}

fn quarantined(context: &ReportContext<'_>, how: &str, wait: Duration) -> Statement {
    let then = blocked::hint(context).map_or(String::new(), |hint| format!("; {hint}"));
    let message = format!(
        "the Lease {how}: takeover waits {} s because its last holder may still run{then}",
        wait.as_secs()
    );
    Statement::no(types::HELD, reasons::QUARANTINED, message)
}

fn free(context: &ReportContext<'_>, released: &Released) -> Statement {
    let by = released.by.pod();
    if released.reason == Reason::Created {
        return never_held();
    }
    let wait =
        runs::progress(context.job, context.observed).map_or(0, |progress| progress.retry_after_seconds);
    if wait > 0 && context.run.goes_on && !context.job.spec.is_stopped() {
        let setbacks = runs::progress(context.job, context.observed).map_or(0, |progress| progress.setbacks);
        let often = if setbacks > 1 { format!(", {setbacks} times in a row") } else { String::new() };
        let message = format!(
            "the workload ended in {by}{often}; it is started again {wait} s after that; the log of {by} says why"
        );
        return Statement::no(types::HELD, reasons::BACKOFF, message);
    }
    Statement::no(
        types::HELD,
        reasons::RELEASED,
        format!("{by} gave the Lease back: {}", format::given_back(released)),
    )
}

/// Whether candidates are to be there: not of a job that is over or stopped, nor between the runs of a
/// schedule.
fn wants_standbys(context: &ReportContext<'_>) -> bool {
    !context.job.spec.is_stopped() && !context.run.is_at_rest()
}

/// Quotes what keeps a candidate from starting in any case: [`super::events`] tells by it what has been told.
fn standby(context: &ReportContext<'_>) -> Statement {
    let trouble = context.trouble().map(|trouble| trouble.message);
    match context.standbys().count() {
        0 => Statement::no(
            types::STANDBY_AVAILABLE,
            "NoneReady",
            trouble.unwrap_or_else(|| no_standby(context)),
        ),
        many => {
            let trouble = trouble.map_or(String::new(), |trouble| format!("; {trouble}"));
            let ready = format!("{} ready", format::count(many, "standby is", "standbys are"));
            match context.observed.crowded() {
                Some(node) if context.holder().is_some() => {
                    let message = format!(
                        "{ready}, on the same node as the holder: the loss of {node} stops the workload until a pod is made{trouble}"
                    );
                    Statement::yes(types::STANDBY_AVAILABLE, reasons::SAME_NODE, message)
                }
                _ => Statement::yes(
                    types::STANDBY_AVAILABLE,
                    reasons::AS_EXPECTED,
                    format!("{ready}{trouble}"),
                ),
            }
        }
    }
}

fn no_standby(context: &ReportContext<'_>) -> String {
    match context.job.spec.replicas {
        1 => "spec.replicas is 1: there is no standby, and a takeover after a crash waits for a new pod"
            .to_owned(),
        _ => "no standby is ready".to_owned(),
    }
}

/// What agents say: in the Lease while they hold it, by their termination message where they could not get
/// there.
fn healthy(context: &ReportContext<'_>) -> Statement {
    let warnings = context
        .record()
        .and_then(|record| record.annotations.health.as_ref())
        .map(|health| health.warnings.clone())
        .unwrap_or_default();
    let candidates = &context.observed.candidates;
    let newest_good = candidates
        .iter()
        .filter(|candidate| candidate.can_take_over)
        .map(|candidate| candidate.number)
        .max()
        .unwrap_or(0);
    let relevant = candidates.iter().filter(|candidate| {
        !candidate.can_take_over && (candidate.is_alive() || candidate.number > newest_good)
    });
    let mut agent_errors =
        relevant.filter_map(|candidate| Some((&candidate.name, candidate.agent_error.as_ref()?)));
    match (warnings.is_empty(), agent_errors.next_back()) {
        (_, Some((pod, agent_error))) => {
            let reason =
                if agent_error.failed_self_test { reasons::SELF_TEST_FAILED } else { reasons::AGENT_FAILED };
            Statement::no(types::AGENT_HEALTHY, reason, format!("{pod}: {}", agent_error.message))
        }
        (false, None) => Statement::no(types::AGENT_HEALTHY, reasons::HOLDER_WARNS, warnings.join("; ")),
        (true, None) => Statement::yes(types::AGENT_HEALTHY, reasons::AS_EXPECTED, "no agent complains"),
    }
}

fn over(context: &ReportContext<'_>, old: &SingletonJobStatus) -> Option<FinishedRun> {
    super::history::runs(context, old).into_iter().next()
}

fn sentence(context: &ReportContext<'_>, run: &FinishedRun) -> String {
    let message = run.message.clone().unwrap_or_default();
    let changed =
        if context.job.spec.schedule.is_none() && is_outdated(context, run) { TEMPLATE_CHANGED } else { "" };
    match run.outcome {
        RunOutcome::Succeeded => format!("succeeded: {message}{changed}"),
        RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => {
            let kept =
                |pod: &&String| context.observed.candidates.iter().any(|candidate| candidate.name == **pod);
            let log = run
                .pod
                .as_ref()
                .filter(kept)
                .map_or(String::new(), |pod| format!("; the log of {pod} says why"));
            let how = if run.outcome == RunOutcome::Replaced { "replaced" } else { "failed" };
            format!(
                "{how} after {}: {message}{log}{changed}",
                format::count(run.attempts, "attempt", "attempts")
            )
        }
    }
}

/// Whether the template is another one than that of the pod that finished the run, as long as that pod is
/// kept.
fn is_outdated(context: &ReportContext<'_>, run: &FinishedRun) -> bool {
    let last_runner =
        context.observed.candidates.iter().find(|candidate| Some(&candidate.name) == run.pod.as_ref());
    last_runner.is_some_and(|pod| pod.template_hash.as_ref() != Some(&context.observed.template_hash))
}

/// `Complete` and `Failed`, of a one-shot, as batch/v1 has them.
fn finished(context: &ReportContext<'_>, old: &SingletonJobStatus) -> [(&'static str, Option<Statement>); 2] {
    let run = over(context, old);
    let of = |outcome, type_, fallback: &str| {
        let run = run.as_ref().filter(|run| run.outcome == outcome)?;
        Some(Statement::yes(
            type_,
            outcome::of_condition(run.reason.as_deref().unwrap_or(fallback)),
            sentence(context, run),
        ))
    };
    [
        (types::COMPLETE, of(RunOutcome::Succeeded, types::COMPLETE, reasons::COMPLETE)),
        (types::FAILED, of(RunOutcome::Failed, types::FAILED, reasons::BACKOFF_LIMIT_EXCEEDED)),
    ]
}
