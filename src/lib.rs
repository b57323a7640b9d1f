//! SingletonJob: several candidate pods stand ready, exactly one of them runs the workload.
//!
//! # Map
//! - [`api`]: what users write and read. No I/O.
//! - [`lease`]: the protocol by which one candidate holds the right to run, and how long that right is good
//!   for.
//! - [`contract`]: every name on which controller and agent must agree.
//! - [`agent`]: PID 1 of the gated container; holds or waits for the Lease, starts, supervises and kills the
//!   workload.
//! - [`controller`]: reconciles SingletonJobs into a Lease, its Role, candidate pods, status and events.
//! - [`telemetry`]: logging, metrics and health endpoints.
//!
//! Imports go one way: `bin -> {controller, agent}`, `controller -> {api, lease, contract}`,
//! `agent -> {lease, contract}`, `contract -> lease`. `api` and `lease` import nothing of ours.

pub mod agent;
pub mod contract;
pub mod controller;
pub mod lease;
pub mod telemetry;

pub use singletonjob_api as api;
