//! What a batch has tried: a simulation in which something never happened shows nothing about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use singletonjob::lease::record::Record;

use crate::faults::{ALL, Fault};
use crate::judge::Judge;
use crate::trace_event::{self, TraceEvent, Who};

/// Of a candidate that was told to end while it acquired.
pub const IN_DOUBT: &str = "it did not know whether it held the Lease";
/// How an agent can end. That it ends in doubt is too rare for a day of random faults: a scenario of its own
/// demands it.
const ENDINGS: [&str; 12] = [
    "interrupted",
    "its workload succeeded",
    "its workload failed",
    "it lost the Lease",
    "it could not read the Lease",
    "not everything could be killed",
    "killed by the kernel timer",
    "the elector crashed",
    "its elector died; PID 1 had the Lease given back",
    "its elector died; its last words were not heard",
    "killed from outside",
    "its node crashed",
];
/// What a holder may have left behind.
const CAUSES: [&str; 10] = [
    "cleared",
    "Created",
    "Drain",
    "ElectorDied",
    "LeaseLost",
    "RolledOut",
    "Stopped",
    "WorkloadFailed",
    "WorkloadSucceeded",
    "expired",
];

#[derive(Default)]
pub struct Coverage {
    pub simulated: Duration,
    /// Lives of processes, added up.
    agent_time: Duration,
    born: BTreeMap<Who, Duration>,
    pub starts: u64,
    pub writes: u64,
    /// Writes by which an agent wants a Lease that is not its own.
    pub claims: u64,
    pub reads: u64,
    pub watches: u64,
    pub conflicts: u64,
    pub identical: u64,
    pub directives: u64,
    pub not_started: u64,
    /// Outcomes that were told beside something that survived its kill.
    pub recorded: u64,
    /// How runs ended.
    pub outcomes: BTreeMap<String, u64>,
    pub faults: BTreeMap<Fault, u64>,
    pub endings: BTreeMap<&'static str, u64>,
    /// By what the holder before left behind.
    pub takeovers: BTreeMap<String, u64>,
    stopped: Option<Duration>,
    running: BTreeSet<Who>,
    pub longest_gap: Duration,
    gaps: Duration,
    /// The closest that anybody came to a bound, in percent of it.
    pub closest: u128,
    longest_wait: Duration,
    released: Option<String>,
    /// The silent holder is said to be gone.
    cleared: bool,
    pub hashes: Vec<u64>,
}

impl Coverage {
    pub fn note(&mut self, at: Duration, event: &TraceEvent, lease: Option<&Record>) {
        match event {
            TraceEvent::Appears { who, .. } => drop(self.born.insert(*who, at)),
            TraceEvent::Sends { who, put, .. } => {
                let own = lease.and_then(|lease| lease.holder.as_ref()).map(trace_event::who) == Some(*who);
                self.writes += 1;
                self.claims += u64::from(put.holder.is_some() && !own);
                self.recorded += u64::from(put.holder.is_some() && own && put.closed);
            }
            TraceEvent::Reads { .. } => self.reads += 1,
            TraceEvent::Commits { by: Some(_), state } if state.released => self.gave_back(lease),
            TraceEvent::Commits { by: Some(_), .. } => {}
            TraceEvent::Commits { by: None, state } => {
                (self.released, self.cleared) = (None, state.strict && state.cleared);
            }
            TraceEvent::Deletes => (self.released, self.cleared) = (None, false),
            TraceEvent::Starts { who, .. } => self.starts(at, *who, lease),
            TraceEvent::Stops { who, .. } => self.stops(at, *who),
            TraceEvent::Dies { overdue, .. } => {
                let how = if *overdue { "killed by the kernel timer" } else { "the elector crashed" };
                *self.endings.entry(how).or_default() += 1;
            }
            TraceEvent::Doubts { .. } => *self.endings.entry(IN_DOUBT).or_default() += 1,
            TraceEvent::Exits { who, ending } => {
                *self.endings.entry(ending).or_default() += 1;
                self.agent_time += self.born.remove(who).map_or(Duration::ZERO, |born| at - born);
            }
            TraceEvent::Happens(fault, _) => *self.faults.entry(*fault).or_default() += 1,
            TraceEvent::Hears { .. }
            | TraceEvent::Arms { .. }
            | TraceEvent::Disarms { .. }
            | TraceEvent::Sleeps { .. }
            | TraceEvent::Wakes { .. } => {}
        }
    }

    fn gave_back(&mut self, lease: Option<&Record>) {
        let mark = lease.and_then(|lease| lease.annotations.released.as_ref());
        self.released = mark.map(|mark| format!("{:?}", mark.reason));
        if let Some(finished) =
            lease.filter(|lease| lease.is_finished()).and_then(|lease| lease.annotations.finished.as_ref())
        {
            *self.outcomes.entry(finished.reason.clone()).or_default() += 1;
        }
    }

