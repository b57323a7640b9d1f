//! The error with which an agent ended that could not do its work.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::contract::{TERMINATION_PREFIX, exit_codes};

/// The termination message of an agent whose candidate cannot take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentError {
    /// Whether the agent cannot fence a workload in this container.
    pub failed_self_test: bool,
    /// One sentence.
    pub message: String,
}

/// The agent's error in the newest termination message. `None` if the workload wrote that message, or there
/// is none.
pub(super) fn of(container: Option<&ContainerStatus>) -> Option<AgentError> {
    let states = [container?.state.as_ref(), container?.last_state.as_ref()];
    let said = |state: &ContainerState| {
        state.terminated.as_ref().and_then(|ended| Some((ended.exit_code, ended.message.clone()?)))
    };
    let (code, message) = states.into_iter().flatten().find_map(said)?;
    let message = message.strip_prefix(TERMINATION_PREFIX)?.to_owned();
    Some(AgentError { failed_self_test: code == exit_codes::SELF_TEST_FAILED, message })
}
