//! What the user asks for.

#![allow(clippy::duplicated_attributes, reason = "printer columns resemble each other")]
#![allow(clippy::struct_field_names, reason = "a number in the API carries its unit in its name")]

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use kube::CustomResource;
#[cfg(feature = "schema")]
use kube::KubeSchema;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::FailurePolicy;
use super::readiness::StandbyReadiness;
use super::schedule::Schedule;
use super::status::SingletonJobStatus;
use super::takeover::TakeoverPolicy;

/// Candidates where `replicas` is left out: one runs, one waits.
pub const DEFAULT_REPLICAS: i32 = 2;
/// `lease.leaseDurationSeconds` where it is left out.
pub const DEFAULT_LEASE_DURATION_SECONDS: i32 = 15;
/// `backoffLimit` where it is left out, as in batch/v1. Not in the schema: under `Never` there is no limit to
/// default.
pub const DEFAULT_BACKOFF_LIMIT: i32 = 6;

/// `managedBy` where it is left out.
pub const OUR_NAME: &str = "singletonjob.dev/singletonjob-controller";

/// What is asked for: only `template` has no default.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[kube(
    group = "singletonjob.dev",
    version = "v1alpha1",
    kind = "SingletonJob",
    plural = "singletonjobs",
    shortname = "sj",
    namespaced,
    status = "SingletonJobStatus",
    derive = "PartialEq",
    doc = "Runs a pod template in several candidate pods of which at most one executes the workload at any moment; the others stand by and take over.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    selectable = ".spec.suspend",
    selectable = ".status.lease.holder",
    selectable = ".status.lease.node",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Holder", type_ = "string", json_path = ".status.lease.holder"),
    printcolumn(name = "Standbys", type_ = "integer", json_path = ".status.readyStandbys"),
    printcolumn(name = "Run", type_ = "integer", json_path = ".status.run.number"),
    printcolumn(name = "Last Run", type_ = "string", json_path = ".status.runs[0].outcome"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.lease.node", priority = 1),
    printcolumn(
        name = "Lease",
        type_ = "integer",
        format = "int32",
        json_path = ".status.lease.leaseDurationSeconds",
        priority = 1
    ),
    printcolumn(name = "Token", type_ = "string", json_path = ".status.lease.fencingToken", priority = 1),
    printcolumn(
        name = "Transitions",
        type_ = "integer",
        json_path = ".status.lease.transitions",
        priority = 1
    ),
    printcolumn(name = "Held Since", type_ = "date", json_path = ".status.lease.acquireTime", priority = 1),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule.cron", priority = 1),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime", priority = 1)
)]
#[cfg_attr(not(feature = "schema"), kube(schema = "disabled"))]
#[serde(rename_all = "camelCase")]
pub struct SingletonJobSpec {
    /// How many candidate pods there are: one runs the workload, the others stand by, warm. 0 stops the
    /// workload. Defaults to 2.
    #[serde(default = "default_replicas")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 16)))]
    pub replicas: i32,

    /// When the job is done. `OnSuccess`: the workload is to finish, and exit code 0 finishes it; a failed
    /// attempt is followed by another, up to `backoffLimit`. Exit code 0 after a signal to stop (drain,
    /// handover, suspension, a Lease that is being lost) does not finish it: many programs exit 0 on SIGTERM
    /// with their work half done. Such a workload runs again. `Never`: a service, restarted after every exit.
    /// Immutable. Defaults to `OnSuccess`.
    #[serde(default)]
    pub completion_policy: CompletionPolicy,

    /// Stops the workload, gracefully, and removes the candidates, until it is false again. With a
    /// `schedule`: no tick runs until it is false again, and a run that is going on goes on. Defaults to
    /// false.
    #[serde(default)]
    pub suspend: bool,

    /// How many attempts may fail before the job counts as failed. Only with `completionPolicy: OnSuccess`.
    /// Defaults to 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub backoff_limit: Option<i32>,

    /// How long the pods of a finished job stay for their logs; the SingletonJob itself and its outcome stay
    /// in any case, so that applying it again does not run it again. Left out, they stay as long as the
    /// SingletonJob does. Only with `completionPolicy: OnSuccess`.
    #[serde(default, rename = "podTTLSecondsAfterFinished", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub pod_ttl_seconds_after_finished: Option<i32>,

    /// How long the SingletonJob itself stays after it has finished. Then the controller deletes it, with its
    /// pods; its Lease goes when no candidate can hold it any more. A GitOps tool that keeps applying it
    /// makes it again, and it runs again. Left out, it stays. Not with a `schedule`, and only with
    /// `completionPolicy: OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// Which failures of the workload end the job at once, and which do not count towards `backoffLimit`.
    /// Decided where the workload ends, in the same write that gives the Lease back. Only with
    /// `completionPolicy: OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,

