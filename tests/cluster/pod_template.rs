//! What stands beside the workload in its template.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::conditions::types;
use singletonjob::api::status::TakeoverReason;
use singletonjob::contract::labels;
use testkit::job::{IMAGE, Job, LEASE, SOON};
use testkit::observe::{await_tenure, eventually, nothing_starts};
use testkit::scenario::side_by_side;

/// Of busybox: leaves a file in the shared volume and another where the test sees it, and does what is said
/// next.
fn helper(name: &str, then: &str) -> Value {
    let script = format!("touch /shared/{name}; touch /witness/{name}-$(hostname); {then}");
    let mounts =
        json!([{"name": "shared", "mountPath": "/shared"}, {"name": "records", "mountPath": "/witness"}]);
    json!({"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", script], "volumeMounts": mounts})
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

#[test]
fn labels_of_the_template_are_what_services_and_affinities_select_by() {
    side_by_side("labels", async |scenario| {
        let mine = json!({"app.kubernetes.io/name": "mine"});
        let apart =
            json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": mine}}]);
        let job = Job::service(scenario, "web").with(json!({"template": {"metadata": {"labels": mine}}}));
        let one_node = json!({"nodeSelector": {"kubernetes.io/hostname": "node-a"},
                              "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": apart}}});
        let job = job.pod(&one_node);
        job.apply();
        job.await_complaint(types::STANDBY_AVAILABLE, "didn't match pod anti-affinity rules").await;
        let selected =
            scenario.must(&["get", "pods", "--selector", "app.kubernetes.io/name=mine", "--output", "name"]);
        assert_eq!(selected.lines().count(), 2, "{selected}");
    });
}

