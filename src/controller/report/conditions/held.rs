//! `Held`: whether a candidate holds the Lease, which, and since when.

use std::time::Duration;

use kube::ResourceExt;

use super::super::format::moment;
use super::super::{ReportContext, blocked, format};
use crate::api::conditions::{Statement, reasons, types};
use crate::controller::plan::{runs, takeover};
use crate::lease::annotations::{Progress, Reason, Released};
use crate::lease::identity::{Identity, Version};
use crate::lease::record::Record;

/// What became of a Lease that was missing, if it had a holder before.
const RECREATED: &str = "the Lease was missing, and the controller has created it again";

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
pub(super) fn holder(context: &ReportContext<'_>) -> String {
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

/// The token of the same holder that status knows from before this controller looked.
fn remembered_token(context: &ReportContext<'_>) -> Option<String> {
    let lease = context.old().lease.as_ref()?;
    let is_its = lease.last_holder_identity.as_deref() == context.holder().map(Identity::as_str);
    if is_its { lease.fencing_token.clone() } else { None }
}

fn never_held() -> Statement {
    Statement::no(types::HELD, reasons::NEVER_HELD, "no candidate has held the Lease yet")
}

/// What the Lease says of its holder, or why the controller knows of none.
pub(super) fn held(context: &ReportContext<'_>) -> Statement {
    let Some(record) = context.record() else { return without_lease(context) };
    if context.holder().is_none()
        && let Some(floor) = record.floor_above()
    {
        return token_too_low(record.version, floor);
    }
    match (&record.holder, &record.annotations.released) {
        (Some(holder), _) => named(context, record, holder),
        (None, Some(released)) if record.is_released() => free(context, released),
        (None, _) => {
            quarantined(context, "a client that is no candidate emptied the Lease", record.lease_duration)
        }
    }
}

/// While the controller has no Lease to read: the cache may not have the one that it has just created.
fn without_lease(context: &ReportContext<'_>) -> Statement {
    if context.effects.lease_created != Some(true) {
        return never_held();
    }
    let longest = takeover::longest(context.job, context.observed);
    quarantined(context, RECREATED, longest)
}

/// What the Lease says that names `holder`, which may not be a candidate, or not hold it any more.
fn named(context: &ReportContext<'_>, record: &Record, holder: &Identity) -> Statement {
    let seconds = record.lease_duration.as_secs();
    if record.acquire_time.is_none() {
        return quarantined(context, RECREATED, record.lease_duration);
    }
    if !holder.is_of(&context.job.name_any()) {
        return foreign(holder, seconds);
    }
    if record.tells_outcome() {
        return recorded(context, holder, seconds);
    }
    if context.holder().is_none() {
        return expired(context, holder, seconds);
    }
    Statement::yes(types::HELD, reasons::HELD, held_by(context, holder))
}

fn foreign(holder: &Identity, seconds: u64) -> Statement {
    let message = format!(
        "a client wrote {holder}, which is no candidate, into the Lease: candidates wait {seconds} s before they take over; find out which \
         client writes this Lease"
    );
    Statement::no(types::HELD, reasons::FOREIGN_HOLDER, message)
}

fn expired(context: &ReportContext<'_>, holder: &Identity, seconds: u64) -> Statement {
    let then = blocked::hint(context).unwrap_or("the next ready candidate takes over");
    let message = format!("{} has not renewed its lease of {seconds} s; {then}", holder.pod());
    Statement::no(types::HELD, reasons::EXPIRED, message)
}

fn token_too_low(version: Version, floor: Version) -> Statement {
    let message = format!(
        "no candidate acquires the Lease: its resourceVersion {version} is not above {floor}, the highest fencing token known, as after a restore \
         of etcd; restore it with a bumped revision (docs/safety.md); where no receiver keeps tokens, delete the SingletonJob, wait until its pods \
         are gone, delete its Lease, and apply it again"
    );
    Statement::no(types::HELD, reasons::TOKEN_TOO_LOW, message)
}

/// Says that `holder` could not give the Lease back. Its container ends with what survives in it, and the
/// Lease expires.
fn recorded(context: &ReportContext<'_>, holder: &Identity, seconds: u64) -> Statement {
    let message = format!(
        "{} recorded how its attempt ended and could not give the Lease back, because a process in its container survived SIGKILL; {}",
        holder.pod(),
        after_recorded(context, seconds)
    );
    Statement::no(types::HELD, reasons::OUTCOME_RECORDED, message)
}

fn after_recorded(context: &ReportContext<'_>, seconds: u64) -> String {
    if !goes_on(context) {
        return "no attempt follows".to_owned();
    }
    if let Some(hint) = blocked::hint(context) {
        return hint.to_owned();
    }
    let wait = progress(context).map_or(0, |progress| progress.retry_after_seconds);
    let more = if wait > 0 { format!(" and {wait} s more") } else { String::new() };
    format!("candidates wait {seconds} s{more} before one starts the next attempt")
}

/// Whether another attempt is to follow.
fn goes_on(context: &ReportContext<'_>) -> bool {
    context.run.goes_on && !context.job.spec.is_stopped()
}

fn progress(context: &ReportContext<'_>) -> Option<Progress> {
    runs::progress(context.job, context.observed)
}

fn quarantined(context: &ReportContext<'_>, what: &str, wait: Duration) -> Statement {
    let then = blocked::hint(context).map_or(String::new(), |hint| format!("; {hint}"));
    let message = format!(
        "{what}: candidates wait {} s before they take over, because the last holder may still be running{then}",
        wait.as_secs()
    );
    Statement::no(types::HELD, reasons::QUARANTINED, message)
}

fn free(context: &ReportContext<'_>, released: &Released) -> Statement {
    if released.reason == Reason::Created {
        return never_held();
    }
    let by = released.by.pod();
    match progress(context).filter(|progress| progress.retry_after_seconds > 0 && goes_on(context)) {
        Some(progress) => backing_off(by, &progress),
        None => Statement::no(
            types::HELD,
            reasons::RELEASED,
            format!("{by} gave the Lease back: {}", format::given_back(released)),
        ),
    }
}

fn backing_off(by: &str, progress: &Progress) -> Statement {
    let (wait, setbacks) = (progress.retry_after_seconds, progress.setbacks);
    let often = if setbacks > 1 { format!(", {setbacks} times in a row") } else { String::new() };
    let message = format!(
        "the workload ended in {by}{often}; a candidate starts it again {wait} s after that; the log of {by} says why it ended"
    );
    Statement::no(types::HELD, reasons::BACKOFF, message)
}
