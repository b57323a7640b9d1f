//! Probes of the gated container, asked by a real kubelet: a standby is ready without being asked, the
//! holder is asked, and replaced when it says that it is not alive.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::conditions::{reasons, types};
use singletonjob::api::status::{RunOutcome, TakeoverReason};
use testkit::job::{Job, SOON, identities};
use testkit::observe::{await_tenure, eventually, nothing_starts};
use testkit::scenario::{Scenario, side_by_side};

use crate::server::Server;

const SECOND: Duration = Duration::from_secs(1);

/// One candidate per node, asked every second.
fn probed(scenario: &Scenario, probe: impl Fn(&str) -> Value) -> Job<'_> {
    let of = |kind: &str| {
        let mut probe = probe(kind);
        probe["periodSeconds"] = json!(1);
        probe["timeoutSeconds"] = json!(5);
        probe["failureThreshold"] = json!(2);
        probe
    };
    let apart = json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"singletonjob.dev/name": "web"}}}]);
    let apart =
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": apart}}});
    Job::service(scenario, "web")
        .container(json!({"livenessProbe": of("live"), "readinessProbe": of("ready")}))
        .pod(&apart)
}

/// How a server that the kubelet or the agent probes tells the probes of pods apart.
struct Asked<Of, By, Sicken> {
    /// By what a pod is known there.
    of: Of,
    /// Which agents ran both kinds of probes.
    by: By,
    /// From now on the answer to this one is no.
    sicken: Sicken,
}

/// Until the other one has taken over because the first is not alive.
async fn replaced_when_not_alive(
    scenario: &Scenario,
    job: &Job<'_>,
    asked: Asked<impl Fn(&Pod) -> String, impl Fn() -> BTreeSet<String>, impl FnOnce(&str)>,
) {
    let old = job.pair().await;
    let pods = job.pods().await;
    let named = |name: &str| (asked.of)(pods.iter().find(|pod| pod.name_any() == name).expect("it runs"));
    let (first, is_asked) = (named(&old.pod), |who: &str| (asked.by)().contains(who).then_some(()));
    eventually("the workload that runs is asked", SOON, || is_asked(&first)).await;
    nothing_starts(&job.records, 1, SECOND * 3).await;
    assert_eq!((asked.by)(), BTreeSet::from([first.clone()]), "the kubelet asks no standby");
    (asked.sicken)(&first);
    let new = await_tenure(&job.records, 2, SOON).await;
    scenario.noted("last to first instruction", new.first.saturating_sub(job.tenure(old.token).last));
    assert_ne!(new.pod, old.pod);
    assert_eq!(job.await_takeover(new.token).await.reason, TakeoverReason::WorkloadFailed);
    eventually("the new one is asked", SOON, || is_asked(&named(&new.pod))).await;
    job.await_true(types::STANDBY_AVAILABLE).await;
    nothing_starts(&job.records, 2, SECOND * 3).await;
}

#[test]
fn a_command_is_asked_only_where_the_workload_runs_and_its_no_hands_over() {
    side_by_side("probe-exec", async |scenario| {
        let command =
            |kind: &str| format!("touch /witness/{kind}-$(hostname); test ! -e /witness/sick-$(hostname)");
        let job = probed(scenario, |kind| json!({"exec": {"command": ["/bin/sh", "-c", command(kind)]}}));
        let asked = |kind: &str| {
            let files = std::fs::read_dir(&job.records).expect("the folder is there").flatten();
            let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            names.filter_map(|name| name.strip_prefix(kind).map(str::to_owned)).collect::<BTreeSet<_>>()
        };
        let by = || asked("live-").intersection(&asked("ready-")).cloned().collect();
        let sicken = |pod: &str| {
            std::fs::write(job.records.join(format!("sick-{pod}")), "").expect("shared memory is writable");
        };
        replaced_when_not_alive(scenario, &job, Asked { of: ResourceExt::name_any, by, sicken }).await;
    });
}

#[test]
fn an_https_server_is_asked_only_where_the_workload_runs() {
    side_by_side("probe-https", async |scenario| {
        let server = Server::start(scenario.cluster);
        let (host, port) = (server.address.ip(), server.address.port());
        let job = probed(
            scenario,
            |kind| json!({"httpGet": {"scheme": "HTTPS", "host": host, "port": port, "path": format!("/{kind}")}}),
        );
        let of = |pod: &Pod| pod.status.as_ref().and_then(|status| status.host_ip.clone()).expect("it runs");
        let by = || server.asked("/live").intersection(&server.asked("/ready")).cloned().collect();
        replaced_when_not_alive(scenario, &job, Asked { of, by, sicken: |node: &str| server.refuse(node) })
            .await;
    });
}

#[test]
fn a_slow_workload_survives_a_takeover_and_its_impatient_liveness_probe() {
    side_by_side("probe-slow", async |scenario| {
        let start = SECOND * 20;
        let script =
            format!("(sleep {}; touch /witness/up-$(hostname)) & exec /bin/witness", start.as_secs());
        let command = ["/bin/sh", "-c", "test -e /witness/up-$(hostname)"];
        let is_up = |failures: u32| json!({"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": failures});
        let slow = json!({"command": ["/bin/sh", "-c", script], "startupProbe": is_up(60), "livenessProbe": is_up(2), "readinessProbe": is_up(1)});
        let job = Job::service(scenario, "web").container(slow);
        let first = job.pair().await;
        nothing_starts(&job.records, 1, start / 2).await;
        job.await_true(types::READY).await;
        job.delete_pod(&first.pod);
        let second = await_tenure(&job.records, 2, SOON).await;
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 2, start + SECOND * 5).await;
        let alive = job.tenure(second.token);
        assert!(alive.signals.is_empty() && alive.exit.is_none(), "{alive:?}");
        let restarts: i32 = identities(&job.pods().await).into_iter().map(|(_, restarts)| restarts).sum();
        assert_eq!(restarts, 0);
    });
}

#[test]
fn a_workload_that_is_not_alive_is_taken_over_and_counted_by_that_name() {
    side_by_side("probe-failure", async |scenario| {
        let command = ["/bin/sh", "-c", "test ! -e /witness/sick-$(hostname)"];
        let probe = json!({"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 2});
        let job =
            Job::one_shot(scenario, "report").with(json!({"backoffLimit": 1})).witness(&["--until", "end"]);
        let job = job.container(json!({"livenessProbe": probe}));
        let sicken = |pod: &str| {
            std::fs::write(job.records.join(format!("sick-{pod}")), "").expect("shared memory is writable");
        };
        let first = job.pair().await;
        sicken(&first.pod);
        let second = await_tenure(&job.records, 2, SOON).await;
        assert_eq!((second.attempt, second.pod != first.pod), (2, true));
        job.await_event("WorkloadFailed", "(Unhealthy)").await;
        job.until("the failure is counted", |job| {
            job.status.as_ref().and_then(|status| status.run.as_ref()).is_some_and(|run| run.failures == 1)
        })
        .await;
        sicken(&second.pod);
        assert_eq!(job.await_true(types::FAILED).await.reason, reasons::BACKOFF_LIMIT_EXCEEDED);
        let run =
            job.read().await.status.and_then(|status| status.runs.into_iter().next()).expect("it ended");
        assert_eq!(
            (run.outcome, run.reason.as_deref(), run.attempts),
            (RunOutcome::Failed, Some(reasons::UNHEALTHY), 2)
        );
    });
}
