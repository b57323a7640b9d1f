//! Defines every name on which the controller and the agent must agree.
//!
//! A pod keeps the agent that it was made with. So names may be added here, but none may change its meaning.
//! What may change during a pod's life travels through the Lease instead (see [`crate::lease::annotations`]).

mod lease_file;
pub mod probe;
pub mod usage;

pub use lease_file::{LeaseFile, Role};

/// The controller: its program, its field manager, and the Lease by which its replicas are elected.
pub const CONTROLLER: &str = "singletonjob-controller";

/// Labels and annotations of what the controller makes.
pub mod labels {
    /// `singletonjob`.
    pub const NAME: &str = "app.kubernetes.io/name";
    /// `singletonjob-controller`.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The SingletonJob's name, on every object that is made for it.
    pub const JOB: &str = "singletonjob.dev/name";
    /// `active` or `standby`, on pods. The controller keeps it current, and a Service can select on it.
    pub const ROLE: &str = "singletonjob.dev/role";
    /// The hash of the template that a pod was made from.
    pub const TEMPLATE_HASH: &str = "singletonjob.dev/template-hash";
    /// On pods whose template asks something of the workload before it is ready. It means that the agent
    /// records in the Lease when the workload was first ready.
    pub const READINESS: &str = "singletonjob.dev/readiness";
    /// Value of [`READINESS`].
    pub const READINESS_REPORTED: &str = "Reported";
    /// On a SingletonJob: a new value asks the holder to hand over, once.
    pub const HANDOVER_REQUESTED_AT: &str = "singletonjob.dev/handover-requested-at";
    /// On a SingletonJob with a schedule: a new value asks for a run, once.
    pub const RUN_REQUESTED_AT: &str = "singletonjob.dev/run-requested-at";
    /// On a SingletonJob: the pod that a request for a handover wants as the next holder.
    pub const HANDOVER_TO: &str = "singletonjob.dev/handover-to";
    /// On pods of a SingletonJob with a schedule: the number of the run that was next, or going on, when the
    /// pod was made.
    pub const MADE_FOR_RUN: &str = "singletonjob.dev/made-for-run";
    /// Value of [`NAME`].
    pub const NAME_VALUE: &str = "singletonjob";
    /// Value of [`MANAGED_BY`].
    pub const MANAGED_BY_VALUE: &str = super::CONTROLLER;
    /// Value of [`ROLE`] on the pod that holds the Lease.
    pub const ROLE_ACTIVE: &str = "active";
    /// Value of [`ROLE`] on every other candidate.
    pub const ROLE_STANDBY: &str = "standby";
}

/// The field managers, as `metadata.managedFields` shows them.
pub mod field_managers {
    /// The controller's field manager.
    pub const CONTROLLER: &str = super::CONTROLLER;
    /// A candidate's field manager.
    pub const AGENT: &str = "singletonjob-agent";
}

/// Environment of the gated container. It has only names, and constants of the pod. Everything that may
/// change is in the Lease.
pub mod environment {
    /// Name of the SingletonJob and of its Lease. Agent and workload read it.
    pub const NAME: &str = "SINGLETONJOB_NAME";
    /// Namespace of both. Agent and workload read it.
    pub const NAMESPACE: &str = "SINGLETONJOB_NAMESPACE";
    /// Uid of the SingletonJob. The agent reads it, and runs no other SingletonJob's runs.
    pub const JOB_UID: &str = "SINGLETONJOB_UID";
    /// Name of the pod (downward API).
    pub const POD_NAME: &str = "SINGLETONJOB_POD_NAME";
    /// Uid of the pod (downward API).
    pub const POD_UID: &str = "SINGLETONJOB_POD_UID";
    /// Address of the pod (downward API). The agent's probes read it.
    pub const POD_IP: &str = "SINGLETONJOB_POD_IP";
    /// `terminationGracePeriodSeconds` of the pod.
    pub const TERMINATION_GRACE_PERIOD_SECONDS: &str = "SINGLETONJOB_TERMINATION_GRACE_PERIOD_SECONDS";
    /// `terminationMessagePath` of the gated container.
    pub const TERMINATION_MESSAGE_PATH: &str = "SINGLETONJOB_TERMINATION_MESSAGE_PATH";
    /// The file of the pod's lock, in the [state directory](super::paths::STATE_DIRECTORY). Unset in pods whose
    /// container runtime is not known to free a lock only when the processes are dead.
    pub const POD_LOCK: &str = "SINGLETONJOB_POD_LOCK";

