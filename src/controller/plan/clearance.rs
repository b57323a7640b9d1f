//! Decides whether a silent holder is known to be gone, if the takeover policy requires that.
//!
//! The controller only writes a directive into the Lease. Candidates heed it if their policy requires it.
//! They wait in any case until the lease has expired on their own clocks, because processes may outlive their
//! pod object.

use std::time::Duration;

use super::super::observe::holder_pod::HolderPodState;
use super::super::observe::{Observed, ObservedLease};
use super::policy::{delay_seconds, unreachable_holder};
use super::request::annotation;
use super::runs;
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, reasons, types};
use crate::api::takeover::CLEARED_HOLDER;
use crate::lease::annotations::{Cleared, UnreachableHolder};
use crate::lease::identity::Identity;

/// Longer than any `holderIdentity`.
const LONGEST_WORD: usize = 400;

/// Why no candidate may take over from a holder whose lease has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The pod of the holder may still run.
    PodNotGone {
        /// The pod whose end candidates wait for.
        pod: String,
        /// The node of that pod.
        node: Option<String>,
    },
    /// No user has confirmed that the holder is gone.
    AwaitingConfirmation {
        /// Who fell silent.
        holder: Identity,
        /// The annotation value that would confirm it.
        word: String,
        /// The current annotation value.
        said: Option<String>,
    },
    /// The holder has not been silent for long enough.
    Delay {
        /// Who fell silent.
        holder: Identity,
        /// How long candidates wait after the lease has expired.
        delay: Duration,
    },
}

/// The silent holder whose pod the controller must look up.
pub fn in_question(job: &SingletonJob, observed: &Observed) -> Option<Identity> {
    let seen = silent(job, observed)?;
    let asked = unreachable_holder(job) == UnreachableHolder::AfterPodGone && !seen.record.is_cleared();
    asked.then(|| suspect(job, seen))
}

/// The word that the holder is gone, where it can be given.
pub fn cleared(job: &SingletonJob, observed: &Observed) -> Option<Cleared> {
    let seen = silent(job, observed)?;
    let known = match unreachable_holder(job) {
        UnreachableHolder::AfterLeaseExpiry => return None,
        UnreachableHolder::AfterPodGone => {
            observed.holder_pod_state.as_ref().is_some_and(HolderPodState::is_over)
        }
        UnreachableHolder::Manual => is_named(job, &suspect(job, seen)),
    };
    let record = &seen.record;
    (known || was_never_held(job, seen))
        .then(|| Cleared { lease_uid: record.uid.clone(), holder: record.holder.clone() })
}

/// Why no candidate may take over yet.
pub fn block(job: &SingletonJob, observed: &Observed) -> Option<Block> {
    silent(job, observed).and_then(|seen| block_of(job, observed, seen))
}

/// Whether takeover waits until the cluster or a user confirms that the holder is gone, however long that
/// takes.
pub fn awaits_confirmation(job: &SingletonJob, observed: &Observed) -> bool {
    let block = block(job, observed).or_else(|| remembered_block(job, observed));
    matches!(block, Some(Block::PodNotGone { .. } | Block::AwaitingConfirmation { .. }))
}

/// What blocks takeover according to status, while this controller cannot tell yet. It has only begun to
/// watch the Lease, and has seen no sign of life.
pub fn remembered_block(job: &SingletonJob, observed: &Observed) -> Option<Block> {
    let seen = wanted(job, observed)?;
    if is_remembered_silent(job, observed) { block_of(job, observed, seen) } else { None }
}

/// Whether status says that the current holder fell silent, and this controller can neither refute nor
/// confirm that yet. An expired tenure does not come back to life, so status is the better guess.
pub fn is_remembered_silent(job: &SingletonJob, observed: &Observed) -> bool {
    let Some(ObservedLease { record, observation, .. }) = &observed.lease else { return false };
    let same = record.holder.as_ref().is_some_and(|holder| last_holder(job) == Some(holder.as_str()));
    let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let silent = [reasons::EXPIRED, reasons::OUTCOME_RECORDED];
    let held = find_condition(conditions, types::HELD).filter(|held| held.status == "False");
    let expired = held.is_some_and(|held| silent.contains(&held.reason.as_str()));
    same && expired && !observation.seen_alive && !observed.remaining().is_zero()
}

