//! Every order in which things can happen to two candidates, within bounds, against the elector itself.
//!
//! The environment loses, delays and reorders messages, answers ambiguously, pauses processes, crashes and restarts them, deletes and
//! recreates the Lease. One tick is half a second; the lease lasts 3 s: D is 4 ticks, K is 1 tick.
//!
//! A mutant breaks one assumption or duty of the environment; the checker must find the overlap, or it could not see one at all.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use singletonjob::lease::clock::{Moment, Now};
use singletonjob::lease::elector::{Answer, Candidate, Elector, Fact, Input, Order, Output, Source, Write};
use singletonjob::lease::notes::{CompletionPolicy, Desired, Exit, Notes, Policy, Progress, Reason, Released, Run};
use singletonjob::lease::record::{Identity, Record, Version};
use stateright::{Checker, HasDiscoveries, Model, Property};

const TICK: Duration = Duration::from_millis(500);
/// K = 0.5 s.
const KILL_MARGIN_TICKS: u64 = 1;
const AGENTS: usize = 2;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    Nothing,
    /// A paused process is killed by nobody.
    NoKernelTimer,
    /// The controller makes a new Lease that says it is free.
    NoPlaceholder,
    /// The kill may take as long as it likes.
    NoKillMargin,
}

#[derive(Clone, Debug)]
struct World {
    mutant: Mutant,
    horizon: u64,
    versions: u128,
    /// Crashes, deletions, wishes and ends, all together.
    faults: u8,
    /// Messages that may be lost.
    losses: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    tick: u64,
    version: u128,
    lease: Option<Record>,
    agents: Vec<Agent>,
    requests: BTreeSet<Request>,
    faults: u8,
    losses: u8,
    recreated: bool,
    tokens: Vec<u128>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Agent {
    incarnation: u8,
    elector: Elector,
    /// The kernel kills the process at this tick.
    armed: Option<u64>,
    running: bool,
    killing: bool,
    read: Reading,
    /// A PUT whose answer is awaited, and the answer once there is one.
    awaited: Option<(u64, Option<Box<Answer>>)>,
    over: bool,
    /// The newest version that it was told of.
    seen: u128,
}

/// A read, if there is one under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reading {
    Idle,
    Asked,
    Found(Box<Record>),
    FoundNothing,
}

/// A PUT on its way to the server. Who sent it may have given up on it, or be dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    agent: usize,
    incarnation: u8,
    attempt: u64,
    write: WriteOnTheWire,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WriteOnTheWire(Write);

impl PartialOrd for WriteOnTheWire {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WriteOnTheWire {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.0.base, &self.0.renew_time, &self.0.holder).cmp(&(&other.0.base, &other.0.renew_time, &other.0.holder))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Tick,
    Wake(usize),
    Watch(usize),
    Serve(Request),
    Lose(Request),
    Deliver(usize),
    TimeOut(usize),
    ServeRead(usize),
    DeliverRead(usize),
    FailRead(usize),
    Dies(usize),
    KernelKills(usize),
    Ends(usize),
    Crash(usize),
    Delete,
    Recreate,
    Wish,
}

fn policy() -> Policy {
    Policy {
        lease_duration_seconds: 3,
        renew_deadline_milliseconds: 2000,
        grace_period_milliseconds: 0,
        retry_period_milliseconds: 600,
        completion_policy: CompletionPolicy::Never,
        backoff_limit: 0,
        candidates: 2,
        token_floor: None,
    }
}

fn lease(uid: u8, version: u128, holder: Option<Identity>) -> Record {
    let free = holder.is_none().then(|| Released {
        lease_uid: format!("lease-{uid}"),
        renew_time: None,
        by: Identity::read("controller"),
        reason: Reason::Created,
        token: None,
        exit: None,
    });
    Record {
        uid: format!("lease-{uid}"),
        version: Version(version),
        holder,
        lease_duration: Duration::from_secs(3),
        acquire_time: None,
        renew_time: None,
        transitions: 0,
        notes: Notes {
            policy: Some(policy()),
            run: Some(Run { uid: "job".into(), number: 1, desired: Desired::Run, reason: None }),
            progress: Some(Progress { uid: "job".into(), run: 1, ..Progress::default() }),
            released: free,
            ..Notes::default()
        },
    }
}

