//! Probes that the kubelet asks through the agent, and what the agent is told of each.

use k8s_openapi::api::core::v1::{ContainerPort, ExecAction, Probe};
use serde_json::json;

use super::handler::of_template;
use super::missing::{able_to_take_over, only_coming_up, own_readiness};
use super::numbers::{
    DEFAULT_FAILURES, DEFAULT_SUCCESSES, given, startup_budget, startup_budget_of_only_coming_up, unsigned,
};
use crate::api::StandbyReadiness;
use crate::contract::paths;
use crate::contract::probe::{self as contract, Kind, Thresholds};

/// Added to a probe's own timeout. In that time the agent's program starts in a container that is short of
/// CPU, and counts what had no answer before the kubelet ends the probe.
const TIMEOUT_SLACK: u32 = 2;

/// What the probes of one container share.
pub(super) struct Terms<'a> {
    pub(super) ports: &'a [ContainerPort],
    pub(super) startup: Option<Probe>,
    pub(super) standby: StandbyReadiness,
}

impl Terms<'_> {
    /// The liveness probe. By its threshold the agent knows whether the kubelet ends the container for the
    /// workload's fault. `None` if the template has neither a liveness nor a startup probe.
    pub(super) fn liveness(&self, theirs: Option<Probe>) -> Option<Probe> {
        let budget = if theirs.is_some() { startup_budget } else { startup_budget_of_only_coming_up };
        let probe = theirs.or_else(|| self.startup.as_ref().map(only_coming_up))?;
        let told = contract::Probe {
            startup_budget_seconds: self.startup.as_ref().map_or(0, |startup| unsigned(budget(startup))),
            failure_threshold: Some(unsigned(given(probe.failure_threshold, DEFAULT_FAILURES))),
            ..self.told(&probe)
        };
        Some(through_agent(Kind::Liveness, &probe, &told))
    }

    /// The readiness probe. There always is one, because a candidate that cannot read its Lease is no
    /// standby, whatever the template asks for.
    ///
    /// The kubelet counts from the container's start, where a standby was ready. It therefore takes every
    /// answer for what it is, and the agent counts.
    pub(super) fn readiness(&self, theirs: Option<Probe>) -> Probe {
        let asks = theirs.is_some() || self.startup.is_some();
        let probe = theirs.unwrap_or_else(|| own_readiness(self.standby));
        if !asks {
            return through_agent(Kind::Readiness, &probe, &self.told(&probe));
        }
        let thresholds = Thresholds {
            success: unsigned(given(probe.success_threshold, DEFAULT_SUCCESSES)),
            failure: unsigned(given(probe.failure_threshold, DEFAULT_FAILURES)),
        };
        let told = contract::Probe { thresholds: Some(thresholds), ..self.told(&probe) };
        Probe {
            success_threshold: None,
            failure_threshold: Some(1),
            ..through_agent(Kind::Readiness, &probe, &told)
        }
    }

    /// The startup probe of a container whose standbys are not ready. `None` otherwise.
    ///
    /// The kubelet would ask the template's once in a container's life, which on a standby is before the
    /// workload's start.
    pub(super) fn startup(&self) -> Option<Probe> {
        if self.standby == StandbyReadiness::Ready {
            return None;
        }
        let terms = Terms { ports: self.ports, startup: None, standby: self.standby };
        let probe = able_to_take_over();
        Some(through_agent(Kind::Startup, &probe, &terms.told(&probe)))
    }

    /// What the agent is told of any probe.
    pub(super) fn told(&self, probe: &Probe) -> contract::Probe {
        let startup = self.startup.as_ref();
        contract::Probe {
            own: of_template(probe, self.ports),
            failure_threshold: None,
            startup: startup.map(|startup| of_template(startup, self.ports)),
            startup_budget_seconds: startup.map_or(0, |startup| unsigned(startup_budget(startup))),
            standby: match self.standby {
                StandbyReadiness::Ready => contract::StandbyReadiness::Ready,
                StandbyReadiness::NotReady => contract::StandbyReadiness::NotReady,
            },
            thresholds: None,
            is_hook: false,
        }
    }
}

/// `probe`, asked through the agent. The agent asks the template's startup probe too, until the workload has
/// come up, and the kubelet waits for both answers.
fn through_agent(kind: Kind, probe: &Probe, told: &contract::Probe) -> Probe {
    let startup = told.startup.as_ref().map_or(0, |startup| startup.timeout_seconds);
    let waits = told.own.timeout_seconds.saturating_add(startup).saturating_add(TIMEOUT_SLACK);
    Probe {
        exec: Some(ExecAction { command: Some(command(kind, told)) }),
        http_get: None,
        tcp_socket: None,
        grpc: None,
        initial_delay_seconds: None,
        timeout_seconds: Some(i32::try_from(waits).unwrap_or(i32::MAX)),
        ..probe.clone()
    }
}

/// The command by which the kubelet asks the agent.
pub(super) fn command(kind: Kind, told: &contract::Probe) -> Vec<String> {
    [paths::AGENT, "probe", kind.name(), &json!(told).to_string()].map(str::to_owned).to_vec()
}
