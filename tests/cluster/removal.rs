//! What is deleted ends, gracefully where it may, and nothing is left behind.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use singletonjob::controller::names;
use testkit::cluster::said;
use testkit::job::{Job, LEASE, SOON};
use testkit::observe::{await_object, await_tenure, eventually, nothing_starts, now};
use testkit::operator;
use testkit::scenario::{Scenario, side_by_side, uninstalling};
use testkit::witness::Tenure;

const HANDOVER: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);
/// Not alive any more, for a witness that beats every 50 us.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn deleted_in_any_way_it_leaves_no_orphan() {
    side_by_side("deletion", async |scenario| {
        // For longer than one kubelet may be behind the other: a standby that is not told yet would start.
        let graceful = ["--linger-milliseconds", "4000", "--daemons", "1"];
        let jobs = ["background", "foreground", "with-namespace"]
            .map(|name| Job::service(scenario, name).witness(&graceful));
        let mut running = Vec::new();
        for job in &jobs {
            running.push(job.pair().await);
        }
        for (job, tenure) in jobs.iter().zip(&running).take(2) {
            scenario.must(&["delete", "sj", job.name, &format!("--cascade={}", job.name)]);
            job.await_pods("no pods are left", <[_]>::is_empty).await;
            let ended = job.tenure(tenure.token);
            assert_eq!(
                ended.signals.first().map(|(signal, _)| *signal),
                Some(15),
                "{}: SIGTERM: {ended:?}",
                job.name
            );
            assert_eq!(
                ended.exit.map(|(code, _)| code),
                Some(143),
                "{}: it had its grace: {ended:?}",
                job.name
            );
            await_object::<Lease, _>(scenario.api(), job.name, "its Lease is gone", SOON, |lease| {
                lease.is_none()
            })
            .await;
        }
        nothing_of_them_is_left(scenario, &jobs[..2]).await;
        let arguments = ["delete", "namespace", &scenario.namespace, "--timeout=60s"];
        said(&arguments, &scenario.cluster.kubectl(&arguments));
        is_silent(&jobs[2], running[2].token).await;
        for job in &jobs {
            nothing_starts(&job.records, 1, Duration::ZERO).await;
        }
    });
}

/// The Role and its binding are the Lease's, and go with it.
async fn nothing_of_them_is_left(scenario: &Scenario, jobs: &[Job<'_>]) {
    for job in jobs {
        let name = names::child_name(job.name);
        await_object::<Role, _>(scenario.api(), &name, "the Role is gone", SOON, |role| role.is_none()).await;
        await_object::<RoleBinding, _>(scenario.api(), &name, "the RoleBinding is gone", SOON, |binding| {
            binding.is_none()
        })
        .await;
    }
}

/// For how long nothing of it has executed.
fn silence(tenure: &Tenure) -> Duration {
    now().saturating_sub(tenure.last)
}

async fn is_silent(job: &Job<'_>, token: u128) {
    let silent = || (silence(&job.tenure(token)) > SILENCE).then_some(());
    eventually(&format!("the workload of {} is gone", job.name), Duration::from_secs(2), silent).await;
}

#[test]
fn without_the_operator_workloads_run_and_fail_over() {
    uninstalling("uninstall-without", async |scenario| {
        let job = Job::service(scenario, "web");
        let old = job.pair().await;
        let manifest = operator::manifest("operator.yaml");
        let arguments = ["delete", "--timeout=120s", "--filename", &manifest];
        said(&arguments, &scenario.cluster.kubectl(&arguments));
        nothing_starts(&job.records, 1, LEASE + SECOND).await;
        let going = job.tenure(old.token);
        assert!(silence(&going) < SECOND && going.signals.is_empty(), "it runs on: {going:?}");
        job.delete_pod(&old.pod);
        let new = await_tenure(&job.records, 2, SOON).await;
        scenario.at_most(
            "last to first instruction",
            new.first.saturating_sub(job.tenure(old.token).last),
            HANDOVER,
        );
        uninstalled(scenario, &job, new.token).await;
    });
}

#[test]
fn uninstalling_removes_everything_and_returns() {
    uninstalling("uninstall-with", async |scenario| {
        let job = Job::service(scenario, "web");
        let tenure = job.pair().await;
        uninstalled(scenario, &job, tenure.token).await;
    });
}

async fn uninstalled(scenario: &Scenario, job: &Job<'_>, token: u128) {
    let manifest = operator::manifest("install.yaml");
    let arguments = ["delete", "--ignore-not-found", "--timeout=120s", "--filename", &manifest];
    let began = now();
    said(&arguments, &scenario.cluster.kubectl(&arguments));
    scenario.noted("kubectl delete -f install.yaml", now() - began);
    job.await_pods("no pods are left", <[_]>::is_empty).await;
    is_silent(job, token).await;
    let ended = job.tenure(token);
    assert_eq!(ended.signals.first().map(|(signal, _)| *signal), Some(15), "SIGTERM: {ended:?}");
    let rest = ["delete", "leases", "-A", "-l", "app.kubernetes.io/managed-by=singletonjob-controller"];
    said(&rest, &scenario.cluster.kubectl(&rest));
    await_object::<Lease, _>(scenario.api(), job.name, "its Lease is gone", SOON, |lease| lease.is_none())
        .await;
    nothing_of_them_is_left(scenario, std::slice::from_ref(job)).await;
    for kind in [
        "crd",
        "clusterrole",
        "clusterrolebinding",
        "validatingadmissionpolicy",
        "validatingadmissionpolicybinding",
        "namespace",
    ] {
        let left = said(&["get", kind], &scenario.cluster.kubectl(&["get", kind, "--output", "name"]));
        let ours: Vec<_> = left.lines().filter(|name| name.contains("/singletonjob")).collect();
        assert!(ours.is_empty(), "left: {ours:?}");
    }
}
