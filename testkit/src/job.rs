//! A SingletonJob as users have it: applied with kubectl, served by the installed operator, with the witness
//! as its workload.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, types};
use singletonjob::api::status::{LeaseStatus, Takeover};
use singletonjob::contract::labels;
use tokio::time::{sleep, timeout};

use crate::observe::{await_object, await_tenure, read_records, tenure};
use crate::scenario::Scenario;
use crate::witness::Tenure;

/// `leaseDurationSeconds` where the default is not the point.
pub const LEASE: Duration = Duration::from_secs(6);
/// For what should happen soon, on a machine that may be busy with other scenarios.
pub const SOON: Duration = Duration::from_secs(45);
/// The witness on top of busybox.
pub const IMAGE: &str = "localhost/singletonjob-witness:test";

/// A SingletonJob, applied or yet to be.
#[derive(Clone)]
pub struct Job<'a> {
    scenario: &'a Scenario,
    /// Of the SingletonJob and its Lease.
    pub name: &'static str,
    /// Of its workloads.
    pub records: PathBuf,
    manifest: Value,
}

impl<'a> Job<'a> {
    /// A service of two candidates with a short lease.
    pub fn service(scenario: &'a Scenario, name: &'static str) -> Self {
        Self::new(scenario, name, "Never")
    }

    /// A one-shot of two candidates with a short lease.
    pub fn one_shot(scenario: &'a Scenario, name: &'static str) -> Self {
        Self::new(scenario, name, "OnSuccess")
    }

