//! Real agents, each as PID 1 of a container of its own, against a real API server, while everything between
//! and around them fails.
//!
//! Needs root (namespaces, cgroups, mounts) and the programs that `make cluster-binaries` builds.
//! `docs/scenarios.md` has the table of all scenarios; every one here ends with the witness's verdict: no two
//! workloads ran at once, and tokens rose.

mod candidate;
mod gateway;
mod scenario;
mod silent;
mod store;
mod wire;

mod answers;
mod attacks;
mod clocks;
mod crashes;
mod credentials;
mod debugged;
mod disks;
mod ends;
mod limits;
mod manual_edits;
mod network;
mod pod_locks;
mod quorum;
mod restore;
mod server;
mod stops;
