//! Templates, each as a Job and as a SingletonJob: what a Job takes is taken, and what a Job refuses is
//! refused, but for the documented exceptions.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::core::Request;
use kube::{Api, Resource};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::controller::build;

use super::Fixture;
use super::as_a_candidate::rewritten;

/// Nothing is made.
const DRY: PostParams = PostParams { dry_run: true, field_manager: None };
const PAGE: &str = include_str!("../../docs/pod-template.md");

/// `base` with `change` merged into it: objects by key, and a list of as many items by index. `null` takes a
/// field away.
pub(super) fn merge(base: &mut Value, change: &Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    drop(base.remove(key));
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(base), Value::Array(change)) if base.len() == change.len() => {
            base.iter_mut().zip(change).for_each(|(base, change)| merge(base, change));
        }
        (base, change) => *base = change.clone(),
    }
}

pub(super) fn template(change: &Value) -> Value {
    let mut template = json!({"spec": {"containers": [{"name": "main", "image": "busybox:1.37", "command": ["sleep", "9"]}]}});
    merge(&mut template, change);
    template
}

pub(super) fn pod(change: Value) -> Value {
    json!({"spec": change})
}

pub(super) fn container(change: Value) -> Value {
    pod(json!({"containers": [change]}))
}

fn probe(probe: Value) -> Value {
    container(json!({"livenessProbe": probe}))
}

pub(super) fn volume(volume: Value) -> Value {
    pod(json!({"volumes": [volume]}))
}

/// What both say the same of.
fn of_containers() -> Vec<Value> {
    let resources = |resources: Value| container(json!({"resources": resources}));
    let variable = |variable: Value| container(json!({"env": [variable]}));
    let port = |port: Value| container(json!({"ports": [port]}));
    let mount = |path: &str| json!({"spec": {"containers": [{"volumeMounts": [{"name": "v", "mountPath": path}]}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    let security = |context: Value| container(json!({"securityContext": context}));
    vec![
        resources(json!({"limits": {"cpu": 0.5}})),
        resources(json!({"limits": {"cpu": 2, "memory": 134_217_728}})),
        resources(json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": ".1"}})),
        resources(json!({"limits": {"memory": 1.5e9}})),
        resources(json!({"limits": {"cpu": true}})),
        resources(json!({"limits": {"cpu": {}}})),
        resources(json!({"limits": {"cpu": []}})),
        resources(json!({"limits": {"cpu": {"half": 1}}})),
        resources(json!({"limits": {"cpu": "half"}})),
        resources(json!({"limits": {"cpu": ""}})),
        resources(json!({"limits": {"cpu": "-1"}})),
        resources(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
        resources(json!({"requests": {"example.com/gpu": 1}})),
        variable(json!({"name": "A", "value": "1"})),
        variable(json!({"name": "A", "value": 1})),
        variable(json!({"name": "", "value": "1"})),
        variable(json!({"name": "with space", "value": "1"})),
        variable(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.nowhere"}}})),
        variable(
            json!({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 1}}}),
        ),
        container(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
        container(
            json!({"envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "S_", "secretRef": {"name": "secrets"}}]}),
        ),
        port(json!({"containerPort": 8080})),
        port(json!({"containerPort": 8080, "name": "http", "protocol": "TCP"})),
        port(json!({"containerPort": 0})),
        port(json!({"containerPort": 70_000})),
        port(json!({"containerPort": 80, "name": "much-too-long-a-name"})),
        mount("/data"),
        mount(""),
        mount("relative"),
        container(json!({"volumeMounts": [{"name": "nowhere", "mountPath": "/data"}]})),
        container(json!({"name": "Main"})),
        container(json!({"name": null})),
        container(json!({"image": null})),
        container(json!({"imagePullPolicy": "Sometimes"})),
        container(json!({"args": ["a", ""], "workingDir": "/srv", "tty": true, "stdin": true})),
        container(json!({"terminationMessagePolicy": "FallbackToLogsOnError"})),
        container(json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}})),
        container(json!({"lifecycle": {"preStop": {}}})),
        security(json!({"runAsUser": 1000, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}})),
        security(json!({"runAsUser": -1})),
        security(json!({"privileged": true, "allowPrivilegeEscalation": false})),
    ]
}

fn of_probes() -> Vec<Value> {
    vec![
        probe(json!({"httpGet": {"path": "/", "port": 80}})),
        probe(json!({"httpGet": {"path": "/", "port": "http"}})),
        probe(json!({"httpGet": {"path": "/", "port": 0}})),
        probe(json!({"httpGet": {"path": "/", "port": 70_000}})),
        probe(json!({"httpGet": {"path": "/"}})),
        probe(json!({"httpGet": {"port": 80, "scheme": "GOPHER"}})),
        probe(json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "X Y", "value": "1"}]}})),
        probe(json!({"tcpSocket": {"port": 80}})),
        probe(json!({"tcpSocket": {"port": 80}, "exec": {"command": ["true"]}})),
        probe(json!({"exec": {"command": []}})),
        probe(json!({"exec": {"command": ["true"]}, "successThreshold": 2})),
        probe(json!({"exec": {"command": ["true"]}, "timeoutSeconds": -1})),
        probe(json!({"grpc": {"port": 80, "service": "db"}})),
        probe(json!({"grpc": {"port": 0}})),
        probe(json!({"periodSeconds": 3})),
        container(
            json!({"readinessProbe": {"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": 3}}),
        ),
    ]
}

