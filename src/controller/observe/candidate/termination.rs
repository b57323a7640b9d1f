//! The terminations of a gated container that the kubelet still reports.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus};

/// How a gated container ended once, by its node's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination {
    /// Its exit code.
    pub exit_code: i32,
    /// `Error`, `OOMKilled`, ...
    pub reason: Option<String>,
    /// When the container had started. The kubelet reports whole seconds.
    pub from: Timestamp,
    /// When it ended, in whole seconds too.
    pub until: Timestamp,
}

impl Termination {
    /// Whether the container may have run at `moment`.
    pub(super) fn contains(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment.as_second() <= self.until.as_second()
    }
}

/// The last termination of `container` and the one before it, if the kubelet reports them.
pub(super) fn all(container: &ContainerStatus) -> Vec<Termination> {
    let states = [container.state.as_ref(), container.last_state.as_ref()].into_iter().flatten();
    states.filter_map(|state| state.terminated.as_ref()).filter_map(read).collect()
}

fn read(ended: &ContainerStateTerminated) -> Option<Termination> {
    let (from, until) = (ended.started_at.as_ref()?.0, ended.finished_at.as_ref()?.0);
    Some(Termination { exit_code: ended.exit_code, reason: ended.reason.clone(), from, until })
}
