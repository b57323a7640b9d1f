//! Scenarios on a real cluster of two nodes: what users are promised, measured by a workload that says when
//! it ran.
//!
//! They need root and the programs that `make cluster-binaries` builds; the cluster is brought up if it is
//! not, and left up.

#[path = "../support"]
#[allow(dead_code, reason = "tests/chaos needs some of it")]
mod support {
    pub mod by_hand;
    pub mod cluster;
    pub mod job;
    pub mod observe;
    pub mod operator;
    pub mod report;
    pub mod scenario;
    pub mod server;
    pub mod stage;
    pub mod witness;
}
use support::{by_hand, cluster, job, observe, operator, scenario, server, witness};

mod access;
mod agent;
mod bad_input;
mod disks;
mod drain;
mod endings;
mod faults;
mod nodes;
mod one_shot;
mod pod_template;
mod policies;
mod probes;
mod readiness;
mod removal;
mod schedule;
mod service;
mod speed;
mod trial;
