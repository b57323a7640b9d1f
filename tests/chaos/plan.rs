//! Which faults, in which order and for how long: decided by the seed alone.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// What is done to whoever runs a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    PodDeleted,
    PodDeletedByForce,
    WorkloadKilled,
    ElectorKilled,
    ElectorStopped,
    AgentKilled,
    PodFrozen,
    PodCutOff,
    NodeCut,
    ApiServerKilled,
    ApiServerHung,
    ApiServerRefusing,
}

/// How soon somebody else has to run, and counted from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The holder may still act: counted from its last instruction.
    Ending,
    /// The holder falls silent: counted from the fault.
    Crash,
    /// Nobody reaches the API server: counted from its return.
    Outage,
}

impl Cause {
    pub const ALL: [Self; 12] = [
        Self::PodDeleted,
        Self::PodDeletedByForce,
        Self::WorkloadKilled,
        Self::ElectorKilled,
        Self::ElectorStopped,
        Self::AgentKilled,
        Self::PodFrozen,
        Self::PodCutOff,
        Self::NodeCut,
        Self::ApiServerKilled,
        Self::ApiServerHung,
        Self::ApiServerRefusing,
    ];
    const OF_PODS: [Self; 8] = [
        Self::PodDeleted,
        Self::PodDeletedByForce,
        Self::WorkloadKilled,
        Self::ElectorKilled,
        Self::ElectorStopped,
        Self::AgentKilled,
        Self::PodFrozen,
        Self::PodCutOff,
    ];
    const OF_THE_API_SERVER: [Self; 3] = [Self::ApiServerKilled, Self::ApiServerHung, Self::ApiServerRefusing];

    pub fn kind(self) -> Kind {
        match self {
            Self::PodDeleted | Self::PodDeletedByForce | Self::WorkloadKilled | Self::ElectorKilled => Kind::Ending,
            Self::ElectorStopped | Self::AgentKilled | Self::PodFrozen | Self::PodCutOff | Self::NodeCut => Kind::Crash,
            Self::ApiServerKilled | Self::ApiServerHung | Self::ApiServerRefusing => Kind::Outage,
        }
    }

    /// Whether the job may pause the longer before its next start the more of these there were.
    pub fn is_setback(self) -> bool {
        self != Self::PodDeleted
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::PodDeleted => "pod deleted",
            Self::PodDeletedByForce => "pod deleted by force",
            Self::WorkloadKilled => "workload killed",
            Self::ElectorKilled => "elector killed",
            Self::ElectorStopped => "elector stopped",
            Self::AgentKilled => "agent (PID 1) killed",
            Self::PodFrozen => "pod frozen",
            Self::PodCutOff => "pod cut off",
            Self::NodeCut => "node cut off",
            Self::ApiServerKilled => "API server killed",
            Self::ApiServerHung => "API server hung",
            Self::ApiServerRefusing => "API server refusing",
        }
    }
}

/// As many as are drawn for, whether all of them run at the moment or not: so the plan depends on nothing but the seed.
pub const JOBS: usize = 5;

/// What is broken in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Something at every job.
    Pods([Stroke; JOBS]),
    Node(&'static str),
    ApiServer(Cause),
}

/// What is done to one job in a round of [`Target::Pods`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// To the pod that runs.
    Active(Cause),
    /// One is deleted.
    Standby,
    Spared,
}

/// Faults that begin together and are healed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    pub target: Target,
    /// The controllers are restarted as well: failing over is none of their business.
    pub without_controller: bool,
    /// How long whatever can be healed stays broken.
    pub time: Duration,
}

impl fmt::Display for Round {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Pods(_) => write!(out, "pods")?,
            Target::Node(node) => write!(out, "{node} is cut off")?,
            Target::ApiServer(cause) => write!(out, "{}", cause.name())?,
        }
        let controllers = if self.without_controller { ", the controllers are killed" } else { "" };
        write!(out, ", for {:.1} s{controllers}", self.time.as_secs_f64())
    }
}

/// Where every random number comes from.
pub struct Plan(Rng);

impl Plan {
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// What comes next.
    pub fn round(&mut self) -> Round {
        let target = self.target();
        Round { target, without_controller: self.0.u8(..3) == 0, time: self.time() }
    }

    fn target(&mut self) -> Target {
        match self.0.u8(..10) {
            0..3 => Target::Node(if self.0.bool() { "node-a" } else { "node-b" }),
            3..5 => Target::ApiServer(self.one_of(&Cause::OF_THE_API_SERVER)),
            _ => Target::Pods([(); JOBS].map(|()| self.stroke())),
        }
    }

    /// Shorter and longer than leases; now and then long enough for the cluster to give up a node.
    fn time(&mut self) -> Duration {
        let seconds = match self.0.u8(..20) {
            0 => 45.0 + 20.0 * self.0.f64(),
            1..5 => 15.0 + 10.0 * self.0.f64(),
            _ => 1.0 + 11.0 * self.0.f64(),
        };
        Duration::from_secs_f64(seconds)
    }

    fn stroke(&mut self) -> Stroke {
        match self.0.u8(..10) {
            0 => Stroke::Spared,
            1 => Stroke::Standby,
            _ => Stroke::Active(self.one_of(&Cause::OF_PODS)),
        }
    }

    fn one_of(&mut self, causes: &[Cause]) -> Cause {
        *self.0.choice(causes).expect("some")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        let plan = |seed| {
            let mut plan = Plan::new(seed);
            (0..50).map(|_| plan.round()).collect::<Vec<_>>()
        };
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }
}
