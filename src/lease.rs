//! The lease protocol: who may run the workload, and until when.
//!
//! # Guarantees
//! At most one process that follows this protocol holds a given Lease *and acts on it* at any moment,
//! whatever the network, the API server or the other processes do, under these assumptions:
//! - the rates of two nodes' clocks differ by less than 1.2 : 1, and no guest clock leaves out a pause of its
//!   guest (A1);
//! - a holder's lateness plus the kernel's kill take at most
//!   [`Timing::kill_margin`](timing::Timing::kill_margin) (A2);
//! - the API server's compare-and-swap, a PUT with uid and resourceVersion, is linearizable (A3);
//! - only candidates and the controller write the Lease (A5).
//!
//! # Not guaranteed
//! Anything about effects that already left the pod: those need the fencing token.
//!
//! # How
//! Holder and challenger each measure durations on their own clock; no timestamp of another machine is ever
//! compared with a local one. A holder counts from before the last confirmed renewal was sent and has stopped
//! by `D`; a challenger counts from when it first saw the record it is going to replace and waits `L`;
//! `D + K <= L / 1.2` leaves room for the kill and for clocks of different speed.
//!
//! # Layout
//! - [`timing`]: the durations and the arithmetic that makes them safe.
//! - [`clock`]: the only source of time for deadlines.
//! - [`identity`]: what names a holder, and a version of the Lease.
//! - [`record`]: what a Lease says; [`annotations`]: the annotations in which controller and candidates speak
//!   through it.
//! - [`elector`]: the decisions, a pure state machine.
//! - [`request`]: the deadline of a request, and the cause of its failure.
//! - [`store`]: the only code of a candidate that touches a Lease over the network.
//! - [`release_orphan`]: releasing in the name of a holder that died.
//! - [`driver`]: the loop that feeds the elector and carries out what it orders.

pub mod annotations;
pub mod clock;
pub mod driver;
pub mod elector;
pub mod identity;
pub mod record;
pub mod release_orphan;
pub mod request;
pub mod store;
pub mod timing;