fn block_of(job: &SingletonJob, observed: &Observed, seen: &ObservedLease) -> Option<Block> {
    let clear = seen.record.is_cleared() || cleared(job, observed).is_some();
    let holder = suspect(job, seen);
    match unreachable_holder(job) {
        UnreachableHolder::AfterPodGone if !clear => Some(not_gone(&holder, observed)),
        UnreachableHolder::Manual if !clear => Some(awaiting_confirmation(job, holder)),
        _ => {
            let delay = Duration::from_secs(delay_seconds(job).into());
            (seen.observation.unchanged < seen.record.lease_duration + delay)
                .then_some(Block::Delay { holder, delay })
        }
    }
}

/// The annotation value that status remembers. A pod's name acts once, because it says nothing about later
/// processes in that pod. It does not act at all if the user wrote it before the named holder fell silent.
/// Nor does it act under a policy that needs no confirmation.
pub fn handled(job: &SingletonJob, observed: &Observed) -> Option<String> {
    let known = remembered(job).map(str::to_owned);
    let Some(word) = word_given(job) else { return known };
    if unreachable_holder(job) != UnreachableHolder::Manual {
        return used_up(known, word);
    }
    if let Some(seen) = silent(job, observed) {
        let holder = suspect(job, seen);
        return if is_named(job, &holder) { Some(holder.to_string()) } else { known };
    }
    match observed.holder() {
        Some(holder) if holder.pod() != word && holder.as_str() != word => used_up(known, word),
        _ => known,
    }
}

/// What status remembers of a `word` without effect. It keeps the process that the same word cleared.
fn used_up(known: Option<String>, word: &str) -> Option<String> {
    known.filter(|known| Identity::read(known).pod() == word).or(Some(word.to_owned()))
}

/// The Lease of a holder that has let it pass, while anybody wants it.
fn silent<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a ObservedLease> {
    if observed.remaining().is_zero() { wanted(job, observed) } else { None }
}

/// A Lease that was not given back, while anybody wants it.
fn wanted<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a ObservedLease> {
    let wanted = !job.spec.is_stopped() && !runs::is_over(job, observed);
    observed.lease.as_ref().filter(|seen| wanted && !seen.record.is_released())
}

/// Who may still run: the holder, or the last one before a client emptied the Lease.
fn suspect(job: &SingletonJob, seen: &ObservedLease) -> Identity {
    let last = || last_holder(job).map(Identity::read);
    seen.record.holder.clone().or_else(last).unwrap_or_else(|| Identity::read(Identity::UNKNOWN))
}

/// Made where no candidate could hold it, and not marked as free for want of a moment.
fn was_never_held(job: &SingletonJob, seen: &ObservedLease) -> bool {
    seen.record.holder.is_none() && seen.record.acquire_time.is_none() && last_holder(job).is_none()
}

fn last_holder(job: &SingletonJob) -> Option<&str> {
    job.status.as_ref()?.lease.as_ref()?.last_holder_identity.as_deref()
}

fn word_given(job: &SingletonJob) -> Option<&str> {
    annotation(job, CLEARED_HOLDER).filter(|word| word.len() <= LONGEST_WORD)
}

fn remembered(job: &SingletonJob) -> Option<&str> {
    job.status.as_ref()?.last_handled_cleared_holder.as_deref()
}

fn is_named(job: &SingletonJob, holder: &Identity) -> bool {
    word_given(job)
        .is_some_and(|word| word == holder.as_str() || word == holder.pod() && !is_used_up(job, holder))
}

/// Whether the name of the holder's pod has cleared an earlier process of it.
fn is_used_up(job: &SingletonJob, holder: &Identity) -> bool {
    remembered(job)
        .is_some_and(|known| Identity::read(known).pod() == holder.pod() && known != holder.as_str())
}

