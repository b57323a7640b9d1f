//! The API server with its compare-and-swap, and the controller and other hands that write to it.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::fault::{BrokenAssumption, FATAL, Fault};
use super::lease::annotations::{
    Annotations, Cleared, Desired, FailedPod, Finished, Handover, Policy, Progress, Reason, Released, Run,
};
use super::lease::elector::{Answer, Write};
use super::lease::identity::{Identity, Version};
use super::lease::record::Record;
use super::oracle::Claim;
use super::state::{Request, State, Store};

impl Store {
    pub fn new(policy: &Policy) -> Self {
        let lease = Record {
            annotations: Annotations { released: Some(created(0)), ..annotations(policy) },
            ..empty(0, policy)
        };
        Self { version: 10, lease: Some(Arc::new(lease)), recreations: 0, ended: 0 }
    }

    /// Replaces the Lease by what `change` makes of it.
    fn edit(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(lease) = &mut self.lease {
            self.version += 1;
            let lease = Arc::make_mut(lease);
            change(lease);
            lease.version = Version(self.version);
        }
    }

    fn create(&mut self, lease: impl FnOnce(u8) -> Record) {
        self.version += 1;
        self.recreations += 1;
        self.lease = Some(Arc::new(Record { version: Version(self.version), ..lease(self.recreations) }));
    }
}

impl World {
    /// The answer, once there is one: no agent may wait for it any more.
    pub fn serve(&self, state: &mut State, index: usize, written: bool) {
        let request = state.requests.remove(index);
        let Some(base) = state.store.lease.clone().filter(|lease| matches(lease, &request.write)) else {
            return answer(state, &request, Answer::Conflict);
        };
        if written {
            self.note_what_is_stored(state, &request, &base);
            state.store.edit(|lease| store(lease, &request.write));
        }
        let stored = state.store.lease.as_deref().cloned().unwrap_or_else(|| Record::clone(&base));
        answer(state, &request, Answer::Stored(Box::new(stored)));
    }

    fn note_what_is_stored(&self, state: &mut State, request: &Request, base: &Record) {
        let write = &request.write;
        let version = state.store.version + 1;
        let known =
            state.agents[request.agent].incarnation == request.incarnation && request.attempt.is_some();
        let evidence = &state.agents[request.agent].evidence;
        let recorded = known && evidence.records_end(write);
        if known && evidence.makes_up_success(write) && base.annotations.finished.is_none() {
            state.broke(Claim::FinishedIsFinished);
        }
        if known {
            state.agent(request.agent).evidence.stored(request, version);
        }
        let stopping = base.annotations.health.as_ref().is_some_and(|health| health.stopping.is_some());
        let failures = |progress: Option<&Progress>| progress.map_or(0, |progress| progress.failures);
        let counted = failures(write.progress.as_ref()) > failures(base.annotations.progress.as_ref());
        if stopping && counted && write.holder.is_some() {
            state.broke(Claim::StopsAreNoFailures);
        }
        self.judge_account(state, base, write);
        self.note_outcome(state, base, write, recorded);
    }

    /// What is recorded of a run is its last word.
    fn note_outcome(&self, state: &mut State, base: &Record, write: &Write, recorded: bool) {
        let run_of = |finished: Option<&Finished>| finished.map(|finished| finished.run);
        let follows = run_of(write.finished.as_ref()) > run_of(base.annotations.finished.as_ref());
        if base.annotations.finished.is_some() && write.finished != base.annotations.finished && !follows {
            state.broke(Claim::FinishedIsFinished);
        }
        let ends = |mark: &Released| match mark.reason {
            Reason::WorkloadSucceeded => true,
            Reason::WorkloadFailed => mark.exit == Some(FATAL),
            _ => false,
        };
        let told = recorded || write.holder.is_none() && write.released.as_ref().is_some_and(ends);
        if told && self.policy.completion_policy == super::CompletionPolicy::OnSuccess {
            state.store.ended =
                state.store.ended.max(write.progress.as_ref().map_or(0, |progress| progress.run));
        }
    }