fn of_pods() -> Vec<Value> {
    let sidecar = json!({"name": "proxy", "image": "proxy", "restartPolicy": "Always"});
    let spread = json!({"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    vec![
        json!({"metadata": {"name": "pi", "labels": {"app": "pi"}, "annotations": {"a": "b"}}}),
        json!({"metadata": {"labels": {"app": "not a label"}}}),
        json!({"metadata": {"labels": {"-app": "x"}}}),
        json!({"metadata": {"annotations": {"a": 1}}}),
        pod(json!({"containers": []})),
        pod(json!({"containers": [{}, {"name": "main", "image": "b"}]})),
        pod(json!({"initContainers": [{"name": "main", "image": "b"}]})),
        pod(json!({"initContainers": [sidecar]})),
        pod(
            json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.1", "hostnames": ["b"]}]}),
        ),
        pod(json!({"hostAliases": [{"ip": "nowhere", "hostnames": ["a"]}]})),
        pod(json!({"nodeSelector": {"disk": "ssd"}, "priorityClassName": "system-node-critical"})),
        pod(json!({"serviceAccountName": "Not A Name"})),
        pod(json!({"terminationGracePeriodSeconds": -1})),
        pod(json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]})),
        pod(json!({"tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}]})),
        pod(json!({"topologySpreadConstraints": [spread]})),
        pod(
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}}),
        ),
        pod(json!({"dnsPolicy": "None"})),
        pod(json!({"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}})),
        pod(
            json!({"securityContext": {"fsGroup": 1000, "sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}}),
        ),
        pod(json!({"hostNetwork": true, "containers": [{"ports": [{"containerPort": 80, "hostPort": 81}]}]})),
        pod(json!({"schedulingGates": [{"name": "example.com/later"}]})),
        pod(json!({"restartPolicy": "Sometimes"})),
        volume(json!({"name": "v", "emptyDir": {"sizeLimit": 1_048_576}})),
        volume(json!({"name": "v", "emptyDir": {"sizeLimit": "1Mi"}})),
        volume(json!({"name": "v", "emptyDir": {}, "configMap": {"name": "c"}})),
        volume(json!({"name": "V", "emptyDir": {}})),
        volume(json!({"name": "v", "configMap": {"name": "c", "defaultMode": 7777}})),
        volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": ""}})),
        volume(json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 1_000_000_000_u64}}}}}})),
    ]
}

/// Of every kind.
pub(super) fn all() -> Vec<Value> {
    [of_containers(), of_probes(), of_pods()].concat()
}

/// What a Job takes and a SingletonJob refuses, and the words by which `docs/pod-template.md` says so.
fn exceptions() -> Vec<(&'static str, Value)> {
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"});
    vec![
        ("`command`", container(json!({"command": null}))),
        (
            "`lifecycle.postStart`",
            container(json!({"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}})),
        ),
        ("`hostPID`", pod(json!({"hostPID": true}))),
        ("`shareProcessNamespace`", pod(json!({"shareProcessNamespace": true}))),
        ("`activeDeadlineSeconds`", pod(json!({"activeDeadlineSeconds": 60}))),
        ("`restartPolicy: OnFailure`", pod(json!({"restartPolicy": "OnFailure"}))),
        (
            "`restartPolicy` and `restartPolicyRules` of the workload's container",
            container(json!({"restartPolicy": "Always"})),
        ),
        ("`metadata.finalizers`", json!({"metadata": {"finalizers": ["example.com/keep"]}})),
        ("`metadata.ownerReferences`", json!({"metadata": {"ownerReferences": [owner]}})),
        ("labels under `singletonjob.dev/`", json!({"metadata": {"labels": {"singletonjob.dev/name": "x"}}})),
        (
            "`/singletonjob`, `/var/run/singletonjob`",
            json!({"spec": {
            "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/singletonjob"}]}], "volumes": [{"name": "v", "emptyDir": {}}]}}),
        ),
        (
            "containers and volumes whose names begin with `singletonjob-`",
            volume(json!({"name": "singletonjob-agent", "emptyDir": {}})),
        ),
        ("`os: windows`", pod(json!({"os": {"name": "windows"}}))),
    ]
}

