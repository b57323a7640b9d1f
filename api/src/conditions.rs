//! Conditions: their types and reasons, and how a list of them is kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Condition types.
pub mod types {
    /// The job does what it is for; its message is one sentence for people.
    pub const READY: &str = "Ready";
    /// Something is under way (kstatus, abnormal when true).
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing will get better by itself (kstatus, abnormal when true).
    pub const STALLED: &str = "Stalled";
    /// A candidate holds the Lease.
    pub const HELD: &str = "Held";
    /// The lease of a silent holder has passed, and no candidate may take over yet.
    pub const TAKEOVER_BLOCKED: &str = "TakeoverBlocked";
    /// Something in the template will get in the way of a takeover.
    pub const TEMPLATE_HAZARDOUS: &str = "TemplateHazardous";
    /// The API server refuses an object that the controller makes for the job.
    pub const OBJECT_REFUSED: &str = "ObjectRefused";
    /// A ready standby exists.
    pub const STANDBY_AVAILABLE: &str = "StandbyAvailable";
    /// The agents have nothing to complain of.
    pub const AGENT_HEALTHY: &str = "AgentHealthy";
    /// Stopped by `spec.suspend`, as in batch/v1.
    pub const SUSPENDED: &str = "Suspended";
    /// A one-shot has succeeded, as in batch/v1.
    pub const COMPLETE: &str = "Complete";
    /// A one-shot has failed, as in batch/v1.
    pub const FAILED: &str = "Failed";
    /// Of a job with a schedule: how the last run ended.
    pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
}

/// Condition reasons. Those that quote another program (`ErrImagePull`, `Unschedulable`) pass through and are
/// not listed.
pub mod reasons {
    /// The controller has not looked yet; the schema's default status says so.
    pub const PENDING: &str = "Pending";
    /// The workload of a one-shot, or of a run of a schedule, runs.
    pub const RUNNING: &str = "Running";
    /// The next run waits for its tick.
    pub const SCHEDULED: &str = "Scheduled";
    /// The next attempt waits for its time.
    pub const BACKOFF: &str = "Backoff";
    /// A one-shot has succeeded.
    pub const COMPLETE: &str = "Complete";
    /// A one-shot has failed.
    pub const FAILED: &str = "Failed";
    /// The run gave way to the next tick.
    pub const REPLACED: &str = "Replaced";
    /// No run has ended yet, and ticks were missed.
    pub const TICK_MISSED: &str = "TickMissed";
    /// No run has ended yet.
    pub const NO_RUN: &str = "NoRun";
    /// Too many attempts failed, as in batch/v1.
    pub const BACKOFF_LIMIT_EXCEEDED: &str = "BackoffLimitExceeded";
    /// The run took longer than `spec.activeDeadlineSeconds`, as in batch/v1.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// A rule of `spec.failurePolicy` failed the run at once. batch/v1 says `PodFailurePolicy`.
    pub const FAILURE_POLICY: &str = "FailurePolicy";
    /// The kernel killed the last attempt for want of memory.
    pub const OOM_KILLED: &str = "OOMKilled";
    /// The last attempt was ended because its liveness probe failed.
    pub const UNHEALTHY: &str = "Unhealthy";
    /// A candidate holds the Lease.
    pub const HELD: &str = "Held";
    /// The holder fell silent; its lease has run out.
    pub const EXPIRED: &str = "Expired";
    /// The holder recorded how its attempt ended, and could not give the Lease back: a process in its
    /// container survived SIGKILL.
    pub const OUTCOME_RECORDED: &str = "OutcomeRecorded";
    /// The Lease's `resourceVersion` is not above the highest fencing token known: no candidate acquires it.
    pub const TOKEN_TOO_LOW: &str = "TokenTooLow";
    /// The Lease was given back.
    pub const RELEASED: &str = "Released";
    /// The holder is not known: takeover waits a full lease.
    pub const QUARANTINED: &str = "Quarantined";
    /// A client that is no candidate wrote a name into the Lease: takeover waits a full lease.
    pub const FOREIGN_HOLDER: &str = "ForeignHolder";
    /// No candidate has held the Lease yet.
    pub const NEVER_HELD: &str = "NeverHeld";
    /// Stopped by `spec.suspend`.
    pub const SUSPENDED: &str = "Suspended";
    /// `spec.replicas` is 0.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// Another's object has the name that we need.
    pub const FOREIGN_OBJECT: &str = "ForeignObject";
    /// The API server refuses the Lease, or a change of it.
    pub const LEASE_REFUSED: &str = "LeaseRefused";
    /// The API server refuses the Role.
    pub const ROLE_REFUSED: &str = "RoleRefused";
    /// The API server refuses the RoleBinding.
    pub const ROLE_BINDING_REFUSED: &str = "RoleBindingRefused";
    /// The API server refuses the PodDisruptionBudget.
    pub const POD_DISRUPTION_BUDGET_REFUSED: &str = "PodDisruptionBudgetRefused";
    /// The API server refuses a change of a pod.
    pub const POD_REFUSED: &str = "PodRefused";
    /// The API server would refuse a pod of the template.
    pub const INVALID_TEMPLATE: &str = "InvalidTemplate";
    /// What the spec asks for cannot be done.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The policy asks for the end of a silent holder's pod.
    pub const WAITING_FOR_POD_GONE: &str = "WaitingForPodGone";
    /// The policy asks for a person's word.
    pub const MANUAL_POLICY: &str = "ManualPolicy";
    /// The policy asks for more time.
    pub const DELAY: &str = "Delay";
    /// No two pods can mount a volume of the template.
    pub const READ_WRITE_ONCE_POD: &str = "ReadWriteOncePod";
    /// No two nodes can mount a volume of the template.
    pub const READ_WRITE_ONCE: &str = "ReadWriteOnce";
    /// The workload may become a user whose processes the agent may not signal.
    pub const KILL_DROPPED: &str = "KillDropped";
    /// A mesh's proxy is an ordinary container, and may stop before the workload.
    pub const PROXY_NOT_NATIVE: &str = "ProxyNotNative";
    /// The agent may be too slow to keep the Lease.
    pub const LOW_CPU_LIMIT: &str = "LowCPULimit";
    /// Some candidates are of the template before.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// A rollout has waited too long for a candidate of the new template, as in apps/v1.
    pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
    /// A candidate found that its workload could not be fenced reliably where it is.
    pub const SELF_TEST_FAILED: &str = "SelfTestFailed";
    /// A candidate's agent ended before it could stand by.
    pub const AGENT_FAILED: &str = "AgentFailed";
    /// The holder's agent has something to complain of.
    pub const HOLDER_WARNS: &str = "HolderWarns";
    /// Nothing to report.
    pub const AS_EXPECTED: &str = "AsExpected";
    /// Standbys are ready, all on the holder's node: its loss takes them with it.
    pub const SAME_NODE: &str = "SameNode";
}

