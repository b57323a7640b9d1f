//! Handles the annotation by which a user requests a handover. Each value acts once.
//!
//! The write that asks the holder also stores the granted value in the Lease. Status stores it after that, so
//! a controller that looks in between does not ask again. A refused or recorded value is in status alone,
//! because handling it twice changes nothing.

use std::time::Duration;

use jiff::Timestamp;

use super::super::super::observe::Observed;
use super::super::super::observe::candidate::Candidate;
use super::super::request::{self, annotation};
use super::super::time::left;
use super::super::{candidates, runs};
use super::tenure::CurrentTenure;
use crate::api::SingletonJob;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, HANDOVER_TO};
use crate::lease::annotations::Reason;

/// How long a request waits for its successor to be ready. The user who asks is still there to read the
/// answer.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(30);
/// A request to hand over.
pub type HandoverRequest = request::UserRequest<HandoverAnswer>;

/// What the controller does about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandoverAnswer {
    /// The controller asks the holder, and the pod with this uid takes over first.
    Granted(String),
    /// The successor is not ready yet.
    Waits {
        /// When the controller first saw the request.
        since: Timestamp,
        /// How long until the controller refuses it.
        left: Duration,
    },
    /// The controller cannot grant it. The text says why, and what to do instead.
    Refused(String),
    /// The controller only records it, because it was there before the first look.
    Recorded,
    /// The controller has granted it already.
    Past,
}

/// Decides about the handover request in the annotations of `job`. `None` if there is none, or if status says
/// what became of it.
pub fn settle(
    job: &SingletonJob,
    observed: &Observed,
    tenure: Option<&CurrentTenure<'_>>,
    now: Timestamp,
) -> Option<HandoverRequest> {
    let text = request::unsettled(job, HANDOVER_REQUESTED_AT, |status| {
        status.last_handled_handover_request.as_ref()
    })?;
    let granted = observed.lease.as_ref().and_then(|lease| lease.record.annotations.handled_request.as_ref())
        == Some(&text);
    let answer = match (granted, request::is_looked_after(job)) {
        (true, _) => HandoverAnswer::Past,
        (false, false) => HandoverAnswer::Recorded,
        (false, true) => answer(job, observed, tenure, &text, now),
    };
    Some(HandoverRequest { text, answer })
}

fn answer(
    job: &SingletonJob,
    observed: &Observed,
    tenure: Option<&CurrentTenure<'_>>,
    text: &str,
    now: Timestamp,
) -> HandoverAnswer {
    if let Some(why) = nothing_runs(job, observed) {
        return HandoverAnswer::Refused(why.to_owned());
    }
    let named = annotation(job, HANDOVER_TO);
    let ready = match named {
        Some(name) => named_successor(observed, tenure, name),
        None => any_successor(job, observed, tenure),
    };
    let is_asked = tenure.is_some_and(|tenure| tenure.asked == Some(Reason::Handover));
    match ready {
        Err(why) => HandoverAnswer::Refused(why),
        Ok(Some(successor)) if !is_asked => HandoverAnswer::Granted(successor.uid.clone()),
        Ok(_) => wait(job, tenure, text, named, now),
    }
}

/// Why nothing can be handed over. `None` if something runs, or is to run.
fn nothing_runs(job: &SingletonJob, observed: &Observed) -> Option<&'static str> {
    if runs::is_over(job, observed) {
        return Some("the run is over, and the Lease has no holder any more");
    }
    job.spec
        .is_stopped()
        .then_some("nothing runs while spec.suspend is true or spec.replicas is 0: ask again when it does")
}

/// The named pod. `None` if it is not ready to follow.
///
/// # Errors
/// Why that pod cannot follow, and what to write instead.
fn named_successor<'a>(
    observed: &Observed,
    tenure: Option<&CurrentTenure<'a>>,
    name: &str,
) -> Result<Option<&'a Candidate>, String> {
    let Some(pod) = candidates::alive(observed).find(|candidate| candidate.name == name) else {
        return Err(no_candidate(observed, name));
    };
    if Some(pod.uid.as_str()) == observed.holder_uid() {
        return Err(format!(
            "{name} holds the Lease already: write the name of another candidate into {HANDOVER_TO}, or leave it out"
        ));
    }
    Ok(tenure.and_then(|tenure| tenure.standbys.iter().copied().find(|standby| standby.uid == pod.uid)))
}

fn no_candidate(observed: &Observed, name: &str) -> String {
    let names: Vec<_> = candidates::alive(observed).map(|candidate| candidate.name.as_str()).collect();
    let names = if names.is_empty() {
        "a candidate when there is one".to_owned()
    } else {
        format!("one of {}", names.join(", "))
    };
    format!("{name} is no candidate: write {names} into {HANDOVER_TO}, or leave it out")
}

/// The best standby. `None` if none is ready to follow.
///
/// # Errors
/// What to do so that there is one.
fn any_successor<'a>(
    job: &SingletonJob,
    observed: &Observed,
    tenure: Option<&CurrentTenure<'a>>,
) -> Result<Option<&'a Candidate>, String> {
    let stands_by =
        candidates::alive(observed).any(|candidate| Some(candidate.uid.as_str()) != observed.holder_uid());
    if job.spec.replicas < 2 && !stands_by {
        return Err("there is no standby: set spec.replicas to 2 or more, and ask again".to_owned());
    }
    Ok(tenure.and_then(|tenure| tenure.standbys.first().copied()))
}

fn wait(
    job: &SingletonJob,
    tenure: Option<&CurrentTenure<'_>>,
    text: &str,
    named: Option<&str>,
    now: Timestamp,
) -> HandoverAnswer {
    let pending = job.status.as_ref().and_then(|status| status.pending_handover_request.as_ref());
    let since = pending.filter(|pending| pending.request == text).map_or(now, |pending| pending.since.0);
    let left = left(since, SUCCESSOR_TIMEOUT, now);
    if left.is_zero() {
        HandoverAnswer::Refused(timed_out(tenure, named))
    } else {
        HandoverAnswer::Waits { since, left }
    }
}

fn timed_out(tenure: Option<&CurrentTenure<'_>>, named: Option<&str>) -> String {
    let seconds = SUCCESSOR_TIMEOUT.as_secs();
    match (tenure, named) {
        (Some(tenure), _) if tenure.asked.is_some() => format!(
            "{} was asked before and has not handed over within {seconds} s: ask again when it has",
            tenure.holder.name
        ),
        (None, _) => format!(
            "for {seconds} s no candidate held the Lease that could be asked: ask again when one does"
        ),
        (Some(_), Some(name)) => format!(
            "{name} was not ready within {seconds} s: kubectl describe pod {name} says why; ask again then"
        ),
        (Some(_), None) => format!(
            "no standby was ready within {seconds} s: condition StandbyAvailable says why; ask again then"
        ),
    }
}
