//! Everything there is, and time.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use singletonjob::api::UnreachableHolder;
use singletonjob::lease::annotations::Exit;
use singletonjob::lease::clock::Now;
use singletonjob::lease::elector::Write;
use singletonjob::lease::record::Record;

use crate::clocks::{Clock, RATES};
use crate::controller::Controller;
use crate::coverage::Coverage;
use crate::faults::{Fault, FaultProfile};
use crate::judge::Judge;
use crate::kubelet::Place;
use crate::liveness::Quiet;
use crate::network::Link;
use crate::pod_locks::PodLocks;
use crate::process::Process;
use crate::queue::Queue;
use crate::rng::Rng;
use crate::server::{Change, Server};
use crate::trace_event::{TraceEvent, Who};
use crate::watch::Stream;

/// What is going to happen. The process that it was meant for may be gone by then.
#[derive(Clone)]
pub enum Event {
    Wake(Who, u64),
    /// The kernel timer, as it was set.
    Deadline(Who, Duration),
    Resumes(Who),
    Recovers(Who),
    /// A request reaches the server.
    Arrives(Request),
    Answer(Who, u64, Reply),
    TimesOut(Who, u64),
    /// A write that was taken up long ago is carried out at last.
    CommitsLate(Who, Rc<Write>),
    WatchOpens(Who, u64),
    Watched(Who, u64, Change),
    WatchEnds(Who, u64, bool),
    Rewatch(Who, u64),
    WorkloadExits(Who, Exit),
    /// After a kill: nothing executes any more.
    Dead(Who),
    Gone(Who),
    Fenced(Who),
    LastWords(Who),
    Evicted(Who),
    Launch(usize),
    NodeReturns(usize),
    NodeResumes(usize),
    Look,
    LeaseChanged,
    Strikes,
    Liveness,
}

#[derive(Clone)]
pub struct Request {
    pub who: Who,
    pub node: usize,
    pub call: u64,
    /// None to read.
    pub write: Option<Rc<Write>>,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Found(Rc<Record>),
    NotFound,
    Stored(Rc<Record>),
    Conflict,
    Refused(&'static str),
    Unknown(&'static str),
}

/// What is broken, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    Nothing,
    /// The clocks of two nodes run at 1.5 : 1.
    WildClocks,
    /// Nothing kills a paused process.
    NoKernelTimer,
    /// PID 1 learns of the deadline from the elector's death alone.
    DeadlineOfTheElectorAlone,
    /// The controller makes a new Lease that says it is free.
    NoPlaceholder,
    /// A guest's clocks leave out its pauses.
    HiddenPauses,
    /// The kernel takes three times K to kill.
    SlowKernel,
    /// The server stores what is based on an old version.
    NoCompareAndSwap,
    /// No process is woken by time alone.
    Sleepers,
    /// A store that does not note a deletion, and is told of it again by its next watch.
    ForgetsDeletions,
    /// The lock of a pod is free although processes share it.
    UnlockedByFork,
}

pub struct Node {
    pub clock: Clock,
    pub link: Link,
    pub down: bool,
    pub suspended: bool,
}

pub struct Settings {
    pub seed: u64,
    pub agents: usize,
    pub fault_profile: FaultProfile,
    pub unreachable: UnreachableHolder,
    pub mutant: Mutant,
}

pub struct World {
    pub settings: Settings,
    pub now: Duration,
    pub queue: Queue<Event>,
    pub server: Server,
    pub nodes: Vec<Node>,
    pub places: Vec<Place>,
    pub processes: BTreeMap<Who, Process>,
    pub pod_locks: PodLocks,
    pub streams: BTreeMap<Who, Stream>,
    pub controller: Controller,
    pub judge: Judge,
    pub quiet: Quiet,
    pub coverage: Coverage,
    pub chance: Rng,
    pub mischief: Rng,
    pub born: Who,
    pub called: u64,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let seed = settings.seed;
        let mut clocks = Rng::new(seed, "clocks");
        let nodes = settings.agents.clamp(2, 4);
        let mut world = Self {
            now: Duration::ZERO,
            queue: Queue::new(),
            server: Server::new(),
            nodes: (0..nodes).map(|node| Node::new(node, settings.mutant, &mut clocks)).collect(),
            places: (0..settings.agents).map(|place| Place::new(place, place % nodes)).collect(),
            processes: BTreeMap::new(),
            pod_locks: PodLocks::default(),
            streams: BTreeMap::new(),
            controller: Controller::new(settings.unreachable.clone(), &mut clocks),
            judge: Judge::new(),
            quiet: Quiet::default(),
            coverage: Coverage::default(),
            chance: Rng::new(seed, "chance"),
            mischief: Rng::new(seed, "mischief"),
            born: 0,
            called: 0,
            settings,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.queue.push(Duration::ZERO, Event::Look);
        self.queue.push(Duration::ZERO, Event::Liveness);
        for place in 0..self.places.len() {
            let at = self.chance.millis(10..=3000);
            self.queue.push(at, Event::Launch(place));
        }
        let first = self.settings.fault_profile.pause(&mut self.mischief);
        self.queue.push(first, Event::Strikes);
    }

