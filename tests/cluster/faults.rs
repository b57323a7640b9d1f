//! What breaks under a SingletonJob, and what its status says of it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::types;
use singletonjob::api::status::{CandidateRole, TakeoverReason};
use testkit::job::{Job, LEASE, SOON};
use testkit::observe::{await_tenure, nothing_starts, now};
use testkit::operator;
use testkit::scenario::{Scenario, on_own_nodes, with_operator};
use testkit::witness::Tenure;

const HANDOVER: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);
/// How long pods stay on a node that is gone: the cluster's default of 5 min, or the operator's of 30 s,
/// would only be waited for.
const TOLERATION_SECONDS: u32 = 2;
/// For the cluster to notice that a node is gone (20 s here), for pods to leave it, and for others to come,
/// with room for a busy machine.
const NODE_GONE: Duration = Duration::from_secs(120);
/// Longer than a node is gone here.
const PATIENT_LEASE: u64 = 200;

#[test]
fn what_runs_on_a_node_that_is_cut_off_is_never_doubled() {
    on_own_nodes("cut-node-jobs", async |scenario| {
        let [node, other] = scenario.nodes;
        let gone = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS});
        let tolerations = json!({"tolerations": [gone("node.kubernetes.io/unreachable"), gone("node.kubernetes.io/not-ready")]});
        let service = Job::service(scenario, "service").pod(&tolerations);
        let one_shot = Job::one_shot(scenario, "one-shot").pod(&tolerations);
        let removed = Job::service(scenario, "removed").pod(&tolerations);
        let stay = json!({"tolerations": [{"operator": "Exists"}]});
        let finishing = Job::one_shot(scenario, "finishing").witness(&["--until", "end"]).pod(&stay);
        let finishing = finishing.with(json!({"lease": {"leaseDurationSeconds": PATIENT_LEASE}}));
        let jobs = [&service, &one_shot, &removed, &finishing];
        for job in jobs {
            job.pair().await;
            job.move_to(node).await;
            job.await_true(types::STANDBY_AVAILABLE).await;
        }
        let old = jobs.map(|job| job.tenures().pop().expect("it runs"));
        let starts = jobs.map(|job| job.tenures().len());

        let fault = scenario.cluster.cut(node);
        finishing.let_end();
        scenario.must(&["delete", "sj", "removed", "--wait=false"]);
        let again = removed.labelled("again");
        again.apply();

        for (index, job) in [&service, &one_shot, &again].into_iter().enumerate() {
            let new = await_tenure(&job.records, starts[index] + 1, SOON).await;
            followed_in_time(scenario, job, &old[index], &new, fault.before).await;
        }
        assert_eq!(
            one_shot.tenures().pop().map(|new| new.attempt),
            Some(old[1].attempt + 1),
            "a lost attempt counts"
        );
        for job in [&service, &one_shot, &again] {
            job.within(NODE_GONE, "a new standby beside the new holder", |job| is_replaced(job, other)).await;
        }
        let before = [&service, &one_shot, &again].map(Job::tenures);

        fault.mend();
        finishing.within(SOON, "its end is told", |job| is_true(job, types::COMPLETE)).await;
        for (job, before) in [&service, &one_shot, &again].into_iter().zip(&before) {
            goes_on_unnoticing(job, before).await;
        }
        assert_eq!(finishing.tenures().len(), starts[3], "it is finished once");
    });
}

/// Another candidate runs in time after the node was cut off at `cut`, and status says how that came about;
/// of the job that was made again only that it is the new one.
async fn followed_in_time(scenario: &Scenario, job: &Job<'_>, old: &Tenure, new: &Tenure, cut: Duration) {
    let what = format!("{}: cut to first instruction (L + 1 s)", job.name);
    let ended = job.tenure(old.token);
    scenario.noted(&format!("{}: cut to last instruction", job.name), ended.last.saturating_sub(cut));
    if job.name == "removed" {
        assert_eq!(new.label, "again");
        scenario.noted(&what, new.first - cut);
        return;
    }
    scenario.at_most(&what, new.first - cut, LEASE + SECOND);
    let takeover = job.within(NODE_GONE, "the takeover is told", |job| has_takeover(job, new.token)).await;
    let takeover = takeover.status.and_then(|status| status.takeovers.into_iter().next()).expect("just seen");
    assert_eq!((takeover.reason, takeover.from), (TakeoverReason::Expired, Some(old.pod.clone())));
}

/// The newest of the tenures `before` goes on, and no other begins.
async fn goes_on_unnoticing(job: &Job<'_>, before: &[Tenure]) {
    nothing_starts(&job.records, before.len(), SECOND * 4).await;
    let new = before.last().expect("it runs");
    let now = job.tenure(new.token);
    assert!(
        now.signals.is_empty() && now.last > new.last,
        "{}: the new one does not notice: {now:?}",
        job.name
    );
}

