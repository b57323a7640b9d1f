//! Scenarios on a real cluster of two nodes: what users are promised, measured by a workload that says when
//! it ran.
//!
//! They need root and the programs that `make cluster-binaries` builds; the cluster is brought up if it is
//! not, and left up.

mod access;
mod agent;
mod bad_input;
mod crash;
mod disks;
mod drain;
mod endings;
mod faults;
mod manual;
mod nodes;
mod one_shot;
mod pod_template;
mod policies;
mod probes;
mod readiness;
mod removal;
mod schedule;
mod server;
mod service;
mod speed;
mod trial;
