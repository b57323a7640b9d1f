//! What can happen next, and that it happens.

use std::time::Duration;

use super::World;
use super::api::matches;
use super::clocks::KILL_MARGIN;
use super::fault::{BrokenAssumption, Fault};
use super::lease::elector::{Input, Source};
use super::lease::record::Record;
use super::process::tidy;
use super::state::{Agent, Lingering, Reading, Request, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Tick,
    /// Something is due in this process.
    Wake(usize),
    Watch(usize),
    /// News that was late.
    OldNews(usize),
    /// The API server carries out this request.
    Serve(usize),
    /// The answer to a PUT arrives.
    Answer(usize),
    Read(usize),
    Dies(usize),
    KernelKills(usize),
    ReleaseOrphan(usize),
    /// The kernel kills what is left of a container.
    Follows(usize),
    /// The controller makes the Lease again.
    Recreate,
    Befalls(usize, Fault),
    Manual(Fault),
    /// A request is answered as if it had been carried out.
    Unwritten(usize),
}

impl World {
    pub fn what_can_happen(&self, state: &State, actions: &mut Vec<Action>) {
        let mut due = Vec::new();
        for number in 0..self.agents {
            self.duties(state, number, if self.lazy.contains(&number) { actions } else { &mut due });
        }
        for (index, request) in state.requests.iter().enumerate() {
            let list = if self.lazy.contains(&request.agent) { &mut *actions } else { &mut due };
            list.push(Action::Serve(index));
        }
        for (index, dead) in state.dead.iter().enumerate() {
            let list = if self.lazy.contains(&dead.agent) { &mut *actions } else { &mut due };
            list.push(Action::ReleaseOrphan(index));
        }
        actions.extend((0..state.lingering.len()).map(Action::Follows));
        if state.store.lease.is_none() && state.store.recreations == 0 {
            let list = if self.is_prompt() { &mut due } else { &mut *actions };
            list.push(Action::Recreate);
        }
        match due.first() {
            Some(first) => actions.push(*first),
            None if self.time_may_pass(state) => actions.push(Action::Tick),
            None => {}
        }
        if self.faults.len() - state.faults.len() < self.at_most {
            self.faults(state, actions);
        }
    }

    /// Not beyond the moment by which the kernel must have killed what runs.
    fn time_may_pass(&self, state: &State) -> bool {
        let bound = !matches!(
            self.broken_assumption,
            BrokenAssumption::NoKillMargin | BrokenAssumption::UserspaceTimer
        );
        let in_time = |(number, agent): (usize, &std::sync::Arc<Agent>)| {
            let next = self.at(state.tick + 1, number).at.boot;
            !agent.running
                || self.cannot_be_killed(agent)
                || agent.armed.is_none_or(|armed| next < armed + KILL_MARGIN)
        };
        let follows_in_time = |left: &Lingering| self.tick * (state.tick + 1 - left.since) < KILL_MARGIN;
        state.tick < self.horizon
            && state.lingering.iter().all(follows_in_time)
            && (!bound || state.agents.iter().enumerate().all(in_time))
    }

    /// Whether nothing would end what runs here: the elector cannot die, and PID 1 waits for its death.
    fn cannot_be_killed(&self, agent: &Agent) -> bool {
        agent.hangs && self.broken_assumption == BrokenAssumption::DeadlineOfTheElectorAlone
    }

    /// What this process, its connection and its kernel are about to do.
    fn duties(&self, state: &State, number: usize, actions: &mut Vec<Action>) {
        let agent = &state.agents[number];
        let now = self.now(state, number);
        let overdue = agent.armed.is_some_and(|armed| now.at.boot >= armed);
        if overdue
            && self.broken_assumption != BrokenAssumption::UserspaceTimer
            && !self.cannot_be_killed(agent)
        {
            actions.push(Action::KernelKills(number));
        }
        if agent.over || agent.hangs || (self.paused == Some(number) && agent.incarnation == 0) {
            return;
        }
        let due = agent.elector.wakes_in(now) <= Duration::from_millis(1);
        let news = state.store.lease.as_ref().is_some_and(|lease| lease.version.0 > agent.seen);
        let answered = agent.awaited.as_ref().is_some_and(|(_, answer)| answer.is_some());
        let duties = [
            (agent.killing, Action::Dies(number)),
            (answered, Action::Answer(number)),
            (agent.reading != Reading::Idle, Action::Read(number)),
            (agent.late_news.is_some(), Action::OldNews(number)),
            (news, Action::Watch(number)),
            (due, Action::Wake(number)),
        ];
        actions.extend(duties.into_iter().filter_map(|(is_due, duty)| is_due.then_some(duty)));
    }

    fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        let mut last = None;
        for fault in state.faults.iter().copied() {
            if last.replace(fault) == Some(fault) {
                continue;
            }
            if fault == Fault::Unwritten {
                let would_be = |request: &Request| {
                    state.store.lease.as_ref().is_some_and(|lease| matches(lease, &request.write))
                };
                let indices = (0..state.requests.len()).filter(|index| would_be(&state.requests[*index]));
                actions.extend(indices.map(Action::Unwritten));
            } else if is_manual(fault) {
                actions.extend(hand_can(state, fault).then_some(Action::Manual(fault)));
            } else {
                let exposed = (0..self.agents).filter(|number| can_befall(state, *number, fault));
                actions.extend(exposed.map(|number| Action::Befalls(number, fault)));
            }
        }
    }

    pub fn happen(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Tick => {
                state.tick += 1;
                self.judge_time(state);
            }
            Action::Wake(number) => self.step(state, number, Input::Tick),
            Action::Watch(number) => self.watch(state, number),
            Action::OldNews(number) => {
                let record = state.agent(number).late_news.take()?;
                self.step(state, number, Input::Saw(Box::new((*record).clone()), Source::Watch));
            }
            Action::Serve(index) => self.serve(state, index, true),
            Action::Unwritten(index) => {
                spend(state, Fault::Unwritten);
                self.serve(state, index, false);
            }
            Action::Answer(number) => self.deliver(state, number),
            Action::Read(number) => self.read(state, number),
            Action::Dies(number) => self.dies(state, number),
            Action::KernelKills(number) if state.agents[number].hangs => {
                state.idle_since = state.tick;
                state.agent(number).outlives_deadline();
            }
            Action::KernelKills(number) => {
                self.restart(state, number, true);
                // One trace needs one end: what comes back is what a crash is for.
                self.is_over(state, number);
            }
            Action::ReleaseOrphan(index) => self.release_orphan(state, index),
            Action::Follows(index) => drop(state.lingering.remove(index)),
            Action::Recreate => self.recreate(state),
            Action::Befalls(number, fault) => {
                spend(state, fault);
                self.befall(state, number, fault);
            }
            Action::Manual(fault) => {
                spend(state, fault);
                self.write_manually(state, fault);
            }
        }
        self.remember(state);
        tidy(state);
        Some(())
    }
}

fn spend(state: &mut State, fault: Fault) {
    if let Some(place) = state.faults.iter().position(|left| *left == fault) {
        state.faults.remove(place);
    }
}

fn is_manual(fault: Fault) -> bool {
    use Fault::{
        Clear, Clearance, Delete, FailPod, Handover, Lengthen, NextRun, RecreateBlank, RestoreCleared,
        RestoreFree, RestoreHeld, Shorten, Stop, Touch,
    };
    let restores = matches!(fault, RecreateBlank | RestoreFree | RestoreHeld | RestoreCleared);
    restores
        || matches!(
            fault,
            Touch | Handover | Clearance | FailPod | Stop | NextRun | Shorten | Lengthen | Delete | Clear
        )
}

/// Who makes a Lease again needs one that was deleted, all others one that is there. The controller says of
/// no process that it is gone while it is not.
fn hand_can(state: &State, fault: Fault) -> bool {
    let makes = matches!(
        fault,
        Fault::RecreateBlank | Fault::RestoreFree | Fault::RestoreHeld | Fault::RestoreCleared
    );
    let first = &state.agents[0];
    let may_be_said = fault != Fault::Clearance || first.over || first.incarnation > 0;
    let is_over =
        fault != Fault::NextRun || state.store.lease.as_ref().is_some_and(|lease| lease.is_finished());
    let is_open = fault != Fault::FailPod
        || state.store.lease.as_ref().is_some_and(|lease| is_provisional(lease, first));
    state.store.lease.is_none() == makes && may_be_said && is_open && is_over
}

/// Whether the account says of this candidate's pod that its last attempt may have been a failure.
fn is_provisional(lease: &Record, agent: &Agent) -> bool {
    let mut tenants = lease.annotations.progress.iter().flat_map(|progress| &progress.tenants);
    tenants
        .any(|tenant| agent.candidate.identity.pod_uid() == Some(&tenant.uid) && tenant.provisional.is_some())
}

fn can_befall(state: &State, number: usize, fault: Fault) -> bool {
    let agent = &state.agents[number];
    let applies = match fault {
        Fault::LosePut => agent.awaited.is_some(),
        Fault::LoseRead | Fault::SlowRead => agent.reading == Reading::Asked,
        Fault::SlowWatch => agent.late_news.is_none() && state.store.lease.is_some(),
        Fault::Ready => agent.running && !agent.killing,
        Fault::End => agent.running && !agent.killing && agent.evidence.exit.is_none(),
        Fault::Replace => agent.evidence.token.is_none(),
        Fault::Undying => agent.killing,
        Fault::Drain => agent.evidence.drained.is_none(),
        _ => true,
    };
    applies && !agent.over && !agent.hangs
}
