//! What is said of a rollout that does not get on. The holder of the old template goes on meanwhile.

use super::Account;
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, reasons, types};
use crate::controller::observe::candidate::{Candidate, End};
use crate::controller::plan::progress::{self, Awaited};

/// Who is waited for, for too long, and why it does not start; none while there is time.
pub fn complaint(account: &Account<'_>) -> Option<String> {
    let awaited = progress::awaited(account.job, account.observed).filter(|_| account.refusal.is_none());
    let Awaited { candidate, since: _ } = awaited.filter(|awaited| awaited.left(account.now).is_zero())?;
    let why = why(candidate).map_or(String::new(), |why| format!(": {why}"));
    Some(format!(
        "the rollout of spec.template waits: {} was not ready within {} s{why}; what is of the old template goes on until then: correct \
         spec.template, or put the old one back",
        candidate.name,
        progress::DEADLINE.as_secs()
    ))
}

/// Whether status says so.
pub fn is_held_up(status: &SingletonJobStatus) -> bool {
    let says = |type_| find_condition(&status.conditions, type_).filter(|condition| condition.status == "True");
    [types::STALLED, types::RECONCILING].into_iter().filter_map(says).any(|is| is.reason == reasons::PROGRESS_DEADLINE_EXCEEDED)
}

/// In the words of whoever refuses: the kubelet, the scheduler, its agent.
fn why(candidate: &Candidate) -> Option<String> {
    let refused = |end: &End| end.message.clone().or_else(|| end.reason.clone());
    let waits = candidate.hindrance.as_ref().map(|hindrance| format!("{}: {}", hindrance.reason, hindrance.message));
    waits.or_else(|| candidate.complaint.as_ref().map(|complaint| complaint.message.clone())).or_else(|| candidate.end().and_then(refused))
}
