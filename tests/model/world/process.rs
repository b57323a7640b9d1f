//! One candidate's process: what it is told, and how its orders are carried out.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::api::matches;
use super::fault::{BrokenAssumption, FATAL, Fault};
use super::lease::annotations::{CompletionPolicy, Desired, Exit};
use super::lease::clock::Now;
use super::lease::elector::{
    Answer, Candidate, Elector, Ending, Fact, Input, Order, Output, PodLock, Signature, Source,
};
use super::lease::identity::Identity;
use super::lease::record::Record;
use super::oracle::Evidence;
use super::state::{Agent, Dead, Directives, Lingering, LockFile, Reading, Request, State, Store};

impl World {
    /// The first candidate holds and runs, and the others have seen that: what is of interest begins there.
    pub fn beginning(&self) -> State {
        let policy = self.policy.clone();
        let longest_lease = Duration::from_secs(u64::from(policy.lease_duration_seconds));
        let directives = Directives {
            policy,
            longest_lease,
            desired: Desired::Run,
            stopped: false,
            handover: None,
            policy_changed: false,
            failed_pod: false,
        };
        let mut state = State {
            tick: 0,
            store: Store::new(&self.policy),
            agents: Vec::new(),
            requests: Vec::new(),
            dead: Vec::new(),
            locks: vec![LockFile::default(); if self.pod_locks { self.agents } else { 0 }],
            lingering: Vec::new(),
            faults: self.faults.clone(),
            directives,
            last_token: 0,
            starts: 0,
            idle_since: 0,
            broken: None,
        };
        for number in 0..self.agents {
            let agent = self.agent(&mut state, number, 0);
            state.agents.push(Arc::new(agent));
        }
        for number in 0..self.agents {
            self.step(&mut state, number, Input::Tick);
            self.read(&mut state, number);
            if !state.requests.is_empty() {
                self.serve(&mut state, 0, true);
                self.deliver(&mut state, number);
            }
        }
        state
    }

    pub fn candidate(&self, number: usize, incarnation: u8) -> Candidate {
        let pod = self.pod(number);
        let process = number as u64 * 16 + u64::from(incarnation);
        let nonce = if self.broken_assumption == BrokenAssumption::IdentityPerPod { 0 } else { process };
        Candidate::new(
            Identity::new(&format!("pod-{pod}"), &format!("uid-{pod}"), nonce),
            "job",
            self.stop_grace,
        )
    }

    fn pod(&self, number: usize) -> usize {
        if self.one_pod { 0 } else { number }
    }

    /// Takes the lock of its pod once, when it starts, if it can be had.
    fn take_lock(&self, state: &mut State, number: usize, process: &Identity) -> Option<PodLock> {
        let since = self.now(state, number).at;
        let leaks = self.broken_assumption == BrokenAssumption::UnlockedByFork && state.running() > 0;
        let file = state.locks.get_mut(self.pod(number))?;
        if file.owner.is_some() && !leaks {
            return None;
        }
        file.owner = Some(process.clone());
        Some(PodLock { since, predecessor: file.signed.clone() })
    }

    /// The kernel frees the lock of a pod when those who share it are dead.
    fn free_lock(&self, state: &mut State, number: usize) {
        let process = state.agents[number].candidate.identity.clone();
        if let Some(file) = state.locks.get_mut(self.pod(number)) {
            file.owner.take_if(|owner| *owner == process);
        }
    }

    fn sign_lock(&self, state: &mut State, number: usize, lease_uid: String) {
        let process = state.agents[number].candidate.identity.clone();
        if let Some(file) = state.locks.get_mut(self.pod(number)) {
            file.signed = Some(Signature { process, lease_uid });
        }
    }

    /// Nothing comes back.
    pub fn is_over(&self, state: &mut State, number: usize) {
        state.agent(number).over = true;
        self.free_lock(state, number);
    }

    fn agent(&self, state: &mut State, number: usize, incarnation: u8) -> Agent {
        let candidate = self.candidate(number, incarnation);
        let lock = self.take_lock(state, number, &candidate.identity);
        let candidate = Candidate { lock, ..candidate };
        Agent {
            elector: Elector::new(candidate.clone(), self.now(state, number)),
            candidate,
            incarnation,
            armed: None,
            running: false,
            killing: false,
            hangs: false,
            over: false,
            reading: Reading::Idle,
            awaited: None,
            late_news: None,
            seen: 0,
            evidence: Evidence::default(),
        }
    }