fn not_gone(holder: &Identity, observed: &Observed) -> Block {
    let (pod, node) = match &observed.holder_pod_state {
        Some(fate) => (fate.pod().unwrap_or(holder.pod()), fate.node()),
        None => (holder.pod(), None),
    };
    Block::PodNotGone { pod: pod.to_owned(), node: node.map(str::to_owned) }
}

fn awaiting_confirmation(job: &SingletonJob, holder: Identity) -> Block {
    let word = if is_used_up(job, &holder) { holder.as_str() } else { holder.pod() };
    Block::AwaitingConfirmation { word: word.to_owned(), said: word_given(job).map(str::to_owned), holder }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::observe::lease_observations::Observation;
    use super::*;
    use crate::lease::record::Record;

    const HOLDER: &str = "web-2_u2_0000000000000007";
    const EARLIER: &str = "web-2_u2_0000000000000006";

    fn job(policy: &str, word: Option<&str>, handled: Option<&str>) -> SingletonJob {
        let unreachable = json!({"policy": policy, "delaySeconds": 30});
        let mut job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "namespace": "shop", "uid": "j"},
            "spec": {
                "completionPolicy": "Never", "takeover": {"unreachableHolder": unreachable},
                "template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}},
            },
            "status": {"lastHandledClearedHolder": handled, "lease": {"name": "web", "lastHolderIdentity": HOLDER}},
        }))
        .expect("a SingletonJob");
        job.metadata.annotations = word.map(|word| [(CLEARED_HOLDER.to_owned(), word.to_owned())].into());
        job
    }

    fn lease(holder: Option<&str>, annotations: Value, unchanged: u64) -> Observed {
        let object = serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": "l", "resourceVersion": "100", "annotations": annotations},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:00.000000Z",
                     "renewTime": "2026-01-01T00:00:05.000000Z"},
        }))
        .expect("a Lease");
        let record = Record::read(&object).expect("a record");
        let observation = Observation { unchanged: Duration::from_secs(unchanged), ..Observation::default() };
        Observed { lease: Some(ObservedLease { object, record, observation }), ..Observed::default() }
    }

    fn silent_for(unchanged: u64, holder_pod_state: Option<HolderPodState>) -> Observed {
        Observed { holder_pod_state, ..lease(Some(HOLDER), json!({}), unchanged) }
    }

    fn unproven() -> HolderPodState {
        HolderPodState::Unproven { pod: "web-2".into(), node: Some("node-a".into()) }
    }

    fn word_for(holder: Option<&str>) -> Cleared {
        Cleared { lease_uid: "l".into(), holder: holder.map(Identity::read) }
    }

    #[test]
    fn no_user_is_asked_while_the_lease_is_good_or_given_back_or_unwanted() {
        let job = job("AfterPodGone", None, None);
        let released = json!({"singletonjob.dev/released": json!({
            "leaseUid": "l", "renewTime": "2026-01-01T00:00:05Z", "by": HOLDER, "reason": "Drain"}).to_string()});
        let mut suspended = job.clone();
        suspended.spec.suspend = true;
        for (job, observed) in [
            (&job, silent_for(14, Some(HolderPodState::Gone))),
            (&job, Observed { holder_pod_state: Some(HolderPodState::Gone), ..lease(None, released, 60) }),
            (&suspended, silent_for(60, Some(HolderPodState::Gone))),
            (&job, Observed { holder_pod_state: Some(HolderPodState::Gone), ..Observed::default() }),
        ] {
            assert_eq!(
                (in_question(job, &observed), cleared(job, &observed), block(job, &observed)),
                (None, None, None)
            );
        }
    }

    #[test]
    fn by_default_nothing_is_asked_and_only_the_delay_blocks() {
        let job = job("AfterLeaseExpiry", Some("web-2"), None);
        let delay = Some(Block::Delay { holder: Identity::read(HOLDER), delay: Duration::from_secs(30) });
        for (unchanged, blocked) in [(15, delay.clone()), (44, delay), (45, None)] {
            let observed = silent_for(unchanged, None);
            assert_eq!(
                (in_question(&job, &observed), cleared(&job, &observed), block(&job, &observed)),
                (None, None, blocked)
            );
        }
    }

    #[test]
    fn after_pod_gone_clears_by_every_kind_of_end_and_by_nothing_else() {
        let job = job("AfterPodGone", Some("web-2"), None);
        assert_eq!(in_question(&job, &silent_for(15, None)), Some(Identity::read(HOLDER)));
        for fate in
            [HolderPodState::Gone, HolderPodState::Ended, HolderPodState::OutOfService("node-a".into())]
        {
            assert_eq!(
                cleared(&job, &silent_for(60, Some(fate.clone()))),
                Some(word_for(Some(HOLDER))),
                "{fate:?}"
            );
            assert_eq!(block(&job, &silent_for(60, Some(fate))), None);
        }
        assert_eq!(
            (cleared(&job, &silent_for(60, Some(unproven()))), cleared(&job, &silent_for(60, None))),
            (None, None)
        );
        let blocked = Block::PodNotGone { pod: "web-2".into(), node: Some("node-a".into()) };
        assert_eq!(block(&job, &silent_for(60, Some(unproven()))), Some(blocked));
    }

    #[test]
    fn what_status_knows_of_a_silent_holder_stands_for_the_time_being() {
        let knows = |policy: &str, holder: &str, reason: &str| {
            let mut job = job(policy, None, None);
            let status = job.status.as_mut().expect("a status");
            let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
            let held = crate::api::conditions::Statement::no(types::HELD, reason, "");
            crate::api::conditions::set_condition(&mut status.conditions, held, None, &time);
            status.lease.as_mut().expect("a lease").last_holder_identity = Some(holder.to_owned());
            job
        };
        let looked = |unchanged, seen_alive| {
            let mut observed = silent_for(unchanged, None);
            observed.lease.as_mut().expect("a Lease").observation.seen_alive = seen_alive;
            observed
        };
        let table = vec![
            ("just begun to look", knows("Manual", HOLDER, "Expired"), looked(0, false), true),
            ("cannot tell yet", knows("Manual", HOLDER, "Expired"), looked(14, false), true),
            ("can tell", knows("Manual", HOLDER, "Expired"), looked(15, false), false),
            ("has seen it renew", knows("Manual", HOLDER, "Expired"), looked(0, true), false),
            ("another holder", knows("Manual", EARLIER, "Expired"), looked(0, false), false),
            ("it was not silent", knows("Manual", HOLDER, "Held"), looked(0, false), false),
        ];
        for (what, job, observed, stands) in table {
            assert_eq!(is_remembered_silent(&job, &observed), stands, "{what}");
            assert_eq!(remembered_block(&job, &observed).is_some(), stands, "{what}");
        }
        let pod_gone = knows("AfterPodGone", HOLDER, "Expired");
        assert!(matches!(remembered_block(&pod_gone, &looked(0, false)), Some(Block::PodNotGone { .. })));
        let mut suspended = knows("Manual", HOLDER, "Expired");
        suspended.spec.suspend = true;
        assert_eq!(remembered_block(&suspended, &looked(0, false)), None);
    }

    #[test]
    fn what_was_cleared_is_not_asked_again_and_waits_for_its_delay() {
        let mark =
            json!({"singletonjob.dev/cleared": json!({"leaseUid": "l", "holder": HOLDER}).to_string()});
        for policy in ["AfterPodGone", "Manual"] {
            let job = job(policy, None, None);
            let observed = |unchanged| lease(Some(HOLDER), mark.clone(), unchanged);
            assert_eq!((in_question(&job, &observed(20)), block(&job, &observed(60))), (None, None));
            assert!(matches!(block(&job, &observed(20)), Some(Block::Delay { .. })));
        }
    }

    #[test]
    fn a_user_clears_exactly_the_holder_named_and_by_a_pods_name_only_once() {
        let table = [
            (None, None, false),
            (Some("web-2"), None, true),
            (Some(" web-2\n"), None, true),
            (Some(HOLDER), None, true),
            (Some("web-1"), None, false),
            (Some("web"), None, false),
            (Some(""), None, false),
            (Some(EARLIER), None, false),
            (Some("web-2"), Some(HOLDER), true),
            (Some("web-2"), Some(EARLIER), false),
            (Some("web-2"), Some("web-2"), false),
            (Some("web-2"), Some("web-1_u1_0"), true),
            (Some(HOLDER), Some(EARLIER), true),
        ];
        for (word, handled_before, clears) in table {
            let (job, observed) = (job("Manual", word, handled_before), silent_for(60, Some(unproven())));
            assert_eq!(cleared(&job, &observed).is_some(), clears, "{word:?} after {handled_before:?}");
            assert_eq!(block(&job, &observed).is_none(), clears);
            let expected = if clears { Some(HOLDER) } else { handled_before };
            assert_eq!(handled(&job, &observed).as_deref(), expected);
        }
    }

    #[test]
    fn a_person_is_told_what_to_write_and_that_what_stands_there_does_nothing() {
        let blocked = |word, handled| block(&job("Manual", word, handled), &silent_for(60, None));
        let awaiting_confirmation = |word: &str, said: Option<&str>| {
            Some(Block::AwaitingConfirmation {
                holder: Identity::read(HOLDER),
                word: word.into(),
                said: said.map(str::to_owned),
            })
        };
        assert_eq!(blocked(None, None), awaiting_confirmation("web-2", None));
        assert_eq!(blocked(Some("web-1"), None), awaiting_confirmation("web-2", Some("web-1")));
        assert_eq!(blocked(Some("web-2"), Some(EARLIER)), awaiting_confirmation(HOLDER, Some("web-2")));
    }

    #[test]
    fn a_name_that_stands_there_while_another_holds_is_used_up() {
        let held = silent_for(3, None);
        for (word, handled_before, after) in [
            (None, Some("web-1"), Some("web-1")),
            (Some("web-2"), None, None),
            (Some(HOLDER), None, None),
            (Some("web-1"), None, Some("web-1")),
            (Some("web-1"), Some("web-1_u1_0"), Some("web-1_u1_0")),
        ] {
            assert_eq!(handled(&job("Manual", word, handled_before), &held).as_deref(), after, "{word:?}");
        }
    }

    #[test]
    fn a_name_that_stands_there_under_another_policy_is_used_up() {
        for policy in ["AfterLeaseExpiry", "AfterPodGone"] {
            for observed in [silent_for(3, None), silent_for(60, Some(unproven())), Observed::default()] {
                assert_eq!(handled(&job(policy, Some("web-2"), None), &observed).as_deref(), Some("web-2"));
                assert_eq!(
                    handled(&job(policy, Some("web-2"), Some(HOLDER)), &observed).as_deref(),
                    Some(HOLDER),
                    "it acted before"
                );
            }
        }
        let after =
            |word| cleared(&job("Manual", Some(word), Some("web-2")), &silent_for(60, None)).is_some();
        assert_eq!(
            (after("web-2"), after(HOLDER)),
            (false, true),
            "the whole identity is about this process"
        );
    }

    #[test]
    fn of_an_emptied_lease_the_last_holder_is_in_question() {
        let emptied = Observed { holder_pod_state: Some(HolderPodState::Gone), ..lease(None, json!({}), 60) };
        let job = job("AfterPodGone", None, None);
        assert_eq!(in_question(&job, &emptied), Some(Identity::read(HOLDER)));
        assert_eq!(cleared(&job, &emptied), Some(word_for(None)));
        let mut new = job;
        new.status = None;
        let mut made = lease(None, json!({}), 60);
        made.lease.as_mut().expect("a Lease").record.acquire_time = None;
        assert_eq!(cleared(&new, &made), Some(word_for(None)));
        assert_eq!(cleared(&new, &lease(None, json!({}), 60)), None, "a candidate has held it");
    }
}
