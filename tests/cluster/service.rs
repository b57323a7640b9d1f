//! The life of a service, as its users see it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use singletonjob::api::conditions::{reasons, types};
use singletonjob::api::status::{CandidateRole, TakeoverReason};
use singletonjob::contract::labels;
use singletonjob::lease::annotations::keys;
use testkit::job::{IMAGE, Job, LEASE, SOON, condition, identities, lease};
use testkit::observe::{await_object, await_tenure, nothing_starts, now};
use testkit::operator;
use testkit::scenario::{Scenario, side_by_side, with_operator};
use testkit::witness::Tenure;
use tokio::time::{sleep, timeout};

const HANDOVER: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);

fn sigterm(tenure: &Tenure) -> Duration {
    let (signal, at) = tenure.signals.first().unwrap_or_else(|| panic!("it was told to stop: {tenure:?}"));
    assert_eq!(*signal, 15, "SIGTERM comes first");
    *at
}

/// Versions count all objects of a cluster together, and tell in which order they were written.
fn version(object: &impl ResourceExt) -> u64 {
    object.resource_version().expect("stored").parse().expect("a number")
}

fn undisturbed(tenure: &Tenure) -> bool {
    now() - tenure.last < SECOND && tenure.signals.is_empty() && tenure.exit.is_none()
}

#[test]
fn applied_one_runs_in_5_s_and_its_deletion_hands_over_within_300_ms() {
    with_operator("story", async |scenario| {
        let job = Job::service(scenario, "web").with(json!({"lease": null}));
        let applied = now();
        assert!(job.apply().contains("created"));
        let first = await_tenure(&job.records, 1, SOON).await;
        scenario.at_most("applied to first instruction", first.first - applied, Duration::from_secs(5));
        scenario.must(&["wait", "sj/web", "--for=condition=Held", "--timeout=10s"]);
        scenario.must(&["wait", "sj/web", "--for=condition=StandbyAvailable", "--timeout=30s"]);
        scenario.must(&["wait", "sj/web", "--for=condition=Ready", "--timeout=30s"]);
        let old = job.holder().await;
        let row = scenario.must(&["get", "sj", "web", "--no-headers"]);
        assert_eq!(row.split_whitespace().take(5).collect::<Vec<_>>(), ["web", "True", "Held", &old, "1"]);

        let told = scenario.must(&["get", "events", "--output=jsonpath={.items[*].reason}"]);
        assert!(!told.contains("NoPods"), "a start makes no noise: {told}");

        let token = job.tenures()[0].token;
        let before = gaps(scenario).await;
        job.delete_pod(&old);
        let second = await_tenure(&job.records, 2, SOON).await;
        let ended = job.tenure(token);
        sigterm(&ended);
        scenario.at_most("last to first instruction", second.first.saturating_sub(ended.last), HANDOVER);
        let takeover = job.await_takeover(second.token).await;
        assert_eq!(
            (takeover.reason, takeover.from.as_ref(), &takeover.to),
            (TakeoverReason::Drain, Some(&old), &second.pod)
        );
        let gap = takeover.gap_milliseconds.and_then(|gap| u64::try_from(gap).ok()).expect("told");
        assert!(Duration::from_millis(gap) <= HANDOVER, "status tells a gap of {gap} ms");
        acquired_just_before(&second, takeover.acquire_time.as_ref().expect("told").0);
        // Measured after status and events are written.
        let measured = async {
            loop {
                let after = gaps(scenario).await;
                if after.0 > before.0 {
                    return (after.0 - before.0, after.1 - before.1);
                }
                sleep(SECOND / 10).await;
            }
        };
        let (count, seconds) = timeout(SOON, measured).await.expect("the metrics tell of it");
        assert!(
            seconds >= Duration::from_millis(gap).as_secs_f64() - 0.001,
            "{count} gaps of {seconds} s in all"
        );
        job.await_true(types::STANDBY_AVAILABLE).await;
        the_story_is_told(scenario, &job, &old, &second).await;
    });
}

