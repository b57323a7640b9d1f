//! What one SingletonJob costs the controller in requests, from apply to a holder with a ready standby.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{is_true, types};
use singletonjob::lease::annotations::keys;
use testkit::audit::Audit;
use tokio::time::sleep;

use super::{Fixture, QUIET, USER, eventually, leads};

/// All requests, and how many of each there may be. `docs/scale.md` lists them.
const MOST: [(&str, usize); 10] = [
    ("create events", 1),
    ("create leases", 1),
    ("create poddisruptionbudgets", 1),
    ("create pods", 2),
    ("create rolebindings", 1),
    ("create roles", 1),
    ("get singletonjobs", 1),
    ("list pods", 1),
    ("patch pods", 1),
    ("update leases", 1),
];
const STATUS: &str = "update singletonjobs/status";
/// When it is applied, when it is held, and when all its candidates are ready.
const MOST_STATUSES: usize = 3;
const MOST_IN_ALL: usize = 14;
/// How long a change of status may wait for the next. A stand-in for the kubelet that is slower shows more of
/// them.
const DELAY: Duration = Duration::from_secs(1);
const TRIES: usize = 5;
/// HTTP status of a write that lost against another.
const CONFLICT: u16 = 409;

impl Fixture {
    /// Plays scheduler, kubelet and agents: both pods run and are ready, and the first holds the Lease.
    async fn serve(&self, name: &str) {
        let pods: Vec<_> =
            self.pods().await.into_iter().filter(|pod| pod.name_any().starts_with(name)).collect();
        for (pod, node) in pods.iter().zip(["node-a", "node-b"]) {
            self.bind(pod, node).await;
        }
        self.begin_first_attempt(name, &pods[0]).await;
        let ready =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for pod in &pods {
            self.api::<Pod>()
                .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&ready))
                .await
                .expect("ready");
        }
    }

    async fn bind(&self, pod: &Pod, node: &str) {
        let target = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        let metadata = ObjectMeta { name: Some(pod.name_any()), ..ObjectMeta::default() };
        let binding = Binding { metadata, target };
        let bound: Result<Value, _> = self
            .api::<Pod>()
            .create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding)
            .await;
        bound.expect("bound");
    }

    /// The write by which an agent takes the Lease, once the controller has marked it as free.
    async fn begin_first_attempt(&self, name: &str, pod: &Pod) {
        let now = MicroTime(jiff::Timestamp::now());
        let holder = format!("{}_{}_7", pod.name_any(), pod.uid().expect("stored"));
        let spec =
            json!({"holderIdentity": holder, "acquireTime": now, "renewTime": now, "leaseTransitions": 1});
        let uid = self.api::<SingletonJob>().get(name).await.expect("there").uid();
        let progress = json!({"uid": uid, "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true});
        let metadata = json!({"annotations": {keys::PROGRESS: progress.to_string()}});
        let taken = json!({"metadata": metadata, "spec": spec});
        self.api::<Lease>().patch(name, &PatchParams::default(), &Patch::Merge(taken)).await.expect("taken");
    }

    /// Applies a service of two candidates, and plays the rest. Returns the requests of the controller, and how
    /// long the play took from the first pod on.
    async fn requests_of(&self, name: &str) -> (BTreeMap<String, usize>, Duration) {
        let audit = Audit::begin(self.control_plane.audit_log());
        let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"]});
        let template = json!({"spec": {"containers": [container]}});
        self.apply_with(name, json!({"completionPolicy": "Never", "template": template})).await;
        let began = self.first_pod(name).await;
        self.serve(name).await;
        let took = began.elapsed();
        eventually("held, with a standby", async || {
            let job = self.api::<SingletonJob>().get(name).await.expect("there");
            let conditions = job.status.map(|status| status.conditions).unwrap_or_default();
            [types::HELD, types::STANDBY_AVAILABLE, types::READY]
                .iter()
                .all(|type_| is_true(&conditions, type_))
        })
        .await;
        sleep(QUIET).await;
        (self.count(&audit), took)
    }

    /// Waits for both pods. Returns when the first was there.
    async fn first_pod(&self, name: &str) -> Instant {
        let mut first = None;
        loop {
            let many = self.pods().await.iter().filter(|pod| pod.name_any().starts_with(name)).count();
            if many > 0 {
                first.get_or_insert_with(Instant::now);
            }
            if let (2, Some(began)) = (many, first) {
                return began;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The controller's requests in this namespace, by verb and resource. Watches are left out, and what lost
    /// against another write and is repeated.
    fn count(&self, audit: &Audit) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for event in audit.events(USER) {
            if event.verb != "watch" && event.code() != CONFLICT && event.namespace() == self.namespace {
                for (_, resource, _) in event.needs().into_iter().take(1) {
                    *counts.entry(format!("{} {resource}", event.verb)).or_default() += 1;
                }
            }
        }
        counts
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_costs_fourteen_requests_until_a_standby_is_ready() {
    let fixture = Fixture::new("requests").await;
    let program = fixture.start("requests-1").await;
    leads(&program).await;
    for number in 0..TRIES {
        let (requests, took) = fixture.requests_of(&format!("job{number}")).await;
        if took < DELAY {
            let mut most: BTreeMap<_, _> =
                MOST.into_iter().map(|(request, most)| (request.to_owned(), most)).collect();
            most.insert(STATUS.to_owned(), MOST_STATUSES);
            let beyond: Vec<_> =
                requests.iter().filter(|(request, count)| most.get(*request) < Some(count)).collect();
            assert!(beyond.is_empty(), "{beyond:?} of {requests:#?}");
            assert!(requests.values().sum::<usize>() <= MOST_IN_ALL, "{requests:#?}");
            return;
        }
    }
    panic!("the stand-in for the kubelet was too slow {TRIES} times");
}
