//! What ends a run that has not succeeded, judged by what was stored: exit codes of its failure policy, and
//! its time.

use std::collections::BTreeMap;
use std::time::Duration;

use singletonjob::lease::annotations::{Exit, FailureAction, Outcome, Reason};
use singletonjob::lease::record::Record;

use crate::safety::{Verdict, claim};
use crate::trace_event::{State, TraceEvent, Who};

/// From SIGTERM to SIGKILL, then as long as a holder that hangs may live by the longest of all leases.
const OVERTIME: Duration = Duration::from_secs(10 + 40);
/// No agent starts by older acquisitions any more.
const REMEMBERED: usize = 200;

/// What a stored state says about the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Account {
    /// Exit codes after which there is no further attempt.
    pub fatal: Vec<i32>,
    /// Exit codes that do not count.
    pub ignored: Vec<i32>,
    pub deadline: Option<Duration>,
    /// When the holder acquired it, how much of its time the run had taken.
    pub taken: Duration,
    pub failures: u32,
    pub starts: u32,
    /// The holder says that it was told to stop.
    pub stopping: bool,
    /// Of the workload of the candidate that has just released the Lease, or told how its run ended; `None`
    /// if it was told to end.
    pub failed_with: Option<i32>,
    /// The holder has told how the run ended, and gives nothing back.
    pub recorded: bool,
    /// Why the last finished run was finished.
    pub verdict: Option<String>,
}

impl Account {
    pub fn of(record: &Record) -> Self {
        let annotations = &record.annotations;
        let rules = annotations.policy.as_ref().map_or(&[][..], |policy| &policy.failure_policy.rules);
        let codes = |action| {
            rules.iter().filter(|rule| rule.action == action).flat_map(|rule| rule.values.clone()).collect()
        };
        let deadline = annotations.policy.as_ref().and_then(|policy| policy.active_deadline_seconds);
        let begun = annotations.progress.as_ref().and_then(|progress| progress.start_time);
        let taken = record
            .acquire_time
            .zip(begun)
            .and_then(|(acquired, begun)| Duration::try_from(acquired.duration_since(begun)).ok());
        let mark = annotations
            .released
            .as_ref()
            .filter(|mark| record.is_released() && mark.reason == Reason::WorkloadFailed);
        let recorded = annotations
            .finished
            .as_ref()
            .filter(|finished| record.is_finished() && record.holder.as_ref() == Some(&finished.by));
        let failed = recorded
            .filter(|finished| finished.outcome == Outcome::Failed)
            .and_then(|finished| finished.exit);
        Self {
            fatal: codes(FailureAction::FailRun),
            ignored: codes(FailureAction::Ignore),
            deadline: deadline.map(|seconds| Duration::from_secs(seconds.into())),
            taken: taken.unwrap_or_default(),
            failures: annotations.progress.as_ref().map_or(0, |progress| progress.failures),
            starts: annotations.progress.as_ref().map_or(0, |progress| progress.starts),
            stopping: annotations.health.as_ref().is_some_and(|health| health.stopping.is_some()),
            failed_with: mark.and_then(|mark| mark.exit).or(failed).map(Exit::code),
            recorded: recorded.is_some(),
            verdict: annotations.finished.as_ref().map(|finished| finished.reason.clone()),
        }
    }
}

#[derive(Default)]
pub struct Limits {
    last: Option<State>,
    acquired: BTreeMap<u128, Account>,
    /// On the clock of each, when it started and how long it may run.
    running: BTreeMap<Who, (Duration, Duration)>,
}

impl Limits {
    /// # Errors
    /// The limit that is not kept.
    pub fn judge(&mut self, event: &TraceEvent) -> Verdict {
        match event {
            TraceEvent::Commits { by, state } => {
                let verdict = by.map_or(Ok(()), |who| self.commits(who, state));
                self.remember(state);
                verdict
            }
            TraceEvent::Starts { who, boot, token, .. } => self.starts(*who, *boot, *token),
            TraceEvent::Stops { who, boot } => self.stops(*who, *boot),
            TraceEvent::Exits { who, .. } => {
                self.running.remove(who);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn remember(&mut self, state: &State) {
        if state.triple.holder.is_some() {
            self.acquired.insert(state.version, state.account.clone());
        }
        while self.acquired.len() > REMEMBERED {
            self.acquired.pop_first();
        }
        self.last = Some(state.clone());
    }

    fn commits(&self, who: Who, state: &State) -> Verdict {
        let Some(last) = self.last.as_ref().filter(|last| last.triple.uid == state.triple.uid) else {
            return Ok(());
        };
        let account = &state.account;
        let verdict = if last.finished == state.finished { None } else { account.verdict.as_deref() };
        let tells_end = (state.released || account.recorded) && !last.account.recorded;
        let failed_with = if tells_end { account.failed_with } else { None };
        let fatal = failed_with.is_some_and(|code| account.fatal.contains(&code));
        let by_policy = verdict == Some("FailurePolicy");
        // An outcome that gives nothing back does not say whether its workload had been told to stop.
        claim(
            if account.recorded { fatal || !by_policy } else { fatal == by_policy },
            "failure policy",
            || {
                format!(
                    "agent {who} gives the Lease back after exit code {failed_with:?} with the verdict {verdict:?}"
                )
            },
        )?;
        let ignored = failed_with.is_some_and(|code| account.ignored.contains(&code));
        claim(!ignored || account.failures == last.account.failures, "failure policy", || {
            format!("agent {who} counts what is ignored")
        })?;
        let follows = last.triple.holder.is_some()
            && state.triple.holder.is_some()
            && state.triple.holder != last.triple.holder;
        claim(
            !(follows && last.account.stopping) || account.failures <= last.account.failures,
            "stop cut short",
            || format!("agent {who} counts a stop as a failure"),
        )?;
        claim(verdict != Some("DeadlineExceeded") || account.deadline.is_some(), "active deadline", || {
            format!("agent {who} fails a run for its time, and it has no limit")
        })
    }

    fn starts(&mut self, who: Who, boot: Duration, token: u128) -> Verdict {
        let Some(account) = self.acquired.get(&token) else { return Ok(()) };
        let Some(deadline) = account.deadline else { return Ok(()) };
        self.running.insert(who, (boot, deadline.saturating_sub(account.taken)));
        claim(account.taken < deadline, "active deadline", || {
            format!("agent {who} starts a run that has taken {:?}", account.taken)
        })
    }

    fn stops(&mut self, who: Who, boot: Duration) -> Verdict {
        let Some((started, left)) = self.running.remove(&who) else { return Ok(()) };
        let ran = boot.saturating_sub(started);
        claim(ran <= left + OVERTIME, "active deadline", || {
            format!("the workload of agent {who} ran for {ran:?}, and had {left:?}")
        })
    }
}
