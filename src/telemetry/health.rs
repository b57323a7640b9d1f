//! Decides whether this process does its work, from facts and from when its loops last had a turn.
//!
//! `/healthz` reports what only a restart can mend: a loop that gets no turn any more, or a reconciliation
//! that does not end. An API server out of reach is no such thing: every request has a deadline, so the loops
//! go round all the same. A loop that has died needs no probe, because the process ends with it. `/readyz`
//! reports whether this replica does what it is for: it stands by, or it leads and its caches have synced.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a loop may have no turn. A machine short of everything does not keep a loop waiting that long, if
/// the loop takes its turn at least every [`LONGEST_PAUSE`].
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
/// How often a loop takes its turn, even with nothing to do.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a reconciliation may take. Sixty requests take less, even if each is answered at its deadline,
/// and few reconciliations send more than ten.
const LONGEST_RECONCILIATION: Duration = Duration::from_secs(900);

/// A loop that goes round for as long as the process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loop {
    /// Decides which replica leads.
    Election,
    /// Starts reconciliations of SingletonJobs, only in the replica that leads.
    Reconciliation,
}

/// The part of this replica in the election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It has not taken part in the election yet.
    #[default]
    None,
    /// It waits for its turn to lead.
    Standby,
    /// It reconciles.
    Leader,
}

#[derive(Clone, Debug, Default)]
struct Facts {
    part: Part,
    caches_synced: bool,
    turns: BTreeMap<Loop, Instant>,
    /// The start of each reconciliation that is under way, by a number of its own.
    under_way: BTreeMap<u64, Instant>,
    begun: u64,
}

impl Facts {
    fn alive(&self, now: Instant) -> Result<(), String> {
        let silent = |turn: Instant| {
            Some(now.saturating_duration_since(turn)).filter(|silence| *silence > LONGEST_SILENCE)
        };
        if let Some((which, silence)) =
            self.turns.iter().find_map(|(which, turn)| Some((which, silent(*turn)?)))
        {
            return Err(format!("the loop {which:?} has had no turn for {} s", silence.as_secs()));
        }
        let oldest = self
            .under_way
            .values()
            .min()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(*since));
        if oldest > LONGEST_RECONCILIATION {
            return Err(format!("a reconciliation has been under way for {} s", oldest.as_secs()));
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        match (self.part, self.caches_synced) {
            (Part::Standby, _) | (Part::Leader, true) => Ok(()),
            (Part::None, _) => {
                Err("the Lease by which replicas are elected has not been read yet".to_owned())
            }
            (Part::Leader, false) => Err("leading, but not all that is there has been listed yet".to_owned()),
        }
    }
}

/// Whether this process does its work. All tasks share it: it is locked only for the moment of a change.
#[derive(Debug, Default)]
pub struct Health(Mutex<Facts>);

impl Health {
    /// Sets the part of this replica.
    pub fn set_part(&self, part: Part) {
        self.facts().part = part;
    }

    /// Notes that the caches have synced.
    pub fn set_caches_synced(&self) {
        self.facts().caches_synced = true;
    }

    /// Runs `work`, which is the loop `which`, and notes every turn that it gets.
    pub async fn watch<F: Future>(&self, which: Loop, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.facts().turns.insert(which, Instant::now());
            work.as_mut().poll(context)
        })
        .await
    }

    /// Notes that a reconciliation begins. It ends when the result is dropped.
    pub fn reconciling(&self) -> Reconciling<'_> {
        let mut facts = self.facts();
        facts.begun += 1;
        let number = facts.begun;
        facts.under_way.insert(number, Instant::now());
        Reconciling { health: self, number }
    }

    /// Answers `/healthz`.
    ///
    /// # Errors
    /// What only a restart can mend.
    pub fn alive(&self) -> Result<(), String> {
        self.facts().alive(Instant::now())
    }

    /// Answers `/readyz`.
    ///
    /// # Errors
    /// What is still missing.
    pub fn ready(&self) -> Result<(), String> {
        self.facts().ready()
    }

    /// How many reconciliations are under way.
    pub fn under_way(&self) -> usize {
        self.facts().under_way.len()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Every change is a single insert or remove: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reconciliation that is under way.
#[must_use = "it ends when dropped"]
pub struct Reconciling<'a> {
    health: &'a Health,
    number: u64,
}

impl Drop for Reconciling<'_> {
    fn drop(&mut self) {
        self.health.facts().under_way.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(part: Part, turns: &[Loop], at: Instant) -> Facts {
        Facts { part, turns: turns.iter().map(|which| (*which, at)).collect(), ..Facts::default() }
    }

    #[test]
    fn a_replica_that_has_not_begun_is_alive_and_not_ready() {
        let facts = Facts::default();
        assert_eq!(facts.alive(Instant::now() + LONGEST_SILENCE * 2), Ok(()));
        assert!(facts.ready().is_err());
    }

    #[test]
    fn a_standby_is_ready_and_a_leader_when_it_knows_what_is_there() {
        let now = Instant::now();
        assert_eq!(facts(Part::Standby, &[Loop::Election], now).ready(), Ok(()));
        let leader = facts(Part::Leader, &[Loop::Election, Loop::Reconciliation], now);
        assert!(leader.ready().is_err());
        assert_eq!(Facts { caches_synced: true, ..leader }.ready(), Ok(()));
    }

    #[test]
    fn a_loop_that_gets_no_turn_is_not_alive_and_is_named() {
        let start = Instant::now();
        let mut facts = facts(Part::Leader, &[Loop::Election, Loop::Reconciliation], start);
        let later = start + LONGEST_SILENCE + Duration::from_secs(1);
        facts.turns.insert(Loop::Election, later);
        assert_eq!(facts.alive(start + LONGEST_SILENCE), Ok(()));
        assert_eq!(facts.alive(later), Err("the loop Reconciliation has had no turn for 61 s".to_owned()));
    }

    #[test]
    fn a_reconciliation_that_does_not_end_is_not_alive() {
        let start = Instant::now();
        let stuck = Facts { under_way: [(1, start)].into(), ..Facts::default() };
        assert_eq!(stuck.alive(start + LONGEST_RECONCILIATION), Ok(()));
        assert!(stuck.alive(start + LONGEST_RECONCILIATION + Duration::from_secs(1)).is_err());
    }

    #[tokio::test]
    async fn turns_are_noted_and_reconciliations_counted_while_they_last() {
        let health = Health::default();
        health.watch(Loop::Election, tokio::task::yield_now()).await;
        assert!(health.facts().turns.contains_key(&Loop::Election));
        let (first, second) = (health.reconciling(), health.reconciling());
        drop(first);
        assert_eq!(health.under_way(), 1);
        drop(second);
        assert_eq!(health.under_way(), 0);
    }
}
