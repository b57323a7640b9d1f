//! What a holder learns from its Lease: whether it still holds it, what it has proven, and what the
//! controller has found out.

use super::super::super::clock::Moment;
use super::super::super::identity::Identity;
use super::super::super::record::Record;
use super::super::attempt::Worth;
use super::super::{Attempt, LocalLease, charges};
use super::Tenure;
use super::phase::Phase;
use super::proof::Proof;

impl Tenure {
    pub(in super::super) fn saw(
        &mut self,
        now: Moment,
        record: &Record,
        me: &Identity,
        lease: &mut LocalLease,
    ) {
        if record.uid == self.uid && record.holder.as_ref() == Some(me) {
            self.version = record.version;
            if let Some(policy) = lease.policy() {
                self.policy = policy.clone();
            }
            self.count_failed_pods(record);
            match lease.prove(record, Some(me)) {
                Some(attempt) if attempt.worth == Worth::Outcome => self.recorded(),
                Some(attempt) => self.extend(now, &attempt),
                None => {}
            }
        } else if record.uid == self.uid && is_released_by(record, me) && lease.prove(record, None).is_some()
        {
            self.phase = Phase::Over(self.ending());
        } else {
            let holder = record.holder.as_ref().map_or("no candidate", Identity::pod);
            self.lose(now, &format!("the Lease is held by {holder} now"));
        }
    }

    /// Counts what the controller has found out about pods that held the Lease before.
    pub(super) fn count_failed_pods(&mut self, record: &Record) {
        let Some(run) = &record.annotations.run else { return };
        let failures = self.progress.failures;
        self.progress = charges::settle(std::mem::take(&mut self.progress), run);
        self.charged |= self.progress.failures > failures;
    }

    /// The deadline moves later only here, and never once it has passed.
    fn extend(&mut self, now: Moment, attempt: &Attempt) {
        let proof = Proof::of(attempt);
        if !self.proof.is_over(now) && proof.remaining(now) > self.proof.remaining(now) {
            self.proof = proof;
        }
    }

    /// The outcome is in the Lease: the kernel takes what is left, with this process and PID 1.
    fn recorded(&mut self) {
        if let Phase::Stopping(_) = &self.phase {
            self.phase = Phase::Over(self.ending());
        }
    }
}

fn is_released_by(record: &Record, me: &Identity) -> bool {
    record.is_released() && record.annotations.released.as_ref().is_some_and(|mark| &mark.by == me)
}
