//! Everything in a container is killed at once, as the kernel does where memory is short: what that costs a
//! service, and what it costs a Deployment of one replica in the same cluster.
//!
//! A kubelet looks for ended containers once a second, so that few crashes say little of the whole time. What
//! the agent adds is counted from the next container's first process on. `CRASHES` says how many of each; by
//! hand ten or more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use nix::sys::signal::Signal;
use serde_json::json;
use singletonjob::api::conditions::types;
use singletonjob::api::status::TakeoverReason;
use singletonjob::lease::timing::{Timing, TimingSpec};
use testkit::job::{IMAGE, Job, SOON, is_ready};
use testkit::observe::{await_tenure, eventually, now};
use testkit::scenario::{Scenario, with_operator};

/// What a run of all tests measures of each.
const CRASHES: u32 = 3;
/// For an agent to read the Lease, to give it back, and for the next one to take it.
const MOMENTS: Duration = Duration::from_millis(500);
/// `CLOCK_BOOTTIME`, once for each container.
const STAMP: &str = "cut -d ' ' -f 1 /proc/uptime >>/witness/starts; exec sleep 100000";

fn crashes() -> u32 {
    let set = std::env::var("CRASHES").ok();
    set.map_or(CRASHES, |number| {
        number.parse().unwrap_or_else(|_| panic!("CRASHES={number} is not a number"))
    })
}

#[test]
fn everything_killed_at_once_costs_a_restart_and_the_kill_margin() {
    with_operator("killed-at-once", async |scenario| {
        for (name, seconds) in [("web-15", 15), ("web-60", 60)] {
            let job = Job::service(scenario, name).witness(&["--daemons", "5"]);
            let job = job.with(json!({"lease": {"leaseDurationSeconds": seconds}}));
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for number in 0..crashes() {
                theirs.push(of_a_deployment(scenario, &format!("plain-{seconds}-{number}")).await);
                ours.push(of_a_service(scenario, &job).await);
            }
            let (ours, added): (Vec<_>, Vec<_>) = ours.into_iter().unzip();
            let (ours, added, theirs) = (median(ours), median(added), median(theirs));
            let lease = Timing::new(&TimingSpec::of(Duration::from_secs(seconds))).expect("it fits");
            scenario.noted("a Deployment: killed to first instruction, median", theirs);
            scenario.noted(&format!("L = {seconds} s: the same, median"), ours);
            let what = format!("L = {seconds} s: of these from the next container on (K + 0.5 s)");
            scenario.at_most(&what, added, lease.kill_margin() + MOMENTS);
        }
    });
}

fn median(mut sorted: Vec<Duration>) -> Duration {
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// Kills PID 1 first, and tells when.
fn kill_all(scenario: &Scenario, pod: &Pod) -> Duration {
    let processes = scenario.cluster.processes(&pod.uid().expect("stored"), "main");
    let killed = now();
    for process in processes {
        process.signal_if_there(Signal::SIGKILL);
    }
    killed
}

/// From the kill to the next start, and how much of that from the start of the pod's next container on. Each
/// crash has a service of its own: after a second one the next start is put off.
async fn of_a_service(scenario: &Scenario, job: &Job<'_>) -> (Duration, Duration) {
    job.apply();
    let before = job.tenures().len();
    let old = await_tenure(&job.records, before + 1, SOON).await;
    job.await_true(types::STANDBY_AVAILABLE).await;
    let pods = job.pods().await;
    let holder = pods.iter().find(|pod| pod.name_any() == old.pod).expect("it runs");
    let killed = kill_all(scenario, holder);
    let new = await_tenure(&job.records, before + 2, SOON).await;
    let takeover = job.await_takeover(new.token).await;
    assert_eq!(takeover.reason, TakeoverReason::WorkloadFailed, "{takeover:?}");
    let next = scenario.cluster.processes(&holder.uid().expect("stored"), "main");
    let added = new.first.saturating_sub(started(next[0].pid));
    scenario.must(&["delete", "singletonjob", job.name, "--wait"]);
    job.await_pods("none is left", <[Pod]>::is_empty).await;
    (new.first - killed, added)
}

/// When a process was made, on `CLOCK_BOOTTIME`, by the kernel's clock of 100 ticks a second.
fn started(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, after_name) = stat.rsplit_once(')').expect("every process has a name");
    let ticks = after_name.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok());
    Duration::from_millis(10) * ticks.expect("the kernel counts")
}

async fn of_a_deployment(scenario: &Scenario, name: &str) -> Duration {
    let records = scenario.records_of(name);
    scenario.apply(&deployment(scenario, name, &records).to_string());
    let selector = ListParams::default().labels(&format!("app={name}"));
    let pod = loop {
        let pods = scenario.api::<Pod>().list(&selector).await.expect("the API server answers").items;
        if let Some(pod) = pods.into_iter().find(is_ready) {
            break pod;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let killed = kill_all(scenario, &pod);
    let restarted = || starts(&records).get(1).copied();
    let start = eventually("it is started again", SOON, restarted).await;
    scenario.must(&["delete", "deployment", name, "--cascade=foreground"]);
    fs::remove_file(records.join("starts")).expect("it was made");
    start.saturating_sub(killed)
}

fn deployment(scenario: &Scenario, name: &str, records: &Path) -> serde_json::Value {
    let mut pod = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", STAMP],
            "volumeMounts": [{"name": "records", "mountPath": "/witness"}],
        }],
        "volumes": [{"name": "records", "hostPath": {"path": records, "type": "Directory"}}],
    });
    scenario.keep_in_zone(&mut pod);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}

/// When each container began.
fn starts(records: &Path) -> Vec<Duration> {
    let text = fs::read_to_string(records.join("starts")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok().map(Duration::from_secs_f64)).collect()
}
