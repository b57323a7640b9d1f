//! A thousand specs of all sorts: whatever the definition accepts is understood, and no good template becomes
//! a bad pod.

use std::fmt::Debug;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::contract::paths;
use singletonjob::contract::probe::Probe;
use singletonjob::controller::settings::Agent;
use singletonjob::controller::{build, names, plan};

use super::Fixture;

const SPECS: usize = 1000;
const AT_ONCE: usize = 8;

/// One of these, or left out: the first is what most people write.
fn some(values: &[Value]) -> BoxedStrategy<Option<Value>> {
    prop_oneof![12 => Just(None), 6 => Just(Some(values[0].clone())), 1 => prop::sample::select(values.to_vec()).prop_map(Some)].boxed()
}

/// An object of the fields that are there.
fn object(fields: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let together = move |values: Vec<Option<Value>>| {
        let present = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(present.collect())
    };
    values.prop_map(together).boxed()
}

fn always(strategy: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    strategy.prop_map(Some).boxed()
}

fn sometimes(strategy: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    prop::option::weighted(0.3, strategy).boxed()
}

fn action() -> BoxedStrategy<Value> {
    let actions = [
        json!({"httpGet": {"port": 8080, "path": "/healthz"}}),
        json!({"httpGet": {"port": "web", "scheme": "HTTPS", "httpHeaders": [{"name": "X-Probe", "value": "yes"}]}}),
        json!({"tcpSocket": {"port": 8080}}),
        json!({"exec": {"command": ["true"]}}),
        json!({"exec": {"command": []}}),
        json!({"exec": {}}),
        json!({}),
    ];
    prop_oneof![9 => prop::sample::select(actions[..4].to_vec()), 1 => prop::sample::select(actions.to_vec())]
        .boxed()
}

fn probe() -> BoxedStrategy<Value> {
    let timing = object(vec![
        ("periodSeconds", some(&[json!(10), json!(1), json!(0), json!(i32::MAX)])),
        ("timeoutSeconds", some(&[json!(1), json!(5), json!(-1)])),
        ("failureThreshold", some(&[json!(3), json!(1), json!(i32::MAX)])),
        ("initialDelaySeconds", some(&[json!(0), json!(60), json!(i32::MAX)])),
        ("terminationGracePeriodSeconds", some(&[json!(10), json!(0), json!(1), json!(i64::MAX)])),
    ]);
    (action(), timing).prop_map(|(action, timing)| merged(action, timing)).boxed()
}

fn merged(mut base: Value, extra: Value) -> Value {
    let Value::Object(extra) = extra else { panic!("an object") };
    base.as_object_mut().expect("an object").extend(extra);
    base
}

fn container() -> BoxedStrategy<Value> {
    object(vec![
        (
            "name",
            always(
                prop::sample::select(vec![
                    json!("main"),
                    json!("helper"),
                    json!("first"),
                    json!("second"),
                    json!("third"),
                    json!("x".repeat(63)),
                    json!("singletonjob-agent"),
                ])
                .boxed(),
            ),
        ),
        (
            "image",
            always(
                prop::sample::select(vec![
                    json!("busybox:1.37"),
                    json!("busybox:1.37"),
                    json!("busybox:1.37"),
                    json!("busybox:1.37"),
                    json!(""),
                ])
                .boxed(),
            ),
        ),
        ("command", some(&[json!(["sleep", "9"]), json!([]), json!(["sh", "-c", "exit 1"]), json!([""])])),
        ("args", some(&[json!(["$(HOME)", "--all"])])),
        (
            "env",
            some(&[
                json!([{"name": "A", "value": "1"}]),
                json!([{"name": "SINGLETONJOB_NAME", "value": "mine"}]),
            ]),
        ),
        (
            "ports",
            some(&[json!([{"name": "web", "containerPort": 8080}]), json!([{"containerPort": 70000}])]),
        ),
        (
            "resources",
            some(&[json!({"limits": {"cpu": "200m"}}), json!({"requests": {"cpu": 1, "memory": "1e3"}})]),
        ),
        (
            "volumeMounts",
            some(&[
                json!([{"name": "data", "mountPath": "/data"}]),
                json!([{"name": "data", "mountPath": "/singletonjob"}]),
            ]),
        ),
        (
            "securityContext",
            some(&[json!({"runAsNonRoot": true, "runAsUser": 7}), json!({"readOnlyRootFilesystem": true})]),
        ),
        ("livenessProbe", sometimes(probe())),
        ("readinessProbe", sometimes(probe())),
        ("startupProbe", sometimes(probe())),
        (
            "lifecycle",
            some(&[
                json!({"preStop": {"exec": {"command": ["true"]}}}),
                json!({"preStop": {"sleep": {"seconds": 1}}}),
                json!({"stopSignal": "SIGTERM"}),
            ]),
        ),
        ("terminationMessagePath", some(&[json!("/dev/termination-log"), json!("/tmp/said")])),
        ("workingDir", some(&[json!("/tmp")])),
    ])
}