impl World {
    fn now(state: &State) -> Now {
        let boot = Duration::from_secs(1000) + TICK * u32::try_from(state.tick).expect("small");
        let wall = Timestamp::from_second(1_700_000_000).expect("valid") + TICK * u32::try_from(state.tick).expect("small");
        Now { at: Moment { boot, raw: boot }, wall }
    }

    fn agent(number: usize, incarnation: u8, now: Now) -> Agent {
        let candidate = Candidate {
            identity: Identity::new(&format!("pod-{number}"), &format!("uid-{number}"), u64::from(incarnation)),
            job_uid: "job".into(),
            stop_grace: Duration::ZERO,
        };
        Agent {
            incarnation,
            elector: Elector::new(candidate, now.at),
            armed: None,
            running: false,
            killing: false,
            read: Reading::Idle,
            awaited: None,
            over: false,
            seen: 0,
        }
    }

    fn step(state: &mut State, number: usize, input: Input) {
        let now = Self::now(state);
        if let Input::Saw(record, _) | Input::Answered { answer: Answer::Stored(record), .. } = &input {
            state.agents[number].seen = record.version.0;
        }
        let outputs = state.agents[number].elector.step(now, input);
        for output in outputs {
            Self::carry_out(state, number, output);
        }
    }

    fn carry_out(state: &mut State, number: usize, output: Output) {
        let agent = &mut state.agents[number];
        match output {
            Output::Put { attempt, write, .. } => {
                agent.awaited = Some((attempt, None));
                let request = Request { agent: number, incarnation: agent.incarnation, attempt, write: WriteOnTheWire(*write) };
                state.requests.insert(request);
            }
            Output::Read { .. } => agent.read = Reading::Asked,
            Output::Order(Order::ArmDeadline(boot)) => agent.armed = Some(ticks(boot)),
            Output::Order(Order::DisarmDeadline) => agent.armed = None,
            Output::Order(Order::Start(start)) => {
                agent.running = true;
                state.tokens.push(start.token.0);
            }
            Output::Order(Order::Terminate) => {}
            Output::Order(Order::Kill) => agent.killing = true,
            Output::Order(Order::Exit(_)) => agent.over = true,
        }
    }

    fn serve(state: &mut State, request: &Request) {
        state.requests.remove(request);
        let write = &request.write.0;
        let current = state.lease.as_ref().filter(|lease| lease.uid == write.uid);
        let answer = if let Some(base) = current.filter(|lease| lease.version == write.base) {
            state.version += 1;
            let stored = stored(base, write, state.version);
            state.lease = Some(stored.clone());
            Answer::Stored(Box::new(stored))
        } else {
            Answer::Conflict
        };
        let agent = &mut state.agents[request.agent];
        if agent.incarnation == request.incarnation
            && let Some((attempt, awaited)) = &mut agent.awaited
            && *attempt == request.attempt
        {
            *awaited = Some(Box::new(answer));
        }
    }

    /// The process is gone, and all that it ran with it; the container comes back as another process.
    fn restart(state: &mut State, number: usize) {
        let incarnation = state.agents[number].incarnation + 1;
        state.agents[number] = Self::agent(number, incarnation, Self::now(state));
    }
}

fn ticks(boot: Duration) -> u64 {
    // The timer is set a little before the deadline; here that is the same.
    u64::try_from((boot + TICK / 2 - Duration::from_secs(1000)).as_millis() / TICK.as_millis()).expect("small")
}