impl Fixture {
    /// Strictly, as kubectl and Argo CD have the API server validate: a field that it does not know is
    /// refused, not dropped.
    async fn dry_run(
        &self,
        api_version: &str,
        kind: &str,
        template: &Value,
    ) -> Result<DynamicObject, String> {
        let (group, version) = api_version.split_once('/').expect("a group");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "pi"}, "spec": {"template": template}});
        let path = DynamicObject::url_path(&resource, Some(&self.namespace));
        let mut request =
            Request::new(path).create(&DRY, object.to_string().into_bytes()).expect("a request");
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse().expect("a URI");
        self.client.request(request).await.map_err(|error| error.to_string())
    }

    async fn as_a_job(&self, template: &Value) -> Result<(), String> {
        let mut template = template.clone();
        template["spec"]
            .as_object_mut()
            .expect("a pod")
            .entry("restartPolicy")
            .or_insert_with(|| json!("Never"));
        self.dry_run("batch/v1", "Job", &template).await.map(drop)
    }

    /// The API server takes it, the controller reads it, and the API server takes what the controller shows
    /// it before it makes a pod.
    pub(super) async fn as_a_singletonjob(&self, template: &Value) -> Result<SingletonJob, String> {
        let taken = self.dry_run("singletonjob.dev/v1alpha1", "SingletonJob", template).await?;
        let value = serde_json::to_value(&taken).expect("JSON");
        let job: SingletonJob =
            serde_json::from_value(value).map_err(|error| format!("not readable: {error}"))?;
        self.validate(&build::pod::template(&job)).await.map(|()| job)
    }

    pub(super) async fn validate(&self, pod: &Pod) -> Result<(), String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        pods.create(&DRY, pod).await.map(drop).map_err(|error| error.to_string())
    }
}

pub(super) async fn fixture(namespace: &str) -> Fixture {
    let fixture = Fixture::new(namespace).await;
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "default"}})).expect("an account");
    let accounts: Api<ServiceAccount> = Api::namespaced(fixture.client.clone(), namespace);
    drop(accounts.create(&PostParams::default(), &account).await);
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_takes_is_taken_and_what_a_job_refuses_is_refused() {
    let fixture = fixture("as-a-job").await;
    let templates = [all(), rewritten()].concat();
    let (mut taken, mut differences) = (0, Vec::new());
    for change in &templates {
        let template = template(change);
        let (job, singleton) =
            (fixture.as_a_job(&template).await, fixture.as_a_singletonjob(&template).await.map(drop));
        taken += usize::from(job.is_ok());
        if job.is_ok() != singleton.is_ok() {
            differences.push(format!("{change}\n  Job: {job:?}\n  SingletonJob: {singleton:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(
        templates.len() >= 60 && taken >= 25 && templates.len() - taken >= 25,
        "{taken} of {} are taken",
        templates.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exceptions_are_those_of_the_table() {
    let fixture = fixture("exceptions").await;
    let start = PAGE.find("## What a Job takes and a SingletonJob does not").expect("the table");
    let rows: Vec<_> = PAGE[start..]
        .lines()
        .skip(1)
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let exceptions = exceptions();
    for (words, change) in &exceptions {
        let template = template(change);
        assert!(
            rows.iter().any(|row| row.starts_with(&format!("| {words}"))),
            "{words}: no row of {rows:#?}"
        );
        assert!(fixture.as_a_job(&template).await.is_ok(), "{words}: a Job refuses it too");
        assert!(fixture.as_a_singletonjob(&template).await.is_err(), "{words}: it is taken");
    }
    assert_eq!(rows.len(), exceptions.len(), "a row without a test: {rows:#?}");
}