    pub fn step(&self, state: &mut State, number: usize, input: Input) {
        let now = self.now(state, number);
        let before = Agent::clone(&state.agents[number]);
        let agent = state.agent(number);
        if let Input::Saw(record, source) = &input {
            agent.hear(now, record, *source);
        } else if let Input::Answered { answer: Answer::Stored(record), .. } = &input {
            agent.hear(now, record, Source::Read);
        } else if let Input::Answered { answer: Answer::Conflict, .. } = &input {
            agent.evidence.in_doubt = None;
        }
        let outputs = agent.elector.step(now, input.clone());
        self.judge_step(state, number, &before, input, &outputs);
        for output in outputs {
            self.execute(state, number, output);
        }
    }

    fn execute(&self, state: &mut State, number: usize, output: Output) {
        match output {
            Output::Put { attempt, write, .. } => {
                self.judge_put(state, number, &write);
                if self.broken_assumption == BrokenAssumption::SignedWithoutLock && write.holder.is_some() {
                    self.sign_lock(state, number, write.uid.clone());
                }
                let sent = self.now(state, number).at;
                let agent = state.agent(number);
                agent.awaited = Some((attempt, None));
                let incarnation = agent.incarnation;
                send(
                    state,
                    Request { agent: number, incarnation, attempt: Some(attempt), sent, write: *write },
                );
            }
            Output::Read { .. } => state.agent(number).reading = Reading::Asked,
            Output::Order(order) => self.obey(state, number, order),
            Output::Exit(ending) => self.end(state, number, &ending),
        }
    }

    fn obey(&self, state: &mut State, number: usize, order: Order) {
        match order {
            Order::ArmDeadline { at: boot, .. } => {
                self.judge_deadline(state, number, boot);
                state.agent(number).armed = Some(boot);
            }
            Order::DisarmDeadline => state.agent(number).armed = None,
            Order::SignLock { lease_uid } => self.sign_lock(state, number, lease_uid),
            Order::Start(start) => {
                self.judge_start(state, number, &start);
                state.agent(number).running = true;
                state.last_token = start.token.0;
                state.starts += 1;
            }
            Order::Stop(cause) => state.agent(number).evidence.cause = Some(cause),
            Order::Terminate => self.judge_stop(state, number, false),
            Order::Kill => {
                self.judge_stop(state, number, true);
                state.agent(number).killing = true;
            }
        }
    }

    fn end(&self, state: &mut State, number: usize, ending: &Ending) {
        state.judge_ending(number, ending);
        self.is_over(state, number);
        let agent = state.agent(number);
        if let (Ending::InDoubt(base), true) = (ending, self.last_words) {
            let (incarnation, candidate) = (agent.incarnation, agent.candidate.clone());
            let dead = Dead {
                agent: number,
                incarnation,
                candidate,
                token: None,
                exit: None,
                cause: None,
                overdue: false,
                in_doubt: Some(*base),
            };
            state.dead.push(Arc::new(dead));
        }
    }

    /// Now, from the watch.
    pub fn watch(&self, state: &mut State, number: usize) {
        if let Some(record) = state.store.lease.as_deref().cloned() {
            self.step(state, number, Input::Saw(Box::new(record), Source::Watch));
        }
    }

    /// The answer to a read: what it found some time ago, or what is there now.
    pub fn read(&self, state: &mut State, number: usize) {
        let found = match std::mem::replace(&mut state.agent(number).reading, Reading::Idle) {
            Reading::Idle => return,
            Reading::Asked => state.store.lease.clone(),
            Reading::Found(found) => found,
        };
        let input =
            found.map_or(Input::Missing, |record| Input::Saw(Box::new(Record::clone(&record)), Source::Read));
        self.step(state, number, input);
    }

    pub fn deliver(&self, state: &mut State, number: usize) {
        if let Some((attempt, Some(answer))) = state.agent(number).awaited.take() {
            self.step(state, number, Input::Answered { attempt, answer });
        }
    }

    /// What was killed is gone.
    pub fn dies(&self, state: &mut State, number: usize) {
        let agent = state.agent(number);
        agent.running = false;
        agent.killing = false;
        self.step(state, number, Input::Told(Fact::TreeEmpty));
    }

