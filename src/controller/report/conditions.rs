//! Conditions: the state table of the API, row by row.

mod scheduled;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::words::{moment, to_seconds};
use super::{Account, blocked, ends, hazards, refused, rollout, words};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{Statement, find_condition, is_true, reasons, remove_condition, set_condition, types};
use crate::api::status::{FinishedRun, RunOutcome};
use crate::controller::plan::patience::patience;
use crate::controller::plan::{self, clearance, runs, takeover, wanted_run};
use crate::lease::identity::{Identity, Version};
use crate::lease::notes::{Reason, Released};

/// To a run that is over.
const TEMPLATE_CHANGED: &str =
    "; the template has changed since, which starts nothing: to run the new one, delete this SingletonJob and apply it again";
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
pub fn all(account: &Account<'_>, old: &SingletonJobStatus) -> Vec<Condition> {
    let mut conditions = old.conditions.clone();
    let held = held(account);
    let verdict = verdict(account, old, &held);
    let unchanged = verdict.ready.is_none();
    let mut optional = vec![
        (types::STALLED, Some(verdict.stalled.unwrap_or_else(|| Statement::no(types::STALLED, reasons::AS_EXPECTED, NOT_STALLED)))),
        (types::TAKEOVER_BLOCKED, blocked::statement(account)),
        (types::OBJECT_REFUSED, refused::statement(account)),
    ];
    if hazards::is_known(account.job, account.observed) {
        optional.push((types::TEMPLATE_HAZARDOUS, hazards::statement(account.job, account.observed)));
    }
    if verdict.reconciling.is_some() || !unchanged {
        let nothing = || Statement::no(types::RECONCILING, reasons::AS_EXPECTED, "nothing is under way");
        optional.push((types::RECONCILING, Some(verdict.reconciling.unwrap_or_else(nothing))));
    }
    optional.extend(if account.job.spec.schedule.is_some() { scheduled::last_run(account, old) } else { finished(account, old).into() });
    let mut statements: Vec<_> = verdict.ready.into_iter().collect();
    let suspended = account.job.spec.suspend;
    statements.push(if suspended {
        Statement::yes(types::SUSPENDED, reasons::SUSPENDED, "spec.suspend is true")
    } else {
        Statement::no(types::SUSPENDED, reasons::AS_EXPECTED, "spec.suspend is false")
    });
    if account.refusal.is_none() {
        statements.extend([held, healthy(account)]);
        optional.push((types::STANDBY_AVAILABLE, wants_standbys(account).then(|| standby(account))));
    }
    let generation = account.job.metadata.generation;
    let now = to_seconds(account.now);
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

/// Of a schedule whose decision the Lease does not say: all as it was, but for what keeps the controller from writing it.
pub fn of_unstored(account: &Account<'_>, old: &SingletonJobStatus) -> Vec<Condition> {
    let mut conditions = old.conditions.clone();
    let refused = refused::statement(account);
    if refused.is_none() {
        remove_condition(&mut conditions, types::OBJECT_REFUSED);
    }
    let blocked = refused::block(account).map(|refused| stalled(refused.step.reason(), refused::sentence(refused)));
    if blocked.is_none() && find_condition(old.conditions.as_slice(), types::OBJECT_REFUSED).is_some() {
        remove_condition(&mut conditions, types::STALLED);
    }
    let failed = || account.failed.as_ref().map(|message| progressing("RequestFailed", message));
    let verdict = blocked.or_else(failed).into_iter().flat_map(|verdict| [verdict.ready, verdict.reconciling, verdict.stalled]).flatten();
    for statement in refused.into_iter().chain(verdict) {
        set_condition(&mut conditions, statement, account.job.metadata.generation, &to_seconds(account.now));
    }
    conditions
}

fn ready(statement: Statement) -> Verdict {
    Verdict { ready: Some(statement), reconciling: None, stalled: None }
}

fn progressing(reason: impl Into<String>, message: impl Into<String>) -> Verdict {
    let (reason, message) = (reason.into(), message.into());
    let reconciling = Statement::yes(types::RECONCILING, reason.clone(), message.clone());
    Verdict { ready: Some(Statement::no(types::READY, reason, message)), reconciling: Some(reconciling), stalled: None }
}

fn stalled(reason: impl Into<String>, message: impl Into<String>) -> Verdict {
    let (reason, message) = (reason.into(), message.into());
    let stalled = Statement::yes(types::STALLED, reason.clone(), message.clone());
    Verdict { ready: Some(Statement::no(types::READY, reason, message)), reconciling: None, stalled: Some(stalled) }
}

fn verdict(account: &Account<'_>, old: &SingletonJobStatus, held: &Statement) -> Verdict {
    let verdict = fares(account, old, held);
    if let Some(invalid) = account.invalid_template() {
        let stalled = Statement::yes(types::STALLED, invalid.step.reason(), refused::sentence(invalid));
        return Verdict { reconciling: None, stalled: Some(stalled), ..verdict };
    }
    let Some(complaint) = rollout::complaint(account) else { return rolling_out(account, verdict) };
    let says = |type_| Some(Statement::yes(type_, reasons::PROGRESS_DEADLINE_EXCEEDED, complaint));
    // What runs may yet succeed: a run is not given up for a template that it is not made from.
    let (type_, reconciling, stalled) = if account.job.spec.is_service() {
        (types::STALLED, None, says(types::STALLED))
    } else {
        (types::RECONCILING, says(types::RECONCILING), None)
    };
    let ready = verdict.ready.map(|ready| adding(ready, &format!("the rollout does not get on: see the condition {type_}")));
    Verdict { ready, reconciling, stalled }
}

/// A service does its work meanwhile, so `Ready` is as it is.
fn rolling_out(account: &Account<'_>, verdict: Verdict) -> Verdict {
    if verdict.stalled.is_some() || !account.job.spec.is_service() || account.job.spec.is_stopped() {
        return verdict;
    }
    let rests = || rollout::rest(account).map(|rest| Statement::yes(types::RECONCILING, reasons::BACKOFF, rest));
    let goes_on = || rollout::under_way(account).map(|step| Statement::yes(types::RECONCILING, reasons::ROLLING_OUT, step));
    Verdict { reconciling: verdict.reconciling.or_else(rests).or_else(goes_on), ..verdict }
}

fn adding(statement: Statement, more: &str) -> Statement {
    Statement { message: format!("{}; {more}", statement.message), ..statement }
}

/// Rollouts apart.
fn fares(account: &Account<'_>, old: &SingletonJobStatus, held: &Statement) -> Verdict {
    if let Some(refusal) = account.refusal {
        return stalled(refusal.reason, &refusal.message);
    }
    let blocked = || refused::block(account).map(|refused| stalled(refused.step.reason(), refused::sentence(refused)));
    if let Some(schedule) = &account.run.schedule {
        return blocked().unwrap_or_else(|| scheduled::verdict(account, schedule, held));
    }
    if let Some(run) = over(account, old) {
        return match run.outcome {
            RunOutcome::Succeeded => ready(Statement::yes(types::READY, reasons::COMPLETE, sentence(account, &run))),
            RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => stalled(reasons::FAILED, sentence(account, &run)),
        };
    }
    if account.job.spec.is_stopped() {
        return stopped(account);
    }
    if let Some(blocked) = blocked() {
        return blocked;
    }
    if account.job.spec.is_service() { service(account, old, held) } else { one_shot(account, held) }
}

fn stopped(account: &Account<'_>) -> Verdict {
    let (reason, why) = if account.job.spec.suspend {
        (reasons::SUSPENDED, "spec.suspend is true")
    } else {
        (reasons::SCALED_TO_ZERO, "spec.replicas is 0")
    };
    let leaving = account.observed.candidates.iter().filter(|candidate| candidate.end().is_none()).count();
    let message = match leaving {
        0 => format!("stopped: {why}"),
        many => format!("stopping: {why}; {} to go", words::count(many, "candidate has", "candidates have")),
    };
    if account.job.spec.suspend || account.job.spec.is_service() {
        let reconciling = (leaving > 0).then(|| Statement::yes(types::RECONCILING, reason, message.clone()));
        return Verdict { ready: Some(Statement::yes(types::READY, reason, message)), reconciling, stalled: None };
    }
    progressing(reason, message)
}

fn one_shot(account: &Account<'_>, held: &Statement) -> Verdict {
    if held.holds == Some(true) {
        return progressing(reasons::RUNNING, holder(account));
    }
    if let Some(overdue) = overdue(account) {
        return progressing(account.trouble().map_or(reasons::PENDING.to_owned(), |trouble| trouble.reason), overdue);
    }
    if held.reason == reasons::BACKOFF {
        return progressing(reasons::BACKOFF, &held.message);
    }
    match account.trouble() {
        Some(trouble) => progressing(trouble.reason, trouble.message),
        None => progressing(reasons::PENDING, format!("waiting for a candidate to take the Lease: {}", held.message)),
    }
}

/// That the time of a run is over and no candidate is there to write it down: it does so in the write that takes the Lease. The controller
/// does it where the Lease is free.
fn overdue(account: &Account<'_>) -> Option<String> {
    let left = wanted_run::left(account.job, account.observed, &account.run, account.now)?;
    if !left.is_zero() || account.standbys().next().is_some() {
        return None;
    }
    let limit = account.job.spec.active_deadline_seconds?;
    let why = account.trouble().map_or_else(|| "no candidate is ready".to_owned(), |trouble| trouble.message);
    Some(format!(
        "spec.activeDeadlineSeconds of {limit} has passed: nothing more is started, and the run ends as failed as soon as the Lease is free, \
         or a candidate is there to take it; {why}"
    ))
}

fn service(account: &Account<'_>, old: &SingletonJobStatus, held: &Statement) -> Verdict {
    let holder_ready = account.holder_pod().is_some_and(|pod| pod.ready);
    if held.holds == Some(true) && holder_ready {
        return ready(Statement::yes(types::READY, reasons::HELD, holder(account)));
    }
    if clearance::waits_for_word(account.job, account.observed) {
        return progressing(held.reason.clone(), held.message.clone());
    }
    // Patience is for takeovers of what was ready, and not for what has just been applied.
    let is_as_before = old.observed_generation == account.job.metadata.generation;
    let was_ready = is_as_before && is_true(&old.conditions, types::READY) && is_true_for(old, reasons::HELD);
    let on_trial = held.holds == Some(true) && plan::trial::is_on_trial(account.observed);
    if was_ready && !on_trial && held.reason != reasons::BACKOFF && unheld_for(account, old) < patience(account.job) {
        return Verdict { ready: None, reconciling: None, stalled: None };
    }
    if held.reason == reasons::BACKOFF {
        return progressing(reasons::BACKOFF, &held.message);
    }
    match account.trouble() {
        Some(trouble) => progressing(trouble.reason, trouble.message),
        None if held.holds == Some(true) => progressing(NOT_READY, format!("{}; {}", holder(account), unready(account))),
        None => progressing(held.reason.clone(), held.message.clone()),
    }
}

fn unready(account: &Account<'_>) -> &'static str {
    if account.observed.awaits_readiness() { "its workload has not become ready since it took over" } else { "its pod is not ready" }
}

fn is_true_for(old: &SingletonJobStatus, reason: &str) -> bool {
    find_condition(&old.conditions, types::READY).is_some_and(|ready| ready.reason == reason)
}

/// Since when no candidate has held the Lease, or since when the holder of now has had it.
fn unheld_for(account: &Account<'_>, old: &SingletonJobStatus) -> Duration {
    let held = find_condition(&old.conditions, types::HELD);
    let acquired = account.holder().and(account.record()).and_then(|record| record.acquire_time);
    let released = held.filter(|held| held.status == "False").map(|held| held.last_transition_time.0);
    acquired.or(released).map_or(Duration::ZERO, |since| Duration::try_from(account.now.duration_since(since)).unwrap_or_default())
}

/// "held by web-2 on node-a since 2026-01-01T14:03:11Z".
fn held_by(account: &Account<'_>, identity: &Identity) -> String {
    let node = account.holder_pod().and_then(|pod| pod.node.as_ref()).map_or(String::new(), |node| format!(" on {node}"));
    let since = account.record().and_then(|record| record.acquire_time).map_or(String::new(), |time| format!(" since {}", moment(time)));
    format!("held by {}{node}{since}", identity.pod())
}

/// "held by web-2 on node-a since 2026-01-01T14:03:11Z, token 48213; 1 standby ready".
fn holder(account: &Account<'_>) -> String {
    let Some(identity) = account.holder() else { return "no candidate holds the Lease".to_owned() };
    let token = account.seen().and_then(|seen| seen.look.token).map(|token| token.to_string()).or_else(|| remembered_token(account));
    let token = token.map_or(String::new(), |token| format!(", token {token}"));
    let standbys = match account.standbys().count() {
        0 => "no standby ready".to_owned(),
        many => format!("{} ready", words::count(many, "standby", "standbys")),
    };
    let trouble = account.trouble().map_or(String::new(), |trouble| format!("; {}", trouble.message));
    format!("{}{token}; {standbys}{trouble}", held_by(account, identity))
}

/// Of the same holder, from before this controller looked.
fn remembered_token(account: &Account<'_>) -> Option<String> {
    let lease = account.old().lease?;
    let is_its = lease.last_holder_identity.as_deref() == account.holder().map(Identity::as_str);
    if is_its { lease.fencing_token } else { None }
}

fn never_held() -> Statement {
    Statement::no(types::HELD, reasons::NEVER_HELD, "no candidate has held the Lease yet")
}

fn held(account: &Account<'_>) -> Statement {
    let Some(record) = account.record() else {
        return match account.lease_created {
            Some(true) => quarantined(account, "was missing and has been made again", takeover::longest(account.job, account.observed)),
            Some(false) | None => never_held(),
        };
    };
    if account.holder().is_none()
        && let Some(floor) = record.floor_above()
    {
        return token_too_low(record.version, floor);
    }
    let seconds = record.lease_duration.as_secs();
    match (&record.holder, &record.notes.released) {
        (Some(_), _) if record.acquire_time.is_none() => quarantined(account, "has been made again", record.lease_duration),
        (Some(holder), _) if !holder.is_of(&account.job.name_any()) => {
            let message = format!("the Lease names {holder}, which is no candidate: takeover waits {seconds} s");
            Statement::no(types::HELD, reasons::FOREIGN_HOLDER, message)
        }
        (Some(holder), _) if record.tells_outcome() => recorded(account, holder, seconds),
        (Some(holder), _) if account.holder().is_none() => {
            let then = blocked::hint(account).unwrap_or("the next ready candidate takes over");
            let message = format!("{} has not renewed its lease of {seconds} s; {then}", holder.pod());
            Statement::no(types::HELD, reasons::EXPIRED, message)
        }
        (Some(holder), _) => Statement::yes(types::HELD, reasons::HELD, held_by(account, holder)),
        (None, Some(released)) if record.is_released() => free(account, released),
        (None, _) => quarantined(account, "was emptied by a client that is no candidate", record.lease_duration),
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
fn recorded(account: &Account<'_>, holder: &Identity, seconds: u64) -> Statement {
    let wait = runs::progress(account.job, account.observed).map_or(0, |progress| progress.retry_after_seconds);
    let more = if wait > 0 { format!(" and {wait} s more") } else { String::new() };
    let next = blocked::hint(account).map_or_else(|| format!("the next attempt waits {seconds} s{more} from then on"), str::to_owned);
    let then = if !account.run.goes_on || account.job.spec.is_stopped() { "nothing is to follow".to_owned() } else { next };
    let pod = holder.pod();
    let message = format!(
        "{pod} recorded how its attempt ended and could not give the Lease back, because a process in its container survived SIGKILL; {then}"
    );
    Statement::no(types::HELD, reasons::OUTCOME_RECORDED, message)
}

fn quarantined(account: &Account<'_>, how: &str, wait: Duration) -> Statement {
    let then = blocked::hint(account).map_or(String::new(), |hint| format!("; {hint}"));
    let message = format!("the Lease {how}: takeover waits {} s because its last holder may still run{then}", wait.as_secs());
    Statement::no(types::HELD, reasons::QUARANTINED, message)
}

fn free(account: &Account<'_>, released: &Released) -> Statement {
    let by = released.by.pod();
    if released.reason == Reason::Created {
        return never_held();
    }
    let wait = runs::progress(account.job, account.observed).map_or(0, |progress| progress.retry_after_seconds);
    if wait > 0 && account.run.goes_on && !account.job.spec.is_stopped() {
        let setbacks = runs::progress(account.job, account.observed).map_or(0, |progress| progress.setbacks);
        let often = if setbacks > 1 { format!(", {setbacks} times in a row") } else { String::new() };
        let message = format!("the workload ended in {by}{often}; it is started again {wait} s after that; the log of {by} says why");
        return Statement::no(types::HELD, reasons::BACKOFF, message);
    }
    Statement::no(types::HELD, reasons::RELEASED, format!("{by} gave the Lease back: {}", words::given_back(released)))
}

/// Whether candidates are to be there: not of a job that is over or stopped, nor between the runs of a schedule.
fn wants_standbys(account: &Account<'_>) -> bool {
    !account.job.spec.is_stopped() && !account.run.is_at_rest()
}

/// Quotes what keeps a candidate from starting in any case: [`super::events`] tells by it what has been told.
fn standby(account: &Account<'_>) -> Statement {
    let trouble = account.trouble().map(|trouble| trouble.message);
    match account.standbys().count() {
        0 => Statement::no(types::STANDBY_AVAILABLE, "NoneReady", trouble.unwrap_or_else(|| no_standby(account))),
        many => {
            let trouble = trouble.map_or(String::new(), |trouble| format!("; {trouble}"));
            let ready = format!("{} ready", words::count(many, "standby is", "standbys are"));
            match account.observed.crowded() {
                Some(node) if account.holder().is_some() => {
                    let message = format!(
                        "{ready}, on the same node as the holder: the loss of {node} stops the workload until a pod is made{trouble}"
                    );
                    Statement::yes(types::STANDBY_AVAILABLE, reasons::SAME_NODE, message)
                }
                _ => Statement::yes(types::STANDBY_AVAILABLE, reasons::AS_EXPECTED, format!("{ready}{trouble}")),
            }
        }
    }
}

fn no_standby(account: &Account<'_>) -> String {
    match account.job.spec.replicas {
        1 => "spec.replicas is 1: there is no standby, and a takeover after a crash waits for a new pod".to_owned(),
        _ => "no standby is ready".to_owned(),
    }
}

/// What agents say: in the Lease while they hold it, by their termination message where they could not get there.
fn healthy(account: &Account<'_>) -> Statement {
    let warnings =
        account.record().and_then(|record| record.notes.health.as_ref()).map(|health| health.warnings.clone()).unwrap_or_default();
    let candidates = &account.observed.candidates;
    let newest_good = candidates.iter().filter(|candidate| candidate.able).map(|candidate| candidate.number).max().unwrap_or(0);
    let relevant = candidates.iter().filter(|candidate| !candidate.able && (candidate.is_alive() || candidate.number > newest_good));
    let mut complaints = relevant.filter_map(|candidate| Some((&candidate.name, candidate.complaint.as_ref()?)));
    match (warnings.is_empty(), complaints.next_back()) {
        (_, Some((pod, complaint))) => {
            let reason = if complaint.failed_self_test { reasons::SELF_TEST_FAILED } else { reasons::AGENT_FAILED };
            Statement::no(types::AGENT_HEALTHY, reason, format!("{pod}: {}", complaint.message))
        }
        (false, None) => Statement::no(types::AGENT_HEALTHY, reasons::HOLDER_WARNS, warnings.join("; ")),
        (true, None) => Statement::yes(types::AGENT_HEALTHY, reasons::AS_EXPECTED, "no agent complains"),
    }
}

fn over(account: &Account<'_>, old: &SingletonJobStatus) -> Option<FinishedRun> {
    super::history::runs(account, old).into_iter().next()
}

fn sentence(account: &Account<'_>, run: &FinishedRun) -> String {
    let message = run.message.clone().unwrap_or_default();
    let changed = if account.job.spec.schedule.is_none() && is_outdated(account, run) { TEMPLATE_CHANGED } else { "" };
    match run.outcome {
        RunOutcome::Succeeded => format!("succeeded: {message}{changed}"),
        RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => {
            let kept = |pod: &&String| account.observed.candidates.iter().any(|candidate| candidate.name == **pod);
            let log = run.pod.as_ref().filter(kept).map_or(String::new(), |pod| format!("; the log of {pod} says why"));
            let how = if run.outcome == RunOutcome::Replaced { "replaced" } else { "failed" };
            format!("{how} after {}: {message}{log}{changed}", words::count(run.attempts, "attempt", "attempts"))
        }
    }
}

/// Whether the template is another one than that of the pod that finished the run, as long as that pod is kept.
fn is_outdated(account: &Account<'_>, run: &FinishedRun) -> bool {
    let finisher = account.observed.candidates.iter().find(|candidate| Some(&candidate.name) == run.pod.as_ref());
    finisher.is_some_and(|pod| pod.template_hash.as_ref() != Some(&account.observed.template_hash))
}

/// `Complete` and `Failed`, of a one-shot, as batch/v1 has them.
fn finished(account: &Account<'_>, old: &SingletonJobStatus) -> [(&'static str, Option<Statement>); 2] {
    let run = over(account, old);
    let of = |outcome, type_, fallback: &str| {
        let run = run.as_ref().filter(|run| run.outcome == outcome)?;
        Some(Statement::yes(type_, ends::of_condition(run.reason.as_deref().unwrap_or(fallback)), sentence(account, run)))
    };
    [
        (types::COMPLETE, of(RunOutcome::Succeeded, types::COMPLETE, reasons::COMPLETE)),
        (types::FAILED, of(RunOutcome::Failed, types::FAILED, reasons::BACKOFF_LIMIT_EXCEEDED)),
    ]
}
