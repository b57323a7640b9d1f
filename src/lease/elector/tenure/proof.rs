//! Until when a tenure is proven, and what the kernel timer is set to because of it.

use std::time::Duration;

use super::super::super::clock::Moment;
use super::super::{Attempt, Order};

/// What the kernel may take from its timer to the workload's last instruction; measured: a millisecond. "By
/// the deadline" means dead by then.
const KERNEL_KILL: Duration = Duration::from_millis(5);
/// What this process may take to do the same in good order.
const OWN_KILL: Duration = Duration::from_millis(50);
/// Two clocks are never read at quite the same moment: less than this is no reason to set the timer anew.
const CLOCKS_APART: Duration = Duration::from_millis(1);

/// Everything counts from before a write was sent that is known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Proof {
    pub(super) sent: Moment,
    hard: Duration,
    pub(super) soft: Duration,
    pub(super) grace: Duration,
    pub(super) kill_margin: Duration,
}

impl Proof {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let timing = attempt.timing;
        let (grace, kill_margin) = (timing.grace_period(), timing.kill_margin());
        Self { sent: attempt.sent, hard: attempt.hard(), soft: attempt.soft(), grace, kill_margin }
    }

    pub(super) fn remaining(&self, now: Moment) -> Duration {
        self.hard.saturating_sub(now.elapsed_for_holder(self.sent))
    }

    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.remaining(now).is_zero()
    }

    /// Until the holder must begin to stop.
    pub(super) fn soft_remaining(&self, now: Moment) -> Duration {
        self.soft.saturating_sub(now.elapsed_for_holder(self.sent))
    }

    /// Until a graceful stop must turn into a kill: early enough to be done before the kernel would step in.
    pub(super) fn kill_remaining(&self, now: Moment) -> Duration {
        let kill = (self.soft + self.grace).min(self.hard.saturating_sub(OWN_KILL));
        kill.saturating_sub(now.elapsed_for_holder(self.sent))
    }
}

/// What the kernel timer is set to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Armed {
    /// On CLOCK_BOOTTIME.
    pub(super) boot: Duration,
    proof: Proof,
}

impl Armed {
    pub(super) fn by(proof: Proof, now: Moment) -> Self {
        Self { boot: now.boot + proof.remaining(now).saturating_sub(KERNEL_KILL), proof }
    }

    pub(super) fn order(&self) -> Order {
        Order::ArmDeadline { at: self.boot, kill_margin: self.proof.kill_margin }
    }

    /// Whether a timer set to this must be set to `wanted`: by the same proof it may turn out to be nearer,
    /// where one clock runs faster than the other, but never further away.
    pub(super) fn gives_way_to(&self, wanted: &Self) -> bool {
        wanted.proof != self.proof || wanted.boot + CLOCKS_APART < self.boot
    }
}
