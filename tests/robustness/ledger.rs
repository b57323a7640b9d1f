//! What the controllers of one namespace have asked for, and what of it they should not have.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use singletonjob::api::SingletonJob;
use singletonjob::contract::labels;
use singletonjob::controller::observe::candidate::Candidate;

use super::asked::Asked;
use super::fault_proxy::Fault;

/// See above.
pub struct Ledger {
    pub namespace: String,
    entries: Mutex<Entries>,
}

/// What is written in it.
#[derive(Default)]
struct Entries {
    requests: usize,
    suffered: Vec<(usize, Fault)>,
    /// How often each was made.
    leases: HashMap<String, usize>,
    /// Pods that were retired, and those that a user was to be told of.
    retired: BTreeSet<String>,
    told: BTreeSet<String>,
    violations: Vec<String>,
}

impl Ledger {
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the next request.
    pub fn next_number(&self) -> usize {
        let mut entries = self.entries();
        entries.requests += 1;
        entries.requests
    }

    pub fn requests(&self) -> usize {
        self.entries().requests
    }

    /// The number of each request that something happened to, and what.
    pub fn faults(&self) -> Vec<(usize, Fault)> {
        self.entries().suffered.clone()
    }

    pub fn violations(&self) -> Vec<String> {
        self.entries().violations.clone()
    }

    pub fn suffered(&self, number: usize, fault: Fault) {
        self.entries().suffered.push((number, fault));
    }

    /// Pods that were retired without an event.
    pub fn untold(&self) -> Vec<String> {
        let entries = self.entries();
        entries
            .retired
            .difference(&entries.told)
            .map(|pod| format!("no event says that {pod} was retired"))
            .collect()
    }

    /// A request, whatever becomes of it.
    pub fn tried(&self, asked: &Asked) {
        if !asked.is("POST", "events") {
            return;
        }
        let event = asked.json();
        if event["reason"] == "PodRetired" {
            self.entries().told.extend(event["related"]["name"].as_str().map(str::to_owned));
        }
    }

    /// Before a request is carried out.
    pub async fn before(&self, asked: &Asked, server: &Client) {
        self.entries().violations.extend(unguarded(asked).into_iter().chain(blamed(asked)));
        if asked.is("POST", "pods") && !asked.is_dry {
            let violations = self.unwanted(asked, server).await;
            self.entries().violations.extend(violations);
        }
    }

    /// When it was.
    pub fn after(&self, asked: &Asked, status: StatusCode) {
        match (asked.method.as_str(), asked.resource.as_str()) {
            ("POST", "leases") if status.is_success() => self.made(asked),
            ("PATCH", "pods") if status.is_success() => self.changed(asked),
            _ => {}
        }
    }

    fn changed(&self, asked: &Asked) {
        let Some(pod) = asked.name.clone() else { return };
        if !asked.json()["spec"]["activeDeadlineSeconds"].is_i64() {
            return;
        }
        let mut entries = self.entries();
        if !entries.retired.insert(pod.clone()) {
            entries.violations.push(format!("{pod} was retired again"));
        }
    }

    fn made(&self, asked: &Asked) {
        let name = asked.json()["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut entries = self.entries();
        let made = entries.leases.entry(name.clone()).or_default();
        *made += 1;
        if *made > 1 {
            entries.violations.push(format!("the Lease {name} was made again"));
        }
    }

    /// What is wrong with making this pod now.
    async fn unwanted(&self, asked: &Asked, server: &Client) -> Vec<String> {
        let job = asked.json()["metadata"]["labels"][labels::JOB].as_str().unwrap_or_default().to_owned();
        let jobs: Api<SingletonJob> = Api::namespaced(server.clone(), &self.namespace);
        let pods: Api<Pod> = Api::namespaced(server.clone(), &self.namespace);
        let pods = pods
            .list(&ListParams::default().labels(&format!("{}={job}", labels::JOB)))
            .await
            .expect("an answer");
        let alive = pods.iter().filter(|pod| Candidate::read(pod).is_alive()).count();
        let replicas = jobs.get_opt(&job).await.expect("an answer").map_or(0, |job| job.spec.replicas);
        let mut violations = Vec::new();
        if !self.entries().leases.contains_key(&job) {
            violations.push(format!("a candidate of {job} before its Lease"));
        }
        if alive > usize::try_from(replicas).unwrap_or(0) {
            violations.push(format!("a candidate of {job} beside {alive}, of which {replicas} are wanted"));
        }
        violations
    }
}

/// A write that would hit whatever is there by now.
fn unguarded(asked: &Asked) -> Option<String> {
    let json = asked.json();
    let (metadata, preconditions) = (&json["metadata"], &json["preconditions"]);
    let guarded = match (asked.method.as_str(), asked.resource.as_str()) {
        ("PUT", "leases") => metadata["uid"].is_string() && metadata["resourceVersion"].is_string(),
        ("PATCH", "leases") => false,
        ("DELETE", "leases") => {
            preconditions["uid"].is_string() && preconditions["resourceVersion"].is_string()
        }
        ("DELETE", "pods") => {
            preconditions["uid"].is_string() && preconditions["resourceVersion"].is_string()
        }
        ("PATCH", "pods") => metadata["uid"].is_string(),
        _ => true,
    };
    (!guarded)
        .then(|| format!("{} {} {:?} without saying which: {json}", asked.method, asked.resource, asked.name))
}

/// Here the API server refuses no pod, although it may be too busy to take one.
fn blamed(asked: &Asked) -> Option<String> {
    let blames = asked.is("PUT", "singletonjobs/status")
        && asked.json()["status"].to_string().contains("FailedCreate");
    blames.then(|| format!("a pod was said to be refused: {}", asked.json()["status"]["conditions"]))
}
