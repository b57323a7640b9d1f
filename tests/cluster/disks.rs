//! What candidates need of their node's disks, and of its memory: a disk that stands still, a small limit, a
//! reboot.

use std::fs::{read_to_string, write};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::types;
use singletonjob::api::status::CandidateRole;
use singletonjob::contract::{exit_codes, labels, paths, pod};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::record::Record;
use singletonjob::lease::timing::{Timing, TimingSpec};
use testkit::cluster::{Fault, Process};
use testkit::job::{Job, LEASE, SOON};
use testkit::observe::{await_object, await_tenure, boot_time, nothing_starts, now};
use testkit::scenario::{Scenario, on_own_nodes, side_by_side};
use testkit::witness::Tenure;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
/// As long as a backup of a virtual machine may take.
const FREEZE: Duration = Duration::from_secs(30);
/// For a kill, beside other scenarios: a fraction of K.
const KILL: Duration = Duration::from_millis(100);
const CONTAINER: &str = "main";

/// A disk whose writers are held, as one of them tells.
struct Frozen {
    fault: Fault,
    writer: JoinHandle<()>,
}

impl Frozen {
    fn begin(scenario: &Scenario, node: &str) -> Self {
        let file = scenario.cluster.kubelet_directory(node).join(&scenario.namespace);
        let fault = scenario.cluster.freeze(node);
        Self { fault, writer: thread::spawn(move || write(file, "").expect("the disk has room")) }
    }

    fn thaw(self) {
        assert!(!self.writer.is_finished(), "it was frozen");
        self.fault.mend();
        self.writer.join().expect("it writes now");
    }
}

/// Of the gated container; PID 1 first.
async fn processes(scenario: &Scenario, job: &Job<'_>, name: &str) -> Vec<Process> {
    let pods = job.pods().await;
    let pod = pods.iter().find(|pod| pod.name_any() == name).expect("it is a pod of the job");
    scenario.cluster.processes(&pod.uid().expect("from the API server"), CONTAINER)
}

async fn record(scenario: &Scenario, job: &Job<'_>) -> Record {
    Record::read(&scenario.api::<Lease>().get(job.name).await.expect("the Lease is there"))
        .expect("a Lease of ours")
}

/// A pair whose holder is on the scenario's first node.
async fn held_there(scenario: &Scenario, job: &Job<'_>) -> (Tenure, usize) {
    job.pair().await;
    job.move_to(scenario.nodes[0]).await;
    job.await_true(types::STANDBY_AVAILABLE).await;
    let tenures = job.tenures();
    (tenures.last().expect("it runs").clone(), tenures.len())
}

#[test]
fn a_holder_whose_kubelets_disk_is_frozen_goes_on_undisturbed() {
    on_own_nodes("frozen-node", async |scenario| {
        let job = Job::service(scenario, "web");
        let (holds, starts) = held_there(scenario, &job).await;
        let frozen = Frozen::begin(scenario, scenario.nodes[0]);
        nothing_starts(&job.records, starts, FREEZE).await;
        frozen.thaw();
        nothing_starts(&job.records, starts, LEASE).await;
        let later = job.tenure(holds.token);
        assert!(
            now().saturating_sub(later.last) < SECOND && later.signals.is_empty(),
            "it was disturbed: {later:?}"
        );
        job.await_true(types::STANDBY_AVAILABLE).await;
    });
}

#[test]
fn a_stopped_holder_with_a_frozen_kubelet_is_dead_in_time_and_followed() {
    on_own_nodes("frozen-node-stopped", async |scenario| {
        let job = Job::service(scenario, "web").witness(&["--stubborn", "--daemons", "1"]);
        let timing = Timing::new(&TimingSpec::of(LEASE)).expect("a lease that fits");
        let (holds, starts) = held_there(scenario, &job).await;
        let agent = processes(scenario, &job, &holds.pod).await;
        let frozen = Frozen::begin(scenario, scenario.nodes[0]);
        let elector = agent.iter().find(|process| process.parent == agent[0].pid).expect("a child of PID 1");
        elector.signal(Signal::SIGSTOP);
        // A renewal that was under way may still be stored.
        sleep(timing.request_deadline()).await;
        let last = record(scenario, &job).await;
        assert_eq!(last.holder.as_ref().map(Identity::pod), Some(holds.pod.as_str()));
        let renewed = boot_time(last.renew_time.expect("held"));

        let new = await_tenure(&job.records, starts + 1, SOON).await;
        let ended = job.tenure(holds.token);
        let deadline = renewed + timing.hard_deadline();
        scenario.at_most("deadline to last instruction", ended.last.saturating_sub(deadline), KILL);
        scenario.at_most(
            "last renewal to first instruction (L + 1 s)",
            new.first.saturating_sub(renewed),
            LEASE + SECOND,
        );
        assert_ne!(new.pod, holds.pod);
        nothing_starts(&job.records, starts + 1, FREEZE.saturating_sub(now() - frozen.fault.before)).await;
        frozen.thaw();
        let ended = |pod: Option<&Pod>| pod.and_then(last_exit_code).is_some();
        let ended =
            await_object(scenario.api::<Pod>(), &holds.pod, "the kubelet knows of its end", SOON, ended)
                .await;
        assert_eq!(ended.as_ref().and_then(last_exit_code), Some(exit_codes::LEASE_LOST));
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, starts + 1, SECOND).await;
        assert!(job.tenure(new.token).signals.is_empty(), "the new one does not notice");
    });
}

fn status<'a>(statuses: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    statuses?.iter().find(|status| status.name == name)
}