/// As the wall clock has it, which status shows in whole seconds.
fn acquired_just_before(tenure: &Tenure, acquired: Timestamp) {
    let first = Timestamp::now() - now().saturating_sub(tenure.first);
    let ahead = first.duration_since(acquired);
    assert!(
        ahead.as_millis() >= -1 && ahead < SignedDuration::from_secs(2),
        "{ahead} from acquireTime to the first instruction"
    );
}

/// How many gaps between two holders the replicas have measured, and their sum in seconds.
async fn gaps(scenario: &Scenario) -> (f64, f64) {
    let all = metrics(scenario).await;
    let sum = |name: &str| -> f64 {
        let lines = all
            .iter()
            .flat_map(|metrics| metrics.lines())
            .filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        lines.sum()
    };
    (sum("singletonjob_takeover_gap_seconds_count"), sum("singletonjob_takeover_gap_seconds_sum"))
}

async fn the_story_is_told(scenario: &Scenario, job: &Job<'_>, old: &str, second: &Tenure) {
    job.await_event("TakeoverCompleted", &format!("{} took over from {old}: Drain", second.pod)).await;
    let told = scenario.must(&["describe", "sj", "web"]);
    let token = second.token.to_string();
    for part in ["LeaseAcquired", "TakeoverCompleted", "Drain", "held by", &second.pod, &token] {
        assert!(told.contains(part), "{part} is missing in: {told}");
    }
    let active = scenario.must(&[
        "get",
        "pods",
        "--selector",
        "singletonjob.dev/name=web,singletonjob.dev/role=active",
        "--output",
        "name",
    ]);
    assert_eq!(active.trim(), format!("pod/{}", second.pod));
    let found = scenario.must(&[
        "get",
        "sj",
        "--field-selector",
        &format!("status.lease.holder={}", second.pod),
        "--output",
        "name",
    ]);
    assert_eq!(found.trim(), "singletonjob.singletonjob.dev/web");
}

#[test]
fn renewals_cause_neither_reconciliations_nor_writes_of_status() {
    with_operator("quiet", async |scenario| {
        let job = Job::service(scenario, "web")
            .with(json!({"lease": {"leaseDurationSeconds": 30, "retryPeriodSeconds": 1}}));
        // By itself it looks again once in a lease, which is longer than all of this takes.
        job.pair().await;
        // What the last change of a pod still sets off.
        nothing_starts(&job.records, 1, Duration::from_secs(5)).await;
        let (before, done) = (job.read().await, reconciliations(scenario).await);
        let (leases, mut renewals, mut last) = (scenario.api::<Lease>(), 0, None);
        await_object(leases, job.name, "eight renewals", SOON, |lease| {
            let renewed = lease.and_then(ResourceExt::resource_version);
            if renewed != last {
                (last, renewals) = (renewed, renewals + 1);
            }
            renewals > 8
        })
        .await;
        assert_eq!(
            reconciliations(scenario).await,
            done,
            "reconciliations of this and every other SingletonJob there is"
        );
        assert_eq!(job.read().await.resource_version(), before.resource_version());
    });
}

/// By all replicas, ever.
async fn reconciliations(scenario: &Scenario) -> u64 {
    let all = metrics(scenario).await;
    let counts = all
        .iter()
        .flat_map(|metrics| metrics.lines())
        .filter(|line| line.starts_with("controller_runtime_reconcile_total{"));
    let sum = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
    assert!(sum > 0, "it was reconciled at least once");
    sum
}

/// What each replica of the controller tells.
async fn metrics(scenario: &Scenario) -> Vec<String> {
    let pods = kube::Api::<Pod>::namespaced(scenario.client.clone(), operator::NAMESPACE);
    let selector = kube::api::ListParams::default().labels(operator::SELECTOR);
    let mut all = Vec::new();
    for pod in pods.list(&selector).await.expect("pods can be listed").items {
        let node = pod.spec.and_then(|spec| spec.node_name).expect("it runs");
        let address = pod.status.and_then(|status| status.pod_ip).expect("it runs");
        let metrics = scenario.cluster.get_from_pod(&node, &format!("{address}:8080"), "/metrics");
        assert!(metrics.contains("leader_election_master_status"), "{metrics}");
        all.push(metrics);
    }
    all
}

