//! Invariant I9: where an agent can run, one does, within the bound that the protocol gives.

use std::time::Duration;

use singletonjob::lease::annotations::{Desired, UnreachableHolder};
use singletonjob::lease::record::Record;
use singletonjob::lease::timing::Timing;

use crate::network::LONGEST_HOP;
use crate::process::{Process, Stage, Tree};
use crate::trace_event::{LeaseKey, State};
use crate::world::{Event, World};

const LOOK: Duration = Duration::from_millis(50);
/// The last of the line, whichever that is.
const SUCCESSION: Duration = Duration::from_millis(16 * 50);
/// What a successor that was chosen has before the others.
const PRECEDENCE: Duration = Duration::from_secs(1);
const HEAD_START: Duration = Duration::from_secs(1);
/// Two round trips, a watch hop, late wake-ups, and one look of ours.
const MOMENTS: Duration = Duration::from_millis(8 * 8 + 20 + 50);
/// Reads whose deadline the agent chooses before it knows a policy.
const FIRST_READ: Duration = Duration::from_secs(2);
/// After this everything that was under way before is over.
const SETTLED: Duration = Duration::from_secs(15);

/// Since when it is as it is.
#[derive(Default)]
pub struct Quiet {
    /// No agent ran, none could have, or the Lease went to another.
    pub since: Duration,
    tenure: Option<LeaseKey>,
    /// When the Lease was given back by its holder.
    released: Option<(u128, Duration)>,
    longest_lease: Duration,
}

impl World {
    pub fn look_for_life(&mut self) {
        self.after(LOOK, Event::Liveness);
        let lease = self.server.lease().cloned();
        self.observe_tenure(lease.as_deref());
        let anybody = self.processes.values().any(|process| process.tree != Tree::Empty);
        let Some(record) = lease.filter(|record| !anybody && is_wanted(record)) else {
            self.quiet.since = self.now;
            return;
        };
        let bounds: Vec<_> = self
            .processes
            .values()
            .filter_map(|process| Some((process.who, self.bound(process, &record)?)))
            .collect();
        for (who, (since, bound)) in bounds {
            let waited = self.now - since;
            self.coverage.waited(waited, bound);
            if waited > bound {
                self.judge
                    .fail(format!("I9: agent {who} could run for {waited:?}, and must within {bound:?}"));
            }
        }
    }

    fn observe_tenure(&mut self, record: Option<&Record>) {
        let tenure = record.map(|record| self.tenure(record));
        if tenure != self.quiet.tenure {
            self.quiet.tenure = tenure;
            self.quiet.since = self.now;
        }
        let Some(record) = record else { return };
        let told = record.annotations.policy.as_ref().map_or(0, |policy| policy.lease_duration_seconds);
        let longest = record.lease_duration.max(Duration::from_secs(told.into()));
        self.quiet.longest_lease = self.quiet.longest_lease.max(longest);
        let released = record.is_released().then_some(record.version.0);
        if released != self.quiet.released.map(|(version, _)| version) {
            self.quiet.released = released.map(|version| (version, self.now));
        }
    }

    /// What begins another wait: another holder, and what a dead one sent long ago. Not the renewals of one
    /// that lives and runs nothing.
    fn tenure(&self, record: &Record) -> LeaseKey {
        let triple = State::of(record).triple;
        let holder = triple.holder.and_then(|holder| self.processes.get(&holder));
        let lives = holder.is_some_and(|holder| holder.stage == Stage::Electing);
        if lives { LeaseKey { renew_time: None, ..triple } } else { triple }
    }

    /// Since when `process` could run, and within what it must.
    fn bound(&self, process: &Process, record: &Record) -> Option<(Duration, Duration)> {
        let policy = record.annotations.policy.as_ref()?;
        let timing = policy.timing().ok()?;
        let well_from = self.well_from(process, record)?;
        let at_once = self.hears_at_once(process, record, well_from);
        let local = if at_once { succession(record) } else { self.wait(record, timing) };
        let bound = self.nodes[process.node].clock.true_duration(local) + MOMENTS;
        Some((self.quiet.since.max(well_from), bound))
    }

    /// From when nothing has stood in its way; none while something does.
    pub fn well_from(&self, process: &Process, record: &Record) -> Option<Duration> {
        let node = &self.nodes[process.node];
        let run = record.annotations.run.as_ref()?;
        let able =
            process.stage == Stage::Electing && process.pause.is_none() && !process.draining && !node.down;
        let belongs = process.place.is_some() && process.candidate.job_uid == run.uid;
        let well =
            process.well_from.max(node.link.well_from()).max(self.server.well_from()).max(process.starving);
        (able && belongs && well <= self.now).then_some(well)
    }

    /// In the candidate's own time: what was under way before, and then rule 4 or 5.
    fn wait(&self, record: &Record, timing: Timing) -> Duration {
        let recovery = (timing.request_deadline().max(FIRST_READ) + timing.retry_period()) * 2;
        let waiting =
            if record.is_released() { Duration::ZERO } else { self.quiet.longest_lease + delay(record) };
        let head_start = timing.request_deadline() + HEAD_START;
        recovery + waiting + back_off(record) + head_start + succession(record)
    }

    /// Whether nothing delays the news of a release: a watch that works, and nothing under way.
    fn hears_at_once(&self, process: &Process, record: &Record, well_from: Duration) -> bool {
        let Some((_, released)) = self.quiet.released else { return false };
        let watches = self.streams.get(&process.who).is_some_and(|stream| stream.is_sound(released));
        let nothing_owed =
            record.annotations.progress.as_ref().is_some_and(|progress| progress.retry_after_seconds == 0);
        watches && nothing_owed && well_from + SETTLED <= released
    }
}

fn is_wanted(record: &Record) -> bool {
    let runs = record.annotations.run.as_ref().is_some_and(|run| run.desired == Desired::Run);
    let floor = record.annotations.policy.as_ref().and_then(|policy| policy.token_floor);
    runs && !record.is_finished() && is_clear(record) && floor.is_none_or(|floor| record.version > floor)
}

/// An agent that waits for the controller's word waits without limit; from then on, as if it had been seen
/// only then.
fn is_clear(record: &Record) -> bool {
    let policy = record.annotations.policy.as_ref().map(|policy| policy.unreachable_holder);
    let said = record
        .annotations
        .cleared
        .as_ref()
        .is_some_and(|said| said.lease_uid == record.uid && said.holder == record.holder);
    record.is_released() || said || policy.is_none_or(|policy| policy == UnreachableHolder::AfterLeaseExpiry)
}

fn succession(record: &Record) -> Duration {
    let handed_over =
        record.annotations.released.as_ref().is_some_and(|released| released.reason.is_handover());
    let is_chosen = record.is_released() && handed_over && !record.annotations.succession.is_empty();
    if is_chosen { PRECEDENCE + SUCCESSION } else { SUCCESSION }
}

fn delay(record: &Record) -> Duration {
    Duration::from_secs(record.annotations.policy.as_ref().map_or(0, |policy| policy.delay_seconds.into()))
}

/// Rule 10: a holder that lost its Lease is followed without one.
fn back_off(record: &Record) -> Duration {
    Duration::from_secs(
        record.annotations.progress.as_ref().map_or(0, |progress| progress.retry_after_seconds.into()),
    )
}

/// Longer than any message is under way on a network that is well.
const _: () = assert!(MOMENTS.as_millis() > 8 * LONGEST_HOP.as_millis());