    /// Lets time pass up to `end`, or to the first claim that does not hold.
    pub fn run(&mut self, end: Duration) -> Result<(), String> {
        while self.judge.verdict.is_ok()
            && let Some((at, event)) = self.queue.pop(end)
        {
            self.now = at;
            self.happen(event);
        }
        self.judge.verdict.clone()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(who, wake) => self.wake(who, wake),
            Event::Deadline(who, boot) => self.deadline(who, boot),
            Event::Resumes(who) => self.resume(who),
            Event::Recovers(who) => self.recover(who),
            Event::Arrives(request) => self.arrive(request),
            Event::Answer(who, call, reply) => self.answer(who, call, reply),
            Event::TimesOut(who, call) => self.answer(who, call, Reply::Unknown("no answer in time")),
            Event::CommitsLate(who, write) => drop(self.commit(who, &write)),
            Event::WatchOpens(who, watch) => self.watch_opens(who, watch),
            Event::Watched(who, watch, change) => self.watched(who, watch, change),
            Event::WatchEnds(who, watch, failed) => self.watch_ends(who, watch, failed),
            Event::Rewatch(who, watch) => self.rewatch_if(who, watch),
            Event::WorkloadExits(who, exit) => self.workload_exits(who, exit),
            Event::Dead(who) => self.dead(who),
            Event::Gone(who) => self.gone(who),
            Event::Fenced(who) => self.fenced(who),
            Event::LastWords(who) => self.last_words(who),
            Event::Evicted(who) => self.destroy(who, "killed by the kubelet"),
            Event::Launch(place) => self.launch(place),
            Event::NodeReturns(node) => self.node_returns(node),
            Event::NodeResumes(node) => self.node_resumes(node),
            Event::Look => self.look_and_again(),
            Event::LeaseChanged => self.look(),
            Event::Strikes => self.strike(),
            Event::Liveness => self.look_for_life(),
        }
    }

    pub fn after(&mut self, delay: Duration, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    pub fn clock_of(&self, who: Who) -> Option<Now> {
        let process = self.processes.get(&who)?;
        Some(self.nodes[process.node].clock.now(self.now))
    }

    pub fn boot_of(&self, who: Who) -> Duration {
        self.clock_of(who).map_or(Duration::ZERO, |now| now.at.boot)
    }

    pub fn note(&mut self, event: TraceEvent) {
        self.coverage.note(self.now, &event, self.server.lease().map(Rc::as_ref));
        self.judge.note(self.now, event);
    }

    pub fn is_mutant(&self, mutant: Mutant) -> bool {
        self.settings.mutant == mutant
    }

    pub fn happens(&mut self, fault: Fault, place: Option<usize>) {
        self.note(TraceEvent::Happens(fault, place));
    }
}

impl Node {
    fn new(number: usize, mutant: Mutant, rng: &mut Rng) -> Self {
        let rate = match (mutant, number % 2) {
            (Mutant::WildClocks, 0) => 800_000,
            (Mutant::WildClocks, _) => 1_200_000,
            _ => rng.number(RATES),
        };
        Self { clock: Clock::new(rate, rng), link: Link::default(), down: false, suspended: false }
    }
}
