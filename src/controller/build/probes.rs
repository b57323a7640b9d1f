//! Rewrites the probes of the gated container. The kubelet asks the agent, which knows whether the workload
//! runs, and since when.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use crate::api::StandbyReadiness;
use crate::contract::paths;
use crate::contract::probe::{self as contract, Handler, Kind, TemplateProbe, Thresholds};

const DEFAULT_PERIOD: i32 = 10;
const DEFAULT_TIMEOUT: i32 = 1;
const DEFAULT_FAILURES: i32 = 3;
const DEFAULT_SUCCESSES: i32 = 1;
const OWN_READINESS_PERIOD: i32 = 5;
/// Where readiness says who is active: how soon after a takeover traffic follows.
const ROLE_PERIOD: i32 = 1;
/// On top of the probe's own: for starting the agent's program in a container that is short of CPU, and for
/// counting what had no answer before the kubelet ends the probe.
const TIMEOUT_SLACK: u32 = 2;

/// Whether the agent reports when the workload has become ready: where the template asks something of it.
pub fn report_readiness(container: &Container) -> bool {
    container.readiness_probe.is_some() || container.startup_probe.is_some()
}

/// Rewrites all probes, and a `preStop` that a standby must not run; `grace_period` is the pod's, in seconds.
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
    // The kubelet would ask the template's once in a container's life, which on a standby is before the
    // workload's start.
    container.startup_probe = (standby == StandbyReadiness::NotReady).then(|| {
        let terms = Terms { startup: None, ..terms };
        let probe = able_to_take_over();
        through_agent(Kind::Startup, &probe, &terms.told(&probe))
    });
    if let Some(lifecycle) = &mut container.lifecycle {
        gate_pre_stop(lifecycle, grace_period, &ports);
    }
}

/// Whether the API server refuses the pod for it, and says why, where the probe is left as it is: for
/// negative numbers, and for several handlers.
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

/// Kubernetes takes 0 for a number that was left out.
fn given(number: Option<i32>, default: i32) -> i32 {
    number.filter(|number| *number != 0).unwrap_or(default)
}

fn own_readiness(standby: StandbyReadiness) -> Probe {
    let period = match standby {
        StandbyReadiness::Ready => OWN_READINESS_PERIOD,
        StandbyReadiness::NotReady => ROLE_PERIOD,
    };
    Probe { period_seconds: Some(period), ..Probe::default() }
}

/// Of a standby that is not to be ready, the only thing by which the controller knows that it could take
/// over. It never gives up, for it must not end a candidate.
fn able_to_take_over() -> Probe {
    Probe { period_seconds: Some(ROLE_PERIOD), failure_threshold: Some(i32::MAX), ..Probe::default() }
}

/// The liveness of a workload whose template says only how it comes up. Several failures end it, because one
/// may be the kubelet's own: a probe that a busy node did not finish says nothing of a workload that came up
/// long ago.
fn only_coming_up(startup: &Probe) -> Probe {
    Probe {
        period_seconds: startup.period_seconds,
        failure_threshold: Some(DEFAULT_FAILURES),
        termination_grace_period_seconds: startup.termination_grace_period_seconds,
        ..Probe::default()
    }
}

/// How long a workload may take to start before its liveness counts.
fn startup_budget(probe: &Probe) -> i32 {
    after_periods(probe, given(probe.failure_threshold, DEFAULT_FAILURES))
}

/// The same where [`only_coming_up`] counts: its last failure comes when the template's time is over. Of a
/// template that grants fewer periods than that counts, the first one is granted.
fn startup_budget_of_only_coming_up(probe: &Probe) -> i32 {
    let counted = DEFAULT_FAILURES - 1;
    after_periods(probe, given(probe.failure_threshold, DEFAULT_FAILURES).saturating_sub(counted).max(1))
}

fn after_periods(probe: &Probe, periods: i32) -> i32 {
    let period = given(probe.period_seconds, DEFAULT_PERIOD);
    probe.initial_delay_seconds.unwrap_or(0).saturating_add(period.saturating_mul(periods))
}

/// What the probes of one container share.
struct Terms<'a> {
    ports: &'a [ContainerPort],
    startup: Option<Probe>,
    standby: StandbyReadiness,
}

