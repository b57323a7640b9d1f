//! Events: what the controller did, and what has come about between two statuses.
//!
//! # Layout
//! [`between`] and [`actions::all`] list everything that the controller tells. [`actions`]: what the
//! controller did. [`lease`]: who holds the Lease. [`requests`]: what becomes of what users ask for.
//! [`runs`]: attempts, runs and ticks. [`troubles`]: what a condition complains of.
//!
//! A new event is a function in one of these files, a line in the list, and a row of `docs/events.md`. Its
//! reason stands as a text beside `normal(` or `warning(`, where a test looks for it.

pub mod actions;
mod lease;
mod requests;
mod runs;
mod troubles;

use super::ReportContext;
use crate::api::SingletonJobStatus;

/// One event about a SingletonJob, as `kubectl describe` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One `CamelCase` word.
    pub reason: &'static str,
    /// Whether its type is `Warning`: a user should look.
    pub warning: bool,
    /// One sentence.
    pub note: String,
    /// The pod that it is about.
    pub pod: Option<String>,
}

fn normal(reason: &'static str, note: impl Into<String>) -> Event {
    Event { reason, warning: false, note: note.into(), pod: None }
}

fn warning(reason: &'static str, note: impl Into<String>) -> Event {
    Event { reason, warning: true, note: note.into(), pod: None }
}

impl Event {
    /// The same event, about `pod`.
    fn about(self, pod: impl Into<Option<String>>) -> Self {
        Self { pod: pod.into(), ..self }
    }
}

/// What has come about between the `old` status and the `new` one.
pub fn between(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(lease::lost(old, new));
    events.extend(lease::foreign_holder(old, new));
    events.extend(lease::takeover_blocked(old, new));
    events.extend(troubles::object_refused(old, new));
    events.extend(troubles::template_hazardous(old, new));
    events.extend(lease::taken_over(context, old, new));
    events.extend(requests::handover_refused(context));
    events.extend(requests::run_refused(context));
    events.extend(requests::recorded(context));
    events.extend(requests::cleared_no_holder(context, old, new));
    events.extend(runs::missed(context, old, new));
    events.extend(runs::attempts(context, old, new));
    events.extend(runs::ended(context, old, new));
    events.extend(troubles::standbys(context, old, new));
    events.extend(troubles::stalled(old, new));
    events.extend(troubles::agent_unhealthy(old, new));
    events.extend(troubles::rollout_held_up(context, old, new));
    events
}
