//! Who plays: services with short, middling and default leases, and a one-shot that is made anew whenever it
//! is finished.
//!
//! Services are made anew as well, after every setback: the second in ten minutes makes a job pause before it
//! starts again, and it is not the pause that is measured here.

use std::cell::Cell;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::types;
use singletonjob::contract::{LeaseFile, Role, labels, pod};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;
use testkit::job::{Job, condition};
use testkit::observe::{now, read_records};
use testkit::scenario::Scenario;
use testkit::witness::Tenure;
use tokio::time::{sleep, timeout};

use crate::verdict::Account;

/// Not heard of for so long, a witness has ended: far longer than it is ever kept waiting for a processor.
const SILENCE: Duration = Duration::from_millis(500);
/// Between two looks at the cluster.
const LOOK: Duration = Duration::from_millis(250);
/// For one answer of an API server that may be down.
const ANSWER: Duration = Duration::from_secs(5);
/// For a workload to run again, which the verdict judges to the millisecond, even if its job pauses.
const RUNS_AGAIN: Duration = Duration::from_secs(90);
/// For pods to be made again and to be ready, even after a node was given up.
const SETTLED: Duration = Duration::from_secs(150);
/// For a one-shot, whatever happens to it meanwhile.
const FINISHED: Duration = Duration::from_secs(300);
/// For so many witnesses: beating as fast as they can they would keep two processors busy, and it would be
/// that that is measured.
const CALM: [&str; 2] = ["--pause-microseconds", "400"];
const ONE_SHOT: &str = "batch";

/// All jobs.
pub struct Jobs<'a> {
    services: Vec<Member<'a>>,
    one_shot: Member<'a>,
}

/// One job.
pub struct Member<'a> {
    scenario: &'a Scenario,
    job: Job<'a>,
    lease: Duration,
    /// Of the same name, so far.
    incarnations: Cell<u32>,
}

/// A candidate pod that takes part.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub name: String,
    pub uid: String,
    pub node: String,
    pub address: String,
}

/// Who does what in a job at a moment.
#[derive(Clone)]
pub struct Position {
    pub job: &'static str,
    /// Of the workload that runs.
    pub token: u128,
    pub active: Candidate,
    /// Those that are ready to take over.
    pub standbys: Vec<Candidate>,
}

impl<'a> Jobs<'a> {
    /// Makes all services, and waits for none.
    pub async fn begin(scenario: &'a Scenario) -> Self {
        let service = |name, seconds, replicas, witness: &[&str]| {
            let job = Job::service(scenario, name)
                .witness(&[witness, &CALM].concat())
                .with(json!({"replicas": replicas}));
            let job = job.pod(&json!({"terminationGracePeriodSeconds": 4}));
            Member::new(scenario, job, seconds)
        };
        let services = [
            service("brief", 3, 2, &["--linger-milliseconds", "100"]),
            service("three", 6, 3, &["--daemons", "1"]),
            service("stubborn", 6, 2, &["--stubborn"]),
            service("default", 15, 2, &[]),
        ];
        join_all(services.iter().map(Member::make)).await;
        let one_shot = Job::one_shot(scenario, ONE_SHOT)
            .witness(&[&["--seconds", "8"], &CALM[..]].concat())
            .with(json!({"backoffLimit": 100}));
        Self { services: services.into(), one_shot: Member::new(scenario, one_shot, 6) }
    }

    /// What ran when, of every job.
    pub fn accounts(&self) -> Vec<Account> {
        self.services.iter().chain([&self.one_shot]).map(Member::account).collect()
    }

    /// Where each candidate is, once every service runs and has a standby; the one-shot only if it runs.
    pub async fn settled(&self) -> Vec<Position> {
        join_all(self.services.iter().map(Member::renew)).await;
        let mut positions = join_all(self.services.iter().map(Member::await_standby)).await;
        positions.extend(self.one_shot.position().await);
        positions
    }

    /// The same positions, moments later: by the records alone, for nothing is quicker. Jobs that do not run
    /// now are left out.
    pub fn still(&self, positions: Vec<Position>) -> Vec<Position> {
        let members = self.services.iter().chain([&self.one_shot]);
        members.zip(positions).filter_map(|(member, position)| position.now(&member.tenure()?)).collect()
    }

    /// Waits until every service runs.
    pub async fn running(&self) {
        for member in &self.services {
            member.await_tenure().await;
        }
    }

    /// Makes the one-shot, again and again, whenever it is finished; for ever.
    pub async fn repeat_one_shot(&self) {
        loop {
            self.one_shot.make().await;
            self.one_shot.await_completion().await;
            self.one_shot.remove().await;
        }
    }
}

impl<'a> Member<'a> {
    fn new(scenario: &'a Scenario, job: Job<'a>, seconds: u64) -> Self {
        let job = job.with(json!({"lease": {"leaseDurationSeconds": seconds}}));
        Self { scenario, job, lease: Duration::from_secs(seconds), incarnations: Cell::new(0) }
    }

    fn account(&self) -> Account {
        let records = read_records(&self.job.records);
        Account {
            job: self.job.name,
            lease: self.lease,
            tenures: records.tenures(),
            violations: records.violations(),
        }
    }

