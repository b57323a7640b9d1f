//! What cannot start says why, and stops no other job.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::types;
use testkit::cluster::said;
use testkit::job::{IMAGE, Job, SOON, condition};
use testkit::observe::{await_tenure, eventually, nothing_starts};
use testkit::operator;
use testkit::scenario::{Scenario, aside, side_by_side, with_operator};

const SECOND: Duration = Duration::from_secs(1);
/// The kubelet says why a volume is not there when it has tried, and the controller asks after 30 s.
const HANGS: Duration = Duration::from_secs(60);
const EVENT: &str = "StandbyUnavailable";

/// The condition and the event of a job of which nothing can start quote the reason.
async fn ends_in_a_condition_and_an_event(job: &Job<'_>, reason: &str, quote: &str) {
    job.apply();
    let ready = job.await_complaint(types::READY, quote).await;
    assert_eq!(ready.reason, reason, "{}", ready.message);
    job.await_event(EVENT, quote).await;
    assert!(job.tenures().is_empty());
}

#[test]
fn a_missing_image_is_quoted() {
    side_by_side("missing-image", async |scenario| {
        let job = Job::service(scenario, "web").container(json!({"image": "localhost/nowhere:1"}));
        ends_in_a_condition_and_an_event(&job, "ErrImageNeverPull", "localhost/nowhere:1").await;
    });
}

#[test]
fn a_template_that_fits_no_node_is_quoted() {
    side_by_side("unschedulable", async |scenario| {
        let job =
            Job::one_shot(scenario, "report").pod(&json!({"nodeSelector": {"example.com/disk": "none"}}));
        ends_in_a_condition_and_an_event(&job, "Unschedulable", "didn't match Pod's node affinity/selector")
            .await;
    });
}

#[test]
fn a_pod_that_hangs_on_its_node_says_why() {
    side_by_side("hanging", async |scenario| {
        let nowhere = json!({"volumes": [{"name": "settings", "configMap": {"name": "nowhere"}}]});
        let mount = json!([{"name": "settings", "mountPath": "/settings"}]);
        let job = Job::service(scenario, "web").pod(&nowhere).container(json!({"volumeMounts": mount}));
        job.apply();
        let quoted = |job: &SingletonJob| {
            condition(job, types::READY).is_some_and(|is| {
                is.reason == "FailedMount" && is.message.contains("configmap \"nowhere\" not found")
            })
        };
        job.within(HANGS, "the kubelet is quoted", quoted).await;
        job.await_complaint(types::STANDBY_AVAILABLE, "configmap \"nowhere\" not found").await;
    });
}

#[test]
fn an_init_container_that_crashes_is_quoted_with_its_exit_code_and_once() {
    side_by_side("init-crash", async |scenario| {
        let crashes = json!({"name": "migrate", "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", "exit 3"]});
        let job = Job::service(scenario, "web").pod(&json!({"initContainers": [crashes]}));
        job.apply();
        let crash = job.await_complaint(types::READY, "container migrate: exited with code 3").await;
        assert_eq!(crash.reason, "CrashLoopBackOff");
        // The words are those of the youngest that crashes.
        job.await_pods("both have crashed", |pods| {
            pods.len() == 2 && pods.iter().all(|pod| restarts_of_init(pod) > 0)
        })
        .await;
        let before = job.at_rest().await;
        job.await_pods("it crashes again", |pods| pods.iter().any(|pod| restarts_of_init(pod) > 1)).await;
        assert_eq!(job.at_rest().await.resource_version(), before.resource_version(), "the same words");
    });
}

fn restarts_of_init(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_ref());
    statuses.into_iter().flatten().map(|container| container.restart_count).max().unwrap_or(0)
}

#[test]
fn a_quota_is_quoted_and_raised_it_lets_the_job_run() {
    side_by_side("quota", async |scenario| {
        scenario.must(&["create", "quota", "tight", "--hard=pods=0"]);
        let job = Job::service(scenario, "web");
        ends_in_a_condition_and_an_event(&job, "FailedCreate", "exceeded quota: tight").await;
        assert_eq!(made(&job).await, 0, "what is refused uses up no number");
        scenario.must(&["delete", "quota", "tight"]);
        await_tenure(&job.records, 1, SOON).await;
    });
}

fn restrict(scenario: &Scenario) {
    let arguments =
        ["label", "namespace", &scenario.namespace, "pod-security.kubernetes.io/enforce=restricted"];
    said(&arguments, &scenario.cluster.kubectl(&arguments));
}

