//! The agent alone: candidates and Lease made by the test, the witness as workload.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::json;
use singletonjob::contract::{Role, exit_codes};
use singletonjob::lease::annotations::{CompletionPolicy, Outcome};
use testkit::observe::{await_object, await_tenure, boot_time, nothing_starts, now, tenure};
use testkit::scenario::{Scenario, without_operator, without_operator_alone, without_operator_on_own_nodes};
use testkit::witness::Tenure;

use crate::manual::{ManualJob, NAME, POD_START};

/// The default, where the numbers of users are measured.
const LEASE_SECONDS: u64 = 15;
/// Where the duration does not matter.
const SHORT_LEASE_SECONDS: u64 = 6;
const HANDOVER: Duration = Duration::from_millis(300);
const ELECTOR_DEATH: Duration = Duration::from_millis(500);
/// A kubelet that found no API server asks again after a minute at most (client-go's reflector waits 30 s,
/// and by its jitter up to twice that), and then starts a pod.
const KUBELET_BACKOFF: Duration = Duration::from_secs(90);
const SECOND: Duration = Duration::from_secs(1);

async fn service(scenario: &Scenario) -> ManualJob<'_> {
    ManualJob::create(scenario, LEASE_SECONDS, CompletionPolicy::Never, 0).await
}

async fn brief_service(scenario: &Scenario) -> ManualJob<'_> {
    ManualJob::create(scenario, SHORT_LEASE_SECONDS, CompletionPolicy::Never, 0).await
}

async fn one_shot(scenario: &Scenario, backoff_limit: u32) -> ManualJob<'_> {
    ManualJob::create(scenario, LEASE_SECONDS, CompletionPolicy::OnSuccess, backoff_limit).await
}

/// When the renewal that is stored now was about to be sent, in `CLOCK_BOOTTIME`.
async fn renewed(job: &ManualJob<'_>) -> Duration {
    boot_time(job.record().await.renew_time.expect("held"))
}

fn gap(old: &Tenure, new: &Tenure) -> Duration {
    new.first.saturating_sub(old.last)
}

#[test]
fn one_candidate_runs_and_the_other_stands_by() {
    without_operator("one-runs", async |scenario| {
        let job = service(scenario).await;
        let began = now();
        let active = job.candidate(0, "node-a", &[]).await;
        let first = await_tenure(&scenario.records, 1, POD_START).await;
        // Beside others; `story` judges it with the cluster to itself.
        scenario.noted("pod created to first instruction", first.first - began);
        let standby = job.candidate(1, "node-b", &[]).await;
        standby.await_role(Role::Standby).await;
        let standing = active.await_role(Role::Active).await;
        assert_eq!(
            standing.token.map(|token| token.0),
            Some(first.token),
            "the workload and its file are told the same token"
        );
        assert_eq!(job.record().await.holder, Some(standing.identity));
        nothing_starts(&scenario.records, 1, job.timing.lease_duration() + SECOND).await;
        let later = tenure(&scenario.records, first.token);
        assert!(now() - later.last < SECOND && later.signals.is_empty(), "it runs on undisturbed: {later:?}");
    });
}

#[test]
fn a_holder_and_a_standby_write_at_most_twice_in_five_seconds_together() {
    without_operator("api-cost", async |scenario| {
        let job = service(scenario).await;
        job.pair(&[]).await;
        let window = Duration::from_secs(20);
        let began = job.record().await.renew_time.expect("held");
        let (mut last, mut renewals) = (began, 0_u32);
        let count = await_object(scenario.api::<Lease>(), NAME, "20 s of renewals", window * 2, |lease| {
            let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref()).map(|time| time.0);
            if let Some(renewed) = renewed.filter(|renewed| *renewed > last) {
                (last, renewals) = (renewed, renewals + 1);
            }
            last.duration_since(began).unsigned_abs() >= window
        });
        count.await;
        // From one renewal to another: so many renewals take so many intervals.
        let seconds = last.duration_since(began).as_secs_f64();
        let rate = f64::from(renewals) / seconds;
        scenario.noted("between renewals", Duration::from_secs_f64(1.0 / rate));
        assert!(rate <= 0.4, "{renewals} writes in {seconds:.1} s");
    });
}