impl Terms<'_> {
    /// The agent knows by the threshold whether the kubelet ends the container for the workload's fault.
    fn liveness(&self, theirs: Option<Probe>) -> Option<Probe> {
        let budget = if theirs.is_some() { startup_budget } else { startup_budget_of_only_coming_up };
        let probe = theirs.or_else(|| self.startup.as_ref().map(only_coming_up))?;
        let told = contract::Probe {
            startup_budget_seconds: self.startup.as_ref().map_or(0, |startup| unsigned(budget(startup))),
            failure_threshold: Some(unsigned(given(probe.failure_threshold, DEFAULT_FAILURES))),
            ..self.told(&probe)
        };
        Some(through_agent(Kind::Liveness, &probe, &told))
    }

    /// A candidate that cannot read its Lease is no standby, whatever the template asks for.
    ///
    /// The kubelet counts from the container's start, where a standby was ready: so it takes every answer for
    /// what it is, and the agent counts.
    fn readiness(&self, theirs: Option<Probe>) -> Probe {
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

    /// What the agent is told of any probe.
    fn told(&self, probe: &Probe) -> contract::Probe {
        contract::Probe {
            own: of_template(probe, self.ports),
            failure_threshold: None,
            startup: self.startup.as_ref().map(|startup| of_template(startup, self.ports)),
            startup_budget_seconds: self
                .startup
                .as_ref()
                .map_or(0, |startup| unsigned(startup_budget(startup))),
            standby: match self.standby {
                StandbyReadiness::Ready => contract::StandbyReadiness::Ready,
                StandbyReadiness::NotReady => contract::StandbyReadiness::NotReady,
            },
            thresholds: None,
            is_hook: false,
        }
    }
}

/// `probe`, asked through the agent. That asks the template's startup probe too, until the workload has come
/// up; the kubelet waits for both answers.
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

fn command(kind: Kind, told: &contract::Probe) -> Vec<String> {
    [paths::AGENT, "probe", kind.name(), &json!(told).to_string()].map(str::to_owned).to_vec()
}

fn of_template(probe: &Probe, ports: &[ContainerPort]) -> TemplateProbe {
    TemplateProbe {
        handler: handler(probe, ports),
        initial_delay_seconds: unsigned(probe.initial_delay_seconds.unwrap_or(0)),
        timeout_seconds: unsigned(given(probe.timeout_seconds, DEFAULT_TIMEOUT)),
    }
}

/// With numbers for the names of ports, because the agent does not know the pod.
fn handler(probe: &Probe, ports: &[ContainerPort]) -> Option<Handler> {
    let exec = probe.exec.clone().map(Handler::Exec);
    let http = || {
        probe
            .http_get
            .clone()
            .map(|http| Handler::HttpGet(HTTPGetAction { port: number(&http.port, ports), ..http }))
    };
    let tcp = || {
        probe
            .tcp_socket
            .clone()
            .map(|tcp| Handler::TcpSocket(TCPSocketAction { port: number(&tcp.port, ports), ..tcp }))
    };
    exec.or_else(http).or_else(tcp).or_else(|| probe.grpc.clone().map(Handler::Grpc))
}