fn pod() -> BoxedStrategy<Value> {
    let containers = |most| prop::collection::vec(container(), 1..=most).prop_map(Value::from).boxed();
    object(vec![
        ("containers", always(containers(2))),
        ("initContainers", sometimes(containers(1))),
        (
            "volumes",
            always(
                prop::sample::select(vec![
                    json!([{"name": "data", "emptyDir": {}}]),
                    json!([{"name": "singletonjob-state", "emptyDir": {}}]),
                ])
                .boxed(),
            ),
        ),
        ("terminationGracePeriodSeconds", some(&[json!(30), json!(0), json!(1), json!(i64::MAX), json!(-1)])),
        ("restartPolicy", some(&[json!("Never"), json!("Always"), json!("OnFailure"), json!("Sometimes")])),
        ("hostPID", some(&[json!(false), json!(true)])),
        ("hostNetwork", some(&[json!(false), json!(true)])),
        ("shareProcessNamespace", some(&[json!(false), json!(true)])),
        ("hostname", some(&[json!("web"), json!("Web_1")])),
        ("serviceAccountName", some(&[json!("default")])),
        ("automountServiceAccountToken", some(&[json!(false)])),
        ("tolerations", some(&[json!([{"operator": "Exists"}])])),
        ("affinity", some(&[json!({"podAntiAffinity": {}})])),
        ("imagePullSecrets", some(&[json!([{"name": "registry"}])])),
        ("os", some(&[json!({"name": "linux"}), json!({"name": "windows"})])),
    ])
}

fn metadata() -> BoxedStrategy<Option<Value>> {
    some(&[
        json!({"labels": {"app": "web"}}),
        json!({"labels": {"singletonjob.dev/role": "active"}}),
        json!({"annotations": {"a": "b"}}),
    ])
}

fn lease() -> BoxedStrategy<Value> {
    object(vec![
        (
            "leaseDurationSeconds",
            some(&[json!(15), json!(3), json!(2), json!(6), json!(3600), json!(i32::MAX)]),
        ),
        ("renewDeadlineSeconds", some(&[json!(9), json!(1), json!(0), json!(100)])),
        ("gracePeriodSeconds", some(&[json!(2), json!(0), json!(100)])),
        ("retryPeriodSeconds", some(&[json!(3), json!(0), json!(100)])),
    ])
}

fn failure_policy(operator: &str, value: i32) -> Value {
    json!({"rules": [{"onExitCodes": {"operator": operator, "values": [value]}, "action": "FailRun"}], "onLeaseLoss": "Ignore"})
}

fn takeover() -> BoxedStrategy<Value> {
    let term = |preference: Value| json!([{"weight": 7, "preference": preference}]);
    let exists = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
    // What most people write is good with either completion policy.
    object(vec![
        ("preferredNodes", some(&[term(exists), json!([]), term(json!({})), json!([{}]), json!(null)])),
        ("failback", some(&[json!("Never"), json!("WhenAvailable"), json!("Always")])),
        (
            "unreadyHolder",
            some(&[json!({"afterSeconds": 5}), json!({"policy": "HandOver"}), json!({"afterSeconds": -1})]),
        ),
        (
            "unreachableHolder",
            some(&[json!({"policy": "Manual"}), json!({"delaySeconds": 30}), json!({"delaySeconds": -1})]),
        ),
    ])
}

fn spec() -> BoxedStrategy<Value> {
    let template = object(vec![("metadata", metadata()), ("spec", always(pod()))]);
    let schedules = vec![
        json!({"cron": "30 2 * * *", "timeZone": "Europe/Stockholm"}),
        json!({"cron": "never", "timeZone": "nowhere"}),
        json!({"cron": "@daily", "concurrencyPolicy": "Replace", "leadSeconds": i32::MAX}),
        json!({}),
    ];
    object(vec![
        ("template", always(template)),
        ("replicas", some(&[json!(2), json!(0), json!(1), json!(-1), json!(1000), json!(null)])),
        ("completionPolicy", some(&[json!("OnSuccess"), json!("Never"), json!("Always")])),
        ("backoffLimit", some(&[json!(6), json!(0), json!(-1), json!(i32::MAX)])),
        ("podTTLSecondsAfterFinished", some(&[json!(60), json!(0), json!(-1), json!(i32::MAX)])),
        (
            "ttlSecondsAfterFinished",
            prop::option::weighted(0.05, prop::sample::select(vec![json!(60), json!(-1)])).boxed(),
        ),
        (
            "managedBy",
            prop::option::weighted(
                0.05,
                prop::sample::select(vec![json!("example.com/other"), json!("no-domain")]),
            )
            .boxed(),
        ),
        ("activeDeadlineSeconds", some(&[json!(3600), json!(0)])),
        (
            "failurePolicy",
            some(&[failure_policy("In", 42), failure_policy("In", 0), failure_policy("NotIn", 0), json!({})]),
        ),
        ("schedule", prop::option::weighted(0.1, prop::sample::select(schedules)).boxed()),
        ("suspend", some(&[json!(true), json!(false)])),
        ("standbyReadiness", some(&[json!("Ready"), json!("NotReady"), json!("Sometimes")])),
        ("workloadContainer", some(&[json!("main"), json!("helper"), json!("absent")])),
        ("lease", sometimes(lease())),
        ("takeover", prop::option::weighted(0.1, takeover()).boxed()),
    ])
}