    /// How many seconds the job may take, counted from the start of its first attempt over all takeovers.
    /// Then the workload is stopped as by a drain, and the job has failed. A run that no candidate can start
    /// has the same time, counted from when the job was made or resumed, or from its tick. The time of day of
    /// the nodes is what counts: where their clocks differ, so does this. A suspended job has all its time
    /// again when it is resumed, whatever it was at. Only with `completionPolicy: OnSuccess`. Without limit
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub active_deadline_seconds: Option<i32>,

    /// When to run, again and again: a run at every tick of a cron expression. Each run has its own attempts,
    /// `backoffLimit` and `activeDeadlineSeconds`. May be changed at any time, but neither added nor taken
    /// away. Only with `completionPolicy: OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,

    /// How long the right to run lasts without being renewed: shorter finds a dead node sooner, longer
    /// survives longer outages of the API server. May be changed at any time; nothing restarts.
    #[serde(default)]
    pub lease: LeaseTiming,

    /// Who of the candidates should hold, when the holder hands over although it could go on, and what a
    /// takeover waits for when the holder has fallen silent. May be changed at any time; nothing restarts.
    #[serde(default)]
    pub takeover: TakeoverPolicy,

    /// Whether the pods of standbys are ready. `Ready`: as soon as they could take over; a Service that
    /// selects all candidates needs `singletonjob.dev/role: active` in its selector, which the controller
    /// keeps. `NotReady`: only the pod whose workload runs is ready, so that any Service routes to it alone,
    /// also while the controller is down; give the workload's readiness probe `periodSeconds: 1` then, for
    /// that is how soon after a takeover its pod becomes ready. A change replaces the pods like one of the
    /// template. Defaults to `Ready`.
    #[serde(default)]
    pub standby_readiness: StandbyReadiness,

    /// Which container of the template is the workload that only one candidate may run; all other containers,
    /// and init containers, run in every candidate. Defaults to the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub workload_container: Option<String>,

    /// Which controller looks after this SingletonJob, as in batch/v1: a path with a domain before it. This
    /// controller writes nothing of one that names another, its status included. Immutable. Defaults to
    /// `singletonjob.dev/singletonjob-controller`, which is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 3, max = 63),
            regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")
        )
    )]
    pub managed_by: Option<String>,

    /// The pod to run, as in a Deployment or a Job. The workload's container needs a `command`.
    /// `restartPolicy` may be left out: it is `Never` with `completionPolicy: OnSuccess` and `Always` with
    /// `Never`.
    pub template: PodTemplateSpec,
}

/// When a run counts as finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum CompletionPolicy {
    /// Exit code 0 finishes the run.
    #[default]
    OnSuccess,
    /// A service: every exit is followed by a restart.
    Never,
}

/// Timing of the lease. What is left out is derived from `leaseDurationSeconds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(KubeSchema))]
#[serde(rename_all = "camelCase")]
pub struct LeaseTiming {
    /// How long after the holder's last sign of life another candidate may take over. Whole seconds, at least
    /// 3. Below 6 every election of the API server's database stops the workload. Defaults to 15.
    #[serde(default = "default_lease_duration_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 3, max = 86400)))]
    pub lease_duration_seconds: i32,

    /// How long the holder goes on without being able to renew before it begins to stop the workload. Derived
    /// when left out: 8.8 s of 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub renew_deadline_seconds: Option<i32>,

    /// How long the holder waits between two renewals; at most a third of `renewDeadlineSeconds`, which is
    /// what it is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub retry_period_seconds: Option<i32>,

    /// From SIGTERM to SIGKILL when the lease is being lost; 0 kills at once. An ordinary stop takes the
    /// template's `terminationGracePeriodSeconds` instead. Derived when left out: 2.2 s of 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub grace_period_seconds: Option<i32>,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        Self {
            lease_duration_seconds: DEFAULT_LEASE_DURATION_SECONDS,
            renew_deadline_seconds: None,
            retry_period_seconds: None,
            grace_period_seconds: None,
        }
    }
}

