//! The `preStop` hook of the gated container, which must not run on a standby.

use k8s_openapi::api::core::v1::{ContainerPort, ExecAction, Lifecycle, LifecycleHandler, Probe};

use super::through_agent::{Terms, command};
use crate::api::StandbyReadiness;
use crate::contract::probe::{self as contract, Kind};

/// Runs a hook only where the workload runs. The agent's `probe` does just that: on a standby it succeeds
/// without asking the workload.
pub(super) fn gate(lifecycle: &mut Lifecycle, grace_period: i64, ports: &[ContainerPort]) {
    let Some(hook) = lifecycle.pre_stop.take_if(|hook| hook.exec.is_some() != hook.http_get.is_some()) else {
        return;
    };
    let timeout = i32::try_from(grace_period).unwrap_or(i32::MAX);
    let probe = Probe {
        exec: hook.exec,
        http_get: hook.http_get,
        timeout_seconds: Some(timeout),
        ..Probe::default()
    };
    let terms = Terms { ports, startup: None, standby: StandbyReadiness::Ready };
    let told = contract::Probe { is_hook: true, ..terms.told(&probe) };
    let exec = ExecAction { command: Some(command(Kind::Readiness, &told)) };
    lifecycle.pre_stop = Some(LifecycleHandler { exec: Some(exec), ..LifecycleHandler::default() });
}