/// Of both processes together, shared pages counted once: as holder and as standby.
const MOST_MEMORY_KIB: u64 = 8 * 1024;
const LARGEST_PROGRAM: u64 = 7_000_000;

#[test]
fn the_agent_is_small_on_disk_and_in_memory() {
    without_operator("agent-size", async |scenario| {
        let job = brief_service(scenario).await;
        let (active, standby, _) = job.pair(&[]).await;
        for candidate in [&active, &standby] {
            let agent = candidate
                .processes()
                .into_iter()
                .filter(|process| process.command.starts_with("singletonjob"));
            let pids: Vec<i32> = agent.map(|process| process.pid).collect();
            assert_eq!(pids.len(), 2, "PID 1 and the elector");
            let resident = pids.iter().map(|pid| proportional_memory_kib(*pid)).sum::<u64>();
            assert!(resident <= MOST_MEMORY_KIB, "{resident} KiB resident in {}", candidate.name);
            let program = std::fs::metadata(format!("/proc/{}/exe", pids[0])).expect("it runs").len();
            assert!(program <= LARGEST_PROGRAM, "the program has {program} bytes");
        }
    });
}

fn proportional_memory_kib(pid: i32) -> u64 {
    let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("as root");
    let line = memory.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a proportional set size");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

#[test]
fn deleting_the_active_pod_hands_over() {
    without_operator_alone("delete-active", async |scenario| {
        let job = brief_service(scenario).await;
        let (mut active, mut standby, mut old) = job.pair(&["--daemons", "1"]).await;
        for round in 2..5 {
            active.delete().await;
            let new = await_tenure(&scenario.records, round, Duration::from_secs(10)).await;
            let ended = tenure(&scenario.records, old.token);
            assert_eq!(new.pod, standby.name);
            assert_eq!(
                ended.signals.first().map(|(signal, _)| *signal),
                Some(15),
                "SIGTERM comes before SIGKILL"
            );
            scenario.at_most("last to first instruction", gap(&ended, &new), HANDOVER);
            let node = active.node;
            let next = job.candidate(u32::try_from(round).expect("few"), node, &["--daemons", "1"]).await;
            next.await_role(Role::Standby).await;
            (active, standby, old) = (standby, next, new);
        }
    });
}

/// The old holder's workload, by the deadline that its last renewal gave it.
fn dead_in_time(scenario: &Scenario, job: &ManualJob<'_>, ended: &Tenure, last_renewal: Duration) {
    let what = "last renewal to last instruction (D)";
    scenario.at_most(what, ended.last - last_renewal, job.timing.hard_deadline());
}

/// The new holder, within the lease of one that was cut off, and a second.
fn followed_in_time(scenario: &Scenario, job: &ManualJob<'_>, new: &Tenure, cut: Duration) {
    let what = "cut to first instruction (L + 1 s)";
    scenario.at_most(what, new.first - cut, job.timing.lease_duration() + SECOND);
}

#[test]
fn a_holder_that_is_cut_off_is_dead_in_time_and_replaced_within_the_lease() {
    without_operator_on_own_nodes("cut-node", async |scenario| {
        let job = service(scenario).await;
        let (active, standby, old) = job.pair(&[]).await;
        let fault = scenario.cluster.cut(active.node);
        let last_renewal = renewed(&job).await;
        let new = await_tenure(&scenario.records, 2, Duration::from_secs(30)).await;
        let ended = tenure(&scenario.records, old.token);
        assert_eq!(new.pod, standby.name);
        dead_in_time(scenario, &job, &ended, last_renewal);
        followed_in_time(scenario, &job, &new, fault.before);
        scenario.noted("last to first instruction", gap(&ended, &new));
        fault.mend();
        active.await_end(Duration::from_secs(60)).await;
        nothing_starts(&scenario.records, 2, Duration::from_secs(5)).await;
        assert_eq!(tenure(&scenario.records, old.token).last, ended.last, "the old workload stays dead");
        assert!(tenure(&scenario.records, new.token).signals.is_empty(), "the new one does not notice");
    });
}

#[test]
fn a_stubborn_workload_that_is_cut_off_is_killed_at_the_deadline() {
    without_operator_alone("cut-node-stubborn", async |scenario| {
        let job = brief_service(scenario).await;
        let (active, _standby, old) = job.pair(&["--stubborn", "--daemons", "2"]).await;
        let fault = scenario.cluster.cut(active.node);
        let last_renewal = renewed(&job).await;
        let new = await_tenure(&scenario.records, 2, Duration::from_secs(30)).await;
        let ended = tenure(&scenario.records, old.token);
        dead_in_time(scenario, &job, &ended, last_renewal);
        followed_in_time(scenario, &job, &new, fault.before);
    });
}

#[test]
fn killing_the_elector_kills_the_whole_tree_and_one_runs_again() {
    without_operator_alone("kill-elector", async |scenario| {
        let job = brief_service(scenario).await;
        let (active, standby, old) = job.pair(&["--stubborn", "--daemons", "2"]).await;
        let elector = active.elector();
        let killed = now();
        elector.signal(Signal::SIGKILL);
        let new = await_tenure(&scenario.records, 2, Duration::from_secs(10)).await;
        let ended = tenure(&scenario.records, old.token);
        assert_eq!(new.pod, standby.name);
        scenario.noted("SIGKILL to last instruction of the tree", ended.last.saturating_sub(killed));
        scenario.at_most("SIGKILL to first instruction elsewhere", new.first - killed, ELECTOR_DEATH);
        let (code, message) = active.await_end(Duration::from_secs(10)).await;
        assert_eq!(code, exit_codes::AGENT_FAILED, "{message}");
    });
}

#[test]
fn a_stopped_elector_is_dead_by_the_deadline_with_all_it_started() {
    without_operator_alone("stop-elector", async |scenario| {
        let job = service(scenario).await;
        let (active, standby, old) = job.pair(&["--stubborn", "--daemons", "2"]).await;
        let elector = active.elector();
        elector.signal(Signal::SIGSTOP);
        let last_renewal = renewed(&job).await;
        let new = await_tenure(&scenario.records, 2, Duration::from_secs(30)).await;
        let ended = tenure(&scenario.records, old.token);
        assert_eq!(new.pod, standby.name);
        dead_in_time(scenario, &job, &ended, last_renewal);
        scenario.noted("last to first instruction", gap(&ended, &new));
    });
}

/// Of the process group, orphans included: the kernel alone kills it, though PID 1 is stopped as well. What
/// left the group has to wait until PID 1 is continued, and may be continued before it: see "What is not" in
/// the README.
#[test]
fn what_was_stopped_past_the_deadline_executes_nothing_any_more() {
    without_operator("stop-everything", async |scenario| {
        let job = brief_service(scenario).await;
        let (active, standby, old) = job.pair(&["--stubborn", "--orphans", "2"]).await;
        let processes = active.processes();
        active.signal_all(Signal::SIGSTOP);
        let stopped = now();
        let new = await_tenure(&scenario.records, 2, Duration::from_secs(30)).await;
        assert_eq!(new.pod, standby.name);
        scenario.at_most(
            "stop to first instruction elsewhere (L + 1 s)",
            new.first - stopped,
            job.timing.lease_duration() + SECOND,
        );
        for process in &processes {
            process.signal_if_there(Signal::SIGCONT);
        }
        active.await_end(Duration::from_secs(10)).await;
        assert!(tenure(&scenario.records, old.token).last <= stopped, "nothing was executed after the stop");
        nothing_starts(&scenario.records, 2, Duration::from_secs(2)).await;
    });
}

#[test]
fn an_api_server_that_is_gone_for_5_s_is_not_noticed() {
    without_operator_alone("api-server-5-s", async |scenario| {
        let job = service(scenario).await;
        let (_active, _standby, old) = job.pair(&[]).await;
        // The outage and what it takes to mend it fit between one renewal and the soft deadline only from its
        // beginning on.
        let before = job.record().await.renew_time;
        await_object::<Lease, _>(
            scenario.api(),
            NAME,
            "a fresh renewal",
            job.timing.lease_duration(),
            |lease| {
                lease.is_some_and(|lease| {
                    lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0) > before
                })
            },
        )
        .await;
        let fault = scenario.cluster.refuse_api_server();
        nothing_starts(&scenario.records, 1, Duration::from_secs(5)).await;
        let back = fault.mend();
        nothing_starts(&scenario.records, 1, job.timing.lease_duration() + SECOND).await;
        let going = tenure(&scenario.records, old.token);
        assert!(going.last > back && now() - going.last < SECOND && going.signals.is_empty(), "{going:?}");
    });
}

