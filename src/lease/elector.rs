//! Who may run, until when, and what to do next: the decisions of one candidate.
//!
//! A pure state machine: it reads no clock, does no I/O and never blocks; the same inputs always give the
//! same outputs. The model checker, the tests and the agent drive this very code.
//!
//! Its life is a line: a candidate stands by, may acquire the Lease once, holds it, stops, releases it, and
//! is done. One process, one tenure. A step first takes in what was told ([`Input`]) and then looks at all
//! that is due, so that nothing depends on the order of arrival.
//!
//! # Guarantees
//! - A workload is started only while holding, with the deadline armed, before the renew deadline, and at
//!   most once.
//! - The deadline moves later only by proof that an own write was stored, to the moment before that write was
//!   sent plus `D`.
//! - A takeover is sent only on a record that was released, or that was seen unchanged for the longest lease
//!   duration known and the policy's delay, and whose holder is cleared where the policy asks for that.
//! - A release is sent only when the process tree is empty, that of a dead process of the same container too.

mod attempt;
mod backoff;
mod charges;
mod jitter;
mod limits;
mod local_lease;
mod messages;
mod orphan;
mod predecessor;
mod progress;
mod release;
mod standby;
mod step;
mod succession;
mod tenure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::clock::{Moment, Now};
use super::record::Record;
use attempt::Attempt;
pub use charges::settle as with_failed_pods;
pub use limits::left as time_left;
use local_lease::LocalLease;
pub use messages::{
    Answer, Candidate, Cause, Ending, Fact, Input, Order, Output, Role, Source, Start, View, Write,
};
pub use orphan::Orphan;
pub use predecessor::{PodLock, Signature};
pub use progress::of as progress_of;
use standby::Standby;
use step::Step;
use tenure::Tenure;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Standby(Standby),
    Tenure(Box<Tenure>),
    Done,
}

/// The decisions of one candidate. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elector {
    candidate: Candidate,
    stage: Stage,
    lease: LocalLease,
    lateness: Duration,
    drain: Option<Moment>,
    unhealthy: bool,
}

impl Elector {
    /// A candidate that stands by and knows nothing yet.
    pub fn new(candidate: Candidate, now: Now) -> Self {
        let lease = LocalLease::new(now, &candidate.identity);
        Self {
            candidate,
            stage: Stage::Standby(Standby::default()),
            lease,
            lateness: Duration::ZERO,
            drain: None,
            unhealthy: false,
        }
    }

