//! Which faults, in which order and for how long: decided by the seed alone.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// What is done to the pod that runs a workload.
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
    DiskFrozen,
    ApiServerKilled,
    ApiServerHung,
    ApiServerRefusing,
}

/// How soon another candidate has to run, and counted from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The holder may still act: counted from its last instruction.
    Ending,
    /// The holder falls silent: counted from the fault.
    Crash,
    /// No client reaches the API server: counted from its return.
    Outage,
}

impl Cause {
    pub const ALL: [Self; 13] = [
        Self::PodDeleted,
        Self::PodDeletedByForce,
        Self::WorkloadKilled,
        Self::ElectorKilled,
        Self::ElectorStopped,
        Self::AgentKilled,
        Self::PodFrozen,
        Self::PodCutOff,
        Self::NodeCut,
        Self::DiskFrozen,
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
    const OF_THE_API_SERVER: [Self; 3] =
        [Self::ApiServerKilled, Self::ApiServerHung, Self::ApiServerRefusing];

    pub fn kind(self) -> Kind {
        match self {
            Self::PodDeleted
            | Self::PodDeletedByForce
            | Self::WorkloadKilled
            | Self::ElectorKilled
            | Self::DiskFrozen => Kind::Ending,
            Self::ElectorStopped | Self::AgentKilled | Self::PodFrozen | Self::PodCutOff | Self::NodeCut => {
                Kind::Crash
            }
            Self::ApiServerKilled | Self::ApiServerHung | Self::ApiServerRefusing => Kind::Outage,
        }
    }

    /// Whether the job may pause the longer before its next start the more of these there were.
    pub fn is_setback(self) -> bool {
        !matches!(self, Self::PodDeleted | Self::DiskFrozen)
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
            Self::DiskFrozen => "disk frozen",
            Self::ApiServerKilled => "API server killed",
            Self::ApiServerHung => "API server hung",
            Self::ApiServerRefusing => "API server refusing",
        }
    }
}

/// Those of the first zone.
const NODES: [&str; 2] = ["node-a", "node-b"];
/// A disk is frozen for no longer: a kubelet that cannot write for minutes gives its node up.
pub const LONGEST_FREEZE: Duration = Duration::from_secs(30);

/// As many as are drawn for, whether all of them run at the moment or not: so the plan depends on nothing but
/// the seed.
pub const JOBS: usize = 5;

/// What is broken in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Something at every job.
    Pods([Stroke; JOBS]),
    Node(&'static str),
    /// The disk of a node's kubelet stands still, termination logs and all: no workload that runs there may
    /// notice.
    Disk(&'static str),
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
    /// The node whose kubelet's disk stands still as well, whatever else happens.
    pub on_frozen_disk: Option<&'static str>,
    /// How long whatever can be healed stays broken.
    pub time: Duration,
}

impl fmt::Display for Round {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Pods(_) => write!(out, "pods")?,
            Target::Node(node) => write!(out, "{node} is cut off")?,
            Target::Disk(node) => write!(out, "the disk of {node} is frozen")?,
            Target::ApiServer(cause) => write!(out, "{}", cause.name())?,
        }
        let controllers = if self.without_controller { ", the controllers are killed" } else { "" };
        write!(out, ", for {:.1} s{controllers}", self.time.as_secs_f64())?;
        self.on_frozen_disk.map_or(Ok(()), |node| write!(out, ", the disk of {node} is frozen as well"))
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
        let (without_controller, time) = (self.0.u8(..3) == 0, self.time());
        if let Target::Disk(_) = target {
            return Round {
                target,
                without_controller,
                on_frozen_disk: None,
                time: time.min(LONGEST_FREEZE),
            };
        }
        let disk = self.disk();
        let on_frozen_disk = if time <= LONGEST_FREEZE { disk } else { None };
        Round { target, without_controller, on_frozen_disk, time }
    }

    fn target(&mut self) -> Target {
        match self.0.u8(..12) {
            0..3 => Target::Node(self.node()),
            3..5 => Target::ApiServer(self.one_of(&Cause::OF_THE_API_SERVER)),
            5..7 => Target::Disk(self.node()),
            _ => Target::Pods([(); JOBS].map(|()| self.stroke())),
        }
    }

    fn node(&mut self) -> &'static str {
        self.0.choice(NODES).expect("some")
    }

    fn disk(&mut self) -> Option<&'static str> {
        (self.0.u8(..3) == 0).then(|| self.node())
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

    #[test]
    fn disks_are_frozen_alone_and_beside_other_faults_and_never_for_long() {
        let mut plan = Plan::new(7);
        let rounds: Vec<_> = (0..200).map(|_| plan.round()).collect();
        let frozen =
            |round: &Round| matches!(round.target, Target::Disk(_)) || round.on_frozen_disk.is_some();
        assert!(rounds.iter().filter(|round| frozen(round)).all(|round| round.time <= LONGEST_FREEZE));
        let alone = rounds.iter().filter(|round| matches!(round.target, Target::Disk(_))).count();
        let beside = rounds.iter().filter(|round| round.on_frozen_disk.is_some()).count();
        assert!(alone > 10 && beside > 10, "{alone} alone, {beside} beside others");
    }
}