    /// What befalls one process and its connection.
    pub fn befall(&self, state: &mut State, number: usize, fault: Fault) {
        let lost = || "lost".to_owned();
        match fault {
            Fault::Crash | Fault::Replace => self.restart(state, number, false),
            Fault::Vanish => {
                self.restart(state, number, false);
                self.is_over(state, number);
                state.dead.clear();
            }
            Fault::KillAll => {
                if state.agents[number].running {
                    let identity = state.agents[number].candidate.identity.clone();
                    state.lingering.push(Lingering { agent: number, identity, since: state.tick });
                }
                self.replace(state, number);
            }
            Fault::LosePut => {
                let Some((attempt, _)) = state.agent(number).awaited.take() else { return };
                self.step(state, number, Input::Answered { attempt, answer: Answer::Unknown(lost()) });
            }
            Fault::LoseRead => {
                state.agent(number).reading = Reading::Idle;
                self.step(state, number, Input::Unreachable(lost()));
            }
            Fault::SlowRead => state.agent(number).reading = Reading::Found(state.store.lease.clone()),
            Fault::SlowWatch => state.agent(number).late_news = state.store.lease.clone(),
            Fault::Rumour => self.step(state, number, Input::Vanished),
            Fault::Ready => {
                state.agent(number).evidence.ready = true;
                self.step(state, number, Input::Told(Fact::Ready));
            }
            Fault::End => {
                let ruled = !self.policy.failure_policy.rules.is_empty();
                let exit = if ruled {
                    FATAL
                } else {
                    Exit::Code(i32::from(self.policy.completion_policy == CompletionPolicy::Never))
                };
                let tick = state.tick;
                let evidence = &mut state.agent(number).evidence;
                (evidence.exit, evidence.ended) = (Some(exit), Some(tick));
                self.step(state, number, Input::Told(Fact::WorkloadEnded(exit)));
            }
            Fault::Undying => state.agent(number).killing = false,
            Fault::Hang => state.agent(number).hangs = true,
            Fault::Drain => {
                state.agent(number).evidence.drained = Some(state.tick);
                self.step(state, number, Input::Told(Fact::Drain));
            }
            _ => {}
        }
    }

    /// Another process takes the place of one that is gone, which is returned.
    fn replace(&self, state: &mut State, number: usize) -> Arc<Agent> {
        state.idle_since = state.tick;
        self.free_lock(state, number);
        let next = self.agent(state, number, state.agents[number].incarnation + 1);
        std::mem::replace(&mut state.agents[number], Arc::new(next))
    }

    /// The process is gone; the container comes back as another one.
    pub fn restart(&self, state: &mut State, number: usize, overdue: bool) {
        let old = self.replace(state, number);
        let Evidence { token, exit, cause, .. } = old.evidence;
        let dead = Dead {
            agent: number,
            incarnation: old.incarnation,
            candidate: old.candidate.clone(),
            token,
            exit,
            cause,
            overdue,
            in_doubt: None,
        };
        if self.broken_assumption == BrokenAssumption::EarlyLastWords {
            let agent = state.agent(number);
            (agent.running, agent.killing, agent.armed) = (old.running, false, old.armed);
        }
        if self.last_words {
            state.dead.push(Arc::new(dead));
        }
    }

    /// The last process of a container says what there is to say, at once or never: it hears no answer.
    pub fn release_orphan(&self, state: &mut State, index: usize) {
        let dead = state.dead.remove(index);
        let now = self.now(state, dead.agent);
        let write = state
            .store
            .lease
            .as_ref()
            .and_then(|record| dead.orphan().release(record, &dead.candidate.identity, now));
        if let Some(write) = write {
            state.judge_words(&dead, &write);
            send(
                state,
                Request {
                    agent: dead.agent,
                    incarnation: dead.incarnation,
                    attempt: None,
                    sent: now.at,
                    write,
                },
            );
        }
    }
}

impl Agent {
    /// At the deadline PID 1 kills what an elector that cannot die leaves running, and exits without last
    /// words.
    pub fn outlives_deadline(&mut self) {
        (self.running, self.killing, self.armed, self.over) = (false, false, None, true);
    }

    fn hear(&mut self, now: Now, record: &Record, source: Source) {
        if source == Source::Read || record.version.0 >= self.seen {
            self.seen = record.version.0;
            self.evidence.saw(now, record);
        }
    }
}

fn send(state: &mut State, request: Request) {
    let place = state.requests.partition_point(|other| other.order() < request.order());
    state.requests.insert(place, Arc::new(request));
}

/// Forgets what can never be stored, and that no agent waits for.
pub fn tidy(state: &mut State) {
    let requests = std::mem::take(&mut state.requests);
    let lease = state.store.lease.clone();
    let matters = |request: &Arc<Request>| {
        state.is_awaited(request) || lease.as_ref().is_some_and(|lease| matches(lease, &request.write))
    };
    state.requests = requests.into_iter().filter(matters).collect();
}
