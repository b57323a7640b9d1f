//! Real agents, each as PID 1 of a container of its own, against a real API server, while everything between
//! and around them fails.
//!
//! Needs root (namespaces, cgroups, mounts) and the programs that `make cluster-binaries` builds.
//! `docs/scenarios.md` has the table of all scenarios; every one here ends with the witness's verdict: no two
//! workloads ran at once, and tokens rose.

#[path = "support/audit.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod audit;
#[path = "support/cgroup.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod cgroup;
#[path = "support/control_plane.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod control_plane;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/lease.rs"]
mod lease;
#[path = "support/observe.rs"]
mod observe;
#[path = "support/report.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod report;
#[path = "support/witness.rs"]
mod witness;

#[path = "faults/candidate.rs"]
mod candidate;
#[path = "faults/gateway.rs"]
mod gateway;
#[path = "faults/scenario.rs"]
mod scenario;
#[path = "faults/silent.rs"]
mod silent;
#[path = "faults/store.rs"]
mod store;
#[path = "faults/wire.rs"]
mod wire;

#[path = "faults/answers.rs"]
mod answers;
#[path = "faults/attacks.rs"]
mod attacks;
#[path = "faults/clocks.rs"]
mod clocks;
#[path = "faults/crashes.rs"]
mod crashes;
#[path = "faults/credentials.rs"]
mod credentials;
#[path = "faults/debugged.rs"]
mod debugged;
#[path = "faults/disks.rs"]
mod disks;
#[path = "faults/ends.rs"]
mod ends;
#[path = "faults/lease_by_hand.rs"]
mod lease_by_hand;
#[path = "faults/limits.rs"]
mod limits;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/quorum.rs"]
mod quorum;
#[path = "faults/restore.rs"]
mod restore;
#[path = "faults/server.rs"]
mod server;
#[path = "faults/stops.rs"]
mod stops;