    /// What runs of this incarnation.
    fn tenure(&self) -> Option<Tenure> {
        let last = self.job.tenures().pop().filter(|last| last.label == self.label())?;
        (now().saturating_sub(last.last) < SILENCE).then_some(last)
    }

    fn label(&self) -> String {
        format!("n{}", self.incarnations.get())
    }

    async fn await_tenure(&self) -> Tenure {
        self.eventually("its workload runs", RUNS_AGAIN, async || self.tenure()).await
    }

    async fn await_standby(&self) -> Position {
        let settled = async || self.position().await.filter(|position| !position.standbys.is_empty());
        self.eventually("it runs and has a standby", SETTLED, settled).await
    }

    async fn eventually<T>(&self, what: &str, deadline: Duration, look: impl AsyncFn() -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                sleep(LOOK).await;
            }
        };
        timeout(deadline, wait)
            .await
            .unwrap_or_else(|_| panic!("{}: {what}: not within {deadline:?}", self.job.name))
    }

    /// None where nothing runs, or the API server does not answer.
    async fn position(&self) -> Option<Position> {
        let tenure = self.tenure()?;
        let selector = ListParams::default().labels(&format!("{}={}", labels::JOB, self.job.name));
        let pods = timeout(ANSWER, self.scenario.api::<Pod>().list(&selector)).await.ok()?.ok()?.items;
        let active = pods.iter().find(|pod| pod.name_any() == tenure.pod).and_then(candidate)?;
        let standbys = pods.iter().filter(|pod| is_ready(pod)).filter_map(candidate);
        let standbys = standbys.filter(|candidate| self.stands_by(candidate, &tenure.pod)).collect();
        Some(Position { job: self.job.name, token: tenure.token, active, standbys })
    }

    /// By what its agent says to the workload, which is newer than what the API server knows of the pod.
    fn stands_by(&self, candidate: &Candidate, holder: &str) -> bool {
        let folder = self.scenario.cluster.empty_dir(&candidate.node, &candidate.uid, pod::STATE_VOLUME);
        let standing = std::fs::read(folder.join("lease.json"))
            .ok()
            .and_then(|file| serde_json::from_slice::<LeaseFile>(&file).ok());
        standing.is_some_and(|standing| {
            let sees = standing.holder.as_ref().map(Identity::pod);
            standing.role == Role::Standby && standing.trouble.is_none() && sees == Some(holder)
        })
    }

    /// The next incarnation.
    async fn make(&self) {
        self.incarnations.set(self.incarnations.get() + 1);
        let job = self.job.clone().labelled(&self.label()).resource();
        let made =
            async || timeout(ANSWER, self.jobs().create(&PostParams::default(), &job)).await.ok()?.ok();
        self.eventually("it is made", SETTLED, made).await;
    }

    async fn remove(&self) {
        let removed = async || {
            // Whether that was heard is seen next.
            let _ = timeout(ANSWER, self.jobs().delete(self.job.name, &DeleteParams::default())).await;
            let left = timeout(ANSWER, self.jobs().get_opt(self.job.name)).await.ok()?.ok()?;
            left.is_none().then_some(())
        };
        self.eventually("it is removed", SETTLED, removed).await;
    }

    /// The next incarnation after a setback.
    async fn renew(&self) {
        let setbacks = async || {
            let lease =
                timeout(ANSWER, self.scenario.api::<Lease>().get_opt(self.job.name)).await.ok()?.ok()?;
            let progress = lease.and_then(|lease| Record::read(&lease).ok()?.annotations.progress);
            Some(progress.map_or(0, |progress| progress.setbacks))
        };
        if self.eventually("its Lease can be read", SETTLED, setbacks).await > 0 {
            self.remove().await;
            self.make().await;
        }
    }

    async fn await_completion(&self) {
        let over =
            |job: &SingletonJob| [types::COMPLETE, types::FAILED].iter().any(|type_| is_true(job, type_));
        let finished = async || timeout(ANSWER, self.jobs().get(self.job.name)).await.ok()?.ok().filter(over);
        let done = self.eventually("it is finished", FINISHED, finished).await;
        assert!(is_true(&done, types::COMPLETE), "{}: it failed: {done:#?}", self.job.name);
    }

    fn jobs(&self) -> Api<SingletonJob> {
        self.scenario.api()
    }
}

impl Position {
    /// Another candidate may have taken over meanwhile; `None` if that is none that was ready.
    fn now(self, tenure: &Tenure) -> Option<Self> {
        if self.token == tenure.token {
            return Some(self);
        }
        let (now, standbys): (Vec<_>, _) =
            self.standbys.into_iter().partition(|candidate| candidate.name == tenure.pod);
        Some(Self { token: tenure.token, active: now.into_iter().next()?, standbys, ..self })
    }
}

fn is_true(job: &SingletonJob, type_: &str) -> bool {
    condition(job, type_).is_some_and(|is| is.status == "True")
}

fn candidate(pod: &Pod) -> Option<Candidate> {
    let node = pod.spec.as_ref()?.node_name.clone()?;
    let address = pod.status.as_ref()?.pod_ip.clone()?;
    Some(Candidate { name: pod.name_any(), uid: pod.uid()?, node, address })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|is| is.type_ == "Ready" && is.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}