#[test]
fn a_second_apply_of_the_same_file_changes_nothing() {
    side_by_side("apply-again", async |scenario| {
        let job = Job::service(scenario, "web");
        let tenure = job.pair().await;
        let (before, pods) = (job.at_rest().await, job.pods().await);
        assert!(job.apply().contains("unchanged"));
        nothing_starts(&job.records, 1, SECOND * 2).await;
        assert_eq!(job.read().await.resource_version(), before.resource_version());
        assert_eq!(identities(&job.pods().await), identities(&pods));
        assert!(undisturbed(&job.tenure(tenure.token)));
    });
}

#[test]
fn a_new_template_replaces_the_standby_then_hands_over_once() {
    side_by_side("new-template", async |scenario| {
        let job = Job::service(scenario, "web").labelled("old");
        let old = job.pair().await;
        let before = job.pods().await;
        let standby =
            before.iter().map(ResourceExt::name_any).find(|name| *name != old.pod).expect("a standby");
        let leaving =
            await_object::<Pod, _>(scenario.api(), &standby, "the old standby leaves", SOON, |pod| {
                pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some())
            });
        let asking =
            await_object::<Lease, _>(scenario.api(), "web", "a handover is asked for", SOON, |lease| {
                lease.is_some_and(|lease| lease.annotations().contains_key(keys::HANDOVER))
            });
        let job = job.labelled("new");
        assert!(job.apply().contains("configured"));
        let (left, asked) = tokio::join!(leaving, asking);
        assert!(version(&left.expect("seen")) < version(&asked.expect("seen")), "the old standby goes first");
        let new = await_tenure(&job.records, 2, SOON).await;
        let ended = job.tenure(old.token);
        assert_eq!((ended.label.as_str(), new.label.as_str()), ("old", "new"));
        scenario.noted("last to first instruction", new.first.saturating_sub(ended.last));
        assert_eq!(job.await_takeover(new.token).await.reason, TakeoverReason::RolledOut);
        let old_uids: Vec<_> = before.iter().filter_map(ResourceExt::uid).collect();
        let is_new = |pod: &Pod| pod.uid().is_some_and(|uid| !old_uids.contains(&uid));
        scenario.must(&["wait", "sj/web", "--for=condition=Reconciling=False", "--timeout=60s"]);
        let stay = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
        assert!(job.pods().await.iter().filter(|pod| stay(pod)).all(is_new), "the rollout is over");
        job.await_pods("two candidates, both new", |pods| pods.len() == 2 && pods.iter().all(is_new)).await;
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 2, SECOND * 3).await;
        assert!(undisturbed(&job.tenure(new.token)));
    });
}

#[test]
fn a_template_that_cannot_start_leaves_the_old_one_running_and_says_so() {
    side_by_side("broken-template", async |scenario| {
        let job = Job::service(scenario, "web");
        let old = job.pair().await;
        let broken = job.container(json!({"image": "localhost/nowhere:1"}));
        broken.apply();
        let said = |job: &singletonjob::api::SingletonJob| {
            condition(job, types::READY)
                .is_some_and(|ready| ready.status == "True" && ready.message.contains("ErrImageNeverPull"))
        };
        let job = broken;
        job.until("the condition quotes the kubelet", said).await;
        job.await_event("StandbyUnavailable", "ErrImageNeverPull").await;
        nothing_starts(&job.records, 1, LEASE).await;
        assert!(undisturbed(&job.tenure(old.token)));
        let status = job.read().await.status.expect("reported");
        assert_eq!(status.ready_standbys, Some(1), "the old standby stays: {status:#?}");
        let job = job.container(json!({"image": IMAGE}));
        job.apply();
        job.await_pods("the broken candidate is gone", |pods| pods.len() == 2).await;
        assert!(undisturbed(&job.tenure(old.token)));
        assert_eq!(job.tenures().len(), 1);
    });
}