/// What became of one spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// By the definition.
    Refused,
    /// By Kubernetes, as it would be in a Deployment: candidates cannot be created, and a condition quotes
    /// why.
    BadTemplate,
    /// Its candidates can be created.
    Good,
}

/// What a thousand specs are sent to.
struct Server {
    jobs: Api<DynamicObject>,
    pods: Api<Pod>,
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

/// Whether it was accepted; a refusal must be one of the object, not of the server's understanding of it.
fn accepted<T: Debug>(what: &Value, answer: Result<T, Error>) -> Option<T> {
    match answer {
        Ok(stored) => Some(stored),
        Err(Error::Api(status)) if status.code == 422 => None,
        Err(error) => panic!("{error:?}: {what:#}"),
    }
}

impl Server {
    fn new(fixture: &Fixture) -> Self {
        let kind = GroupVersionKind::gvk("singletonjob.dev", "v1alpha1", "SingletonJob");
        let client: Client = fixture.client.clone();
        let jobs = Api::namespaced_with(
            client.clone(),
            &fixture.namespace,
            &ApiResource::from_gvk_with_plural(&kind, "singletonjobs"),
        );
        Self { jobs, pods: Api::namespaced(client, &fixture.namespace) }
    }

    async fn judge(&self, spec: Value) -> Fate {
        let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web"}, "spec": spec});
        let object = serde_json::from_value(job).expect("an object");
        let Some(stored) = accepted(&spec, self.jobs.create(&dry_run(), &object).await) else {
            return Fate::Refused;
        };
        let job: SingletonJob = serde_json::from_value(serde_json::to_value(stored).expect("JSON"))
            .expect("what is accepted is understood");
        assert!(plan::policy::timing(&job).is_ok(), "accepted, and cannot be obeyed: {:?}", job.spec.lease);
        let plain = self.create(&template(&job)).await;
        let candidate =
            self.create(&build::pod::candidate(&job, 1, &names::template_hash(&job.spec), &agent())).await;
        assert!(
            plain.is_err() || candidate.is_ok(),
            "a good template became a bad pod: {candidate:?}: {spec:#}"
        );
        match candidate {
            Ok(pod) => {
                understood_by_the_agent(&pod);
                Fate::Good
            }
            Err(_) => Fate::BadTemplate,
        }
    }

    async fn create(&self, pod: &Pod) -> Result<Pod, String> {
        match self.pods.create(&dry_run(), pod).await {
            Ok(pod) => Ok(pod),
            Err(Error::Api(status)) if status.code < 500 => Err(status.message),
            Err(error) => panic!("{error:?}: {pod:?}"),
        }
    }
}

/// Probes are written by the controller and read by the agent.
fn understood_by_the_agent(pod: &Pod) {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let probes = containers
        .flat_map(|container| {
            [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
        })
        .flatten();
    let commands = probes.filter_map(|probe| probe.exec.as_ref()?.command.as_ref());
    for command in commands.filter(|command| command.first().is_some_and(|program| program == paths::AGENT)) {
        serde_json::from_str::<Probe>(&command[3]).unwrap_or_else(|error| panic!("{error}: {command:?}"));
    }
}

fn agent() -> Agent {
    Agent { image: "example.com/operator:1".into(), ..Agent::default() }
}

/// The pod that a Deployment would make of it.
fn template(job: &SingletonJob) -> Pod {
    let template = &job.spec.template;
    let metadata = ObjectMeta { name: Some("plain".into()), ..template.metadata.clone().unwrap_or_default() };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

#[tokio::test]
async fn what_is_accepted_is_understood_and_no_good_template_becomes_a_bad_pod() {
    let fixture = Fixture::new("random-specs").await;
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("default".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    Api::<ServiceAccount>::namespaced(fixture.client.clone(), &fixture.namespace)
        .create(&PostParams::default(), &account)
        .await
        .expect("made");
    let (server, mut runner) = (Server::new(&fixture), TestRunner::deterministic());
    let specs: Vec<Value> =
        (0..SPECS).map(|_| spec().new_tree(&mut runner).expect("no filter").current()).collect();
    let fates: Vec<Fate> =
        stream::iter(specs).map(|spec| server.judge(spec)).buffer_unordered(AT_ONCE).collect().await;
    for fate in [Fate::Refused, Fate::BadTemplate, Fate::Good] {
        let number = fates.iter().filter(|is| **is == fate).count();
        eprintln!("{number} {fate:?}");
        assert!(number >= SPECS / 50, "only {number} of {SPECS} were {fate:?}: that shows little");
    }
}
