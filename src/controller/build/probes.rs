//! Probes of the gated container: asked through the agent, which knows whether the workload runs, and since when.

use k8s_openapi::api::core::v1::{Container, ExecAction, Lifecycle, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

use crate::contract::paths;

const DEFAULT_PERIOD: i32 = 10;
const DEFAULT_TIMEOUT: i32 = 1;
const DEFAULT_FAILURES: i32 = 3;
const OWN_READINESS_PERIOD: i32 = 5;
/// On top of the probe's own: starting the agent's program in a container that is short of CPU.
const TIMEOUT_SLACK: i32 = 1;

/// Rewrites all probes, and a `preStop` that a standby must not run; `grace_period` is the pod's, in seconds.
pub fn rewrite(container: &mut Container, grace_period: i64) {
    let budget = container.startup_probe.as_ref().map_or(0, startup_budget);
    let ports = container.ports.clone().unwrap_or_default();
    let number = |name: &str| ports.iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
    for (kind, probe) in [("liveness", &mut container.liveness_probe), ("readiness", &mut container.readiness_probe)] {
        *probe = probe.take().map(|probe| through_agent(kind, &probe, budget, &number));
    }
    // A candidate that cannot read its Lease is no standby, whatever the template asks for.
    container.readiness_probe.get_or_insert_with(|| through_agent("readiness", &own_readiness(), 0, &number));
    // The agent applies the startup budget from the workload's start; the kubelet would apply it from the container's.
    container.startup_probe = None;
    if let Some(lifecycle) = &mut container.lifecycle {
        gate_pre_stop(lifecycle, grace_period, &number);
    }
}

fn own_readiness() -> Probe {
    Probe { period_seconds: Some(OWN_READINESS_PERIOD), ..Probe::default() }
}

/// How long a workload may take to start before its liveness counts.
fn startup_budget(probe: &Probe) -> i32 {
    let period = probe.period_seconds.unwrap_or(DEFAULT_PERIOD);
    let failures = probe.failure_threshold.unwrap_or(DEFAULT_FAILURES);
    probe.initial_delay_seconds.unwrap_or(0).saturating_add(period.saturating_mul(failures))
}

fn through_agent(kind: &str, probe: &Probe, budget: i32, number: &impl Fn(&str) -> Option<i32>) -> Probe {
    let timeout = probe.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
    let told = json!({
        "probe": handler(probe, number),
        "initialDelaySeconds": probe.initial_delay_seconds.unwrap_or(0),
        "timeoutSeconds": timeout,
        "startupBudgetSeconds": budget,
        "standby": "Ready",
    });
    let command = [paths::AGENT, "probe", kind, &told.to_string()].map(str::to_owned).to_vec();
    Probe {
        exec: Some(ExecAction { command: Some(command) }),
        http_get: None,
        tcp_socket: None,
        grpc: None,
        initial_delay_seconds: None,
        timeout_seconds: Some(timeout.saturating_add(TIMEOUT_SLACK)),
        ..probe.clone()
    }
}

/// The handler alone, with numbers for the names of ports: the agent does not know the pod.
fn handler(probe: &Probe, number: &impl Fn(&str) -> Option<i32>) -> Value {
    let mut probe = probe.clone();
    let resolve = |port: &mut IntOrString| {
        if let IntOrString::String(name) = port
            && let Some(number) = number(name)
        {
            *port = IntOrString::Int(number);
        }
    };
    if let Some(http) = &mut probe.http_get {
        resolve(&mut http.port);
    }
    if let Some(tcp) = &mut probe.tcp_socket {
        resolve(&mut tcp.port);
    }
    let all = [("exec", json!(probe.exec)), ("httpGet", json!(probe.http_get)), ("tcpSocket", json!(probe.tcp_socket))];
    let given = all.into_iter().filter(|(_, handler)| !handler.is_null()).map(|(name, handler)| (name.to_owned(), handler));
    let given: Map<_, _> = given.collect();
    if given.is_empty() { Value::Null } else { Value::Object(given) }
}

/// Runs a hook only where the workload runs. The agent's `probe` does just that: on a standby it succeeds without asking anybody.
fn gate_pre_stop(lifecycle: &mut Lifecycle, grace_period: i64, number: &impl Fn(&str) -> Option<i32>) {
    let Some(hook) = lifecycle.pre_stop.take_if(|hook| hook.exec.is_some() || hook.http_get.is_some()) else { return };
    let timeout = i32::try_from(grace_period).unwrap_or(i32::MAX);
    let probe = Probe { exec: hook.exec, http_get: hook.http_get, timeout_seconds: Some(timeout), ..Probe::default() };
    let exec = through_agent("readiness", &probe, 0, number).exec;
    lifecycle.pre_stop = Some(LifecycleHandler { exec, ..LifecycleHandler::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(container: Value) -> Container {
        let mut container = serde_json::from_value(container).expect("a container");
        rewrite(&mut container, 30);
        container
    }

    fn told(probe: Option<Probe>) -> Value {
        let command = probe.and_then(|probe| probe.exec).and_then(|exec| exec.command).expect("a command");
        serde_json::from_str(&command[3]).expect("JSON")
    }

    #[test]
    fn a_probe_is_asked_through_the_agent_with_its_port_resolved() {
        let container = rewritten(json!({
            "name": "main", "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}, "initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 4},
        }));
        let probe = container.readiness_probe.clone().expect("kept");
        assert_eq!((probe.period_seconds, probe.failure_threshold, probe.initial_delay_seconds), (Some(2), Some(4), None));
        assert!(probe.http_get.is_none());
        let told = told(container.readiness_probe);
        assert_eq!(told["probe"], json!({"httpGet": {"port": 8080, "path": "/ready"}}));
        assert_eq!((&told["initialDelaySeconds"], &told["standby"]), (&json!(5), &json!("Ready")));
    }

    #[test]
    fn without_a_readiness_probe_the_candidate_itself_is_asked() {
        let container = rewritten(json!({"name": "main"}));
        assert_eq!(told(container.readiness_probe)["probe"], Value::Null);
        assert!(container.liveness_probe.is_none());
    }

    #[test]
    fn a_startup_probe_becomes_the_others_budget() {
        let container = rewritten(json!({
            "name": "main", "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 5, "failureThreshold": 6, "initialDelaySeconds": 1},
            "livenessProbe": {"exec": {"command": ["true"]}},
        }));
        assert!(container.startup_probe.is_none());
        assert_eq!(told(container.liveness_probe)["startupBudgetSeconds"], json!(31));
    }

    #[test]
    fn a_hook_that_runs_before_the_stop_runs_only_where_the_workload_runs() {
        let container = rewritten(json!({"name": "main", "lifecycle": {"preStop": {"exec": {"command": ["/flush", "now"]}}}}));
        let command = container.lifecycle.and_then(|hooks| hooks.pre_stop).and_then(|hook| hook.exec).and_then(|exec| exec.command);
        let command = command.expect("a command");
        assert_eq!(command[..3], [paths::AGENT, "probe", "readiness"]);
        let told: Value = serde_json::from_str(&command[3]).expect("JSON");
        assert_eq!((&told["probe"], &told["timeoutSeconds"]), (&json!({"exec": {"command": ["/flush", "now"]}}), &json!(30)));
    }
}