#[test]
fn under_a_stricter_policy_a_holder_that_is_cut_off_needs_a_word() {
    on_own_nodes("cut-node-strict", async |scenario| {
        let [node, _] = scenario.nodes;
        let lost = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
        let stay = json!({"tolerations": [lost("node.kubernetes.io/unreachable"), lost("node.kubernetes.io/not-ready")]});
        let strict = |name, policy| {
            Job::service(scenario, name)
                .pod(&stay)
                .with(json!({"takeover": {"unreachableHolder": {"policy": policy}}}))
        };
        let jobs = [strict("manual", "Manual"), strict("pod-gone", "AfterPodGone")];
        for job in &jobs {
            job.pair().await;
            job.move_to(node).await;
            job.await_true(types::STANDBY_AVAILABLE).await;
        }
        let old: Vec<_> = jobs.iter().map(|job| job.tenures().pop().expect("it runs")).collect();
        let starts: Vec<_> = jobs.iter().map(|job| job.tenures().len()).collect();

        let fault = scenario.cluster.cut(node);
        let annotation = format!("singletonjob.dev/cleared-holder={}", old[0].pod);
        let advice = [
            format!("kubectl annotate sj manual --namespace {} {annotation}", scenario.namespace),
            format!("taint node {node}"),
        ];
        for ((job, reason), advice) in jobs.iter().zip(["ManualPolicy", "WaitingForPodGone"]).zip(&advice) {
            let blocked = job.await_true(types::TAKEOVER_BLOCKED).await;
            assert!(blocked.reason == reason && blocked.message.contains(advice), "{blocked:?}");
            job.await_event("TakeoverBlocked", advice).await;
        }
        nothing_starts(&jobs[0].records, starts[0], LEASE + SECOND * 5).await;
        nothing_starts(&jobs[1].records, starts[1], SECOND).await;

        let said = [now(), {
            scenario.must(&["annotate", "sj", "manual", &annotation, "--overwrite"]);
            scenario.must(&["delete", "pod", &old[1].pod, "--force", "--wait=false"]);
            now()
        }];
        for (index, job) in jobs.iter().enumerate() {
            let new = await_tenure(&job.records, starts[index] + 1, SOON).await;
            scenario.at_most(
                &format!("{}: cleared to first instruction", job.name),
                new.first.saturating_sub(said[0]),
                SOON,
            );
            assert_eq!(job.await_takeover(new.token).await.reason, TakeoverReason::Expired);
            let over = |job: &SingletonJob| testkit::job::condition(job, types::TAKEOVER_BLOCKED).is_none();
            job.until("nothing blocks any more", over).await;
        }
        fault.mend();
        for (index, job) in jobs.iter().enumerate() {
            nothing_starts(&job.records, starts[index] + 1, SECOND * 4).await;
        }
    });
}

fn has_takeover(job: &SingletonJob, token: u128) -> bool {
    let takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    takeovers.clone().next().is_some_and(|newest| newest.fencing_token.as_ref() == Some(&token.to_string()))
}

fn is_true(job: &SingletonJob, type_: &str) -> bool {
    testkit::job::condition(job, type_).is_some_and(|is| is.status == "True")
}

/// Both take part and are on this node.
pub fn is_replaced(job: &SingletonJob, on: &str) -> bool {
    let candidates = job.status.iter().flat_map(|status| &status.candidates);
    let part = candidates
        .filter(|candidate| matches!(candidate.role, CandidateRole::Active | CandidateRole::Standby));
    let nodes: Vec<_> =
        part.filter(|candidate| candidate.ready).map(|candidate| candidate.node.as_deref()).collect();
    nodes == [Some(on); 2]
}

#[test]
fn without_a_controller_a_standby_takes_over_all_the_same() {
    with_operator("no-controller", async |scenario| {
        let job = Job::service(scenario, "web");
        let old = job.pair().await;
        let stopped = operator::stop();
        job.delete_pod(&old.pod);
        let new = await_tenure(&job.records, 2, SOON).await;
        let ended = job.tenure(old.token);
        scenario.at_most("last to first instruction", new.first.saturating_sub(ended.last), HANDOVER);
        drop(stopped);
        job.await_lease("status catches up", |lease| lease.holder.as_ref() == Some(&new.pod)).await;
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 2, SECOND).await;
        assert!(job.tenure(new.token).signals.is_empty(), "the controller's return is not noticed");
    });
}

#[test]
fn a_lease_deleted_or_cleared_by_hand_ends_the_holder_before_another() {
    with_operator("lease-by-hand", async |scenario| {
        let jobs =
            ["deleted", "cleared"].map(|name| Job::service(scenario, name).witness(&["--daemons", "1"]));
        let mut old = Vec::new();
        for job in &jobs {
            old.push(job.pair().await);
            job.holder().await;
        }
        let leases = scenario.api::<Lease>();
        let lost = [now(), {
            leases.delete("deleted", &DeleteParams::default()).await.expect("the Lease is there");
            now()
        }];
        let empty = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
        leases.patch("cleared", &PatchParams::default(), &empty).await.expect("an administrator may");
        for (index, job) in jobs.iter().enumerate() {
            let new = await_tenure(&job.records, 2, SOON).await;
            let ended = job.tenure(old[index].token);
            scenario.at_most(
                &format!("{}: to last instruction", job.name),
                ended.last.saturating_sub(lost[index]),
                HANDOVER,
            );
            scenario.at_least(
                &format!("{}: to first instruction (L)", job.name),
                new.first - lost[index],
                LEASE,
            );
            assert!(new.token > old[index].token);
            assert_eq!(job.await_takeover(new.token).await.reason, TakeoverReason::Cleared);
        }
        jobs[0].await_event("LeaseRecreated", "the controller created it again").await;
    });
}
