//! All namespaces of one API server, watched once for all tests, with kubelet and agents played.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt, reflector::Lookup};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::contract::labels;
use singletonjob::lease::annotations::Annotations;
use tokio::time::sleep;

use super::agents;

const TICK: Duration = Duration::from_millis(60);

/// See above.
pub struct World {
    pub client: Client,
    jobs: Store<SingletonJob>,
    pods: Store<Pod>,
    leases: Store<Lease>,
}

impl World {
    /// The world of `client`, for as long as its runtime lasts.
    pub fn new(client: Client) -> Arc<Self> {
        let (jobs, pods, leases) = (follow(&client), follow(&client), follow(&client));
        let world = Arc::new(Self { client, jobs, pods, leases });
        let player = world.clone();
        tokio::spawn(async move {
            loop {
                player.play().await;
                sleep(TICK).await;
            }
        });
        world
    }

    pub fn job(&self, namespace: &str, name: &str) -> Option<Arc<SingletonJob>> {
        self.jobs.get(&ObjectRef::new(name).within(namespace))
    }

    pub fn lease(&self, namespace: &str, name: &str) -> Option<Arc<Lease>> {
        self.leases.get(&ObjectRef::new(name).within(namespace))
    }

    /// Pods of one SingletonJob, by name.
    pub fn pods(&self, namespace: &str, job: &str) -> Vec<Pod> {
        let of = |pod: &Pod| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.labels().get(labels::JOB).is_some_and(|is| is == job)
        };
        let mut pods: Vec<_> = self.pods.state_filter(of).iter().map(|pod| (**pod).clone()).collect();
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// Everything that kubelet and agents have to do at this moment. What comes too late is done at the next.
    async fn play(&self) {
        let leases = self.leases.state();
        let done: Vec<_> = leases
            .iter()
            .filter_map(|lease| Annotations::read(lease.metadata.annotations.as_ref()).finished)
            .collect();
        let pods = self.pods.state();
        let has_ended = |pod: &Pod| done.iter().any(|run| run.by.pod_uid() == pod.metadata.uid.as_deref());
        join_all(pods.iter().filter_map(|pod| self.keep(pod, has_ended(pod)))).await;
        let candidates = by_job(&pods);
        join_all(leases.iter().filter_map(|lease| self.act(lease, &candidates))).await;
    }

    /// The kubelet's part.
    fn keep(&self, pod: &Pod, has_ended: bool) -> Option<impl Future<Output = ()>> {
        let wanted = if has_ended { "terminated" } else { "running" };
        let known = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let state = known.and_then(|known| known.first()).and_then(|main| main.state.clone());
        let is = state.map_or("", |state| if state.terminated.is_some() { "terminated" } else { "running" });
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref()?);
        let (name, patch) = (pod.name_any(), Patch::Merge(json!({"status": status(pod, has_ended)})));
        let write = async move { drop(pods.patch_status(&name, &PatchParams::default(), &patch).await) };
        (is != wanted).then_some(write)
    }

    /// The agents' part.
    fn act(
        &self,
        lease: &Lease,
        candidates: &HashMap<(&str, &str), Vec<&Pod>>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let (namespace, name) = (lease.metadata.namespace.as_deref()?, lease.metadata.name.as_deref()?);
        let next = agents::next(lease, candidates.get(&(namespace, name)).map_or(&[], Vec::as_slice))?;
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        Some(async move {
            drop(leases.replace(&next.name_any(), &PostParams::default(), &next).await);
        })
    }
}

fn by_job(pods: &[Arc<Pod>]) -> HashMap<(&str, &str), Vec<&Pod>> {
    let mut by_job: HashMap<_, Vec<_>> = HashMap::new();
    for pod in pods {
        let key = pod.metadata.namespace.as_deref().zip(pod.labels().get(labels::JOB).map(String::as_str));
        by_job.entry(key.unwrap_or_default()).or_default().push(&**pod);
    }
    by_job
}

fn follow<K>(client: &Client) -> Store<K>
where
    K: Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let events =
        watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff().reflect(writer);
    tokio::spawn(events.for_each(|_| std::future::ready(())));
    store
}

/// Everything in `pod` runs, but for its workload once that has ended.
fn status(pod: &Pod, has_ended: bool) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        let over = has_ended && container.name == "main";
        let state = if over { json!({"terminated": {"exitCode": 0}, "running": null}) } else { json!({"running": {}}) };
        json!({"name": container.name, "image": container.image, "imageID": "", "ready": !over, "restartCount": 0, "state": state})
    });
    let ready = json!({"type": "Ready", "status": if has_ended { "False" } else { "True" }, "lastTransitionTime": Timestamp::now()});
    json!({"phase": "Running", "conditions": [ready], "containerStatuses": containers.collect::<Vec<_>>()})
}
