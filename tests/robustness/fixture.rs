//! One namespace, its controller, and what can be waited for in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::controller;
use singletonjob::controller::observe::candidate::Candidate;
use singletonjob::controller::settings::Agent;
use singletonjob::telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::fault_proxy::{FaultProxy, Plan};
use super::ledger::Ledger;
use super::world::World;

/// Many times the longest that a controller waits before it looks again: on a busy machine everything takes
/// longer.
pub const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// See above.
#[derive(Clone)]
pub struct Fixture {
    pub world: Arc<World>,
    pub namespace: String,
    pub ledger: Arc<Ledger>,
}

/// A controller at work, until it is dropped.
pub struct Controller {
    pub proxy: Arc<FaultProxy>,
    task: JoinHandle<()>,
}

impl Controller {
    /// Starts one behind `proxy`.
    pub fn behind(proxy: Arc<FaultProxy>) -> Self {
        let task = tokio::spawn(run(proxy.client()));
        Self { proxy, task }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fixture {
    pub async fn new(world: Arc<World>, namespace: String) -> Self {
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let created = Namespace { metadata: named(&namespace), ..Namespace::default() };
        Api::all(world.client.clone()).create(&PostParams::default(), &created).await.expect("a namespace");
        // No controller manager makes it here, and pods are not admitted without it.
        let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
        Api::namespaced(world.client.clone(), &namespace)
            .create(&PostParams::default(), &account)
            .await
            .expect("a service account");
        let ledger = Arc::new(Ledger::new(&namespace));
        Self { world, namespace, ledger }
    }

    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// A proxy for a controller of this namespace.
    pub fn proxy(&self, plan: Plan) -> Arc<FaultProxy> {
        FaultProxy::new(self.world.client.clone(), self.ledger.clone(), plan)
    }

    /// Starts a controller with this plan. Whenever one is killed, another takes its place.
    pub fn control_by(&self, plan: Plan) -> Controller {
        let (proxy, next) = (self.proxy(plan.clone()), self.clone());
        let mut current = proxy.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! { () = run(current.client()) => return, () = current.killed() => {} }
                current = next.proxy(plan.clone());
            }
        });
        Controller { proxy, task }
    }

    pub async fn apply(&self, name: &str, spec: &Value) {
        let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": name}, "spec": spec});
        self.api::<SingletonJob>()
            .patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&job))
            .await
            .expect("accepted");
    }

    pub async fn delete(&self, name: &str) {
        self.api::<SingletonJob>().delete(name, &DeleteParams::default()).await.expect("deleted");
    }

    /// Does what the garbage collector does when all SingletonJobs are gone.
    pub async fn collect_garbage(&self) {
        let all = ListParams::default();
        self.api::<Pod>()
            .delete_collection(&DeleteParams::default().grace_period(0), &all)
            .await
            .expect("deleted");
    }

    pub fn candidates(&self, job: &str) -> Vec<Candidate> {
        self.world.pods(&self.namespace, job).iter().map(Candidate::read).collect()
    }

    /// Waits until `holds`.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
        let started = Instant::now();
        while !holds() {
            if started.elapsed() > PATIENCE {
                return Err(self.overdue(what));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub fn overdue(&self, what: &str) -> String {
        format!("{}: not {what} after {:?}", self.namespace, self.ledger.faults())
    }
}

async fn run(client: Client) {
    let agent = Agent { image: "agent:test".into(), ..Agent::default() };
    controller::run(client, agent, "controller-0".into(), Arc::new(Telemetry::default())).await;
}
