//! What users write and read: the `SingletonJob` of `singletonjob.dev/v1alpha1`.
//!
//! # Guarantees
//! - Every default and every rule is in the schema itself: a client that reads an object from the API server
//!   reads a valid one. What the schema accepts is obeyed; a field without behaviour does not exist.
//! - Nothing here does I/O, reads a clock or knows a client.
//!
//! # Features
//! A program that lists, creates or watches SingletonJobs needs none. No feature chooses the version of
//! Kubernetes: the program does, by a feature of `k8s-openapi`.
//!
//! | feature | gives | brings |
//! |---|---|---|
//! | `checks` | `checks`: the ticks of a schedule, warnings about a template; with an example | croner, jiff |
//! | `schema` | `schema`: the definition that is installed, with its rules | schemars |
//!
//! # Layout
//! - [`spec`]: what the user asks for, and the meaning of what was left out; [`failure`] is the part about
//!   failures, [`takeover`] the one about who should hold and when another candidate takes over,
//!   [`readiness`] the one about which candidates a Service routes to.
//! - [`status`]: what the controller answers.
//! - [`conditions`]: their types and reasons, and how a list of them is kept.
//! - [`checks`]: what a tool can say of a spec without a cluster.
//! - [`schema`]: the definition that is installed; `rules` are what it refuses, `template` what it makes of
//!   the pod.

#[cfg(feature = "checks")]
pub mod checks;
pub mod conditions;
pub mod failure;
pub mod readiness;
#[cfg(feature = "schema")]
mod rules;
pub mod schedule;
#[cfg(feature = "schema")]
pub mod schema;
pub mod spec;
pub mod status;
pub mod takeover;
#[cfg(feature = "schema")]
mod template;
#[cfg(feature = "schema")]
mod walk;

pub use readiness::StandbyReadiness;
pub use spec::{CompletionPolicy, LeaseTiming, SingletonJob, SingletonJobSpec};
pub use status::SingletonJobStatus;
pub use takeover::{TakeoverPolicy, UnreachableHolder, UnreachableHolderPolicy};