#[test]
fn an_api_server_gone_for_20_s_ends_the_workload_and_one_runs_again() {
    without_operator_alone("api-server-20-s", async |scenario| {
        let job = service(scenario).await;
        let (_active, _standby, old) = job.pair(&[]).await;
        let last_renewal = renewed(&job).await;
        let fault = scenario.cluster.stop_api_server();
        nothing_starts(&scenario.records, 1, Duration::from_secs(20)).await;
        let ended = tenure(&scenario.records, old.token);
        // A renewal between that look and the stop would only make this look worse than it was.
        dead_in_time(scenario, &job, &ended, last_renewal);
        let back = fault.mend();
        let new = await_tenure(&scenario.records, 2, Duration::from_secs(30)).await;
        scenario.at_most(
            "API server back to first instruction (L + 1 s)",
            new.first.saturating_sub(back),
            job.timing.lease_duration() + SECOND,
        );
        nothing_starts(&scenario.records, 2, Duration::from_secs(5)).await;
        // What comes next needs the kubelets of all nodes.
        for (number, node) in (10..).zip(scenario.cluster.nodes()) {
            job.candidate(number, node, &[]).await.await_role_within(KUBELET_BACKOFF, Role::Standby).await;
        }
    });
}

#[test]
fn a_lease_deleted_by_hand_ends_the_holder_and_none_starts_before_expiry() {
    without_operator_alone("lease-deleted", async |scenario| {
        let job = brief_service(scenario).await;
        let (active, _standby, old) = job.pair(&[]).await;
        let lease = job.lease().await;
        let deleted = now();
        scenario.api::<Lease>().delete(NAME, &DeleteParams::default()).await.expect("the Lease is there");
        job.recreate(&lease).await;
        after_the_lease_was_lost(scenario, &job, &old, deleted).await;
        let (code, message) = active.await_end(Duration::from_secs(10)).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
    });
}

