//! What the user asks for.

#![allow(clippy::duplicated_attributes, reason = "printer columns resemble each other")]
#![allow(clippy::struct_field_names, reason = "a number in the API carries its unit in its name")]

use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaimVolumeSource, PodTemplateSpec};
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

/// The user states here what the controller and its candidates should run. Only `template` has no default.
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
    /// The controller creates this many candidate pods. One of them runs the workload, and the others are
    /// warm standbys. 0 stops the workload. Defaults to 2.
    #[serde(default = "default_replicas")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 16)))]
    pub replicas: i32,

    /// A candidate decides by this policy whether the job is finished when the workload exits. `OnSuccess`:
    /// exit code 0 finishes the job, and another attempt follows a failed one, up to `backoffLimit`. Exit
    /// code 0 after a signal to stop does not finish the job, because many programs exit 0 on SIGTERM with
    /// their work half done. The agent sends such a signal in a drain, a handover or a suspension, or when it
    /// is losing the Lease. The workload then runs again. `Never`: the workload is a service and is restarted
    /// after every exit. This field is immutable. Defaults to `OnSuccess`.
    #[serde(default)]
    pub completion_policy: CompletionPolicy,

    /// The controller stops the workload gracefully and removes the candidates while this is true. With a
    /// `schedule`, no tick becomes a run while this is true, and the current run goes on. Defaults to false.
    #[serde(default)]
    pub suspend: bool,

    /// Candidates tolerate this many failed attempts, and mark the job as failed after one more. The API
    /// server accepts this field only with `completionPolicy: OnSuccess`. Defaults to 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub backoff_limit: Option<i32>,

    /// The controller deletes the pods of a job this many seconds after it has finished. Until then, users
    /// can read their logs. The SingletonJob itself and its outcome stay in any case, so that applying it
    /// again does not run it again. With a `schedule`, the time counts from the end of each pod. If this
    /// field is left out, the controller keeps one succeeded pod and up to `backoffLimit` + 1 failed ones, at
    /// most 10; of a schedule, what its history limits say. The API server accepts it only with
    /// `completionPolicy: OnSuccess`.
    #[serde(default, rename = "podTTLSecondsAfterFinished", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub pod_ttl_seconds_after_finished: Option<i32>,

    /// The controller deletes the SingletonJob and its pods this many seconds after the job has finished. It
    /// deletes the Lease when no candidate can hold it any more. A GitOps tool that keeps applying the
    /// SingletonJob creates it again, and it runs again. If this field is left out, the SingletonJob stays.
    /// The API server accepts it only with `completionPolicy: OnSuccess` and without a `schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// Candidates decide by this policy which failures of the workload end the job at once, and which do not
    /// count towards `backoffLimit`. The candidate whose workload ends decides in the same write that gives
    /// the Lease back. If this field is left out, every failure counts. The API server accepts it only with
    /// `completionPolicy: OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,

    /// The holder stops the workload this many seconds after the job's first attempt began, counted over all
    /// takeovers, and the job fails. The stop is graceful, as in a drain. The controller gives the same time
    /// to a run that no candidate can start. That counts from when the job was created or resumed, or from
    /// its tick. The nodes' time of day counts: where their clocks differ, so does this deadline. A suspended
    /// job has all its time again when the user resumes it. If this field is left out, there is no limit. The
    /// API server accepts it only with `completionPolicy: OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub active_deadline_seconds: Option<i32>,

    /// The controller starts a run at every tick of this schedule. Each run has its own attempts,
    /// `backoffLimit` and `activeDeadlineSeconds`. The user may change the schedule at any time, but neither
    /// add nor remove it. If this field is left out, the job runs once. The API server accepts it only with
    /// `completionPolicy: OnSuccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,

    /// A candidate that holds the Lease keeps the right to run for these durations without renewing it.
    /// Shorter ones find a dead node sooner, and longer ones survive longer outages of the API server. The
    /// user may change them at any time, and nothing restarts.
    #[serde(default)]
    pub lease: LeaseTiming,

    /// Candidates and the controller follow this policy when the Lease should change hands. It says which
    /// candidate should hold, and when a holder hands over although it could go on. It also says what a
    /// takeover waits for when the holder has fallen silent. The user may change it at any time, and nothing
    /// restarts.
    #[serde(default)]
    pub takeover: TakeoverPolicy,

    /// A standby reports by this policy whether its pod is ready. `Ready`: the pod is ready as soon as the
    /// standby could take over. A Service that selects all candidates then needs
    /// `singletonjob.dev/role: active` in its selector; the controller keeps that label. `NotReady`: only the
    /// pod whose workload runs is ready. Any Service then routes to it alone, also while the controller is
    /// down. Give the workload's readiness probe `periodSeconds: 1` then, because the pod becomes ready that
    /// soon after a takeover. The controller replaces the pods after a change of this field, as after one of
    /// the template. Defaults to `Ready`.
    #[serde(default)]
    pub standby_readiness: StandbyReadiness,

    /// The agent lets this container of the template run its command in one candidate only: it is the
    /// workload. All other containers, and init containers, run in every candidate. Defaults to the first
    /// container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub workload_container: Option<String>,

    /// The controller of this name manages the SingletonJob, as in batch/v1. The name is a path with a domain
    /// before it. If it names another controller, this controller writes nothing of the SingletonJob, not
    /// even its status. This field is immutable. Defaults to `singletonjob.dev/singletonjob-controller`,
    /// which is this controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 3, max = 63),
            regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")
        )
    )]
    pub managed_by: Option<String>,

    /// The controller creates the candidate pods from this template, as in a Deployment or a Job. The
    /// workload's container needs a `command`. The user may leave `restartPolicy` out: it is `Never` with
    /// `completionPolicy: OnSuccess` and `Always` with `Never`.
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
    /// A standby may take over this many seconds after the holder's last sign of life. The minimum is 3.
    /// Below 6, every election of the API server's database stops the workload. Defaults to 15.
    #[serde(default = "default_lease_duration_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 3, max = 86400)))]
    pub lease_duration_seconds: i32,

    /// The holder begins to stop the workload when it has not been able to renew the Lease for this many
    /// seconds. If this field is left out, it is derived: 8.8 s with a lease of 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub renew_deadline_seconds: Option<i32>,

    /// The holder waits this many seconds between two renewals. The maximum is a third of
    /// `renewDeadlineSeconds`, which is also the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub retry_period_seconds: Option<i32>,

    /// The workload gets this many seconds between SIGTERM and SIGKILL when its candidate is losing the
    /// Lease. 0 kills it at once. An ordinary stop takes the template's `terminationGracePeriodSeconds`
    /// instead. If this field is left out, it is derived: 2.2 s with a lease of 15 s, and never more than 30 s.
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

    /// Volumes of the template that are claims, by the volume's name. All candidates share them.
    pub fn volume_claims(&self) -> impl Iterator<Item = (&str, &PersistentVolumeClaimVolumeSource)> {
        let volumes = self.template.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        volumes.filter_map(|volume| Some((volume.name.as_str(), volume.persistent_volume_claim.as_ref()?)))
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
