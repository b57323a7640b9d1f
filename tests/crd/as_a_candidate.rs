//! Candidates of templates: whatever is taken of a template, the API server takes the pod that the controller
//! makes of it.

use serde_json::{Value, json};
use singletonjob::api::{CompletionPolicy, SingletonJob, StandbyReadiness};
use singletonjob::controller::build;
use singletonjob::controller::settings::Agent;

use super::Fixture;
use super::as_a_job::{self, container, merge, pod, template, volume};

/// What the controller rewrites, or what stands beside it: a Job takes all of it.
pub(super) fn rewritten() -> Vec<Value> {
    let header = |value: &str| json!({"name": "A", "value": value});
    let http = json!({"path": "/a?b=c", "port": "http", "scheme": "HTTPS", "httpHeaders": [header("b"), header("")]});
    let handlers = [
        json!({"exec": {"command": ["true"]}}),
        json!({"httpGet": http}),
        json!({"httpGet": {"port": 80, "host": "127.0.0.1"}}),
        json!({"tcpSocket": {"port": "http", "host": "example.com"}}),
        json!({"grpc": {"port": 80}}),
    ];
    [handlers.iter().map(probed).collect(), containers(), pods()].concat()
}

fn probed(handler: &Value) -> Value {
    let mut probe = json!({"initialDelaySeconds": 7, "periodSeconds": 1, "timeoutSeconds": 600, "failureThreshold": 1000});
    merge(&mut probe, handler);
    let with = |more: Value| {
        let mut probe = probe.clone();
        merge(&mut probe, &more);
        probe
    };
    let grace = json!({"terminationGracePeriodSeconds": 1});
    let ports = json!([{"containerPort": 80, "name": "http"}]);
    container(json!({"ports": ports, "startupProbe": with(grace.clone()), "livenessProbe": with(grace),
        "readinessProbe": with(json!({"successThreshold": 5}))}))
}

fn containers() -> Vec<Value> {
    let limits = |limits: Value| json!({"resources": {"limits": limits}});
    let mut within_the_pods = container(limits(json!({"cpu": "1", "memory": "1Gi"})));
    merge(&mut within_the_pods, &pod(limits(json!({"cpu": "1", "memory": "1Gi"}))));
    vec![
        container(limits(json!({"hugepages-2Mi": "2Mi", "memory": "64Mi"}))),
        container(limits(json!({"cpu": "1", "nvidia.com/gpu": "1", "memory": "64Mi"}))),
        within_the_pods,
        container(
            json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": false, "readOnlyRootFilesystem": true}}),
        ),
        container(
            json!({"env": [{"name": "SINGLETONJOB_NAME", "value": "mine"}, {"name": "POD", "value": "$(SINGLETONJOB_POD_NAME)"}]}),
        ),
        container(
            json!({"terminationMessagePath": "/tmp/message", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}),
        ),
    ]
}

fn pods() -> Vec<Value> {
    let sidecar = json!({"name": "proxy", "image": "proxy", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["true"]}}});
    vec![
        pod(json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})),
        pod(
            json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": false, "supplementalGroups": [7], "fsGroup": 7}}),
        ),
        pod(json!({"initContainers": [sidecar, {"name": "first", "image": "first"}]})),
        pod(json!({"terminationGracePeriodSeconds": 0})),
        pod(json!({"terminationGracePeriodSeconds": 86_400_000})),
        pod(
            json!({"nodeName": "node-1", "hostNetwork": true, "hostIPC": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
        ),
        pod(json!({"hostUsers": false, "automountServiceAccountToken": false, "enableServiceLinks": false})),
        pod(
            json!({"os": {"name": "linux"}, "setHostnameAsFQDN": true, "hostname": "pi", "subdomain": "math"}),
        ),
        pod(
            json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}], "readinessGates": [{"conditionType": "example.com/ready"}]}),
        ),
        pod(json!({"tolerations": [{"operator": "Exists"}]})),
        volume(json!({"name": "v", "image": {"reference": "data:1"}})),
    ]
}

impl Fixture {
    /// Of a one-shot, and of a service whose standbys are not ready: their pods differ in restarts and
    /// probes.
    async fn as_candidates(&self, job: &SingletonJob) -> Result<(), String> {
        let mut service = job.clone();
        service.spec.completion_policy = CompletionPolicy::Never;
        service.spec.standby_readiness = StandbyReadiness::NotReady;
        let agent = Agent { image: "agent:test".into(), ..Agent::default() };
        for job in [job, &service] {
            self.validate(&build::pod::candidate(job, 1, "hash", &agent)).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_every_template_that_is_taken_candidates_can_be_made() {
    let fixture = as_a_job::fixture("candidates").await;
    let (mut made, mut refused) = (0, Vec::new());
    for change in [as_a_job::all(), rewritten()].concat() {
        let Ok(job) = fixture.as_a_singletonjob(&template(&change)).await else { continue };
        match fixture.as_candidates(&job).await {
            Ok(()) => made += 1,
            Err(error) => refused.push(format!("{change}\n  {error}")),
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(made >= 50, "{made} are made");
}
