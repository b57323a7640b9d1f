//! Scenarios on a real cluster of two nodes: what users are promised, measured by a workload that says when it ran.
//!
//! They need root and the programs that `make cluster-binaries` builds; the cluster is brought up if it is not, and left up.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/job.rs"]
mod job;
#[path = "support/observe.rs"]
mod observe;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/report.rs"]
mod report;
#[path = "support/scenario.rs"]
mod scenario;
#[path = "support/witness.rs"]
mod witness;

#[path = "cluster/access.rs"]
mod access;
#[path = "cluster/agent.rs"]
mod agent;
#[path = "cluster/bad_input.rs"]
mod bad_input;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/one_shot.rs"]
mod one_shot;
#[path = "cluster/removal.rs"]
mod removal;
#[path = "cluster/service.rs"]
mod service;
