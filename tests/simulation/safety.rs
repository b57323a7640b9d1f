//! Invariants I1 to I7, judged from what the world saw, never from what an elector believes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::trace_event::{LeaseKey, Run, Sent, State, TraceEvent, Who};

/// A claim that does not hold, in words.
pub type Verdict = Result<(), String>;

/// Two readings of one clock for the same act.
const READINGS_APART: Duration = Duration::from_millis(6);
/// Versions older than this no write is based on any more: every such write conflicts.
const REMEMBERED: usize = 200;

#[derive(Default)]
pub struct Safety {
    running: BTreeSet<Who>,
    /// They have something to run, on a machine that sleeps.
    asleep: BTreeSet<Who>,
    highest_token: u128,
    finished: BTreeSet<Run>,
    stored: BTreeMap<u128, State>,
    agents: BTreeMap<Who, Agent>,
}

/// What is known of one process.
#[derive(Default)]
struct Agent {
    first_sight: BTreeMap<LeaseKey, Duration>,
    longest: Duration,
    sent: Vec<Sent>,
    /// The last moment by which it may be alive, by what was stored of it.
    proven: Duration,
    last_proof: Option<Sent>,
    token: Option<u128>,
    armed: Option<Duration>,
    lease: Duration,
    started: bool,
    released: bool,
}

impl Safety {
    /// # Errors
    /// The invariant that does not hold any more.
    pub fn judge(&mut self, event: &TraceEvent) -> Verdict {
        match event {
            TraceEvent::Hears { who, boot, triple, longest } => self.hears(*who, *boot, triple, *longest),
            TraceEvent::Sends { who, boot, put } => return self.sends(*who, *boot, put),
            TraceEvent::Commits { by, state } => return self.commits(*by, state),
            TraceEvent::Arms { who, boot, deadline } => return self.arms(*who, *boot, *deadline),
            TraceEvent::Disarms { who } => return self.disarms(*who),
            TraceEvent::Starts { who, boot, token, run, within } => {
                return self.starts(*who, *boot, *token, run, *within);
            }
            TraceEvent::Stops { who, boot } => return self.stops(*who, *boot),
            TraceEvent::Exits { who, ending } => return self.exits(*who, ending),
            TraceEvent::Sleeps { who } => drop(self.running.remove(who) && self.asleep.insert(*who)),
            TraceEvent::Wakes { who } => return self.wakes(*who),
            TraceEvent::Appears { .. }
            | TraceEvent::Reads { .. }
            | TraceEvent::Deletes
            | TraceEvent::Dies { .. }
            | TraceEvent::Doubts { .. }
            | TraceEvent::Happens(..) => {}
        }
        Ok(())
    }

