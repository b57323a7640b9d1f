//! Probes of the gated container: asked through the agent, which knows whether the workload runs, and since when.

use k8s_openapi::api::core::v1::{Container, ContainerPort, ExecAction, Lifecycle, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

use crate::api::StandbyReadiness;
use crate::contract::paths;

const DEFAULT_PERIOD: i32 = 10;
const DEFAULT_TIMEOUT: i32 = 1;
const DEFAULT_FAILURES: i32 = 3;
const DEFAULT_SUCCESSES: i32 = 1;
const OWN_READINESS_PERIOD: i32 = 5;
/// Where readiness says who is active: how soon after a takeover traffic follows.
const ROLE_PERIOD: i32 = 1;
/// On top of the probe's own: for starting the agent's program in a container that is short of CPU, and for counting what had no answer before the
/// kubelet ends the probe.
const TIMEOUT_SLACK: i32 = 2;

/// Whether the agent reports when the workload has become ready: where the template asks something of it.
pub fn report_readiness(container: &Container) -> bool {
    container.readiness_probe.is_some() || container.startup_probe.is_some()
}

/// Rewrites all probes, and a `preStop` that a standby must not run; `grace_period` is the pod's, in seconds.
pub fn rewrite(container: &mut Container, grace_period: i64, standby: StandbyReadiness) {
    if [&container.liveness_probe, &container.readiness_probe, &container.startup_probe].into_iter().flatten().any(has_negatives) {
        return;
    }
    let ports = container.ports.clone().unwrap_or_default();
    let terms = Terms { ports: &ports, startup: container.startup_probe.take(), standby };
    container.liveness_probe = terms.liveness(container.liveness_probe.take());
    container.readiness_probe = Some(terms.readiness(container.readiness_probe.take()));
    // The kubelet would ask the template's once in a container's life, which on a standby is before the workload's start.
    container.startup_probe = (standby == StandbyReadiness::NotReady).then(|| {
        let terms = Terms { startup: None, ..terms };
        terms.through_agent("startup", &able_to_take_over())
    });
    if let Some(lifecycle) = &mut container.lifecycle {
        gate_pre_stop(lifecycle, grace_period, &ports);
    }
}

/// The API server refuses the pod for it, and says which number it is, where the probe is left as it is.
fn has_negatives(probe: &Probe) -> bool {
    let numbers =
        [probe.initial_delay_seconds, probe.period_seconds, probe.timeout_seconds, probe.success_threshold, probe.failure_threshold];
    numbers.into_iter().flatten().any(|number| number < 0)
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

/// Of a standby that is not to be ready, the only thing by which the controller knows that it could take over. It never gives up, for it must
/// not end a candidate.
fn able_to_take_over() -> Probe {
    Probe { period_seconds: Some(ROLE_PERIOD), failure_threshold: Some(i32::MAX), ..Probe::default() }
}

/// The liveness of a workload whose template says only how it comes up. Several failures end it, because one may be the kubelet's own: a probe
/// that a busy node did not finish says nothing of a workload that came up long ago.
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

/// The same where [`only_coming_up`] counts: its last failure comes when the template's time is over. Of a template that grants fewer periods
/// than that counts, the first one is granted.
fn startup_budget_of_only_coming_up(probe: &Probe) -> i32 {
    let counted = DEFAULT_FAILURES - 1;
    after_periods(probe, given(probe.failure_threshold, DEFAULT_FAILURES).saturating_sub(counted).max(1))
}

fn after_periods(probe: &Probe, periods: i32) -> i32 {
    let period = given(probe.period_seconds, DEFAULT_PERIOD);
    probe.initial_delay_seconds.unwrap_or(0).saturating_add(period.saturating_mul(periods))
}

fn timeout(probe: &Probe) -> i32 {
    given(probe.timeout_seconds, DEFAULT_TIMEOUT)
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
        let more = [
            ("startupBudgetSeconds".to_owned(), json!(self.startup.as_ref().map_or(0, budget))),
            ("failureThreshold".to_owned(), json!(given(probe.failure_threshold, DEFAULT_FAILURES))),
        ];
        Some(self.asking("liveness", &probe, more))
    }

    /// A candidate that cannot read its Lease is no standby, whatever the template asks for.
    ///
    /// The kubelet counts from the container's start, where a standby was ready: so it takes every answer for what it is, and the agent counts.
    fn readiness(&self, theirs: Option<Probe>) -> Probe {
        let asks = theirs.is_some() || self.startup.is_some();
        let probe = theirs.unwrap_or_else(|| own_readiness(self.standby));
        if !asks {
            return self.through_agent("readiness", &probe);
        }
        let thresholds = json!({
            "success": given(probe.success_threshold, DEFAULT_SUCCESSES),
            "failure": given(probe.failure_threshold, DEFAULT_FAILURES),
        });
        let through_agent = self.asking("readiness", &probe, [("thresholds".to_owned(), thresholds)]);
        Probe { success_threshold: None, failure_threshold: Some(1), ..through_agent }
    }

    /// The agent asks the template's startup probe too, until the workload has come up; the kubelet waits for both answers.
    fn through_agent(&self, kind: &str, probe: &Probe) -> Probe {
        self.asking(kind, probe, [])
    }

    /// The same, told `more`, which wins.
    fn asking<const N: usize>(&self, kind: &str, probe: &Probe, more: [(String, Value); N]) -> Probe {
        let mut told = told(probe, self.ports);
        told.insert("standby".to_owned(), json!(self.standby));
        told.insert("startupBudgetSeconds".to_owned(), json!(self.startup.as_ref().map_or(0, startup_budget)));
        if let Some(startup) = &self.startup {
            told.insert("startup".to_owned(), Value::Object(self::told(startup, self.ports)));
        }
        told.extend(more);
        let waits = timeout(probe).saturating_add(self.startup.as_ref().map_or(0, timeout)).saturating_add(TIMEOUT_SLACK);
        Probe {
            exec: Some(ExecAction { command: Some(command(kind, told)) }),
            http_get: None,
            tcp_socket: None,
            grpc: None,
            initial_delay_seconds: None,
            timeout_seconds: Some(waits),
            ..probe.clone()
        }
    }
}

fn command(kind: &str, told: Map<String, Value>) -> Vec<String> {
    [paths::AGENT, "probe", kind, &Value::Object(told).to_string()].map(str::to_owned).to_vec()
}

fn told(probe: &Probe, ports: &[ContainerPort]) -> Map<String, Value> {
    let pairs = [
        ("probe", handler(probe, ports)),
        ("initialDelaySeconds", json!(probe.initial_delay_seconds.unwrap_or(0))),
        ("timeoutSeconds", json!(timeout(probe))),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The handler alone, with numbers for the names of ports: the agent does not know the pod.
fn handler(probe: &Probe, ports: &[ContainerPort]) -> Value {
    let mut probe = probe.clone();
    let number = |name: &str| ports.iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port);
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
    let all = [
        ("exec", json!(probe.exec)),
        ("httpGet", json!(probe.http_get)),
        ("tcpSocket", json!(probe.tcp_socket)),
        ("grpc", json!(probe.grpc)),
    ];
    let given = all.into_iter().filter(|(_, handler)| !handler.is_null()).map(|(name, handler)| (name.to_owned(), handler));
    let given: Map<_, _> = given.collect();
    if given.is_empty() { Value::Null } else { Value::Object(given) }
}

/// Runs a hook only where the workload runs. The agent's `probe` does just that: on a standby it succeeds without asking anybody.
fn gate_pre_stop(lifecycle: &mut Lifecycle, grace_period: i64, ports: &[ContainerPort]) {
    let Some(hook) = lifecycle.pre_stop.take_if(|hook| hook.exec.is_some() || hook.http_get.is_some()) else { return };
    let timeout = i32::try_from(grace_period).unwrap_or(i32::MAX);
    let probe = Probe { exec: hook.exec, http_get: hook.http_get, timeout_seconds: Some(timeout), ..Probe::default() };
    let terms = Terms { ports, startup: None, standby: StandbyReadiness::Ready };
    let exec = terms.asking("readiness", &probe, [("isHook".to_owned(), json!(true))]).exec;
    lifecycle.pre_stop = Some(LifecycleHandler { exec, ..LifecycleHandler::default() });
}

#[cfg(test)]
mod tests {
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
        assert_eq!((probe.period_seconds, probe.failure_threshold, probe.initial_delay_seconds), (Some(2), Some(1), None));
        assert!(probe.http_get.is_none());
        let told = told(container.readiness_probe);
        assert_eq!(told["probe"], json!({"httpGet": {"port": 8080, "path": "/ready"}}));
        assert_eq!((&told["initialDelaySeconds"], &told["standby"]), (&json!(5), &json!("Ready")));
        assert_eq!(told["thresholds"], json!({"success": 1, "failure": 4}));
    }

    #[test]
    fn a_number_that_kubernetes_refuses_is_left_for_it_to_refuse_and_0_is_a_number_left_out() {
        let refused = json!({"name": "main", "startupProbe": {"exec": {"command": ["up"]}, "timeoutSeconds": -1}});
        let container = rewritten(refused.clone());
        assert_eq!(serde_json::to_value(container.startup_probe).expect("plain data"), refused["startupProbe"]);
        let zeros = json!({"exec": {"command": ["up"]}, "timeoutSeconds": 0, "failureThreshold": 0, "successThreshold": 0});
        let told = told(rewritten(json!({"name": "main", "readinessProbe": zeros})).readiness_probe);
        assert_eq!((&told["timeoutSeconds"], &told["thresholds"]), (&json!(1), &json!({"success": 1, "failure": 3})));
    }

    #[test]
    fn without_a_readiness_probe_the_candidate_itself_is_asked() {
        let container = rewritten(json!({"name": "main"}));
        assert!(container.liveness_probe.is_none());
        let told = told(container.readiness_probe);
        assert_eq!((&told["probe"], &told["thresholds"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_startup_probe_is_asked_by_the_others_for_the_kubelet_would_ask_a_standby() {
        let container = rewritten(json!({
            "name": "main", "livenessProbe": {"exec": {"command": ["true"]}, "timeoutSeconds": 5},
            "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 5, "failureThreshold": 6, "initialDelaySeconds": 1, "timeoutSeconds": 2},
        }));
        assert!(container.startup_probe.is_none());
        assert_eq!(container.liveness_probe.as_ref().and_then(|probe| probe.timeout_seconds), Some(5 + 2 + 2));
        assert_eq!(told(container.liveness_probe.clone())["failureThreshold"], json!(3));
        for probe in [container.liveness_probe, container.readiness_probe] {
            let told = told(probe);
            assert_eq!(told["startup"], json!({"probe": {"tcpSocket": {"port": 1}}, "initialDelaySeconds": 1, "timeoutSeconds": 2}));
            assert_eq!(told["startupBudgetSeconds"], json!(31));
        }
    }

    #[test]
    fn a_workload_with_a_startup_probe_alone_is_ended_when_it_does_not_come_up() {
        for (failures, budget) in [(10, 24 + 2), (3, 3 + 2), (1, 3 + 2)] {
            let startup = json!({"exec": {"command": ["up"]}, "periodSeconds": 3, "initialDelaySeconds": 2, "failureThreshold": failures});
            let liveness = rewritten(json!({"name": "main", "startupProbe": startup})).liveness_probe.expect("in its place");
            assert_eq!((liveness.period_seconds, liveness.failure_threshold), (Some(3), Some(3)));
            let told = told(Some(liveness));
            assert_eq!((&told["probe"], &told["startupBudgetSeconds"]), (&Value::Null, &json!(budget)), "{failures}");
            assert_eq!(told["failureThreshold"], json!(3));
        }
    }

    #[test]
    fn where_standbys_are_not_to_be_ready_a_startup_probe_of_ours_tells_who_could_take_over_and_ends_nobody() {
        let container = rewritten_for(StandbyReadiness::NotReady, json!({"name": "main", "startupProbe": {"exec": {"command": ["up"]}}}));
        let startup = container.startup_probe.expect("ours");
        assert_eq!((startup.period_seconds, startup.failure_threshold), (Some(1), Some(i32::MAX)));
        assert_eq!(startup.exec.and_then(|exec| exec.command).expect("a command")[..3], [paths::AGENT, "probe", "startup"]);
        assert_eq!(container.readiness_probe.as_ref().and_then(|probe| probe.period_seconds), Some(1));
        assert_eq!(told(container.readiness_probe)["standby"], json!("NotReady"));
    }

    #[test]
    fn a_readiness_probe_of_the_template_keeps_its_period_wherever_standbys_are_ready_or_not() {
        let probed = json!({"name": "main", "readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 7}});
        for standby in [StandbyReadiness::Ready, StandbyReadiness::NotReady] {
            let readiness = rewritten_for(standby, probed.clone()).readiness_probe.expect("kept");
            assert_eq!((readiness.period_seconds, readiness.failure_threshold), (Some(7), Some(1)));
        }
    }

    #[test]
    fn a_hook_that_runs_before_the_stop_runs_only_where_the_workload_runs() {
        let hook = json!({"name": "main", "lifecycle": {"preStop": {"exec": {"command": ["/flush", "now"]}}}});
        let container = rewritten_for(StandbyReadiness::NotReady, hook);
        let command = container.lifecycle.and_then(|hooks| hooks.pre_stop).and_then(|hook| hook.exec).and_then(|exec| exec.command);
        let command = command.expect("a command");
        assert_eq!(command[..3], [paths::AGENT, "probe", "readiness"]);
        let told: Value = serde_json::from_str(&command[3]).expect("JSON");
        assert_eq!((&told["probe"], &told["timeoutSeconds"]), (&json!({"exec": {"command": ["/flush", "now"]}}), &json!(30)));
        assert_eq!(told["standby"], json!("Ready"), "a hook does not fail on a standby");
    }
}
