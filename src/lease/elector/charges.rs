//! Counts attempts that turn out to be failures after they were counted otherwise.
//!
//! The kubelet ends a pod for its own fault (its deadline, a full volume) with the signal by which it ends
//! every pod. The agent cannot tell that from a drain, so the account remembers the end as provisional. The
//! controller sees afterwards why the pod ended, and names the pod in the `run` annotation. The candidate
//! that writes the account next counts the failure, and the end is no longer provisional. A failure thus
//! counts once, however often a controller names the pod.

use std::time::Duration;

use super::super::annotations::{
    CompletionPolicy, MOST_TENANTS, Policy, Progress, Provisional, Reason, Run, Tenant,
};
use super::backoff::{SOUND_RUN, backoff};
use super::limits;

/// The account in which `pod` has begun an attempt. What became of its earlier ones is final: it lives.
pub(super) fn begin(mut progress: Progress, pod: Option<&str>) -> Progress {
    let (Some(pod), true) = (pod, progress.open) else { return progress };
    progress.tenants.retain(|tenant| tenant.uid != pod);
    progress.tenants.push(Tenant { uid: pod.to_owned(), provisional: None, sound: false });
    let surplus = progress.tenants.len().saturating_sub(MOST_TENANTS);
    progress.tenants.drain(..surplus);
    progress
}

/// The account `after` an attempt that ended for `reason`, which may still turn out to be a failure of its
/// pod. What is owed for an earlier pod is forgiven by an attempt that ran for long enough.
pub(super) fn end(before: &Progress, mut after: Progress, reason: Reason, ran: Duration) -> Progress {
    let sound = ran >= SOUND_RUN;
    let provisional = match reason {
        Reason::Drain => Some(Provisional::Interrupted),
        Reason::LeaseLost if after.ignored > before.ignored => Some(Provisional::Ignored),
        Reason::LeaseLost => Some(Provisional::Lost),
        _ => None,
    };
    if before.open
        && let Some(tenant) = after.tenants.last_mut()
    {
        (tenant.provisional, tenant.sound) = (provisional, sound);
    }
    if sound && after.setbacks == before.setbacks {
        after.retry_after_seconds = 0;
    }
    after
}

/// The account once every pod is counted that `run` names as failed, and that was not yet.
pub fn settle(mut progress: Progress, run: &Run) -> Progress {
    if progress.uid != run.uid || progress.run != run.number {
        return progress;
    }
    let mut tenants = std::mem::take(&mut progress.tenants);
    for tenant in &mut tenants {
        if run.failed_pods.iter().any(|pod| pod.uid == tenant.uid)
            && let Some(provisional) =
                tenant.provisional.take_if(|provisional| *provisional != Provisional::Otherwise)
        {
            progress = charge(progress, provisional, tenant.sound);
        }
    }
    Progress { tenants, ..progress }
}

/// The wait that follows is owed by the next start, whether another attempt has begun meanwhile or not.
fn charge(progress: Progress, provisional: Provisional, sound: bool) -> Progress {
    let setbacks = if sound { 1 } else { progress.setbacks.saturating_add(1) };
    let owed = u32::try_from(backoff(setbacks).as_secs()).unwrap_or(u32::MAX);
    Progress {
        failures: progress.failures.saturating_add(u32::from(provisional != Provisional::Lost)),
        ignored: progress.ignored.saturating_sub(u32::from(provisional == Provisional::Ignored)),
        setbacks,
        retry_after_seconds: progress.retry_after_seconds.max(owed),
        ..progress
    }
}