    /// What the controller writes, or a user who has the right to.
    pub fn write_manually(&self, state: &mut State, fault: Fault) {
        let first = self.candidate(0, 0).identity;
        match fault {
            Fault::Touch => state.store.edit(|_| ()),
            Fault::Clear => state.store.edit(|lease| lease.holder = None),
            Fault::Delete => state.store.lease = None,
            Fault::Handover => {
                state.directives.handover = Some(first.clone());
                let handover = Handover { id: "1".into(), holder: first, reason: Reason::Handover };
                state.store.edit(|lease| lease.annotations.handover = Some(handover));
            }
            Fault::Clearance => state.store.edit(|lease| {
                lease.annotations.cleared =
                    Some(Cleared { lease_uid: lease.uid.clone(), holder: Some(first) });
            }),
            Fault::FailPod => {
                let (uid, name) = (first.pod_uid().unwrap_or_default().to_owned(), first.pod().to_owned());
                let failed = FailedPod { uid, name, reason: "DeadlineExceeded".into(), message: None };
                state.directives.failed_pod = true;
                state.store.edit(|lease| {
                    lease.annotations.run.iter_mut().for_each(|run| run.failed_pods = vec![failed.clone()]);
                });
            }
            Fault::Stop => {
                state.directives.stopped = true;
                state.directives.desired = Desired::Stop;
                state.store.edit(|lease| lease.annotations.run = Some(run(Desired::Stop)));
            }
            Fault::NextRun => {
                state.store.edit(|lease| lease.annotations.run.iter_mut().for_each(|run| run.number += 1));
            }
            Fault::Shorten => change_lease_duration(state, 3),
            Fault::Lengthen => change_lease_duration(state, 5),
            Fault::RecreateBlank => state.store.create(|uid| empty(uid, &self.policy)),
            Fault::RestoreFree => state.store.create(|uid| {
                let released = Some(created(0));
                Record {
                    annotations: Annotations { released, ..annotations(&self.policy) },
                    ..empty(uid, &self.policy)
                }
            }),
            Fault::RestoreHeld => state.store.create(|uid| self.held_by(first, uid)),
            Fault::RestoreCleared => state.store.create(|uid| {
                let cleared =
                    Some(Cleared { lease_uid: empty(0, &self.policy).uid, holder: Some(first.clone()) });
                let held = self.held_by(first, uid);
                Record { annotations: Annotations { cleared, ..held.annotations.clone() }, ..held }
            }),
            _ => {}
        }
    }

    /// The controller sees everything, and forgets a long lease as soon as it may.
    pub fn remember(&self, state: &mut State) {
        let Some(lease) = &state.store.lease else { return };
        let wanted = Duration::from_secs(u64::from(state.directives.policy.lease_duration_seconds));
        let emptied = lease.holder.is_none() && !lease.is_released();
        let shows = lease.acquire_time.is_some()
            && (!emptied || self.broken_assumption == BrokenAssumption::EmptiedIsHeard);
        if shows && (lease.holder.is_none() || lease.lease_duration <= wanted) {
            state.directives.longest_lease = wanted;
        }
    }

    fn held_by(&self, holder: Identity, uid: u8) -> Record {
        let renew_time = Some(self.at(0, 0).wall);
        Record { holder: Some(holder), acquire_time: renew_time, renew_time, ..empty(uid, &self.policy) }
    }

    /// By the controller, which knows who held it last and by which lease durations.
    pub fn recreate(&self, state: &mut State) {
        state.idle_since = state.tick;
        let policy = state.directives.policy.clone();
        let directed = Duration::from_secs(u64::from(policy.lease_duration_seconds));
        let lease_duration = if self.broken_assumption == BrokenAssumption::ShorterPlaceholder {
            directed
        } else {
            state.directives.longest_lease
        };
        let placed = self.broken_assumption != BrokenAssumption::NoPlaceholder;
        let holder = placed.then(|| self.candidate(0, 0).identity);
        state.store.create(|uid| {
            let released = (!placed).then(|| created(uid));
            Record {
                holder,
                lease_duration,
                annotations: Annotations { released, ..annotations(&policy) },
                ..empty(uid, &policy)
            }
        });
    }
}

fn change_lease_duration(state: &mut State, seconds: u32) {
    let policy = super::policy(seconds);
    state.directives.longest_lease =
        state.directives.longest_lease.max(Duration::from_secs(u64::from(seconds)));
    state.directives.policy_changed = true;
    state.directives.policy = policy.clone();
    state.store.edit(|lease| lease.annotations.policy = Some(policy));
}

fn answer(state: &mut State, request: &Request, answer: Answer) {
    if state.is_awaited(request)
        && let Some((_, awaited)) = &mut state.agent(request.agent).awaited
    {
        *awaited = Some(answer);
    }
}

pub fn matches(lease: &Record, write: &Write) -> bool {
    lease.uid == write.uid && lease.version == write.base
}

fn store(lease: &mut Record, write: &Write) {
    let write = write.clone();
    lease.holder = write.holder;
    lease.lease_duration = write.lease_duration;
    lease.acquire_time = write.acquire_time.or(lease.acquire_time);
    lease.renew_time = Some(write.renew_time);
    lease.transitions = write.transitions;
    lease.annotations.progress = write.progress;
    lease.annotations.released = write.released;
    lease.annotations.finished = write.finished;
    lease.annotations.health = write.health;
    if write.drop_directives {
        lease.annotations.handover = None;
        lease.annotations.cleared = None;
    }
}

fn run(desired: Desired) -> Run {
    Run { desired, ..Run::first("job") }
}

fn annotations(policy: &Policy) -> Annotations {
    let progress = Progress { uid: "job".into(), run: 1, ..Progress::default() };
    Annotations {
        policy: Some(policy.clone()),
        run: Some(run(Desired::Run)),
        progress: Some(progress),
        ..Annotations::default()
    }
}

fn created(uid: u8) -> Released {
    Released::created(format!("lease-{uid}"), Identity::read("controller"))
}

fn empty(uid: u8, policy: &Policy) -> Record {
    Record {
        uid: format!("lease-{uid}"),
        version: Version(10),
        holder: None,
        lease_duration: Duration::from_secs(u64::from(policy.lease_duration_seconds)),
        acquire_time: None,
        renew_time: None,
        transitions: 0,
        annotations: annotations(policy),
    }
}
