//! Decides which changes of status wait for those that follow, so that one write tells them all.
//!
//! A pod that starts changes status at every step: it has a node, it is ready, it stands by. A success waits a
//! second, because others follow it. A step before that waits five, because the condition of the job is the
//! same. The first status of a spec, the holder, and everything that has become worse never wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, types};
use crate::api::status::LeaseStatus;

/// How long the success of a candidate waits for others.
const SUCCESS_DELAY: Duration = Duration::from_secs(1);
/// How long the steps of candidates wait that change no condition and no count.
const STEP_DELAY: Duration = Duration::from_secs(5);
/// How long the controller remembers that a change waits. A SingletonJob that it has not reconciled by then is
/// gone.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Since when changes of status wait, by namespace and name of the SingletonJob.
#[derive(Debug, Default)]
pub struct Delays(Mutex<HashMap<(String, String), Instant>>);

impl Delays {
    /// How long the change from `old` to `new` still waits. `None` if the controller writes it now, or if there
    /// is none.
    pub fn left(
        &self,
        key: &(String, String),
        old: &SingletonJobStatus,
        new: &SingletonJobStatus,
        now: Instant,
    ) -> Option<Duration> {
        let mut delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        delays.retain(|_, since| *since + FORGOTTEN > now);
        let since = *delays.entry(key.clone()).or_insert(now);
        let left = delay(old, new).map(|delay| (since + delay).saturating_duration_since(now));
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            delays.remove(key);
        }
        left
    }
}