#[test]
fn a_server_on_the_address_of_the_pod_is_asked_there() {
    side_by_side("pod-address", async |scenario| {
        let address = json!([{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
        let member = json!({
            "command": ["/bin/sh", "-c", "exec httpd -f -p \"$POD_IP:9100\" -h /"], "env": address,
            "readinessProbe": {"tcpSocket": {"port": 9100}, "periodSeconds": 1},
        });
        let job = Job::service(scenario, "web").container(member).with(json!({"replicas": 1}));
        job.apply();
        job.await_true(types::READY).await;
    });
}

#[test]
fn what_is_beside_the_workload_runs_in_every_candidate() {
    side_by_side("beside", async |scenario| {
        let on = "trap 'exit 0' TERM; sleep 3600 & wait";
        let job = Job::one_shot(scenario, "report");
        let main =
            serde_json::to_value(job.resource().spec.workload().expect("the witness")).expect("plain data");
        let records = json!({"name": "records", "hostPath": {"path": job.records, "type": "Directory"}});
        let mut proxy = helper("proxy", on);
        proxy["restartPolicy"] = json!("Always");
        let job = job.pod(&json!({
            "initContainers": [helper("once", "true"), proxy],
            "containers": [main, helper("beside", on)],
            "volumes": [records, {"name": "shared", "emptyDir": {}}],
        }));
        let needs =
            "test -e /shared/once && test -e /shared/proxy && until test -e /shared/beside; do sleep 1; done";
        let mounts =
            json!([{"name": "shared", "mountPath": "/shared"}, {"name": "records", "mountPath": "/witness"}]);
        let command = json!(["/bin/sh", "-c", format!("{needs} && exec /bin/witness --until end")]);
        let job = job.container(json!({"command": command, "volumeMounts": mounts}));
        job.apply();
        let tenure = await_tenure(&job.records, 1, SOON).await;
        job.await_true(types::STANDBY_AVAILABLE).await;
        for pod in job.pods().await {
            for name in ["once", "proxy", "beside"] {
                let file = job.records.join(format!("{name}-{}", pod.name_any()));
                eventually(&format!("{} to be there", file.display()), SOON, || file.exists().then_some(()))
                    .await;
            }
        }
        job.let_end();
        job.await_true(types::COMPLETE).await;
        let left = job.await_pods("all of it has ended", |pods| pods.len() == 1 && has_ended(&pods[0])).await;
        assert_eq!(left[0].name_any(), tenure.pod, "it stays, for its logs");
        assert_eq!(left[0].labels().get(labels::JOB).map(String::as_str), Some("report"));
        job.await_event("PodRetired", &tenure.pod).await;
        nothing_starts(&job.records, 1, LEASE + Duration::from_secs(1)).await;
    });
}

/// As a mesh does: the agent's connection goes through it, and it takes its time to end.
fn proxy() -> Value {
    let relay = "trap 'sleep 2; exit 0' TERM; nc -ll -p 16443 -e nc \"$KUBERNETES_SERVICE_HOST\" \"$KUBERNETES_SERVICE_PORT\" & \
                 while :; do sleep 1 & wait $!; done";
    let listens = json!({"tcpSocket": {"port": 16443}, "periodSeconds": 1});
    json!({"name": "istio-proxy", "image": IMAGE, "imagePullPolicy": "Never", "restartPolicy": "Always", "startupProbe": listens,
        "command": ["/bin/sh", "-c", relay]})
}

#[test]
fn a_native_sidecar_carries_the_agents_connection_to_the_workloads_end() {
    side_by_side("mesh", async |scenario| {
        let linger = LEASE * 3;
        let through = json!([
            {"name": "KUBERNETES_SERVICE_HOST", "value": "kubernetes.default.svc"},
            {"name": "KUBERNETES_SERVICE_PORT", "value": "16443"},
            {"name": "WITNESS_PAUSE_MICROSECONDS", "value": scenario.pause_microseconds.to_string()},
        ]);
        let job = Job::service(scenario, "web")
            .witness(&["--linger-milliseconds", &linger.as_millis().to_string()]);
        let job = job.container(json!({"env": through})).pod(&json!({
            "initContainers": [proxy()], "terminationGracePeriodSeconds": 60,
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["kubernetes.default.svc"]}],
        }));
        let tenure = job.pair().await;
        job.delete_pod(&tenure.pod);
        let second = await_tenure(&job.records, 2, linger + SOON).await;
        assert_eq!(
            job.await_takeover(second.token).await.reason,
            TakeoverReason::Drain,
            "it renewed to its end"
        );
        let ended = job.tenure(tenure.token);
        let (number, asked) = ended.signals[0];
        assert_eq!(number, libc::SIGTERM);
        assert!(ended.last - asked + Duration::from_secs(1) >= linger, "it had the time that it took");
    });
}

#[test]
fn what_is_written_to_pid_1_fails_with_a_line_that_says_what_differs() {
    side_by_side("log-to-pid-1", async |scenario| {
        let writes = json!({"command": ["/bin/sh", "-ec", "echo begins >> /proc/1/fd/1"], "args": null});
        let job = Job::one_shot(scenario, "backup").container(writes).with(json!({"backoffLimit": 0}));
        job.apply();
        job.await_true(types::FAILED).await;
        let left = job
            .await_pods("only the failed one is left", |pods| pods.len() == 1 && has_ended(&pods[0]))
            .await;
        let log = scenario.must(&["logs", &left[0].name_any()]);
        for part in [
            "/proc/1/fd/1: Permission denied",
            "it is not PID 1 of its container: docs/not-pid-1.md says what differs",
        ] {
            assert!(log.contains(part), "{part} is missing in: {log}");
        }
    });
}

#[test]
fn a_hook_that_signals_pid_1_reaches_the_workload_and_not_the_agent() {
    side_by_side("signals-inside", async |scenario| {
        let hook = json!({"preStop": {"exec": {"command": ["/bin/sh", "-c", "kill -QUIT 1; sleep 1"]}}});
        let job = Job::service(scenario, "web").container(json!({"lifecycle": hook}));
        let tenure = job.pair().await;
        job.delete_pod(&tenure.pod);
        let second = await_tenure(&job.records, 2, SOON).await;
        assert_eq!(job.await_takeover(second.token).await.reason, TakeoverReason::Drain);
        let signals = job.tenure(tenure.token).signals;
        assert_eq!(signals.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [libc::SIGQUIT]);
    });
}
