//! What a real API server makes of what we install: the definition, the samples, and the policy that guards
//! the Lease.

mod as_a_candidate;
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod as_a_job;
mod example;
mod installation;
mod lease_policy;
mod random_specs;
mod refusals;
mod timing;
mod use_of_it;

use std::process::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Client, Error};
use singletonjob::api::SingletonJob;
use testkit::control_plane::ControlPlane;

const NAME: &str = "singletonjobs.singletonjob.dev";
const CRD: &str = include_str!("../../crds/singletonjobs.singletonjob.dev.yaml");
const OPERATOR: &str = include_str!("../../manifests/operator.yaml");
const SERVICE: &str = include_str!("../../manifests/samples/service.yaml");
const PATIENCE: Duration = Duration::from_secs(30);

/// Held while the operator is installed: two that make the same objects at a time disturb each other.
fn installing() -> MutexGuard<'static, ()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    INSTALLING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An API server that knows our definition, and a namespace in it for one test.
struct Fixture {
    control_plane: Arc<ControlPlane>,
    client: Client,
    namespace: String,
}

impl Fixture {
    async fn new(namespace: &str) -> Self {
        let control_plane = ControlPlane::shared();
        let client = control_plane.client().await;
        define(&control_plane, &client).await;
        let fixture = Self { control_plane, client, namespace: namespace.to_owned() };
        let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
        fixture
    }

    fn jobs(&self) -> Api<SingletonJob> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Installs the operator; nothing runs it here, for there is no node.
    fn install(&self) {
        let _one_at_a_time = installing();
        let output = self.control_plane.kubectl(&["apply", "--filename", "-"], OPERATOR);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// A token of this service account, bound to `pod`, if to anything.
    async fn token(&self, namespace: &str, account: &str, pod: Option<BoundObjectReference>) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let spec = TokenRequestSpec { bound_object_ref: pod, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer =
            accounts.create_token_request(account, &PostParams::default(), &request).await.expect("a token");
        answer.status.and_then(|status| status.token).expect("answered with a token")
    }

    /// Runs kubectl in the namespace; its output, or the test fails with what it said.
    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_kubectl(arguments, input);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn try_kubectl(&self, arguments: &[&str], input: &str) -> Output {
        self.control_plane.kubectl(&[&["--namespace", &self.namespace], arguments].concat(), input)
    }
}

/// Applies the definition, unless another test did, and waits until it is served, to kubectl too.
async fn define(control_plane: &ControlPlane, client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    if definitions.get_opt(NAME).await.expect("an answer").is_none() {
        let output = control_plane.kubectl(&["apply", "--server-side", "--filename", "-"], CRD);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let established = await_condition(definitions, NAME, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.expect("in time").expect("the definition is accepted");
    let started = Instant::now();
    while !control_plane.kubectl(&["explain", "singletonjobs"], "").status.success() {
        assert!(started.elapsed() < PATIENCE, "kubectl does not find the definition");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the API server said in refusing.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Err(Error::Api(status)) => status.message.clone(),
        other => panic!("not refused: {other:?}"),
    }
}