/// A name that no port has stays as it is.
fn number(port: &IntOrString, ports: &[ContainerPort]) -> IntOrString {
    let IntOrString::String(name) = port else { return port.clone() };
    let found = ports.iter().find(|port| port.name.as_ref() == Some(name));
    found.map_or_else(|| port.clone(), |found| IntOrString::Int(found.container_port))
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// Runs a hook only where the workload runs. The agent's `probe` does just that: on a standby it succeeds
/// without asking anybody.
fn gate_pre_stop(lifecycle: &mut Lifecycle, grace_period: i64, ports: &[ContainerPort]) {
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn rewritten(container: Value) -> Container {
        rewritten_for(StandbyReadiness::Ready, container)
    }

    fn rewritten_for(standby: StandbyReadiness, container: Value) -> Container {
        let mut container = serde_json::from_value(container).expect("a container");
        rewrite(&mut container, 30, standby);
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
        assert_eq!(
            (probe.period_seconds, probe.failure_threshold, probe.initial_delay_seconds),
            (Some(2), Some(1), None)
        );
        assert!(probe.http_get.is_none());
        let told = told(container.readiness_probe);
        assert_eq!(told["probe"], json!({"httpGet": {"port": 8080, "path": "/ready"}}));
        assert_eq!((&told["initialDelaySeconds"], &told["standby"]), (&json!(5), &json!("Ready")));
        assert_eq!(told["thresholds"], json!({"success": 1, "failure": 4}));
    }

    #[test]
    fn a_negative_number_is_left_to_be_refused_and_0_is_left_out() {
        let refused =
            json!({"name": "main", "startupProbe": {"exec": {"command": ["up"]}, "timeoutSeconds": -1}});
        let container = rewritten(refused.clone());
        assert_eq!(
            serde_json::to_value(container.startup_probe).expect("plain data"),
            refused["startupProbe"]
        );
        let zeros = json!({"exec": {"command": ["up"]}, "timeoutSeconds": 0, "failureThreshold": 0, "successThreshold": 0});
        let told = told(rewritten(json!({"name": "main", "readinessProbe": zeros})).readiness_probe);
        assert_eq!(
            (&told["timeoutSeconds"], &told["thresholds"]),
            (&json!(1), &json!({"success": 1, "failure": 3}))
        );
    }

    #[test]
    fn several_handlers_are_left_for_the_api_server_to_refuse() {
        let both = json!({"exec": {"command": ["up"]}, "httpGet": {"port": 80}});
        let container =
            rewritten(json!({"name": "main", "readinessProbe": both, "lifecycle": {"preStop": both}}));
        assert_eq!(serde_json::to_value(&container.readiness_probe).expect("plain data"), both);
        let hook = rewritten(json!({"name": "main", "lifecycle": {"preStop": both}}))
            .lifecycle
            .and_then(|hooks| hooks.pre_stop);
        assert_eq!(serde_json::to_value(hook).expect("plain data"), both);
    }

    #[test]
    fn without_a_readiness_probe_the_candidate_itself_is_asked() {
        let container = rewritten(json!({"name": "main"}));
        assert!(container.liveness_probe.is_none());
        let told = told(container.readiness_probe);
        assert_eq!((&told["probe"], &told["thresholds"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_startup_probe_is_asked_by_the_other_probes() {
        let container = rewritten(json!({
            "name": "main", "livenessProbe": {"exec": {"command": ["true"]}, "timeoutSeconds": 5},
            "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 5, "failureThreshold": 6, "initialDelaySeconds": 1, "timeoutSeconds": 2},
        }));
        assert!(container.startup_probe.is_none());
        assert_eq!(
            container.liveness_probe.as_ref().and_then(|probe| probe.timeout_seconds),
            Some(5 + 2 + 2)
        );
        assert_eq!(told(container.liveness_probe.clone())["failureThreshold"], json!(3));
        for probe in [container.liveness_probe, container.readiness_probe] {
            let told = told(probe);
            assert_eq!(
                told["startup"],
                json!({"probe": {"tcpSocket": {"port": 1}}, "initialDelaySeconds": 1, "timeoutSeconds": 2})
            );
            assert_eq!(told["startupBudgetSeconds"], json!(31));
        }
    }

    #[test]
    fn a_workload_with_a_startup_probe_alone_is_ended_if_it_stays_down() {
        for (failures, budget) in [(10, 24 + 2), (3, 3 + 2), (1, 3 + 2)] {
            let startup = json!({"exec": {"command": ["up"]}, "periodSeconds": 3, "initialDelaySeconds": 2, "failureThreshold": failures});
            let liveness = rewritten(json!({"name": "main", "startupProbe": startup}))
                .liveness_probe
                .expect("in its place");
            assert_eq!((liveness.period_seconds, liveness.failure_threshold), (Some(3), Some(3)));
            let told = told(Some(liveness));
            assert_eq!(
                (&told["probe"], &told["startupBudgetSeconds"]),
                (&Value::Null, &json!(budget)),
                "{failures}"
            );
            assert_eq!(told["failureThreshold"], json!(3));
        }
    }

    #[test]
    fn where_standbys_are_not_ready_our_startup_probe_tells_which_are_able() {
        let container = rewritten_for(
            StandbyReadiness::NotReady,
            json!({"name": "main", "startupProbe": {"exec": {"command": ["up"]}}}),
        );
        let startup = container.startup_probe.expect("ours");
        assert_eq!((startup.period_seconds, startup.failure_threshold), (Some(1), Some(i32::MAX)));
        assert_eq!(
            startup.exec.and_then(|exec| exec.command).expect("a command")[..3],
            [paths::AGENT, "probe", "startup"]
        );
        assert_eq!(container.readiness_probe.as_ref().and_then(|probe| probe.period_seconds), Some(1));
        assert_eq!(told(container.readiness_probe)["standby"], json!("NotReady"));
    }

    #[test]
    fn a_readiness_probe_of_the_template_keeps_its_period() {
        let probed =
            json!({"name": "main", "readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 7}});
        for standby in [StandbyReadiness::Ready, StandbyReadiness::NotReady] {
            let readiness = rewritten_for(standby, probed.clone()).readiness_probe.expect("kept");
            assert_eq!((readiness.period_seconds, readiness.failure_threshold), (Some(7), Some(1)));
        }
    }

    #[test]
    fn a_hook_that_runs_before_the_stop_runs_only_where_the_workload_runs() {
        let hook =
            json!({"name": "main", "lifecycle": {"preStop": {"exec": {"command": ["/flush", "now"]}}}});
        let container = rewritten_for(StandbyReadiness::NotReady, hook);
        let command = container
            .lifecycle
            .and_then(|hooks| hooks.pre_stop)
            .and_then(|hook| hook.exec)
            .and_then(|exec| exec.command);
        let command = command.expect("a command");
        assert_eq!(command[..3], [paths::AGENT, "probe", "readiness"]);
        let told: Value = serde_json::from_str(&command[3]).expect("JSON");
        assert_eq!(
            (&told["probe"], &told["timeoutSeconds"]),
            (&json!({"exec": {"command": ["/flush", "now"]}}), &json!(30))
        );
        assert_eq!(told["standby"], json!("Ready"), "a hook does not fail on a standby");
    }
}