fn stored(base: &Record, write: &Write, version: u128) -> Record {
    Record {
        uid: base.uid.clone(),
        version: Version(version),
        holder: write.holder.clone(),
        lease_duration: write.lease_duration,
        acquire_time: write.acquire_time.or(base.acquire_time),
        renew_time: Some(write.renew_time),
        transitions: 0,
        notes: Notes { progress: write.progress.clone(), released: write.released.clone(), ..base.notes.clone() },
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            tick: 0,
            version: 10,
            lease: Some(lease(0, 10, None)),
            agents: Vec::new(),
            requests: BTreeSet::new(),
            faults: 0,
            losses: 0,
            recreated: false,
            tokens: Vec::new(),
        };
        let now = Self::now(&state);
        state.agents = (0..AGENTS).map(|number| Self::agent(number, 0, now)).collect();
        // The first of them holds and runs: what is of interest begins there.
        let seen = state.lease.clone().expect("there");
        Self::step(&mut state, 0, Input::Saw(Box::new(seen), Source::Read));
        let request = state.requests.first().expect("an acquisition").clone();
        Self::serve(&mut state, &request);
        let Some((attempt, Some(answer))) = state.agents[0].awaited.take() else { unreachable!("it was served") };
        Self::step(&mut state, 0, Input::Answered { attempt, answer: *answer });
        let seen = state.lease.clone().expect("there");
        Self::step(&mut state, 1, Input::Saw(Box::new(seen), Source::Read));
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let now = Self::now(state).at;
        let in_time = |agent: &Agent| {
            !agent.running
                || matches!(self.mutant, Mutant::NoKillMargin | Mutant::NoKernelTimer)
                || agent.armed.is_none_or(|armed| state.tick < armed + KILL_MARGIN_TICKS)
        };
        if state.tick < self.horizon && state.agents.iter().all(in_time) {
            actions.push(Action::Tick);
        }
        for (number, agent) in state.agents.iter().enumerate() {
            if agent.over {
                continue;
            }
            if agent.elector.wakes_in(now) <= Duration::from_millis(1) {
                actions.push(Action::Wake(number));
            }
            if state.lease.as_ref().is_some_and(|lease| lease.version.0 > agent.seen) {
                actions.push(Action::Watch(number));
            }
            let lossy = state.losses < self.losses;
            if let Some((_, Some(_))) = &agent.awaited {
                actions.push(Action::Deliver(number));
            }
            if agent.awaited.is_some() && lossy {
                actions.push(Action::TimeOut(number));
            }
            match &agent.read {
                Reading::Found(_) | Reading::FoundNothing => actions.push(Action::DeliverRead(number)),
                Reading::Asked => actions.push(Action::ServeRead(number)),
                Reading::Idle => {}
            }
            if agent.read == Reading::Asked && lossy {
                actions.push(Action::FailRead(number));
            }
            if agent.killing {
                actions.push(Action::Dies(number));
            } else if agent.running && state.faults < self.faults {
                actions.push(Action::Ends(number));
            }
            let dead_line = agent.armed.is_some_and(|armed| state.tick >= armed);
            if dead_line && !matches!(self.mutant, Mutant::NoKernelTimer) {
                actions.push(Action::KernelKills(number));
            }
            if state.faults < self.faults {
                actions.push(Action::Crash(number));
            }
        }
        for request in &state.requests {
            actions.push(Action::Serve(request.clone()));
            let agent = &state.agents[request.agent];
            if agent.incarnation != request.incarnation || agent.awaited.as_ref().is_none_or(|(attempt, _)| *attempt != request.attempt) {
                actions.push(Action::Lose(request.clone()));
            }
        }
        match &state.lease {
            Some(_) if state.faults < self.faults => actions.extend([Action::Delete, Action::Wish]),
            None if !state.recreated => actions.push(Action::Recreate),
            Some(_) | None => {}
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick += 1,
            Action::Wake(number) => Self::step(&mut state, number, Input::Tick),
            Action::Watch(number) => {
                let record = state.lease.clone()?;
                Self::step(&mut state, number, Input::Saw(Box::new(record), Source::Watch));
            }
            Action::Serve(request) => Self::serve(&mut state, &request),
            Action::Lose(request) => {
                state.requests.remove(&request);
            }
            Action::Deliver(number) => {
                let (attempt, answer) = state.agents[number].awaited.take()?;
                Self::step(&mut state, number, Input::Answered { attempt, answer: *answer? });
            }
            Action::TimeOut(number) => {
                state.losses += 1;
                let (attempt, _) = state.agents[number].awaited.take()?;
                Self::step(&mut state, number, Input::Answered { attempt, answer: Answer::Unknown("lost".into()) });
            }
            Action::ServeRead(number) => {
                let found = state.lease.clone().map(Box::new);
                state.agents[number].read = found.map_or(Reading::FoundNothing, Reading::Found);
            }
            Action::DeliverRead(number) => {
                let input = match std::mem::replace(&mut state.agents[number].read, Reading::Idle) {
                    Reading::Found(record) => Input::Saw(record, Source::Read),
                    Reading::FoundNothing => Input::Missing,
                    Reading::Idle | Reading::Asked => return None,
                };
                Self::step(&mut state, number, input);
            }
            Action::FailRead(number) => {
                state.losses += 1;
                state.agents[number].read = Reading::Idle;
                Self::step(&mut state, number, Input::Unreachable("lost".into()));
            }
            Action::Dies(number) => {
                state.agents[number].running = false;
                state.agents[number].killing = false;
                Self::step(&mut state, number, Input::Told(Fact::TreeEmpty));
            }
            Action::Ends(number) => {
                state.faults += 1;
                Self::step(&mut state, number, Input::Told(Fact::WorkloadEnded(Exit::Code(1))));
            }
            Action::KernelKills(number) => Self::restart(&mut state, number),
            Action::Crash(number) => {
                state.faults += 1;
                Self::restart(&mut state, number);
            }
            Action::Delete => {
                state.faults += 1;
                state.lease = None;
            }
            Action::Recreate => {
                state.version += 1;
                state.recreated = true;
                let placeholder = Identity::new("pod-0", "uid-0", 0);
                let holder = (self.mutant != Mutant::NoPlaceholder).then_some(placeholder);
                state.lease = Some(lease(1, state.version, holder));
            }
            Action::Wish => {
                state.faults += 1;
                state.version += 1;
                let version = Version(state.version);
                state.lease.as_mut()?.version = version;
            }
        }
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.version <= self.versions && state.requests.len() <= 2
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one workload runs", |_, state: &State| {
                state.agents.iter().filter(|agent| agent.running).count() <= 1
            }),
            Property::always("fencing tokens rise", |_, state: &State| state.tokens.is_sorted_by(|earlier, later| earlier < later)),
            Property::sometimes("a second start", |_, state: &State| state.tokens.len() > 1),
        ]
    }
}