#[test]
fn a_change_of_lease_timing_reaches_the_agents_and_restarts_nothing() {
    side_by_side("new-timing", async |scenario| {
        let job = Job::service(scenario, "web");
        let tenure = job.pair().await;
        let pods = identities(&job.pods().await);
        let mut job = job;
        for seconds in [9, 5] {
            job = job.with(json!({"lease": {"leaseDurationSeconds": seconds}}));
            assert!(job.apply().contains("configured"));
            let renewed = |lease: Option<&Lease>| {
                lease.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds) == Some(seconds)
            };
            await_object(scenario.api(), job.name, "the holder renews by it", SOON, renewed).await;
            job.await_lease("status says so, and that no candidate holds for longer", |lease| {
                lease.lease_duration_seconds == Some(seconds)
                    && lease.longest_lease_duration_seconds == Some(seconds)
            })
            .await;
        }
        nothing_starts(&job.records, 1, SECOND * 5).await;
        assert!(undisturbed(&job.tenure(tenure.token)));
        assert_eq!(identities(&job.pods().await), pods);
    });
}

#[test]
fn suspended_it_stops_gracefully_and_resumed_it_runs_again() {
    side_by_side("suspend", async |scenario| {
        let job = Job::service(scenario, "web").witness(&["--linger-milliseconds", "300"]);
        let tenure = job.pair().await;
        let suspended = job.with(json!({"suspend": true}));
        suspended.apply();
        let job = suspended;
        job.await_true(types::SUSPENDED).await;
        job.await_pods("no candidates", <[Pod]>::is_empty).await;
        let ended = job.tenure(tenure.token);
        sigterm(&ended);
        assert_eq!(ended.exit.map(|(code, _)| code), Some(143), "it came to its end by itself");
        job.until("Ready tells why nothing runs", |job| {
            condition(job, types::READY).is_some_and(|is| is.reason == reasons::SUSPENDED)
        })
        .await;
        nothing_starts(&job.records, 1, LEASE + SECOND).await;
        let job = job.with(json!({"suspend": false}));
        job.apply();
        let again = await_tenure(&job.records, 2, SOON).await;
        assert!(again.token > tenure.token);
        job.await_true(types::READY).await;
        job.until("it is no longer suspended", |job| {
            condition(job, types::SUSPENDED).is_some_and(|is| is.status == "False")
        })
        .await;
    });
}

#[test]
fn kubectl_scale_adds_and_removes_standbys_and_stops_the_workload_at_0() {
    side_by_side("scale", async |scenario| {
        let job = Job::service(scenario, "web");
        let tenure = job.pair().await;
        let scale = |replicas: u32| scenario.must(&["scale", "sj/web", &format!("--replicas={replicas}")]);
        scale(3);
        job.until("three are ready", |job| {
            job.status.as_ref().is_some_and(|status| status.ready_replicas == Some(3))
        })
        .await;
        scale(1);
        let left = job.await_pods("one is left", |pods| pods.len() == 1).await;
        assert_eq!(left[0].name_any(), tenure.pod, "the active one stays");
        assert!(undisturbed(&job.tenure(tenure.token)));
        assert_eq!(
            scenario.must(&[
                "get",
                "sj/web",
                "--subresource=scale",
                "--output",
                "jsonpath={.status.replicas}"
            ]),
            "1"
        );
        scale(0);
        job.await_pods("none is left", <[Pod]>::is_empty).await;
        sigterm(&job.tenure(tenure.token));
        job.until("status says why nothing runs", |job| {
            condition(job, types::READY).is_some_and(|is| is.reason == reasons::SCALED_TO_ZERO)
        })
        .await;
        nothing_starts(&job.records, 1, SECOND * 2).await;
        scale(2);
        let again = await_tenure(&job.records, 2, SOON).await;
        job.until("one is active, the other stands by", |job| {
            roles(job) == [CandidateRole::Active, CandidateRole::Standby]
        })
        .await;
        assert_eq!(lease(&job.read().await).and_then(|lease| lease.holder.clone()), Some(again.pod));
        for pod in job.pods().await {
            assert!(pod.labels().contains_key(labels::ROLE));
        }
    });
}

fn roles(job: &singletonjob::api::SingletonJob) -> Vec<CandidateRole> {
    let mut roles: Vec<_> =
        job.status.iter().flat_map(|status| &status.candidates).map(|candidate| candidate.role).collect();
    roles.sort_by_key(|role| *role != CandidateRole::Active);
    roles
}
