//! Scenarios on a real cluster of two nodes, one at a time: what users are promised, measured by a workload that says when it ran.
//!
//! They need root and the programs that `make cluster-binaries` builds; the cluster is brought up if it is not, and left up.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/observe.rs"]
mod observe;
#[path = "support/report.rs"]
mod report;
#[path = "support/scenario.rs"]
mod scenario;
#[path = "support/witness.rs"]
mod witness;

#[path = "cluster/agent.rs"]
mod agent;