    /// Set by the agent for the workload: the fencing token, decimal.
    pub const FENCING_TOKEN: &str = "SINGLETONJOB_FENCING_TOKEN";
    /// Set by the agent for the workload: which run, from 1.
    pub const RUN: &str = "SINGLETONJOB_RUN";
    /// Set by the agent for the workload: which attempt of this run, from 1.
    pub const ATTEMPT: &str = "SINGLETONJOB_ATTEMPT";
    /// Set by the agent for the workload: the tick whose run this is, in RFC 3339 and UTC. It is not set if
    /// no schedule asked for the run.
    pub const SCHEDULED_TIME: &str = "SINGLETONJOB_SCHEDULED_TIME";
}

/// Paths in the gated container.
pub mod paths {
    /// The directory into which the init container copies the agent: an emptyDir, mounted read-only in the
    /// gated container.
    pub const AGENT_DIRECTORY: &str = "/singletonjob";
    /// The agent's program.
    pub const AGENT: &str = "/singletonjob/singletonjob-agent";
    /// `token`, `ca.crt` and `namespace` of the agent's own projected volume, read-only.
    pub const CREDENTIALS: &str = "/var/run/secrets/singletonjob.dev";
    /// An emptyDir, mounted writable, in which the workload reads about its lease.
    pub const STATE_DIRECTORY: &str = "/var/run/singletonjob";
    /// [`LeaseFile`](super::LeaseFile) as JSON, replaced atomically at every change.
    pub const LEASE_FILE: &str = "/var/run/singletonjob/lease.json";
    /// The file of the pod's lock. The agent keeps it open, locked, and names in it which process may hold the
    /// Lease.
    pub const POD_LOCK: &str = "/var/run/singletonjob/lock";
    /// The file in which the agent explains an end of its own making, unless the template names another.
    pub const TERMINATION_MESSAGE: &str = "/dev/termination-log";
}

/// Names of volumes, and of the init container, in a candidate pod.
pub mod pod {
    /// The init container that installs the agent.
    pub const INSTALLER: &str = "singletonjob-agent";
    /// Volume mounted at [`AGENT_DIRECTORY`](super::paths::AGENT_DIRECTORY).
    pub const AGENT_VOLUME: &str = "singletonjob-agent";
    /// Volume mounted at [`CREDENTIALS`](super::paths::CREDENTIALS).
    pub const CREDENTIALS_VOLUME: &str = "singletonjob-credentials";
    /// Volume mounted at [`STATE_DIRECTORY`](super::paths::STATE_DIRECTORY).
    pub const STATE_VOLUME: &str = "singletonjob-state";
}

/// Exit codes of the gated container other than the workload's own, which pass through.
pub mod exit_codes {
    use crate::lease::annotations::Exit;

    /// A flag, argument or variable that the agent does not understand.
    pub const USAGE: i32 = 64;
    /// The workload asks to hand over although it is well. Only a service that has run for at least
    /// `leaseDurationSeconds` can: sooner, or of a one-shot, it is an exit code like any other.
    pub const HAND_OVER: i32 = Exit::HAND_OVER.code();
    /// This container cannot be fenced reliably. The termination message names the reason.
    pub const SELF_TEST_FAILED: i32 = 121;
    /// The Lease could not be read since the container started. The termination message names the address and
    /// the reason.
    pub const LEASE_UNREADABLE: i32 = 122;
    /// The Lease was lost; the workload was killed.
    pub const LEASE_LOST: i32 = 123;
    /// The elector died, or something could not be killed.
    pub const AGENT_FAILED: i32 = 124;
    /// The workload's program exists but cannot be executed. Shells use the same code.
    pub const CANNOT_EXECUTE: i32 = 126;
    /// The workload's program does not exist. Shells use the same code.
    pub const NOT_FOUND: i32 = 127;
    /// The workload was stopped on request, because of a drain or a handover, or because nothing should run.
    pub const INTERRUPTED: i32 = 143;
}

/// The beginning of every termination message that the agent wrote. The workload's own messages are left
/// alone.
pub const TERMINATION_PREFIX: &str = "singletonjob-agent: ";