#[test]
fn pod_security_is_quoted_and_a_template_that_keeps_to_it_runs() {
    side_by_side("pod-security", async |scenario| {
        restrict(scenario);
        let job = Job::service(scenario, "web");
        ends_in_a_condition_and_an_event(&job, "FailedCreate", "violates PodSecurity \"restricted:latest\"")
            .await;
        for sample in ["service", "batch-job"] {
            scenario.must(&["apply", "--filename", &operator::manifest(&format!("samples/{sample}.yaml"))]);
        }
        scenario.must(&["wait", "sj/ticker", "sj/report", "--for=condition=Held", "--timeout=60s"]);
        let log = scenario.must(&[
            "logs",
            "--selector",
            "singletonjob.dev/name=ticker,singletonjob.dev/role=active",
            "--container",
            "ticker",
        ]);
        assert!(log.contains("is the only one that runs"), "{log}");
    });
}

#[test]
fn a_singletonjob_that_does_not_decode_does_not_stop_the_others() {
    with_operator("undecodable", async |scenario| {
        let sound = Job::service(scenario, "sound");
        let tenure = sound.pair().await;
        let odd = Job::service(scenario, "odd");
        odd.pair().await;
        let theirs = Job::service(scenario, "theirs").with(json!({"managedBy": "example.com/other"}));
        theirs.apply();
        let definitions = Api::<CustomResourceDefinition>::all(scenario.client.clone());
        let name = "singletonjobs.singletonjob.dev";
        let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
        let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/template/properties/spec/properties/priority";
        let before = definitions.get(name).await.expect("installed");
        let was =
            serde_json::to_value(&before).expect("JSON").pointer(field).cloned().expect("the field is there");
        let set = |value: &serde_json::Value| {
            let patch = json!([{"op": "replace", "path": field, "value": value}]);
            Patch::<()>::Json(serde_json::from_value(patch).expect("a patch"))
        };
        definitions.patch(name, &PatchParams::default(), &set(&anything)).await.expect("a looser schema");
        let patch = json!({"spec": {"template": {"spec": {"priority": "much"}}}}).to_string();
        let accepted = |name| {
            scenario
                .kubectl(&["patch", "sj", name, "--type=merge", "--patch", &patch])
                .status
                .success()
                .then_some(())
        };
        eventually("the looser schema comes into force", SOON, || accepted("theirs")).await;
        eventually("it is in force for the other too", SOON, || accepted("odd")).await;
        odd.await_event("InvalidSpec", "cannot read this SingletonJob").await;
        let told =
            scenario.must(&["get", "events", "--field-selector=involvedObject.name=theirs", "--output=name"]);
        assert_eq!(told, "", "another controller's is left alone");

        sound.delete_pod(&tenure.pod);
        await_tenure(&sound.records, 2, SOON).await;
        sound
            .await_pods("it gets a new candidate", |pods| {
                pods.len() == 2 && pods.iter().all(|pod| pod.name_any() != tenure.pod)
            })
            .await;
        sound.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&odd.records, 1, SECOND).await;
        assert!(odd.tenures()[0].signals.is_empty(), "what runs goes on");

        let sane = json!({"spec": {"template": {"spec": {"priority": null}}}}).to_string();
        scenario.must(&["patch", "sj", "odd", "--type=merge", "--patch", &sane]);
        odd.until("it is looked after again", |job| {
            condition(job, types::READY)
                .is_some_and(|ready| ready.observed_generation == job.metadata.generation)
        })
        .await;
        definitions.patch(name, &PatchParams::default(), &set(&was)).await.expect("the schema as it was");
    });
}

/// Pods of `job` that were ever made, by the highest number.
async fn made(job: &Job<'_>) -> i64 {
    job.read().await.status.and_then(|status| status.last_candidate_number).unwrap_or(0)
}

#[test]
fn a_container_that_cannot_start_is_quoted_and_fails_by_its_deadline() {
    aside("start-error", async |scenario| {
        scenario.must(&["create", "configmap", "c", "--from-literal=a=1"]);
        let mount = json!([{"name": "c", "mountPath": "/etc/passwd", "subPath": "nothing"}]);
        let volumes = json!([{"name": "c", "configMap": {"name": "c"}}]);
        let job = Job::one_shot(scenario, "stuck").with(json!({"activeDeadlineSeconds": 40, "replicas": 1}));
        let job = job.pod(&json!({"volumes": volumes})).container(json!({"volumeMounts": mount}));
        job.apply();
        let ready = job.await_complaint(types::READY, "ended before it could stand by").await;
        assert!(ready.message.contains("exit code 128"), "{}", ready.message);
        job.await_event(EVENT, "ended before it could stand by").await;
        let failed = job.await_true(types::FAILED).await;
        assert_eq!(failed.reason, "DeadlineExceeded", "{}", failed.message);
        assert!(failed.message.contains("exit code 128"), "{}", failed.message);
        let many = made(&job).await;
        assert!((2..=4).contains(&many), "after 10 s, 20 s, ...: {many}");
        assert!(job.tenures().is_empty());
    });
}
