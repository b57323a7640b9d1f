//! Scenarios on a real cluster of two nodes: what users are promised, measured by a workload that says when
//! it ran.
//!
//! They need root and the programs that `make cluster-binaries` builds; the cluster is brought up if it is
//! not, and left up.

#[path = "support"]
#[allow(dead_code, reason = "tests/chaos.rs needs some of it")]
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

#[path = "cluster/access.rs"]
mod access;
#[path = "cluster/agent.rs"]
mod agent;
#[path = "cluster/bad_input.rs"]
mod bad_input;
#[path = "cluster/disks.rs"]
mod disks;
#[path = "cluster/drain.rs"]
mod drain;
#[path = "cluster/endings.rs"]
mod endings;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/one_shot.rs"]
mod one_shot;
#[path = "cluster/pod_template.rs"]
mod pod_template;
#[path = "cluster/policies.rs"]
mod policies;
#[path = "cluster/probes.rs"]
mod probes;
#[path = "cluster/readiness.rs"]
mod readiness;
#[path = "cluster/removal.rs"]
mod removal;
#[path = "cluster/schedule.rs"]
mod schedule;
#[path = "cluster/service.rs"]
mod service;
#[path = "cluster/speed.rs"]
mod speed;
#[path = "cluster/trial.rs"]
mod trial;