/// How long the change from `old` to `new` may wait since it began. `None` if it may not, or if there is none.
fn delay(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Duration> {
    if old == new || !may_wait(old, new) {
        return None;
    }
    let is_step = (old.replicas, old.ready_replicas, old.ready_standbys, &old.conditions)
        == (new.replicas, new.ready_replicas, new.ready_standbys, &new.conditions);
    Some(if is_step { STEP_DELAY } else { SUCCESS_DELAY })
}

/// Whether nothing but the count and the steps of candidates has changed, and nothing for the worse.
fn may_wait(old: &SingletonJobStatus, new: &SingletonJobStatus) -> bool {
    let counted = SingletonJobStatus {
        conditions: new.conditions.clone(),
        replicas: new.replicas,
        ready_replicas: new.ready_replicas,
        ready_standbys: new.ready_standbys,
        candidates: new.candidates.clone(),
        lease: placed(old.lease.as_ref(), new.lease.as_ref()),
        ..old.clone()
    };
    let has_all = old.conditions.iter().all(|was| find_condition(&new.conditions, &was.type_).is_some());
    old.observed_generation.is_some()
        && counted == *new
        && has_all
        && new.conditions.iter().all(|condition| says_no_worse(old, condition))
}

/// The `old` Lease with what a candidate without the Lease changes of the `new` one.
fn placed(old: Option<&LeaseStatus>, new: Option<&LeaseStatus>) -> Option<LeaseStatus> {
    let (old, new) = (old?, new?);
    Some(LeaseStatus { node: new.node.clone(), transitions: new.transitions, ..old.clone() })
}

/// Whether `condition` says the same as before, in whatever words, or that something has succeeded.
fn says_no_worse(old: &SingletonJobStatus, condition: &Condition) -> bool {
    let Some(was) = find_condition(&old.conditions, &condition.type_) else { return false };
    let is_good = match condition.type_.as_str() {
        types::READY | types::STANDBY_AVAILABLE => "True",
        types::RECONCILING => "False",
        _ => return was.status == condition.status && was.reason == condition.reason,
    };
    condition.status == is_good || (was.status == condition.status && was.reason == condition.reason)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "",
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    /// Of a service whose pods have just been created.
    fn applied() -> Value {
        json!({
            "observedGeneration": 1, "replicas": 0, "readyReplicas": 0, "readyStandbys": 0, "lastCandidateNumber": 2,
            "lease": {"name": "web"},
            "conditions": [condition("Ready", "False", "NeverHeld"), condition("Held", "False", "NeverHeld"),
                           condition("Reconciling", "True", "NeverHeld"), condition("StandbyAvailable", "False", "NoneReady")],
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut status = applied();
        status[key] = value;
        status
    }

    fn with_condition(index: usize, condition: Value) -> Value {
        let mut status = applied();
        status["conditions"][index] = condition;
        status
    }

    fn status(text: Value) -> SingletonJobStatus {
        serde_json::from_value(text).expect("a status")
    }

    fn waits(new: Value) -> bool {
        may_wait(&status(applied()), &status(new))
    }

    #[test]
    fn the_progress_of_candidates_waits() {
        assert!(waits(with("replicas", json!(2))));
        assert!(waits(with("candidates", json!([{"name": "web-1", "role": "Pending", "ready": false}]))));
        assert!(waits(with("lease", json!({"name": "web", "transitions": 0}))));
        assert!(waits(with_condition(0, condition("Ready", "True", "Held"))));
        assert!(waits(with_condition(2, condition("Reconciling", "False", "AsExpected"))));
        assert!(waits(with_condition(3, condition("StandbyAvailable", "True", "AsExpected"))));
    }

    #[test]
    fn all_that_is_not_progress_is_told_at_once() {
        assert!(!may_wait(&SingletonJobStatus::default(), &status(applied())), "the first status");
        assert!(!waits(with("observedGeneration", json!(2))), "the spec has changed");
        assert!(!waits(with("lastCandidateNumber", json!(3))), "what must not be forgotten");
        assert!(!waits(with("lease", json!({"name": "web", "holder": "web-1"}))), "the holder");
        assert!(!waits(with_condition(1, condition("Held", "True", "Held"))), "the holder");
        assert!(!waits(with_condition(0, condition("Ready", "False", "ImagePullBackOff"))), "a trouble");
        let mut less = applied();
        less["conditions"].as_array_mut().expect("conditions").truncate(3);
        assert!(!waits(less), "a condition has gone");
        let mut more = applied();
        more["conditions"].as_array_mut().expect("conditions").push(condition("Stalled", "True", "Failed"));
        assert!(!waits(more), "a condition has come");
    }

    #[test]
    fn a_success_waits_a_second_however_many_follow() {
        let (delays, now, key) = (Delays::default(), Instant::now(), ("shop".to_owned(), "web".to_owned()));
        let after = |milliseconds, new: Value| {
            let now = now + Duration::from_millis(milliseconds);
            delays.left(&key, &status(applied()), &status(new), now).map(|left| left.as_millis())
        };
        assert_eq!(after(0, with("replicas", json!(1))), Some(1000));
        assert_eq!(after(600, with("replicas", json!(2))), Some(400));
        assert_eq!(after(1000, with("replicas", json!(2))), None, "written");
        assert_eq!(after(1100, with("readyReplicas", json!(1))), Some(1000), "the next one");
        assert_eq!(after(1200, with_condition(1, condition("Held", "True", "Held"))), None, "at once");
        assert_eq!(after(1300, applied()), None, "no change");
        assert_eq!(after(5000, with("replicas", json!(2))), Some(1000));
    }

    #[test]
    fn a_step_before_any_success_waits_for_that_success() {
        let (delays, now, key) = (Delays::default(), Instant::now(), ("shop".to_owned(), "web".to_owned()));
        let after = |seconds, new: Value| {
            let now = now + Duration::from_secs(seconds);
            delays.left(&key, &status(applied()), &status(new), now).map(|left| left.as_secs())
        };
        let placed =
            || with("candidates", json!([{"name": "web-1", "node": "a", "role": "Pending", "ready": false}]));
        assert_eq!(after(0, placed()), Some(5));
        assert_eq!(after(2, placed()), Some(3));
        assert_eq!(after(3, with("readyReplicas", json!(1))), None, "it has waited for longer than a second");
        assert_eq!(after(4, placed()), Some(5), "another step");
        assert_eq!(after(9, placed()), None, "written");
    }
}
