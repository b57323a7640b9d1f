//! `Held`: whether a candidate holds the Lease, which, and since when.

use std::time::Duration;

use kube::ResourceExt;

use super::super::format::moment;
use super::super::{ReportContext, blocked, format};
use crate::api::conditions::{Statement, reasons, types};
use crate::controller::plan::{runs, takeover};
use crate::lease::annotations::{Reason, Released};
use crate::lease::identity::{Identity, Version};

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

/// Of the same holder, from before this controller looked.
fn remembered_token(context: &ReportContext<'_>) -> Option<String> {
    let lease = context.old().lease.as_ref()?;
    let is_its = lease.last_holder_identity.as_deref() == context.holder().map(Identity::as_str);
    if is_its { lease.fencing_token.clone() } else { None }
}

fn never_held() -> Statement {
    Statement::no(types::HELD, reasons::NEVER_HELD, "no candidate has held the Lease yet")
}

pub(super) fn held(context: &ReportContext<'_>) -> Statement {
    let Some(record) = context.record() else {
        return match context.effects.lease_created {
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
