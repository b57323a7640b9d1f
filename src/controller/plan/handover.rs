//! Decides which holder hands over, and to which standby. No other module decides about voluntary takeovers.
//!
//! The reasons rank in this order: a request, a new template, a pod that is not ready, a preferred node.
//! There is at most one handover at a time, and none without a ready successor. A handover under way gives
//! way only to a higher-ranking one for the same holder, because an older agent may not understand the first
//! reason.
//!
//! # Layout
//! [`tenure`]: the holder that can be asked, and its successors in order. [`due`]: how long until each reason
//! applies. [`request`]: what a user asks for.

pub mod due;
pub mod request;
pub mod tenure;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::trial;
use crate::api::SingletonJob;
use crate::lease::annotations::{Handover, Reason};
use due::DueReasons;
use request::{HandoverAnswer, HandoverRequest};
use tenure::{CurrentTenure, is_old};

/// What the controller asks of the holder and its successors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The request to the holder. `None` if the controller asks for no new handover.
    pub handover: Option<Handover>,
    /// Pod uids in the order in which they should take over. `None` keeps what the Lease says.
    pub succession: Option<Vec<String>>,
    /// What the controller does about a handover request.
    pub request: Option<HandoverRequest>,
    /// The hash of the template from which the Lease was handed back, or is to be by `handover`. It stays for
    /// as long as that template is wanted.
    pub handed_back: Option<String>,
    /// How long until the next decision is due.
    pub look: Option<Duration>,
}

/// Chooses the handover. `rolls_out` says that everything is ready for the holder of an old template to go.
pub fn choose(job: &SingletonJob, observed: &Observed, rolls_out: bool, now: Timestamp) -> Choice {
    let is_rejected = trial::is_rejected(job, observed);
    let tenure = CurrentTenure::of(job, observed, is_rejected);
    let request = request::settle(job, observed, tenure.as_ref(), now);
    let waits = request.as_ref().and_then(waits_for);
    let handed_back = |is_back: bool| is_back.then(|| observed.template_hash.clone());
    let Some(tenure) = tenure else {
        return Choice { request, look: waits, handed_back: handed_back(is_rejected), ..Choice::default() };
    };
    let due = DueReasons::of(job, observed, &tenure, rolls_out, now);
    let handover = new_handover(observed, &tenure, request.as_ref(), &due);
    let is_back = is_rejected || is_handing_back(observed, &tenure, handover.as_ref());
    Choice {
        succession: succession(job, observed, &tenure, handover.as_ref(), request.as_ref()),
        handed_back: handed_back(is_back),
        handover,
        look: [waits, due.look()].into_iter().flatten().filter(|left| !left.is_zero()).min(),
        request,
    }
}

fn waits_for(request: &HandoverRequest) -> Option<Duration> {
    if let HandoverAnswer::Waits { left, .. } = request.answer { Some(left) } else { None }
}

/// The handover that the controller asks for now. `None` if there is no reason or no successor, or if a
/// handover is under way.
fn new_handover(
    observed: &Observed,
    tenure: &CurrentTenure<'_>,
    request: Option<&HandoverRequest>,
    due: &DueReasons,
) -> Option<Handover> {
    if tenure.standbys.is_empty() {
        return None;
    }
    let reason = if request.is_some_and(is_granted) { Reason::Handover } else { due.reason()? };
    let is_new = !is_under_way(tenure.asked, reason);
    is_new.then(|| ask(observed, tenure, reason, request))
}

fn is_granted(request: &HandoverRequest) -> bool {
    matches!(request.answer, HandoverAnswer::Granted(_))
}

/// Whether `handover` gives the Lease back from the new template.
fn is_handing_back(observed: &Observed, tenure: &CurrentTenure<'_>, handover: Option<&Handover>) -> bool {
    let is_unready = handover.is_some_and(|asked| asked.reason == Reason::Unready);
    tenure.hands_back && tenure.goes_back(observed) && is_unready
}

/// Whether a holder that was `asked` to hand over is not to be asked again for this reason.
pub fn is_under_way(asked: Option<Reason>, reason: Reason) -> bool {
    asked.is_some_and(|asked| rank(asked) <= rank(reason))
}

fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::Handover => 0,
        Reason::RolledOut => 1,
        Reason::Unready => 2,
        Reason::Failback => 3,
        Reason::Created
        | Reason::Drain
        | Reason::WorkloadSucceeded
        | Reason::WorkloadFailed
        | Reason::Stopped
        | Reason::LeaseLost
        | Reason::ElectorDied => 4,
    }
}

fn ask(
    observed: &Observed,
    tenure: &CurrentTenure<'_>,
    reason: Reason,
    request: Option<&HandoverRequest>,
) -> Handover {
    let token = tenure.identity.as_str().rsplit('_').next().unwrap_or_default();
    let id = match (reason, request) {
        (Reason::Handover, Some(request)) => request.text.clone(),
        (Reason::RolledOut, _) => format!("{}-{token}", observed.template_hash),
        (reason, _) => format!("{reason:?}-{token}"),
    };
    Handover { id, holder: tenure.identity.clone(), reason }
}

/// The order in which standbys take over, so that one write is enough and no candidate waits for another's
/// turn. `None` if there is no standby, or if the order of a handover under way stays.
fn succession(
    job: &SingletonJob,
    observed: &Observed,
    tenure: &CurrentTenure<'_>,
    handover: Option<&Handover>,
    request: Option<&HandoverRequest>,
) -> Option<Vec<String>> {
    let needs_none = || tenure.standbys.is_empty() || is_first_anyway(job, observed, tenure);
    let is_settled = handover.is_none() && (tenure.asked.is_some() || needs_none());
    if is_settled {
        return None;
    }
    let is_successor = |standby: &&&Candidate| handover.is_none_or(|asked| follows(observed, asked, standby));
    let mut line: Vec<_> = tenure.standbys.iter().filter(is_successor).collect();
    if let (Some(_), Some(HandoverRequest { answer: HandoverAnswer::Granted(first), .. })) =
        (handover, request)
    {
        line.sort_by_key(|standby| standby.uid != *first);
    }
    Some(line.into_iter().map(|standby| standby.uid.clone()).collect())
}

/// Whether the only standby is first without a line. The two candidates of a job both are, while the Lease
/// has no line.
fn is_first_anyway(job: &SingletonJob, observed: &Observed, tenure: &CurrentTenure<'_>) -> bool {
    let has_line = observed.lease.as_ref().is_some_and(|seen| !seen.record.annotations.succession.is_empty());
    job.spec.replicas <= 2 && tenure.standbys.len() == 1 && !has_line
}

/// Whether `standby` may follow the asked holder. In a rollout, no standby of the old template may.
fn follows(observed: &Observed, asked: &Handover, standby: &Candidate) -> bool {
    asked.reason != Reason::RolledOut || !is_old(observed, standby)
}