#[test]
fn a_lease_cleared_by_hand_ends_the_holder_and_none_starts_before_expiry() {
    without_operator_alone("lease-cleared", async |scenario| {
        let job = brief_service(scenario).await;
        let (active, _standby, old) = job.pair(&[]).await;
        let cleared = now();
        let patch = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
        scenario
            .api::<Lease>()
            .patch(NAME, &PatchParams::default(), &patch)
            .await
            .expect("an administrator may");
        after_the_lease_was_lost(scenario, &job, &old, cleared).await;
        let (code, message) = active.await_end(Duration::from_secs(10)).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
    });
}

async fn after_the_lease_was_lost(scenario: &Scenario, job: &ManualJob<'_>, old: &Tenure, lost: Duration) {
    let new = await_tenure(&scenario.records, 2, Duration::from_secs(30)).await;
    let ended = tenure(&scenario.records, old.token);
    scenario.at_most("lost to last instruction", ended.last.saturating_sub(lost), HANDOVER);
    scenario.at_least("lost to first instruction (L)", new.first - lost, job.timing.lease_duration());
}

#[test]
fn a_workload_that_exits_0_is_finished_and_never_started_again() {
    without_operator("exit-0", async |scenario| {
        let job = one_shot(scenario, 6).await;
        let (active, _standby, old) = job.pair(&["--until", "end", "--daemons", "1"]).await;
        std::fs::write(scenario.records.join("end"), "").expect("shared memory is writable");
        assert_eq!(active.await_end(Duration::from_secs(10)).await.0, 0);
        let record = job.record().await;
        let finished = record.annotations.finished.clone().expect("written with the release");
        assert!(record.is_released() && record.is_finished());
        assert_eq!(
            (finished.outcome, finished.token.map(|token| token.0)),
            (Outcome::Succeeded, Some(old.token))
        );
        nothing_starts(&scenario.records, 1, job.timing.lease_duration() + SECOND).await;
    });
}