/// Whether failures that were counted afterwards leave no attempt to a run, which one may have begun
/// meanwhile.
pub(super) fn are_too_many(progress: &Progress, policy: &Policy) -> bool {
    policy.completion_policy == CompletionPolicy::OnSuccess
        && limits::verdict(progress, policy, false).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::super::annotations::FailedPod;
    use super::*;

    fn run(failed: &[&str]) -> Run {
        let pod = |uid: &&str| FailedPod {
            uid: (*uid).into(),
            name: format!("web-{uid}"),
            reason: "Evicted".into(),
            message: None,
        };
        let failed_pods = failed.iter().map(pod).collect();
        Run { failed_pods, ..Run::first("job") }
    }

    fn open() -> Progress {
        Progress { uid: "job".into(), run: 1, starts: 1, open: true, ..Progress::default() }
    }

    /// An attempt in pod `a` that ended so.
    fn ended(reason: Reason, after: Progress, ran: Duration) -> Progress {
        let begun = begin(open(), Some("a"));
        let after = Progress { tenants: begun.tenants.clone(), ..after };
        end(&begun, after, reason, ran)
    }

    fn counts(progress: &Progress) -> (u32, u32, u32, u32) {
        (progress.failures, progress.ignored, progress.setbacks, progress.retry_after_seconds)
    }

    #[test]
    fn an_end_that_the_kubelet_made_is_counted_once() {
        let closed = Progress { open: false, setbacks: 1, ..open() };
        let table = [
            ("a drain", Reason::Drain, closed.clone(), (1, 0, 2, 10)),
            ("a lost lease", Reason::LeaseLost, Progress { failures: 1, ..closed.clone() }, (1, 0, 2, 10)),
            ("a forgiven one", Reason::LeaseLost, Progress { ignored: 1, ..closed.clone() }, (1, 0, 2, 10)),
            ("its own end", Reason::WorkloadFailed, Progress { failures: 1, ..closed.clone() }, (1, 0, 1, 0)),
            ("a handover", Reason::Handover, closed.clone(), (0, 0, 1, 0)),
        ];
        for (what, reason, after, expected) in table {
            let ended = ended(reason, after, Duration::ZERO);
            let once = settle(ended.clone(), &run(&["a"]));
            assert_eq!(counts(&once), expected, "{what}");
            assert_eq!(settle(once.clone(), &run(&["a"])), once, "{what}, named again");
            assert_eq!(settle(ended.clone(), &run(&["b"])), ended, "{what}, and another pod is named");
        }
    }

    #[test]
    fn a_pod_that_begins_again_lives_and_what_became_of_it_before_is_final() {
        let drained = ended(Reason::Drain, Progress { open: false, ..open() }, Duration::ZERO);
        let again = begin(Progress { open: true, ..drained }, Some("a"));
        assert_eq!(again.tenants, [Tenant { uid: "a".into(), provisional: None, sound: false }]);
        assert_eq!(settle(again.clone(), &run(&["a"])), again);
    }

    #[test]
    fn ten_minutes_of_running_forgive_what_is_owed_for_earlier_pods() {
        let owing = Progress { open: false, setbacks: 4, retry_after_seconds: 40, ..open() };
        let long = Progress { tenants: begin(open(), Some("a")).tenants, ..owing };
        let before = Progress { open: true, ..long.clone() };
        assert_eq!(end(&before, long.clone(), Reason::Drain, Duration::ZERO).retry_after_seconds, 40);
        let forgiven = end(&before, long, Reason::Drain, SOUND_RUN);
        assert_eq!(forgiven.retry_after_seconds, 0);
        assert_eq!(counts(&settle(forgiven, &run(&["a"]))), (1, 0, 1, 0));
    }

    #[test]
    fn of_many_pods_the_newest_are_remembered_and_another_run_knows_none() {
        let all = (0..40).fold(open(), |progress, number| begin(progress, Some(&format!("pod-{number}"))));
        assert_eq!((all.tenants.len(), all.tenants[0].uid.as_str()), (MOST_TENANTS, "pod-24"));
        let drained = ended(Reason::Drain, Progress { open: false, ..open() }, Duration::ZERO);
        assert_eq!(settle(drained.clone(), &Run { number: 2, ..run(&["a"]) }), drained);
        let spent = begin(Progress { open: false, ..open() }, Some("a"));
        assert!(spent.tenants.is_empty(), "nothing was begun");
    }
}
