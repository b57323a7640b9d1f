//! Who holds the Lease: how it was lost, and who took over.

use super::super::{ReportContext, format};
use super::{Event, normal, runs, warning};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, is_true, reasons, types};
use crate::api::status::{Takeover, TakeoverReason};
use crate::lease::identity::Identity;

/// Says that the Lease has no holder any more, and why.
pub(super) fn lost(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let held = find_condition(&new.conditions, types::HELD).filter(|held| held.status == "False")?;
    if !is_true(&old.conditions, types::HELD) {
        return None;
    }
    let event = match held.reason.as_str() {
        reasons::EXPIRED => warning("LeaseExpired", held.message.clone()),
        reasons::FOREIGN_HOLDER => return None,
        reasons::OUTCOME_RECORDED => warning("OutcomeRecorded", held.message.clone()),
        reasons::TOKEN_TOO_LOW => warning("TokenTooLow", held.message.clone()),
        reasons::QUARANTINED => warning("LeaseLost", held.message.clone()),
        _ => normal("LeaseReleased", held.message.clone()),
    };
    Some(event.about(old.lease.as_ref().and_then(|lease| lease.holder.clone())))
}

/// Says once for every name in the Lease that it is no candidate's.
pub(super) fn foreign_holder(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let told = find_condition(&old.conditions, types::HELD)
        .filter(|held| held.reason == reasons::FOREIGN_HOLDER)
        .map(|held| &held.message);
    let held =
        find_condition(&new.conditions, types::HELD).filter(|held| held.reason == reasons::FOREIGN_HOLDER)?;
    if Some(&held.message) == told {
        return None;
    }
    Some(warning("ForeignHolder", held.message.clone()))
}

/// Says once for every silent holder that takeover is blocked, whatever the reasons are one after the other.
pub(super) fn takeover_blocked(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let now = find_condition(&new.conditions, types::TAKEOVER_BLOCKED)?;
    let pod = new
        .lease
        .as_ref()
        .and_then(|lease| lease.last_holder_identity.as_deref())
        .map(|holder| Identity::read(holder).pod().to_owned());
    let is_new = find_condition(&old.conditions, types::TAKEOVER_BLOCKED).is_none();
    is_new.then(|| warning("TakeoverBlocked", now.message.clone()).about(pod))
}

/// Says that a candidate acquired the Lease, and how that came about.
pub(super) fn taken_over(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Vec<Event> {
    match new.takeovers.first() {
        Some(takeover) if Some(takeover) != old.takeovers.first() => {
            let mut events = Vec::new();
            events.extend(cut_short(context, takeover));
            let begins = runs::begun(old, new).map_or(String::new(), |attempt| format!("; {attempt}"));
            events.push(completed(takeover, &begins).unwrap_or_else(|| acquired(takeover, &begins)));
            events
        }
        _ => Vec::new(),
    }
}

/// Says that the holder before was told to stop, and lost the API server before it could give the Lease back.
fn cut_short(context: &ReportContext<'_>, takeover: &Takeover) -> Option<Event> {
    if takeover.reason != TakeoverReason::Expired {
        return None;
    }
    let before = context.seen()?.observation.before.as_ref()?;
    let (pod, why) = (before.holder.pod().to_owned(), format::release(before.stopping?));
    let note = format!(
        "{pod} was told to stop, {why}, and lost the API server before its workload had ended: the attempt does not count as failed, and its \
         successor waited for the lease; keep the network of the pod up until the workload has ended: let a proxy beside it stop last, or keep \
         the API server's address out of the proxy"
    );
    Some(warning("StopCutShort", note).about(pod))
}

/// Says that a candidate acquired the Lease, and which attempt begins with that.
fn acquired(takeover: &Takeover, begins: &str) -> Event {
    let note = format!("{} holds the Lease{}{begins}", takeover.to, token(takeover));
    normal("LeaseAcquired", note).about(takeover.to.clone())
}

/// Says the same of a candidate that followed another. `None` if the first attempt of a run began.
fn completed(takeover: &Takeover, begins: &str) -> Option<Event> {
    let (to, from) = (&takeover.to, takeover.from.as_ref()?);
    if takeover.reason == TakeoverReason::InitialAcquire {
        return None;
    }
    let gap = takeover
        .gap_milliseconds
        .map_or(String::new(), |gap| format!(", {} after its last sign of life", format::duration(gap)));
    let (why, token) = (format::takeover(takeover.reason), token(takeover));
    let note = format!("{to} took over from {from}: {why}{gap}{token}{begins}");
    Some(normal("TakeoverCompleted", note).about(to.clone()))
}

fn token(takeover: &Takeover) -> String {
    takeover.fencing_token.as_ref().map_or(String::new(), |token| format!(", token {token}"))
}
