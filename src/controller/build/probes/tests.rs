//! What the kubelet asks, and what the agent is told of it, by the probes of the template.

use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::*;
use crate::contract::paths;

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
    assert_eq!(serde_json::to_value(container.startup_probe).expect("plain data"), refused["startupProbe"]);
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
    assert_eq!(container.liveness_probe.as_ref().and_then(|probe| probe.timeout_seconds), Some(5 + 2 + 2));
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
        let liveness =
            rewritten(json!({"name": "main", "startupProbe": startup})).liveness_probe.expect("in its place");
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
    let hook = json!({"name": "main", "lifecycle": {"preStop": {"exec": {"command": ["/flush", "now"]}}}});
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
