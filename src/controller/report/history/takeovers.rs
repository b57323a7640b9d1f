//! How the Lease changed hands, newest first. Status keeps it, whatever happens to the Lease.

use std::time::Duration;

use kube::ResourceExt;

use super::super::ReportContext;
use super::super::format::to_seconds;
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, reasons, types};
use crate::api::status::{MOST_HISTORY, Takeover, TakeoverReason};
use crate::controller::observe::ObservedLease;
use crate::lease::annotations::{Progress, Reason, Released};
use crate::lease::identity::Identity;
use crate::lease::record::Record;

/// All changes of hands that status keeps, with the one that it does not know yet.
pub fn all(context: &ReportContext<'_>) -> Vec<Takeover> {
    let old = context.old();
    let mut all = old.takeovers.clone();
    let last = old.lease.as_ref().and_then(|lease| lease.last_holder_identity.as_deref());
    if let Some(seen) = context.seen()
        && let (Some(holder), Some(_)) = (&seen.record.holder, seen.record.acquire_time)
        && last != Some(holder.as_str())
        && holder.is_of(&context.job.name_any())
        && !is_told(context, seen, holder)
    {
        all.insert(0, takeover(context, seen, holder, last));
    }
    all.truncate(MOST_HISTORY);
    all
}

/// Whether status tells of it already, although it does not know this holder: while the controller can do
/// nothing with the spec, it keeps what status says of the Lease.
fn is_told(context: &ReportContext<'_>, seen: &ObservedLease, holder: &Identity) -> bool {
    let is_it = |told: &Takeover| {
        told.to == holder.pod() && told.acquire_time == seen.record.acquire_time.map(to_seconds)
    };
    context.refusal.is_some() && context.old().takeovers.first().is_some_and(is_it)
}

/// The change of hands by which `holder` acquired the Lease that `last` held before.
fn takeover(
    context: &ReportContext<'_>,
    seen: &ObservedLease,
    holder: &Identity,
    last: Option<&str>,
) -> Takeover {
    let begun = Takeover {
        acquire_time: seen.record.acquire_time.map(to_seconds),
        from: None,
        to: holder.pod().to_owned(),
        reason: TakeoverReason::InitialAcquire,
        gap_milliseconds: None,
        fencing_token: seen.observation.token.map(|token| token.to_string()),
    };
    if begins_run(context, &seen.record) {
        return begun;
    }
    let released = seen.record.annotations.released.as_ref();
    Takeover {
        from: from(seen, last),
        reason: reason(released, last.is_some(), context.old()),
        gap_milliseconds: gap(seen).and_then(|gap| i64::try_from(gap.as_millis()).ok()),
        ..begun
    }
}

/// Whether the tenure is the first of a run of a schedule. It follows no holder, whichever ran the run
/// before.
fn begins_run(context: &ReportContext<'_>, record: &Record) -> bool {
    let is_first = |progress: &Progress| progress.starts == 1;
    context.run.schedule.is_some() && record.annotations.progress.as_ref().is_some_and(is_first)
}

/// The pod that held the Lease before.
fn from(seen: &ObservedLease, last: Option<&str>) -> Option<String> {
    let before = seen.observation.before.as_ref();
    match &seen.record.annotations.released {
        Some(released) if released.reason == Reason::Created => None,
        Some(released) => Some(released.by.pod().to_owned()),
        None => before
            .map(|before| before.holder.pod().to_owned())
            .or_else(|| last.map(|identity| Identity::read(identity).pod().to_owned())),
    }
}

/// The time from the last sign of life of the holder before to the acquisition.
fn gap(seen: &ObservedLease) -> Option<Duration> {
    let last_sign = match &seen.record.annotations.released {
        Some(released) => released.last_renew_time.or(released.renew_time),
        None => seen.observation.before.as_ref().and_then(|before| before.renewed),
    };
    let by_time_of_day = seen
        .record
        .acquire_time
        .zip(last_sign)
        .and_then(|(acquired, left)| acquired.duration_since(left).try_into().ok());
    // Times of day of two nodes that contradict each other say nothing.
    by_time_of_day.or(seen.observation.gap)
}

fn reason(released: Option<&Released>, was_held: bool, old: &SingletonJobStatus) -> TakeoverReason {
    let cleared = || {
        find_condition(&old.conditions, types::HELD).is_some_and(|held| held.reason == reasons::QUARANTINED)
    };
    match released.map(|released| released.reason) {
        Some(Reason::WorkloadSucceeded) if released.is_some_and(Released::hands_over) => {
            TakeoverReason::Handover
        }
        Some(Reason::Created | Reason::Stopped) => TakeoverReason::InitialAcquire,
        Some(Reason::Handover) => TakeoverReason::Handover,
        Some(Reason::Unready) => TakeoverReason::Unready,
        Some(Reason::Failback) => TakeoverReason::Failback,
        Some(Reason::RolledOut) => TakeoverReason::RolledOut,
        Some(Reason::Drain) => TakeoverReason::Drain,
        Some(Reason::WorkloadSucceeded | Reason::WorkloadFailed | Reason::ElectorDied) => {
            TakeoverReason::WorkloadFailed
        }
        Some(Reason::LeaseLost) => TakeoverReason::LeaseLost,
        None if !was_held => TakeoverReason::InitialAcquire,
        None if cleared() => TakeoverReason::Cleared,
        None => TakeoverReason::Expired,
    }
}