/// Fewer than this and the bounds were too tight to say anything.
const MEANINGFUL: usize = 20_000;
/// The search is breadth first: what it has not reached by then are longer stories only.
const PATIENCE: Duration = Duration::from_secs(40);

fn search(mutant: Mutant, losses: u8) -> (usize, Vec<&'static str>) {
    let world = World { mutant, horizon: 9, versions: 14, faults: 1, losses };
    let checker = world.checker().threads(2).timeout(PATIENCE).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let discoveries = checker.discoveries();
    println!("{mutant:?}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    for (name, path) in &discoveries {
        println!("  {name}: {:?}", path.clone().into_actions());
    }
    (checker.unique_state_count(), discoveries.into_keys().collect())
}

#[test]
fn two_workloads_never_run_at_once() {
    let (states, discoveries) = search(Mutant::Nothing, 1);
    assert_eq!(discoveries, ["a second start"]);
    assert!(states > MEANINGFUL, "{states}");
}

#[test]
fn every_mutant_is_caught() {
    let mutants = [Mutant::NoKernelTimer, Mutant::NoPlaceholder, Mutant::NoKillMargin];
    for mutant in mutants {
        let (_, discoveries) = search(mutant, 1);
        assert!(discoveries.iter().any(|found| *found != "a second start"), "{mutant:?} was not caught");
    }
}
