//! Rewrites the probes of the gated container. The kubelet asks the agent, which knows whether the workload
//! runs, and since when.

mod handler;
mod missing;
mod numbers;
mod pre_stop;
#[cfg(test)]
mod tests;
mod through_agent;

use k8s_openapi::api::core::v1::{Container, Probe};

use crate::api::StandbyReadiness;
use through_agent::Terms;

/// Whether the agent reports when the workload has become ready. It does if the template has a readiness or a
/// startup probe.
pub fn report_readiness(container: &Container) -> bool {
    container.readiness_probe.is_some() || container.startup_probe.is_some()
}

/// Rewrites all probes, and a `preStop` that a standby must not run. `grace_period` is the pod's, in seconds.
pub fn rewrite(container: &mut Container, grace_period: i64, standby: StandbyReadiness) {
    if [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
        .into_iter()
        .flatten()
        .any(is_refused)
    {
        return;
    }
    let ports = container.ports.clone().unwrap_or_default();
    let terms = Terms { ports: &ports, startup: container.startup_probe.take(), standby };
    container.liveness_probe = terms.liveness(container.liveness_probe.take());
    container.readiness_probe = Some(terms.readiness(container.readiness_probe.take()));
    container.startup_probe = terms.startup();
    if let Some(lifecycle) = &mut container.lifecycle {
        pre_stop::gate(lifecycle, grace_period, &ports);
    }
}

/// Whether the API server refuses the pod for this probe: it has negative numbers, or several handlers. The
/// controller leaves such a probe as it is, so that the API server says why.
fn is_refused(probe: &Probe) -> bool {
    let numbers = [
        probe.initial_delay_seconds,
        probe.period_seconds,
        probe.timeout_seconds,
        probe.success_threshold,
        probe.failure_threshold,
    ];
    let handlers =
        [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
    numbers.into_iter().flatten().any(|number| number < 0)
        || handlers.into_iter().filter(|given| *given).count() > 1
}
