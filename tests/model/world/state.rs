//! Everything that is, at one moment.

use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::lease::annotations::{Desired, Exit, Policy};
use super::lease::clock::Moment;
use super::lease::elector::{Answer, Candidate, Cause, Elector, Orphan, Signature, Write};
use super::lease::identity::{Identity, Version};
use super::lease::record::Record;
use super::oracle::{Claim, Evidence};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub tick: u32,
    pub store: Store,
    pub agents: Vec<Arc<Agent>>,
    /// On their way to the API server, in a fixed order: who sent them may have given up on them, or be dead.
    pub requests: Vec<Arc<Request>>,
    /// Electors that died, in whose name PID 1 has not spoken yet.
    pub dead: Vec<Arc<Dead>>,
    /// The file of each pod's lock, where pods have one.
    pub locks: Vec<LockFile>,
    /// Workloads whose containers were killed, and that the kernel has not killed yet.
    pub lingering: Vec<Lingering>,
    /// What may still go wrong.
    pub faults: Vec<Fault>,
    /// What the controller wants to be told.
    pub directives: Directives,
    /// Of the last start.
    pub last_token: u128,
    pub starts: u8,
    /// Since when nothing runs, and neither a process nor the Lease is another.
    pub idle_since: u32,
    pub broken: Option<Claim>,
}

/// The file of a pod's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LockFile {
    /// The process that has the lock.
    pub owner: Option<Identity>,
    /// The process that signed it last.
    pub signed: Option<Signature>,
}

/// What is left of a container whose PID 1 and elector are dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lingering {
    pub agent: usize,
    pub identity: Identity,
    /// When the kernel freed the lock.
    pub since: u32,
}

/// The API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    pub version: u128,
    pub lease: Option<Arc<Record>>,
    pub recreations: u8,
    /// The last run of which a success, or a failure after which there is no further attempt, was told: in
    /// the very write that released the Lease, or in one that recorded the outcome.
    pub ended: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directives {
    pub policy: Policy,
    /// The largest lease duration that any candidate may still hold by.
    pub longest_lease: Duration,
    pub desired: Desired,
    /// Whether a stop was ever directed, and whose handover.
    pub stopped: bool,
    pub handover: Option<Identity>,
    pub policy_changed: bool,
    /// Whether the first pod was ever said to have failed.
    pub failed_pod: bool,
}

/// One candidate: its process, and the container that this runs in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each may be so without the others")]
pub struct Agent {
    pub candidate: Candidate,
    pub incarnation: u8,
    pub elector: Elector,
    /// The kernel kills the process at this reading of CLOCK_BOOTTIME.
    pub armed: Option<Duration>,
    pub running: bool,
    pub killing: bool,
    /// The elector sleeps in the kernel and cannot die.
    pub hangs: bool,
    pub over: bool,
    pub reading: Reading,
    /// A PUT whose answer is awaited, and the answer once there is one.
    pub awaited: Option<(u64, Option<Answer>)>,
    /// What a lagging watch will tell.
    pub late_news: Option<Arc<Record>>,
    /// The newest version that it was told of.
    pub seen: u128,
    pub evidence: Evidence,
}

/// A read, if there is one under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    Idle,
    Asked,
    /// What it found, on its way back.
    Found(Option<Arc<Record>>),
}

/// A PUT on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub agent: usize,
    pub incarnation: u8,
    /// None of a process that speaks for a dead one, and hears no answer.
    pub attempt: Option<u64>,
    /// On the clock of the sender.
    pub sent: Moment,
    pub write: Write,
}

impl Request {
    pub fn order(&self) -> (usize, u8, Option<u64>) {
        (self.agent, self.incarnation, self.attempt)
    }
}

/// An elector that died, and what it left behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dead {
    pub agent: usize,
    pub incarnation: u8,
    pub candidate: Candidate,
    pub token: Option<u128>,
    pub exit: Option<Exit>,
    pub cause: Option<Cause>,
    pub overdue: bool,
    pub in_doubt: Option<Version>,
}

impl Dead {
    pub fn orphan(&self) -> Orphan {
        Orphan {
            token: self.token.map(Version),
            exit: self.exit,
            cause: self.cause,
            overdue: self.overdue,
            in_doubt: self.in_doubt,
        }
    }
}

impl State {
    pub fn agent(&mut self, number: usize) -> &mut Agent {
        Arc::make_mut(&mut self.agents[number])
    }

    pub fn running(&self) -> usize {
        self.agents.iter().filter(|agent| agent.running).count() + self.lingering.len()
    }

    /// Whether something of this process is still there, its workload included.
    pub fn is_alive(&self, identity: &Identity) -> bool {
        let is_its = |agent: &&Arc<Agent>| agent.candidate.identity == *identity;
        self.agents.iter().find(is_its).is_some_and(|agent| !agent.over || agent.running)
            || self.lingering.iter().any(|left| left.identity == *identity)
    }

    pub fn broke(&mut self, claim: Claim) {
        self.broken.get_or_insert(claim);
    }

    /// Whether the sender of `request` still waits for its answer.
    pub fn is_awaited(&self, request: &Request) -> bool {
        let agent = &self.agents[request.agent];
        let waits = agent.awaited.as_ref().is_some_and(|(attempt, _)| Some(*attempt) == request.attempt);
        waits && agent.incarnation == request.incarnation
    }
}