    /// Takes in `input`, then decides about all that is due.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        if let Stage::Tenure(tenure) = &mut self.stage {
            tenure.expire(now.at);
        }
        self.take_in(now, input);
        let mut outputs = Vec::new();
        self.decide(now, &mut outputs);
        outputs
    }

    fn take_in(&mut self, now: Now, input: Input) {
        match input {
            Input::Saw(record, source) => {
                if source == Source::Read {
                    self.lease.read_answered();
                }
                self.observe(now, *record, source);
            }
            Input::Missing => self.missing(now),
            Input::Vanished => self.lease.want_read(),
            Input::Unreachable(why) => self.lease.unreachable(why),
            Input::Answered { attempt, answer } => self.answered(now, attempt, answer),
            Input::Told(fact) => self.told(now, fact),
            Input::Tick => {}
        }
    }

    fn observe(&mut self, now: Now, record: Record, source: Source) {
        if self.lease.is_old_news(&record, source) {
            return;
        }
        let returned = self.lease.hear(now.at, &record, &self.candidate.job_uid);
        if let Some(lock) = &mut self.candidate.lock {
            lock.saw(&record);
        }
        match &mut self.stage {
            Stage::Standby(standby) => {
                standby.saw(now.at, &record, returned);
                let proof = self.lease.prove(&record, Some(&self.candidate.identity));
                self.lease.keep(record);
                if let Some(attempt) = proof {
                    self.begin_tenure(now, attempt);
                }
            }
            Stage::Tenure(tenure) if record.version > tenure.version => {
                tenure.saw(now.at, &record, &self.candidate.identity, &mut self.lease);
                self.lease.keep(record);
            }
            // Our own last write is newer: a lagging watch must not end a rightful tenure.
            Stage::Tenure(_) | Stage::Done => {}
        }
    }

    fn begin_tenure(&mut self, now: Now, attempt: Attempt) {
        let (Some(record), Some(policy)) = (self.lease.latest(), self.lease.policy()) else { return };
        self.stage = Stage::Tenure(Box::new(Tenure::begin(now, attempt, record, policy.clone())));
        self.lease.tenure_began();
    }

    fn missing(&mut self, now: Now) {
        let is_of_now = self.lease.missing(now.at);
        match &mut self.stage {
            Stage::Tenure(tenure) if is_of_now => tenure.lose(now.at, "the Lease was deleted"),
            Stage::Standby(standby) => {
                *standby = Standby::default();
                self.lease.forget();
            }
            Stage::Tenure(_) | Stage::Done => {}
        }
    }

    fn answered(&mut self, now: Now, id: u64, answer: Answer) {
        self.lease.answered(id);
        match answer {
            Answer::Stored(record) => self.observe(now, *record, Source::Read),
            Answer::Conflict => self.lease.conflicted(id),
            Answer::Refused(why) => self.lease.refused(id, why),
            Answer::Unknown(why) => {
                self.lease.unknown(why);
                if matches!(self.stage, Stage::Standby(_)) {
                    self.lease.want_read();
                }
            }
        }
    }

    fn told(&mut self, now: Now, fact: Fact) {
        match (fact, &mut self.stage) {
            (Fact::Drain, _) => self.drain = self.drain.or(Some(now.at)),
            (Fact::Unhealthy, _) => self.unhealthy = true,
            (Fact::Lateness(lateness), _) => self.lateness = lateness,
            (Fact::NotStarted, Stage::Tenure(tenure)) => tenure.not_started(),
            (Fact::WorkloadEnded(exit), Stage::Tenure(tenure)) => tenure.ended(now.at, exit),
            (Fact::TreeEmpty, Stage::Tenure(tenure)) => tenure.tree_empty(now),
            (Fact::Ready, Stage::Tenure(tenure)) => tenure.ready(now.wall),
            // Without a tenure there is no workload that could be ready, or end.
            (
                Fact::NotStarted | Fact::WorkloadEnded(_) | Fact::TreeEmpty | Fact::Ready,
                Stage::Standby(_) | Stage::Done,
            ) => {}
        }
    }

    fn decide(&mut self, now: Now, outputs: &mut Vec<Output>) {
        let mut step = Step { now, candidate: &self.candidate, lateness: self.lateness, outputs };
        let ending = match &mut self.stage {
            Stage::Standby(standby) => standby.decide(&mut step, self.drain, &mut self.lease),
            Stage::Tenure(tenure) => {
                if let Some(since) = self.drain {
                    tenure.drain(now.at, since, self.unhealthy, self.candidate.stop_grace);
                }
                tenure.decide(&mut step, &mut self.lease)
            }
            Stage::Done => None,
        };
        if let Some(ending) = ending {
            self.stage = Stage::Done;
            outputs.push(Output::Exit(ending));
        }
    }

    /// How long nothing will be due without input; at least a millisecond.
    pub fn wakes_in(&self, now: Now) -> Duration {
        let due = match &self.stage {
            Stage::Standby(standby) => standby.next_due(now, &self.candidate, self.drain, &self.lease),
            Stage::Tenure(tenure) => tenure.next_due(now.at, &self.lease),
            Stage::Done => Duration::MAX,
        };
        due.clamp(Duration::from_millis(1), LONGEST_SLEEP)
    }

    /// What others may know.
    pub fn view(&self) -> View {
        let holder = self.lease.latest().and_then(|record| record.holder.clone());
        let trouble = self.lease.trouble().cloned();
        let (role, token, valid_until) = match &self.stage {
            Stage::Standby(_) if self.lease.latest().is_none() => (Role::Pending, None, None),
            Stage::Standby(_) => (Role::Standby, None, None),
            Stage::Tenure(tenure) => (tenure.role(), Some(tenure.token), tenure.valid_until()),
            Stage::Done => (Role::Stopping, None, None),
        };
        View { role, holder, token, valid_until, trouble }
    }
}

const LONGEST_SLEEP: Duration = Duration::from_secs(1);