    /// How many.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    pub fn is_running(&self, who: Who) -> bool {
        self.running.contains(&who)
    }

    /// What was stored and done before says nothing about what comes.
    pub fn forgive(&mut self) {
        self.highest_token = 0;
        self.finished.clear();
        self.forget_versions();
    }

    /// Versions have gone back; tokens must not.
    pub fn forget_versions(&mut self) {
        self.stored.clear();
    }

    fn hears(&mut self, who: Who, boot: Duration, triple: &LeaseKey, longest: Duration) {
        let agent = self.agents.entry(who).or_default();
        agent.first_sight.entry(triple.clone()).or_insert(boot);
        agent.longest = agent.longest.max(longest);
    }

    fn sends(&mut self, who: Who, boot: Duration, put: &Sent) -> Verdict {
        let base = self.stored.get(&put.base).cloned();
        let held_by = base.as_ref().and_then(|base| base.triple.holder).unwrap_or(who);
        let is_running = self.is_running(held_by) || self.asleep.contains(&held_by);
        let agent = self.agents.entry(who).or_default();
        agent.sent.push(put.clone());
        let Some(base) = base else { return Ok(()) };
        let rises = base.triple.holder != Some(who) || base.triple.renew_time < Some(put.renew_time);
        claim(rises, "renewTime", || format!("agent {who} sets the time back in its own tenure"))?;
        let takes_back = put.starts < base.account.starts && agent.started;
        claim(!takes_back, "starts", || format!("agent {who} takes back a start that it has made"))?;
        match put.holder {
            None => {
                agent.released |= held_by == who;
                claim(!is_running, "I6", || {
                    format!("agent {who} gives back the Lease of {held_by}, whose workload runs")
                })
            }
            Some(holder) => {
                claim(holder == who, "A5", || format!("agent {who} writes the name of {holder}"))?;
                claim(!agent.released, "rule 9", || format!("agent {who} renews after it has released"))?;
                if base.triple.holder == Some(who) {
                    renews(agent, who, boot, put)
                } else {
                    takes_over(agent, who, boot, &base)
                }
            }
        }
    }

    fn commits(&mut self, by: Option<Who>, state: &State) -> Verdict {
        let last = self.stored.last_key_value().map(|(_, last)| last.clone());
        claim(last.as_ref().is_none_or(|last| last.version < state.version), "A3", || {
            "versions do not rise".to_owned()
        })?;
        let before = last.as_ref().filter(|last| last.triple.uid == state.triple.uid);
        if let (Some(run), Some(before)) = (&state.finished, before)
            && before.finished != state.finished
        {
            claim(self.finished.insert(run.clone()), "once", || {
                format!("run {} of {} is finished twice", run.1, run.0)
            })?;
        }
        self.stored.insert(state.version, state.clone());
        while self.stored.len() > REMEMBERED {
            self.stored.pop_first();
        }
        if let Some(who) = by.filter(|by| state.triple.holder == Some(*by)) {
            self.proves(who, state, last.is_none_or(|last| !renewed(&last.triple, &state.triple)));
        }
        Ok(())
    }

    fn proves(&mut self, who: Who, state: &State, begins: bool) {
        let agent = self.agents.entry(who).or_default();
        // It may never have been told that it had acquired the Lease once before, and lost it.
        if begins && !agent.started {
            agent.token = Some(state.version);
        }
        let proven = |sent: &&Sent| Some(sent.renew_time) == state.triple.renew_time;
        let Some(sent) = agent.sent.iter().find(proven).cloned() else { return };
        agent.sent.retain(|other| other.renew_time >= sent.renew_time);
        if begins || !sent.closed {
            agent.proven = agent.proven.max(sent.decided + hard_deadline(sent.lease));
        }
        agent.lease = sent.lease;
        agent.last_proof = Some(sent);
    }

    /// What is armed for a moment that has passed kills at once.
    fn arms(&mut self, who: Who, boot: Duration, deadline: Duration) -> Verdict {
        let agent = self.agents.entry(who).or_default();
        agent.armed = Some(deadline.max(boot));
        claim(deadline <= agent.proven, "I3", || {
            format!(
                "agent {who} lives {:?} longer than its writes prove",
                deadline.saturating_sub(agent.proven)
            )
        })
    }

    fn disarms(&mut self, who: Who) -> Verdict {
        self.agents.entry(who).or_default().armed = None;
        claim(!self.is_running(who), "I2", || {
            format!("agent {who} disarms its deadline while its workload runs")
        })
    }

    fn wakes(&mut self, who: Who) -> Verdict {
        if !self.asleep.remove(&who) {
            return Ok(());
        }
        self.alone(who)?;
        self.running.insert(who);
        Ok(())
    }

    fn alone(&self, who: Who) -> Verdict {
        let other = self.running.iter().next().copied();
        claim(other.is_none(), "I1", || {
            format!("agents {} and {who} run at the same time", other.unwrap_or_default())
        })
    }

    fn starts(&mut self, who: Who, boot: Duration, token: u128, run: &Run, within: Duration) -> Verdict {
        self.alone(who)?;
        claim(token > self.highest_token, "I7", || format!("token {token} after {}", self.highest_token))?;
        claim(!self.finished.contains(run), "once", || {
            format!("run {} of {} starts though it is finished", run.1, run.0)
        })?;
        self.running.insert(who);
        self.highest_token = token;
        let agent = self.agents.entry(who).or_default();
        claim(!agent.started && !agent.released, "I2", || format!("agent {who} starts a second time"))?;
        agent.started = true;
        claim(agent.token == Some(token), "I2", || {
            format!("agent {who} starts by token {token}, acquired by {:?}", agent.token)
        })?;
        claim(agent.armed.is_some_and(|armed| boot < armed), "I2", || {
            format!("agent {who} starts without a deadline ahead")
        })?;
        let soft = agent.last_proof.as_ref().map_or(Duration::ZERO, |proof| proof.decided + within);
        claim(boot < soft, "I2", || format!("agent {who} starts after its renew deadline"))
    }

    fn stops(&mut self, who: Who, boot: Duration) -> Verdict {
        if self.asleep.remove(&who) || !self.running.remove(&who) {
            return Ok(());
        }
        let agent = self.agents.entry(who).or_default();
        let latest = agent.armed.map(|armed| armed + kill_margin(agent.lease) + READINGS_APART);
        claim(latest.is_none_or(|latest| boot <= latest), "A2", || {
            format!("the workload of agent {who} outlives its deadline by more than K")
        })
    }

    fn exits(&mut self, who: Who, ending: &str) -> Verdict {
        self.agents.remove(&who);
        claim(!self.is_running(who), "rule 8", || {
            format!("agent {who} is over ({ending}) and its workload is not")
        })
    }
}

/// A Lease that was made again in a holder's name has no renewTime: that holder has to acquire it anew, as
/// any other.
fn renewed(last: &LeaseKey, now: &LeaseKey) -> bool {
    last.uid == now.uid && last.holder == now.holder && last.renew_time.is_some()
}

/// I3: an agent that sees this lease, and no other before it, waits for no longer one.
fn renews(agent: &Agent, who: Who, boot: Duration, put: &Sent) -> Verdict {
    let bound = boot.max(put.decided + hard_deadline(put.lease));
    claim(agent.armed.is_none_or(|armed| armed <= bound), "I3", || {
        format!("agent {who} is armed for longer than the lease that it sends")
    })
}

/// I4, by rules 4 and 5.
fn takes_over(agent: &Agent, who: Who, boot: Duration, base: &State) -> Verdict {
    if base.released {
        return Ok(());
    }
    let Some(first) = agent.first_sight.get(&base.triple) else {
        return Err(format!("I4: agent {who} takes what it never saw"));
    };
    claim(!base.strict || base.cleared, "I4", || {
        format!("agent {who} takes over from one that the controller does not call gone")
    })?;
    let (waited, needed) = (boot.saturating_sub(*first), base.lease.max(agent.longest) + base.delay);
    claim(waited >= needed, "I4", || format!("agent {who} takes over after {waited:?}, not {needed:?}"))
}

pub fn claim(holds: bool, invariant: &str, broken: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(format!("{invariant}: {}", broken())) }
}

/// `L / 1.2 - K`, written down a second time on purpose.
pub fn hard_deadline(lease: Duration) -> Duration {
    Duration::from_nanos(u64::try_from(lease.as_nanos() * 10 / 12).unwrap_or(0)) - kill_margin(lease)
}

pub fn kill_margin(lease: Duration) -> Duration {
    let tenth = lease / 10;
    tenth.max(Duration::from_millis(500)).min(Duration::from_secs(2))
}
