//! Reconciles SingletonJobs into a Lease, its Role, candidate pods, status and events.
//!
//! # Guarantees
//! - Failover never needs the controller. Candidates agree on a holder among themselves, and the controller
//!   only writes directives into their Lease.
//! - A renewal alone causes neither a reconciliation nor a write.
//! - The controller decides from the current objects, never from what it did before. It may therefore restart
//!   between any two requests.
//!
//! # Layout
//! Each stage has one module, in this order: [`observe`], [`plan`] (pure), [`build`] (pure), [`apply`],
//! [`report`]. [`reconcile`] runs them, and remembers in [`refusals`] what the API server refuses.
//!
//! [`process`] is the program: it waits in [`leadership`] until this replica is the active one, and then
//! starts [`run`](mod@run): the watches and the background tasks. One of those, [`lease_gc`], removes the
//! Lease of a deleted SingletonJob.
//!
//! Several stages share [`api_call`] (deadlines and failures of requests), [`names`] (names and labels of
//! child objects), [`quote`] (messages of other programs) and [`settings`].

pub mod api_call;
pub mod apply;
pub mod build;
pub mod leadership;
pub mod lease_gc;
pub mod names;
pub mod observe;
pub mod plan;
pub mod process;
pub mod quote;
pub mod reconcile;
pub mod refusals;
pub mod report;
pub mod run;
pub mod settings;

pub use process::own_image;
pub use run::run;