/// Of the gated container, of the last time that it ended.
fn last_exit_code(pod: &Pod) -> Option<i32> {
    let gated = status(pod.status.as_ref()?.container_statuses.as_ref(), CONTAINER)?;
    let states = [gated.state.as_ref(), gated.last_state.as_ref()];
    states.into_iter().flatten().find_map(|state| state.terminated.as_ref()).map(|end| end.exit_code)
}

#[test]
fn a_candidate_with_a_limit_of_32_mi_starts_and_hands_over_from_memory() {
    side_by_side("small-limit", async |scenario| {
        let job =
            Job::service(scenario, "web").container(json!({"resources": {"limits": {"memory": "32Mi"}}}));
        let old = job.pair().await;
        for pod in job.pods().await {
            let agent = &processes(scenario, &job, &pod.name_any()).await[0];
            assert_eq!(memory_limit(agent.pid), 32 << 20);
            for mount in [paths::AGENT_DIRECTORY, paths::STATE_DIRECTORY] {
                assert_eq!(file_system(agent.pid, mount).as_deref(), Some("tmpfs"), "{mount}");
            }
        }
        job.delete_pod(&old.pod);
        let new = await_tenure(&job.records, 2, SOON).await;
        assert_ne!(new.pod, old.pod);
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 2, LEASE * 2).await;
        assert!(now().saturating_sub(job.tenure(new.token).last) < SECOND, "it runs on");
    });
}

/// Of the control group of a process, in bytes.
fn memory_limit(pid: i32) -> u64 {
    let groups = read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let of = |controllers: &str, file: &str, root: &str| {
        let line = groups.lines().find(|line| line.split(':').nth(1) == Some(controllers))?;
        read_to_string(format!("/sys/fs/cgroup{root}{}/{file}", line.rsplit(':').next()?)).ok()
    };
    let limit = of("memory", "memory.limit_in_bytes", "/memory").or_else(|| of("", "memory.max", ""));
    limit.expect("control groups are mounted").trim().parse().expect("it has a limit")
}

/// What is mounted there, as this process sees it.
fn file_system(pid: i32, mount: &str) -> Option<String> {
    let mounts = read_to_string(format!("/proc/{pid}/mountinfo")).expect("it runs");
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(mount))?;
    line.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}

#[test]
fn after_a_reboot_of_its_node_a_candidate_stands_by_again() {
    on_own_nodes("reboot", async |scenario| {
        let [node, other] = scenario.nodes;
        // Spread over nodes by rule, not by favour: otherwise no other node might have a standby to move to.
        let standing = Job::service(scenario, "standing").pod(&apart("standing"));
        let held = Job::service(scenario, "held").pod(&apart("held"));
        let one_shot =
            Job::one_shot(scenario, "one-shot").witness(&["--until", "end"]).pod(&apart("one-shot"));
        let jobs = [&standing, &held, &one_shot];
        for (job, place) in jobs.into_iter().zip([other, node, other]) {
            job.pair().await;
            job.move_to(place).await;
            job.await_true(types::STANDBY_AVAILABLE).await;
        }
        let starts = jobs.map(|job| job.tenures().len());
        let before = [there(&standing, node).await, there(&held, node).await, there(&one_shot, node).await];

        let began = now();
        scenario.cluster.reboot(node);
        await_tenure(&held.records, starts[1] + 1, SOON).await;
        for (job, before) in jobs.into_iter().zip(&before) {
            let is_back = |job: &SingletonJob| stands_by(job, node);
            job.within(SOON * 2, "a standby on the node that was rebooted", is_back).await;
            let pod = await_installed_since(job, node, before).await;
            let is_kept = pod.uid() == before.uid();
            assert_eq!(is_kept, job.name != "one-shot", "a pod that is started again is kept: {}", job.name);
        }
        scenario.noted("reboot to standbys of all jobs", now() - began);
        for (job, starts) in jobs.into_iter().zip([starts[0], starts[1] + 1, starts[2]]) {
            nothing_starts(&job.records, starts, SECOND).await;
        }
        standing.delete_pod(&standing.tenures().pop().expect("it runs").pod);
        let new = await_tenure(&standing.records, starts[0] + 1, SOON).await;
        assert_eq!(new.pod, before[0].name_any(), "it takes over from where it was installed again");
    });
}

/// At most one candidate on each node: the scheduler spreads them only where it can, and the node that is
/// free may not be ready yet.
fn apart(job: &str) -> Value {
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {labels::JOB: job}}});
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
}

/// Its candidate on this node that has not ended.
async fn there(job: &Job<'_>, node: &str) -> Pod {
    let on_it = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref() == Some(node))
            && phase == Some("Running")
    };
    let pods = job
        .await_pods("one runs on the node", |pods| pods.iter().filter(|pod| on_it(pod)).count() == 1)
        .await;
    pods.into_iter().find(on_it).expect("just seen")
}

fn stands_by(job: &SingletonJob, node: &str) -> bool {
    let candidates = job.status.iter().flat_map(|status| &status.candidates);
    let mut there = candidates.filter(|candidate| candidate.node.as_deref() == Some(node));
    there.any(|candidate| candidate.role == CandidateRole::Standby && candidate.ready)
}

/// Waits until the installer of the candidate on this node is another container than it was.
async fn await_installed_since(job: &Job<'_>, node: &str, before: &Pod) -> Pod {
    let installer = |pod: &Pod| {
        let status = status(pod.status.as_ref()?.init_container_statuses.as_ref(), pod::INSTALLER)?;
        status.state.as_ref()?.terminated.as_ref().filter(|end| end.exit_code == 0)?;
        status.container_id.clone()
    };
    let before = installer(before);
    loop {
        let pod = there(job, node).await;
        if installer(&pod).is_some_and(|id| Some(id) != before) {
            return pod;
        }
        sleep(SECOND / 10).await;
    }
}
