//! A container without processes, for electors that hold a Lease and run nothing.

use singletonjob::lease::annotations::Exit;
use singletonjob::lease::driver::WorkloadHost;
use singletonjob::lease::elector::{Fact, Order, View};
use tokio::sync::mpsc::UnboundedSender;

/// Its workload "runs" from the start order until it is told to end.
pub struct IdleContainer<Publish> {
    facts: UnboundedSender<Fact>,
    publish: Publish,
}

impl<Publish: FnMut(&View)> IdleContainer<Publish> {
    /// Tells the elector by `facts` what becomes of its orders, and `publish` what others may know.
    pub fn new(facts: UnboundedSender<Fact>, publish: Publish) -> Self {
        Self { facts, publish }
    }
}

impl<Publish: FnMut(&View)> WorkloadHost for IdleContainer<Publish> {
    fn execute(&mut self, order: Order) {
        let fact = match order {
            Order::Terminate => Fact::WorkloadEnded(Exit::Code(0)),
            Order::Kill => Fact::TreeEmpty,
            Order::SignLock { .. }
            | Order::ArmDeadline { .. }
            | Order::DisarmDeadline
            | Order::Start(_)
            | Order::Stop(_) => return,
        };
        // The elector no longer listens once its end is decided.
        let _ = self.facts.send(fact);
    }

    fn publish(&mut self, view: &View) {
        (self.publish)(view);
    }
}