impl SingletonJobSpec {
    /// How many attempts may fail; none for a service, which has no limit.
    pub fn backoff_limit(&self) -> Option<i32> {
        match self.completion_policy {
            CompletionPolicy::OnSuccess => Some(self.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT)),
            CompletionPolicy::Never => None,
        }
    }

    /// The `restartPolicy` of candidate pods: a failed attempt of a one-shot is a pod of its own with its
    /// log; a service's container is restarted in place.
    pub fn restart_policy(&self) -> &'static str {
        match self.completion_policy {
            CompletionPolicy::OnSuccess => "Never",
            CompletionPolicy::Never => "Always",
        }
    }

    /// Where the gated container stands in the template's list; none only for a spec that no API server with
    /// our schema has let in.
    pub fn workload_index(&self) -> Option<usize> {
        let containers = &self.template.spec.as_ref()?.containers;
        match &self.workload_container {
            Some(name) => containers.iter().position(|container| container.name == *name),
            None => (!containers.is_empty()).then_some(0),
        }
    }

    /// The gated container; none as in [`workload_index`](Self::workload_index).
    pub fn workload(&self) -> Option<&Container> {
        self.template.spec.as_ref()?.containers.get(self.workload_index()?)
    }

    /// Whether the workload runs without end.
    pub fn is_service(&self) -> bool {
        self.completion_policy == CompletionPolicy::Never
    }

    /// Whether another controller looks after it.
    pub fn is_anothers(&self) -> bool {
        self.managed_by.as_deref().is_some_and(is_another)
    }

    /// Whether the workload is to stay stopped. The run of a schedule is not stopped by suspension: only
    /// ticks are.
    pub fn is_stopped(&self) -> bool {
        self.replicas == 0 || self.suspend && self.schedule.is_none()
    }
}

/// Whether this value of `spec.managedBy` names another controller.
pub fn is_another(controller: &str) -> bool {
    controller != OUR_NAME
}

fn default_replicas() -> i32 {
    DEFAULT_REPLICAS
}

fn default_lease_duration_seconds() -> i32 {
    DEFAULT_LEASE_DURATION_SECONDS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schedule::{CandidatesPolicy, ConcurrencyPolicy};
    use super::*;

    fn spec(extra: &serde_json::Value) -> SingletonJobSpec {
        let mut spec = json!({"template": {"spec": {"containers": [
            {"name": "main", "command": ["/bin/true"]}, {"name": "side", "command": ["/bin/false"]}
        ]}}});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_value(spec).expect("decodes")
    }

    #[test]
    fn a_template_alone_is_a_one_shot_with_one_standby() {
        let spec = spec(&json!({}));
        assert_eq!(
            (spec.replicas, spec.completion_policy, spec.backoff_limit()),
            (2, CompletionPolicy::OnSuccess, Some(6))
        );
        assert_eq!((spec.lease.lease_duration_seconds, spec.restart_policy()), (15, "Never"));
        assert_eq!(spec.takeover, TakeoverPolicy::default());
    }

    #[test]
    fn a_schedule_is_a_cron_expression_and_defaults() {
        let schedule = spec(&json!({"schedule": {"cron": "@daily"}})).schedule.expect("there");
        assert_eq!(
            (schedule.concurrency_policy, schedule.candidates),
            (ConcurrencyPolicy::Forbid, CandidatesPolicy::BeforeTick)
        );
        assert_eq!(
            (schedule.time_zone, schedule.starting_deadline_seconds, schedule.lead_seconds),
            (None, None, 60)
        );
        assert_eq!((schedule.successful_runs_history_limit, schedule.failed_runs_history_limit), (3, 1));
    }

    #[test]
    fn a_service_has_no_limit_of_attempts() {
        let spec = spec(&json!({"completionPolicy": "Never"}));
        assert_eq!((spec.backoff_limit(), spec.restart_policy()), (None, "Always"));
    }

    #[test]
    fn the_workload_is_the_first_container_unless_named() {
        assert_eq!(spec(&json!({})).workload().map(|container| &*container.name), Some("main"));
        assert_eq!(
            spec(&json!({"workloadContainer": "side"})).workload().map(|container| &*container.name),
            Some("side")
        );
        assert_eq!(spec(&json!({"workloadContainer": "other"})).workload(), None);
    }

    #[test]
    fn a_controller_of_another_name_is_another() {
        let is_anothers = |name: serde_json::Value| spec(&json!({"managedBy": name})).is_anothers();
        assert!(
            !is_anothers(json!(null))
                && !is_anothers(json!(OUR_NAME))
                && is_anothers(json!("example.com/other"))
        );
    }

    #[test]
    fn suspension_and_zero_replicas_stop() {
        assert!(!spec(&json!({})).is_stopped());
        assert!(spec(&json!({"suspend": true})).is_stopped());
        assert!(spec(&json!({"replicas": 0})).is_stopped());
        let schedule = json!({"cron": "@daily"});
        assert!(!spec(&json!({"suspend": true, "schedule": schedule})).is_stopped());
        assert!(spec(&json!({"replicas": 0, "schedule": schedule})).is_stopped());
    }
}
