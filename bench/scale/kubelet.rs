//! A stand-in for the scheduler and the kubelets: it binds every pod, runs the real elector for it, and says
//! that it is running and ready.
//!
//! No container is started. The elector's workload "runs" from its start order until it is told to end.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Config, ResourceExt};
use serde_json::{Value, json};
use singletonjob::contract::{field_managers, labels};
use singletonjob::lease::driver;
use singletonjob::lease::elector::{Candidate, Fact, Role};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::store::{Place, unchanging};
use testkit::idle_container::IdleContainer;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::api_server::{ApiServer, node};

/// As the agent has it of a pod whose grace period is 30 s.
const STOP_GRACE: Duration = Duration::from_secs(28);

/// The pods whose electors run. The others stay unscheduled.
#[derive(Clone, Copy, Debug)]
pub enum Electors {
    /// Those of all pods.
    Everywhere,
    /// Those of one namespace.
    In(&'static str),
    /// None.
    Nowhere,
}

/// Serves pods of SingletonJobs, until it is dropped.
pub async fn serve(server: Arc<ApiServer>, electors: Electors) {
    let pods: Api<Pod> = match electors {
        Electors::Everywhere => Api::all(server.client.clone()),
        Electors::In(namespace) => Api::namespaced(server.client.clone(), namespace),
        Electors::Nowhere => return,
    };
    let config = watcher::Config::default().labels(labels::JOB);
    let mut events = std::pin::pin!(watcher(pods, config).default_backoff());
    // They end with this task.
    let mut pods_served = JoinSet::new();
    let mut running: HashMap<String, mpsc::UnboundedSender<Fact>> = HashMap::new();
    loop {
        let Ok(Some(event)) = events.try_next().await else { continue };
        let (Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
        let uid = pod.uid().unwrap_or_default();
        match running.get(&uid) {
            None if pod.metadata.deletion_timestamp.is_none() => {
                let (facts, told) = mpsc::unbounded_channel();
                running.insert(uid, facts.clone());
                pods_served.spawn(run(server.clone(), pod, facts, told));
            }
            Some(facts) if pod.metadata.deletion_timestamp.is_some() => drop(facts.send(Fact::Drain)),
            None | Some(_) => {}
        }
    }
}

/// The life of one pod.
async fn run(
    server: Arc<ApiServer>,
    pod: Pod,
    facts: mpsc::UnboundedSender<Fact>,
    told: mpsc::UnboundedReceiver<Fact>,
) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let pods: Api<Pod> = Api::namespaced(server.client.clone(), &namespace);
    // A pod that is deleted meanwhile gets neither.
    if bind(&pods, &name, &node(number(&name))).await.is_ok()
        && let Ok(config) = config(&server, &pod).await
    {
        run_elector(config, &pods, &pod, facts, told).await;
    }
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let delete =
        DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default().grace_period(0) };
    pods.delete(&name, &delete).await.ok();
}

/// Runs the elector of a pod to its end. The pod is ready when the elector has seen the Lease.
async fn run_elector(
    config: Config,
    pods: &Api<Pod>,
    pod: &Pod,
    facts: mpsc::UnboundedSender<Fact>,
    told: mpsc::UnboundedReceiver<Fact>,
) {
    let (namespace, job) =
        (pod.namespace().unwrap_or_default(), pod.labels().get(labels::JOB).cloned().unwrap_or_default());
    let place = Place { namespace: &namespace, name: &job, field_manager: field_managers::AGENT };
    let (first_view, is_viewed) = oneshot::channel();
    let mut first_view = Some(first_view);
    let mut container = IdleContainer::new(facts, |view| {
        if view.role != Role::Pending
            && let Some(first_view) = first_view.take()
        {
            let _ = first_view.send(());
        }
    });
    let elector = driver::run(unchanging(config), place, candidate(pod), told, &mut container);
    let ready = async {
        if is_viewed.await.is_ok() {
            let patch = Patch::Merge(running_and_ready());
            pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.ok();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = elector => drop(ended.expect("a usable connection")),
        () = ready => {}
    }
}

/// The number of a candidate, so that the two of a SingletonJob are on two nodes.
fn number(pod: &str) -> usize {
    pod.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

async fn bind(pods: &Api<Pod>, name: &str, node: &str) -> kube::Result<Value> {
    let target = ObjectReference {
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let binding = Binding { metadata, target };
    pods.create_subresource("binding", name, &PostParams::default(), &binding).await
}

fn running_and_ready() -> Value {
    let now = "2026-01-01T00:00:00Z";
    let condition = |type_| json!({"type": type_, "status": "True", "lastTransitionTime": now});
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    json!({"status": {
        "phase": "Running",
        "startTime": now,
        "conditions": conditions,
        "containerStatuses": [{
            "name": "main", "image": "busybox", "imageID": "busybox", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }],
    }})
}

/// The pod's own credentials, so that the admission policy sees what it sees in a cluster.
async fn config(server: &ApiServer, pod: &Pod) -> kube::Result<Config> {
    let token = server.pods_token(pod).await?;
    Ok(server.control_plane.config_with_token(&token).await)
}

fn candidate(pod: &Pod) -> Candidate {
    let owner = pod.owner_references().first().map(|owner| owner.uid.clone());
    Candidate::new(
        Identity::new(&pod.name_any(), &pod.uid().unwrap_or_default(), RandomState::new().hash_one(())),
        owner.unwrap_or_default(),
        STOP_GRACE,
    )
}