#[test]
fn a_workload_that_exits_0_as_its_node_is_cut_off_is_finished_once() {
    without_operator_on_own_nodes("exit-0-cut-off", async |scenario| {
        let job = one_shot(scenario, 6).await;
        let (active, _standby, old) = job.pair(&["--until", "end"]).await;
        let fault = scenario.cluster.cut(active.node);
        std::fs::write(scenario.records.join("end"), "").expect("shared memory is writable");
        nothing_starts(&scenario.records, 1, Duration::from_secs(8)).await;
        fault.mend();
        let finished = |lease: Option<&Lease>| {
            lease
                .and_then(|lease| singletonjob::lease::record::Record::read(lease).ok())
                .is_some_and(|record| record.is_finished())
        };
        await_object(
            scenario.api::<Lease>(),
            NAME,
            "the run is recorded as finished",
            Duration::from_secs(10),
            finished,
        )
        .await;
        assert_eq!(
            job.record().await.annotations.finished.and_then(|finished| finished.token).map(|token| token.0),
            Some(old.token)
        );
        nothing_starts(&scenario.records, 1, job.timing.lease_duration() + SECOND).await;
    });
}

#[test]
fn a_workload_that_exits_1_is_tried_again_until_the_limit() {
    without_operator("exit-1", async |scenario| {
        let job = one_shot(scenario, 1).await;
        let fail =
            |file: &str| std::fs::write(scenario.records.join(file), "").expect("shared memory is writable");
        let active = job.candidate(0, "node-a", &["--until", "first", "--exit", "1"]).await;
        let first = await_tenure(&scenario.records, 1, Duration::from_secs(20)).await;
        let standby = job.candidate(1, "node-b", &["--until", "second", "--exit", "1"]).await;
        standby.await_role(Role::Standby).await;
        fail("first");
        assert_eq!(active.await_end(Duration::from_secs(20)).await.0, 1);
        let second = await_tenure(&scenario.records, 2, Duration::from_secs(5)).await;
        scenario.noted("last to first instruction", gap(&tenure(&scenario.records, first.token), &second));
        assert!(second.token > first.token && second.attempt == 2 && second.pod == standby.name);
        job.candidate(2, active.node, &[]).await.await_role(Role::Standby).await;
        fail("second");
        assert_eq!(standby.await_end(Duration::from_secs(20)).await.0, 1);
        let finished = job.record().await.annotations.finished.expect("the limit is reached");
        assert_eq!(
            (finished.outcome, finished.reason.as_str(), finished.failures),
            (Outcome::Failed, "BackoffLimitExceeded", 2)
        );
        nothing_starts(&scenario.records, 2, Duration::from_secs(15)).await;
    });
}