    fn starts(&mut self, at: Duration, who: Who, lease: Option<&Record>) {
        self.starts += 1;
        let mark = lease.and_then(|lease| lease.annotations.released.as_ref());
        let silent = if std::mem::take(&mut self.cleared) { "cleared" } else { "expired" };
        let cause = mark.map_or(silent.to_owned(), |mark| format!("{:?}", mark.reason));
        *self.takeovers.entry(cause).or_default() += 1;
        let stopped = self.stopped.take();
        if let Some(stopped) = stopped
            && self.running.is_empty()
        {
            self.longest_gap = self.longest_gap.max(at - stopped);
            self.gaps += at - stopped;
        }
        self.running.insert(who);
    }

    fn stops(&mut self, at: Duration, who: Who) {
        self.running.remove(&who);
        self.stopped = Some(at);
    }

    /// An agent could have run for as long as this, and must within `bound`.
    pub fn waited(&mut self, waited: Duration, bound: Duration) {
        self.closest = self.closest.max(waited.as_nanos() * 100 / bound.as_nanos().max(1));
        self.longest_wait = self.longest_wait.max(waited);
    }

    pub fn close(&mut self, at: Duration, judge: &Judge) {
        self.simulated = at;
        self.agent_time += std::mem::take(&mut self.born).values().map(|born| at.saturating_sub(*born)).sum();
        self.hashes.push(judge.trace.hash());
    }

    pub fn add(&mut self, other: Self) {
        self.simulated += other.simulated;
        self.agent_time += other.agent_time;
        self.starts += other.starts;
        self.writes += other.writes;
        self.claims += other.claims;
        self.reads += other.reads;
        self.watches += other.watches;
        self.conflicts += other.conflicts;
        self.identical += other.identical;
        self.directives += other.directives;
        self.not_started += other.not_started;
        self.recorded += other.recorded;
        merge(&mut self.outcomes, other.outcomes);
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.gaps += other.gaps;
        self.closest = self.closest.max(other.closest);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.hashes.extend(other.hashes);
        merge(&mut self.faults, other.faults);
        merge(&mut self.endings, other.endings);
        merge(&mut self.takeovers, other.takeovers);
    }

    /// # Panics
    /// Where something was never tried.
    pub fn assert_complete(&self) {
        let never: Vec<_> = ALL.iter().filter(|fault| !self.faults.contains_key(fault)).collect();
        assert!(never.is_empty(), "these never happened: {never:?}");
        let missing: Vec<_> = ENDINGS.iter().filter(|ending| !self.endings.contains_key(*ending)).collect();
        assert!(missing.is_empty(), "no agent ever ended so: {missing:?}");
        let missing: Vec<_> = CAUSES.iter().filter(|cause| !self.takeovers.contains_key(**cause)).collect();
        assert!(missing.is_empty(), "no agent ever took over after: {missing:?}");
        assert_eq!(self.outcomes.len(), 4, "runs ended only so: {:?}", self.outcomes);
        let seen = [self.starts, self.conflicts, self.directives, self.not_started, self.recorded];
        assert!(seen.iter().all(|count| *count > 0), "something was never seen: {seen:?}");
    }

    fn per_agent_hour(&self, count: u64) -> f64 {
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / (self.agent_time.as_secs_f64() / 3600.0)
    }
}

fn merge<K: Ord>(into: &mut BTreeMap<K, u64>, other: BTreeMap<K, u64>) {
    for (key, count) in other {
        *into.entry(key).or_default() += count;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |duration: Duration| duration.as_secs_f64() / 3600.0;
        writeln!(
            formatter,
            "simulated              {:8.1} h ({:.1} h of agents' lives)",
            hours(self.simulated),
            hours(self.agent_time)
        )?;
        writeln!(
            formatter,
            "starts                 {:8}   refused at the fork {}",
            self.starts, self.not_started
        )?;
        writeln!(
            formatter,
            "no workload ran        {:8.1} h in all, {:.1} s at the longest",
            hours(self.gaps),
            self.longest_gap.as_secs_f64()
        )?;
        let (longest, closest) = (self.longest_wait.as_secs_f64(), self.closest);
        writeln!(
            formatter,
            "  though it could      {longest:8.1} s at the longest; the closest to a bound: {closest} % of it"
        )?;
        writeln!(
            formatter,
            "writes per agent-hour  {:8.1}   conflicts {}",
            self.per_agent_hour(self.writes),
            self.conflicts
        )?;
        writeln!(formatter, "reads per agent-hour   {:8.1}", self.per_agent_hour(self.reads))?;
        writeln!(
            formatter,
            "watches per agent-hour {:8.1}   directives {}",
            self.per_agent_hour(self.watches),
            self.directives
        )?;
        writeln!(formatter, "outcomes recorded      {:8}", self.recorded)?;
        table(formatter, "runs ended", self.outcomes.iter())?;
        table(formatter, "starts after", self.takeovers.iter())?;
        table(formatter, "ends", self.endings.iter())?;
        table(formatter, "faults", self.faults.iter().map(|(fault, count)| (format!("{fault:?}"), count)))
    }
}

fn table<'a, K: fmt::Display>(
    formatter: &mut fmt::Formatter<'_>,
    title: &str,
    rows: impl Iterator<Item = (K, &'a u64)>,
) -> fmt::Result {
    writeln!(formatter, "{title}")?;
    for (name, count) in rows {
        writeln!(formatter, "  {count:8}  {name}")?;
    }
    Ok(())
}
