//! What follows from a spec alone, so that a tool can say it without a cluster.
//!
//! # Layout
//! - [`calendar`]: the ticks of a schedule; what cannot be read is refused with what to write instead.
//! - [`template_warnings`]: what in a template hinders a takeover, although the API server lets it in.

pub mod calendar;
pub mod template_warnings;