    fn new(scenario: &'a Scenario, name: &'static str, completion_policy: &str) -> Self {
        let records = scenario.records_of(name);
        let manifest = json!({
            "apiVersion": "singletonjob.dev/v1alpha1",
            "kind": "SingletonJob",
            "metadata": {"name": name},
            "spec": {
                "completionPolicy": completion_policy,
                "lease": {"leaseDurationSeconds": LEASE.as_secs()},
                "template": {"spec": {
                    "terminationGracePeriodSeconds": 10,
                    "containers": [{
                        "name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/witness"],
                        "volumeMounts": [{"name": "records", "mountPath": "/witness"}],
                    }],
                    "volumes": [{"name": "records", "hostPath": {"path": records, "type": "Directory"}}],
                }},
            },
        });
        Self { scenario, name, records, manifest }.labelled("")
    }

    /// With these arguments of the witness.
    #[must_use]
    pub fn witness(self, arguments: &[&str]) -> Self {
        self.container(json!({"args": arguments}))
    }

    /// With `spec` merged into its own; null takes a field away.
    #[must_use]
    pub fn with(mut self, spec: Value) -> Self {
        merge(&mut self.manifest["spec"], spec);
        self
    }

    /// With `spec` merged into its template's.
    #[must_use]
    pub fn pod(self, spec: &Value) -> Self {
        self.with(json!({"template": {"spec": spec}}))
    }

    /// With `container` merged into its gated container.
    #[must_use]
    pub fn container(mut self, container: Value) -> Self {
        merge(&mut self.manifest["spec"]["template"]["spec"]["containers"][0], container);
        self
    }

    /// With a template that differs from before, and records that tell it: see [`Tenure::label`].
    #[must_use]
    pub fn labelled(self, label: &str) -> Self {
        let pause = self.scenario.pause_microseconds.to_string();
        self.container(json!({"env": [
            {"name": "WITNESS_LABEL", "value": label},
            {"name": "WITNESS_PAUSE_MICROSECONDS", "value": pause},
        ]}))
    }

    fn in_zone(&self) -> Value {
        let mut manifest = self.manifest.clone();
        self.scenario.keep_in_zone(&mut manifest["spec"]["template"]["spec"]);
        manifest
    }

    /// What is applied.
    ///
    /// # Panics
    /// Where it is none.
    pub fn resource(&self) -> SingletonJob {
        serde_json::from_value(self.in_zone()).expect("a SingletonJob")
    }

    /// As users do it; returns what kubectl said.
    #[track_caller]
    pub fn apply(&self) -> String {
        self.scenario.apply(&self.in_zone().to_string())
    }

    /// Applied, until one runs and the other is ready to take over.
    pub async fn pair(&self) -> Tenure {
        self.apply();
        let tenure = await_tenure(&self.records, 1, SOON).await;
        self.await_true(types::STANDBY_AVAILABLE).await;
        tenure
    }

    /// The resource as it is stored.
    pub async fn read(&self) -> SingletonJob {
        self.scenario.api().get(self.name).await.expect("the SingletonJob is there")
    }

    /// Waits until the resource is so.
    pub async fn until(&self, what: &str, mut so: impl FnMut(&SingletonJob) -> bool) -> SingletonJob {
        self.within(SOON, what, &mut so).await
    }

    /// The same, for what takes its time.
    pub async fn within(
        &self,
        deadline: Duration,
        what: &str,
        mut so: impl FnMut(&SingletonJob) -> bool,
    ) -> SingletonJob {
        await_object(self.scenario.api(), self.name, what, deadline, |job| job.is_some_and(&mut so))
            .await
            .expect("just seen")
    }

    /// Waits until no program writes it any more.
    pub async fn at_rest(&self) -> SingletonJob {
        let rest = async {
            let mut last = self.read().await;
            loop {
                sleep(Duration::from_secs(2)).await;
                let job = self.read().await;
                if job.resource_version() == last.resource_version() {
                    return job;
                }
                last = job;
            }
        };
        timeout(SOON, rest)
            .await
            .unwrap_or_else(|_| panic!("{}: written again and again for {SOON:?}", self.name))
    }

    /// Waits until the condition of this type is true.
    pub async fn await_true(&self, type_: &str) -> Condition {
        let job = self
            .until(&format!("{type_} is true"), |job| {
                condition(job, type_).is_some_and(|is| is.status == "True")
            })
            .await;
        condition(&job, type_).expect("just seen").clone()
    }

    /// Waits until the condition of this type is not true, with a message that contains this.
    pub async fn await_complaint(&self, type_: &str, part: &str) -> Condition {
        let so = |is: &Condition| is.status == "False" && is.message.contains(part);
        let job = self
            .until(&format!("{type_} complains of {part:?}"), |job| condition(job, type_).is_some_and(so))
            .await;
        condition(&job, type_).expect("just seen").clone()
    }

    /// Waits until `status.lease` is so.
    pub async fn await_lease(&self, what: &str, mut so: impl FnMut(&LeaseStatus) -> bool) -> LeaseStatus {
        let job = self.until(what, |job| lease(job).is_some_and(&mut so)).await;
        lease(&job).expect("just seen").clone()
    }

    /// Waits until a candidate holds the Lease that status knows, and tells the name of the pod.
    pub async fn holder(&self) -> String {
        self.await_lease("a candidate holds the Lease", |lease| lease.holder.is_some())
            .await
            .holder
            .expect("just seen")
    }

    /// Waits until status tells of the takeover that gave the Lease this token.
    pub async fn await_takeover(&self, token: u128) -> Takeover {
        let job =
            self.until(&format!("a takeover with token {token}"), |job| takeover(job, token).is_some()).await;
        takeover(&job, token).expect("just seen").clone()
    }

    /// Waits until the holder runs on `node`, by deleting it elsewhere.
    pub async fn move_to(&self, node: &str) {
        // A new pod may come to the node that the one before has left.
        for _ in 0..6 {
            self.await_true(types::STANDBY_AVAILABLE).await;
            let lease = self.await_lease("a holder on a known node", |lease| lease.node.is_some()).await;
            if lease.node.as_deref() == Some(node) {
                return;
            }
            let token = lease.fencing_token;
            self.delete_pod(&lease.holder.expect("it has a node"));
            self.await_lease("another holder", |now| now.fencing_token != token && now.node.is_some()).await;
        }
        panic!("{} does not come to run on {node}", self.name);
    }

    /// As a user would, without waiting.
    #[track_caller]
    pub fn delete_pod(&self, name: &str) {
        self.scenario.must(&["delete", "pod", name, "--wait=false"]);
    }

    /// Its pods, by name.
    pub async fn pods(&self) -> Vec<Pod> {
        let selector = ListParams::default().labels(&format!("{}={}", labels::JOB, self.name));
        let mut pods = self.scenario.api::<Pod>().list(&selector).await.expect("pods can be listed").items;
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// Waits until its pods are so.
    pub async fn await_pods(&self, what: &str, so: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
        let wait = async {
            loop {
                let pods = self.pods().await;
                if so(&pods) {
                    return pods;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{}: {what}: not within {SOON:?}", self.name))
    }

    /// All starts of its workload so far, by first instruction.
    pub fn tenures(&self) -> Vec<Tenure> {
        read_records(&self.records).tenures()
    }

    /// The start of its workload with this token, as it is now known.
    pub fn tenure(&self, token: u128) -> Tenure {
        tenure(&self.records, token)
    }

    /// Waits until there is an event of this reason about it whose note contains this.
    pub async fn await_event(&self, reason: &str, part: &str) {
        let selector = format!("reason={reason},regarding.name={}", self.name);
        let annotations = || {
            self.scenario.must(&[
                "get",
                "events.events.k8s.io",
                "--field-selector",
                &selector,
                "--output",
                "jsonpath={.items[*].note}",
            ])
        };
        let wait = async {
            while !annotations().contains(part) {
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| {
            panic!("{}: no event {reason} that says {part:?}, only: {}", self.name, annotations())
        });
    }

    /// Lets a witness that was started with `--until end` end.
    pub fn let_end(&self) {
        std::fs::write(self.records.join("end"), "").expect("shared memory is writable");
    }
}

/// The condition of this type.
pub fn condition<'a>(job: &'a SingletonJob, type_: &str) -> Option<&'a Condition> {
    find_condition(&job.status.as_ref()?.conditions, type_)
}

/// `status.lease`.
pub fn lease(job: &SingletonJob) -> Option<&LeaseStatus> {
    job.status.as_ref()?.lease.as_ref()
}

fn takeover(job: &SingletonJob, token: u128) -> Option<&Takeover> {
    let token = token.to_string();
    job.status.as_ref()?.takeovers.iter().find(|takeover| takeover.fencing_token.as_ref() == Some(&token))
}

/// Whether the kubelet says that the pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What a candidate's pod was made from and how often its containers were started: the same pods and no
/// restart give the same.
pub fn identities(pods: &[Pod]) -> Vec<(Option<String>, i32)> {
    let restarts = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        statuses.into_iter().flatten().map(|status| status.restart_count).sum()
    };
    pods.iter().map(|pod| (pod.uid(), restarts(pod))).collect()
}

/// Objects are merged, everything else replaced, null removes: a merge patch.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}
