//! What several tests of the root package share: servers, a cluster, agents, and the judge of what a workload
//! wrote.
//!
//! Each test is a process of its own, and has its own copies of the statics here.
#![allow(clippy::missing_panics_doc, reason = "a test that cannot go on panics, wherever it is")]

pub mod audit;
pub mod cgroup;
pub mod cluster;
pub mod control_plane;
pub mod disk;
pub mod fixture;
pub mod idle_container;
pub mod job;
pub mod lease;
pub mod observe;
pub mod operator;
pub mod programs;
pub mod report;
pub mod scenario;
pub mod scheduler;
pub mod scratch;
pub mod scripted_agent;
pub mod strict;
pub mod witness;

use std::path::Path;

/// The repository.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace")
}
