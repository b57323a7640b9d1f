//! A candidate: what the controller reads of one pod of a SingletonJob.
//!
//! [`Candidate::read`] alone turns a Pod into a [`Candidate`], and the controller plans from nothing else of
//! the Pod. Each part of a candidate has a file of its own: how it ended (`end`), its earlier containers
//! (`termination`), the agent's error (`agent_error`), why and since when it starts (`start_failure`,
//! `starting`), whether a standby could take over (`takeover`), and the containers beside the gated one
//! (`sidecars`).

mod agent_error;
mod end;
mod gated;
mod pod_status;
mod read;
mod sidecars;
pub mod start_failure;
mod starting;
mod takeover;
mod termination;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use jiff::Timestamp;

pub use agent_error::AgentError;
pub use end::{End, Fault, Phase};
pub use gated::gated;
pub use sidecars::PAST_DEADLINE;
use start_failure::StartFailure;
pub use termination::Termination;

/// A candidate pod of one SingletonJob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Candidate {
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
    /// The resourceVersion that all this was read from.
    pub version: String,
    /// `n` of `<job>-<n>`; 0 if the name has none.
    pub number: i64,
    /// The node of the pod. `None` until the scheduler has bound it.
    pub node: Option<String>,
    /// The hash of the template that the controller made it from.
    pub template_hash: Option<String>,
    /// The run that was current or next when the controller created the pod. `None` if the job had no
    /// schedule.
    pub made_for: Option<u32>,
    /// The service account of the pod, which needs the Role.
    pub service_account: String,
    /// The role label as it is.
    pub role: Option<String>,
    /// Whether it takes part.
    pub phase: Phase,
    /// Whether it is known to have held the Lease. The pod itself does not tell: the Lease and status do.
    pub has_held: bool,
    /// Whether the pod is ready. The workload of a holder must have become ready too, if its agent reports
    /// that.
    pub ready: bool,
    /// Whether its agent reports in the Lease when its workload has become ready.
    pub reports_readiness: bool,
    /// Whether the candidate, if it is a standby, could take over. Its pod is ready, or would be if standbys
    /// were to be ready.
    pub can_take_over: bool,
    /// Since when the pod is not ready, on its node's clock. `None` if it is, or if the kubelet does not say.
    pub unready_since: Option<Timestamp>,
    /// Why it does not start.
    pub start_failure: Option<StartFailure>,
    /// Since when the pod has been starting on its node. `None` if it has started, or has no node.
    pub starting_since: Option<Timestamp>,
    /// Whether other containers run on although the gated one has ended, and the controller has not stopped
    /// them yet.
    pub has_running_sidecars: bool,
    /// Whether the pod leaves an unreachable node after 30 s, as candidates do until they have ended.
    pub fleeting: bool,
    /// Names of the other ordinary containers of the pod, including injected ones.
    pub beside: Vec<String>,
    /// The agent's last error message, while the candidate cannot take over.
    pub agent_error: Option<AgentError>,
    /// When the pod reached its current state: Ready, else container start, else creation.
    pub since: Option<Timestamp>,
    /// The terminations of its gated container that the kubelet still reports: at most two.
    pub terminations: Vec<Termination>,
}

/// One pod, identified by its name, its uid and the version that the controller read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
}

impl Candidate {
    /// The pod, for a request about it.
    pub fn pod_ref(&self) -> PodRef {
        PodRef { name: self.name.clone(), uid: self.uid.clone(), version: self.version.clone() }
    }

    /// Whether it takes part.
    pub fn is_alive(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Whether the candidate ended without an attempt and without being asked to, whatever its exit code.
    /// Only the pace of replacement keeps the next one from ending so at once.
    pub fn was_in_vain(&self) -> bool {
        let unasked = |end: &End| {
            !end.succeeded && !end.disrupted && !end.is_interruption() || end.fault_of_pod.is_some()
        };
        self.end().is_some_and(|end| end.is_fault() || !self.has_held && unasked(end))
    }

    /// How the gated container ended that ran at `moment` of its node's clock. `None` if it has not ended, or
    /// two may be meant.
    pub fn termination(&self, moment: Timestamp) -> Option<&Termination> {
        let mut terminations = self.terminations.iter().filter(|termination| termination.contains(moment));
        let found = terminations.next();
        if terminations.next().is_none() { found } else { None }
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<&End> {
        match &self.phase {
            Phase::Terminated(end) => Some(end),
            Phase::Active | Phase::Terminating => None,
        }
    }
}

/// `n` of `<job>-<n>`; 0 if the name has none.
pub fn number(pod: &str) -> i64 {
    pod.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}
