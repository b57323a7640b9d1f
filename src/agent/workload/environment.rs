//! The variables that the workload finds in its environment.

use std::env;
use std::ffi::OsString;

use crate::contract::environment;
use crate::lease::elector::Start;

/// Variables of the container that the workload does not get: they tell the agent what it needs.
const FOR_THE_AGENT_ONLY: [&str; 6] = [
    environment::POD_NAME,
    environment::POD_UID,
    environment::POD_IP,
    environment::TERMINATION_GRACE_PERIOD_SECONDS,
    environment::TERMINATION_MESSAGE_PATH,
    environment::POD_LOCK,
];

/// The container's environment without what only the agent needs, and what the workload may know of its
/// lease.
pub(super) fn of(start: &Start) -> impl Iterator<Item = (OsString, OsString)> + use<> {
    let added = about_the_lease(start);
    let is_named = |name: &OsString, names: &[&str]| names.iter().any(|other| name == other);
    let replaced: Vec<_> = added.iter().map(|(name, _)| *name).collect();
    let kept = env::vars_os()
        .filter(move |(name, _)| !is_named(name, &FOR_THE_AGENT_ONLY) && !is_named(name, &replaced));
    kept.chain(added.into_iter().map(|(name, value)| (name.into(), value.into())))
}

fn about_the_lease(start: &Start) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        (environment::FENCING_TOKEN, start.token.to_string()),
        (environment::RUN, start.run.to_string()),
        (environment::ATTEMPT, start.attempt.to_string()),
    ];
    variables.extend(start.scheduled_time.map(|time| (environment::SCHEDULED_TIME, time.to_string())));
    variables
}
