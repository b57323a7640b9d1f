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
use super::Stage;
use crate::api::SingletonJob;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, HANDOVER_TO};
use crate::lease::annotations::Reason;

/// How long a request waits for its successor to be ready. The user who asks is still there to read the
/// answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A request to hand over.
pub type HandoverRequest = request::Request<HandoverAnswer>;

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
    stage: Option<&Stage<'_>>,
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
        (false, true) => answer(job, observed, stage, &text, now),
    };
    Some(HandoverRequest { text, answer })
}

fn answer(
    job: &SingletonJob,
    observed: &Observed,
    stage: Option<&Stage<'_>>,
    text: &str,
    now: Timestamp,
) -> HandoverAnswer {
    if runs::is_over(job, observed) {
        return HandoverAnswer::Refused("the run is over, and the Lease has no holder any more".to_owned());
    }
    if job.spec.is_stopped() {
        return HandoverAnswer::Refused(
            "nothing runs while spec.suspend is true or spec.replicas is 0: ask again when it does"
                .to_owned(),
        );
    }
    let named = annotation(job, HANDOVER_TO);
    let ready = match named {
        Some(name) => named_successor(observed, stage, name),
        None => any_successor(job, observed, stage),
    };
    let is_asked = stage.is_some_and(|stage| stage.asked == Some(Reason::Handover));
    match ready {
        Err(why) => HandoverAnswer::Refused(why),
        Ok(Some(successor)) if !is_asked => HandoverAnswer::Granted(successor.uid.clone()),
        Ok(_) => wait(job, stage, text, named, now),
    }
}

/// The named pod, where it is ready to follow.
fn named_successor<'a>(
    observed: &Observed,
    stage: Option<&Stage<'a>>,
    name: &str,
) -> Result<Option<&'a Candidate>, String> {
    let alive = || candidates::alive(observed);
    let Some(pod) = alive().find(|candidate| candidate.name == name) else {
        let names: Vec<_> = alive().map(|candidate| candidate.name.as_str()).collect();
        let names = if names.is_empty() {
            "a candidate when there is one".to_owned()
        } else {
            format!("one of {}", names.join(", "))
        };
        return Err(format!("{name} is no candidate: write {names} into {HANDOVER_TO}, or leave it out"));
    };
    if Some(pod.uid.as_str()) == observed.holder_uid() {
        return Err(format!(
            "{name} holds the Lease already: write the name of another candidate into {HANDOVER_TO}, or leave it out"
        ));
    }
    Ok(stage.and_then(|stage| stage.standbys.iter().copied().find(|standby| standby.uid == pod.uid)))
}

fn any_successor<'a>(
    job: &SingletonJob,
    observed: &Observed,
    stage: Option<&Stage<'a>>,
) -> Result<Option<&'a Candidate>, String> {
    let stands_by =
        candidates::alive(observed).any(|candidate| Some(candidate.uid.as_str()) != observed.holder_uid());
    if job.spec.replicas < 2 && !stands_by {
        return Err("there is no standby: set spec.replicas to 2 or more, and ask again".to_owned());
    }
    Ok(stage.and_then(|stage| stage.standbys.first().copied()))
}

fn wait(
    job: &SingletonJob,
    stage: Option<&Stage<'_>>,
    text: &str,
    named: Option<&str>,
    now: Timestamp,
) -> HandoverAnswer {
    let pending = job.status.as_ref().and_then(|status| status.pending_handover_request.as_ref());
    let since = pending.filter(|pending| pending.request == text).map_or(now, |pending| pending.since.0);
    let left = left(since, PATIENCE, now);
    if !left.is_zero() {
        return HandoverAnswer::Waits { since, left };
    }
    let seconds = PATIENCE.as_secs();
    HandoverAnswer::Refused(match (stage, named) {
        (Some(stage), _) if stage.asked.is_some() => {
            format!(
                "{} was asked before and has not handed over within {seconds} s: ask again when it has",
                stage.holder.name
            )
        }
        (None, _) => format!(
            "for {seconds} s no candidate held the Lease that could be asked: ask again when one does"
        ),
        (Some(_), Some(name)) => format!(
            "{name} was not ready within {seconds} s: kubectl describe pod {name} says why; ask again then"
        ),
        (Some(_), None) => format!(
            "no standby was ready within {seconds} s: condition StandbyAvailable says why; ask again then"
        ),
    })
}
