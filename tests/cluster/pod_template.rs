//! What stands beside the workload in its template.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::conditions::types;
use singletonjob::contract::labels;

use crate::job::{IMAGE, Job, LEASE, SOON};
use crate::observe::{await_tenure, eventually, nothing_starts};
use crate::scenario::side_by_side;

/// Of busybox: leaves a file in the shared volume and another where the test sees it, and does what is said next.
fn helper(name: &str, then: &str) -> Value {
    let script = format!("touch /shared/{name}; touch /witness/{name}-$(hostname); {then}");
    let mounts = json!([{"name": "shared", "mountPath": "/shared"}, {"name": "records", "mountPath": "/witness"}]);
    json!({"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", script], "volumeMounts": mounts})
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

#[test]
fn what_is_beside_the_workload_runs_in_every_candidate_and_ends_with_the_run() {
    side_by_side("beside", async |scenario| {
        let on = "trap 'exit 0' TERM; sleep 3600 & wait";
        let job = Job::one_shot(scenario, "report");
        let main = serde_json::to_value(job.resource().spec.workload().expect("the witness")).expect("plain data");
        let records = json!({"name": "records", "hostPath": {"path": job.records, "type": "Directory"}});
        let mut proxy = helper("proxy", on);
        proxy["restartPolicy"] = json!("Always");
        let job = job.pod(&json!({
            "initContainers": [helper("once", "true"), proxy],
            "containers": [main, helper("beside", on)],
            "volumes": [records, {"name": "shared", "emptyDir": {}}],
        }));
        let needs = "test -e /shared/once && test -e /shared/proxy && until test -e /shared/beside; do sleep 1; done";
        let mounts = json!([{"name": "shared", "mountPath": "/shared"}, {"name": "records", "mountPath": "/witness"}]);
        let command = json!(["/bin/sh", "-c", format!("{needs} && exec /bin/witness --until end")]);
        let job = job.container(json!({"command": command, "volumeMounts": mounts}));
        job.apply();
        let tenure = await_tenure(&job.records, 1, SOON).await;
        job.await_true(types::STANDBY_AVAILABLE).await;
        for pod in job.pods().await {
            for name in ["once", "proxy", "beside"] {
                let file = job.records.join(format!("{name}-{}", pod.name_any()));
                eventually(&format!("{} to be there", file.display()), SOON, || file.exists().then_some(())).await;
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