/// What a condition says, apart from since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// One of [`types`].
    pub type_: &'static str,
    /// True, False, or unknown.
    pub holds: Option<bool>,
    /// One `CamelCase` word.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

impl Statement {
    /// That it is so.
    pub fn yes(type_: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { type_, holds: Some(true), reason: reason.into(), message: message.into() }
    }

    /// That it is not so.
    pub fn no(type_: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { type_, holds: Some(false), reason: reason.into(), message: message.into() }
    }

    /// That it cannot be said.
    pub fn unknown(type_: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { type_, holds: None, reason: reason.into(), message: message.into() }
    }

    fn status(&self) -> &'static str {
        match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// Puts `statement` into `conditions`, in the place of the one of that type. `lastTransitionTime` is `now`
/// only where the status changed.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    statement: Statement,
    generation: Option<i64>,
    now: &Time,
) {
    let known = conditions.iter().position(|condition| condition.type_ == statement.type_);
    let since =
        known.map(|index| &conditions[index]).filter(|condition| condition.status == statement.status());
    let condition = Condition {
        last_transition_time: since.map_or(now, |condition| &condition.last_transition_time).clone(),
        status: statement.status().to_owned(),
        type_: statement.type_.to_owned(),
        reason: statement.reason,
        message: statement.message,
        observed_generation: generation,
    };
    match known {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

/// Takes the condition of this type away: it does not apply to this job, or no longer.
pub fn remove_condition(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// The condition of this type.
pub fn find_condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is there and true.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find_condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("in range"))
    }

    fn held(second: i64) -> Vec<Condition> {
        let mut conditions = Vec::new();
        set_condition(
            &mut conditions,
            Statement::yes(types::HELD, reasons::HELD, "by a"),
            Some(1),
            &at(second),
        );
        conditions
    }

    #[test]
    fn another_message_does_not_move_the_transition_time() {
        let mut conditions = held(10);
        set_condition(&mut conditions, Statement::yes(types::HELD, reasons::HELD, "by b"), Some(2), &at(20));
        assert_eq!(conditions.len(), 1);
        assert_eq!((&*conditions[0].message, conditions[0].observed_generation), ("by b", Some(2)));
        assert_eq!(conditions[0].last_transition_time, at(10));
    }

    #[test]
    fn another_status_moves_the_transition_time() {
        let mut conditions = held(10);
        set_condition(
            &mut conditions,
            Statement::no(types::HELD, reasons::RELEASED, "free"),
            Some(1),
            &at(20),
        );
        assert_eq!((&*conditions[0].status, &conditions[0].last_transition_time), ("False", &at(20)));
        assert!(!is_true(&conditions, types::HELD));
    }

    #[test]
    fn conditions_keep_their_order_and_one_that_no_longer_applies_goes() {
        let mut conditions = held(10);
        set_condition(
            &mut conditions,
            Statement::unknown(types::READY, reasons::PENDING, "waiting"),
            None,
            &at(11),
        );
        set_condition(&mut conditions, Statement::yes(types::HELD, reasons::HELD, "by c"), None, &at(12));
        let order: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(order, [types::HELD, types::READY]);
        remove_condition(&mut conditions, types::HELD);
        assert!(find_condition(&conditions, types::HELD).is_none());
    }
}
