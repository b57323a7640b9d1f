//! One step of the elector, as its parts see it.

use std::time::Duration;

use super::super::clock::Now;
use super::{Candidate, Order, Output};

/// What a step decides by, apart from the Lease, and what it leads to.
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) candidate: &'a Candidate,
    /// How late this process wakes up at most.
    pub(super) lateness: Duration,
    pub(super) outputs: &'a mut Vec<Output>,
}

impl Step<'_> {
    pub(super) fn order(&mut self, order: Order) {
        self.outputs.push(Output::Order(order));
    }
}
