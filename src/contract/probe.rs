//! Describes the probes of the gated container. The controller passes each on to the agent, as an argument of
//! the command that the kubelet runs.

use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, TCPSocketAction};
use serde::{Deserialize, Serialize};

/// The kinds of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Asks whether traffic should be sent here.
    Readiness,
    /// Asks whether the workload works.
    Liveness,
    /// Asks whether the candidate could take over, or has.
    Startup,
}

impl Kind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
            Self::Startup => "startup",
        }
    }
}

/// A probe, as the controller describes it to the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// The probe itself.
    #[serde(flatten)]
    pub own: TemplateProbe,
    /// How many failures in a row of the liveness probe end the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u32>,
    /// The template's startup probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<TemplateProbe>,
    /// How many seconds liveness waits for the startup probe to succeed. If there is none here, how many it
    /// waits in any case.
    #[serde(default)]
    pub startup_budget_seconds: u32,
    /// What readiness answers on a standby.
    #[serde(default)]
    pub standby: StandbyReadiness,
    /// The thresholds of readiness. `None` if every answer counts, because the template asks nothing of the
    /// workload or this is a hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Whether this is a `preStop` hook, which may end the workload.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_hook: bool,
}

/// A probe of the template: what it asks the workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateProbe {
    /// `None` if the template has no such probe: only the candidate itself is asked.
    #[serde(rename = "probe")]
    pub handler: Option<Handler>,
    /// How many seconds after the workload's start it is asked first.
    #[serde(default)]
    pub initial_delay_seconds: u32,
    /// How long the handler may take.
    #[serde(default = "one")]
    pub timeout_seconds: u32,
}

fn one() -> u32 {
    1
}

/// How the workload is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the API of Kubernetes has them")]
pub enum Handler {
    Exec(ExecAction),
    HttpGet(HTTPGetAction),
    TcpSocket(TCPSocketAction),
    Grpc(GRPCAction),
}

/// What readiness answers on a standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StandbyReadiness {
    /// Yes, when it could take over.
    #[default]
    Ready,
    /// No: only the pod whose workload runs is ready.
    NotReady,
}

/// How many answers in a row change what counts: the template's `successThreshold` and `failureThreshold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the type says it")]
pub struct Thresholds {
    pub success: u32,
    pub failure: u32,
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_command_line_knows_the_probes_by_the_controllers_names() {
        for kind in Kind::value_variants() {
            assert_eq!(kind.to_possible_value().expect("none is hidden").get_name(), kind.name());
        }
    }
}
