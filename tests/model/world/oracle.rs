//! What is claimed of the elector, judged by what it was told and what it ordered, never by what it thinks.
//!
//! That every PUT carries a uid and a resourceVersion (I5) needs no judge: `Write` has no way to leave them
//! out.

use std::time::Duration;

use jiff::Timestamp;

use super::World;
use super::clocks::KILL_MARGIN;
use super::fault::FATAL;
use super::lease::annotations::{
    Cleared, Desired, Exit, Health, Outcome, Progress, Provisional, Reason, Released, UnreachableHolder,
};
use super::lease::clock::{Moment, Now};
use super::lease::elector::{Cause, Ending, Input, Output, Start, Write};
use super::lease::identity::Identity;
use super::lease::record::Record;
use super::lease::timing::{Timing, TimingSpec};
use super::state::{Agent, Dead, Request, State};

/// What a state broke first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// I1.
    AtMostOneRuns,
    /// I2.
    StartsOnlyWhileHolding,
    /// I3.
    DeadlineMovesByProofOnly,
    /// I4.
    TakesOnlyWhatIsFree,
    /// I6.
    ReleasesOnlyWhenEmpty,
    /// I7.
    TokensRise,
    /// I8.
    SameInputSameOutput,
    /// I9.
    WorkloadRuns,
    /// I9.
    NoneSpins,
    /// Rule 8.
    StopsHaveALimit,
    /// Rules 3 and 11.
    StopsForACause,
    /// Rule 8.
    FinishedIsFinished,
    /// An attempt counts as a failure once, and none begins where no failure is left.
    FailuresCountOnce,
    /// `activeDeadlineSeconds`.
    RunsHaveALimit,
    /// A start is not counted where the candidate itself says that there was none.
    OnlyStartsCount,
    /// What is told to stop says so at once, and has not failed when it falls silent.
    StopsAreNoFailures,
    /// The Lease says that the workload is ready once it has been in this tenure, at once, and never before.
    ReadinessIsTold,
    /// An outcome that gives nothing back is told only of what survives a kill, and its workload, for as long
    /// as a kill may take.
    OutcomesComeAfterTheKill,
}

/// What the oracle remembers of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// The tenure that it was last told of, and since when that was the same.
    sight: Option<(Snapshot, Moment)>,
    longest_lease: Duration,
    told: Told,
    /// The own write that was stored and is good for longest: when it was sent, and its lease duration.
    pub stored: Option<(Moment, Duration)>,
    /// The version of the own write that acquired the Lease.
    pub token: Option<u128>,
    last_put: Option<(u32, u128, bool)>,
    /// The version that the last acquisition was based on, while it may still be stored for all that the
    /// process was told.
    pub in_doubt: Option<u128>,
    /// Whether the readiness probe has succeeded in this tenure.
    pub ready: bool,
    pub exit: Option<Exit>,
    /// Why it told its workload to end.
    pub cause: Option<Cause>,
    pub drained: Option<u32>,
    /// When it was asked to end, when it was killed, and when it ended by itself.
    terminated: Option<u32>,
    killed: Option<u32>,
    pub ended: Option<u32>,
}

/// What it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Told {
    version: u128,
    /// It might be taken at once.
    free: bool,
    /// Something should run.
    wanted: bool,
    /// Its holder was said to be gone, or need not be.
    clear: bool,
    /// Beyond the lease.
    delay: Duration,
}

type Snapshot = (String, Option<Identity>, Option<Timestamp>);

fn sight(record: &Record) -> Snapshot {
    (record.uid.clone(), record.holder.clone(), record.renew_time)
}

/// D, as the lease duration alone gives it.
fn hard(lease: Duration) -> Duration {
    Timing::new(&TimingSpec::of(lease)).map_or(Duration::ZERO, |timing| timing.hard_deadline())
}

impl Evidence {
    /// Everything that is news: a lagging watch is none.
    pub fn saw(&mut self, now: Now, record: &Record) {
        self.in_doubt = self.in_doubt.filter(|base| record.version.0 <= *base);
        let policy =
            record.annotations.policy.as_ref().map_or(0, |policy| u64::from(policy.lease_duration_seconds));
        self.longest_lease = self.longest_lease.max(record.lease_duration).max(Duration::from_secs(policy));
        let sight = sight(record);
        if self.sight.as_ref().is_none_or(|(seen, _)| *seen != sight) {
            self.sight = Some((sight, now.at));
        }
        let marked = |mark: &Released| mark.lease_uid == record.uid && mark.renew_time == record.renew_time;
        let free = record.holder.is_none() && record.annotations.released.as_ref().is_some_and(marked);
        let wanted = record.annotations.run.as_ref().is_some_and(|run| run.desired == Desired::Run);
        let policy = record.annotations.policy.as_ref();
        let trusting =
            policy.is_some_and(|policy| policy.unreachable_holder == UnreachableHolder::AfterLeaseExpiry);
        let meant = |cleared: &Cleared| cleared.lease_uid == record.uid && cleared.holder == record.holder;
        let clear = trusting || record.annotations.cleared.as_ref().is_some_and(meant);
        let delay = Duration::from_secs(policy.map_or(0, |policy| u64::from(policy.delay_seconds)));
        self.told = Told { version: record.version.0, free, wanted, clear, delay };
    }

    /// Rules 4 and 5.
    fn may_take(&self, now: Now, write: &Write) -> bool {
        let Told { version, free, wanted, clear, delay } = self.told;
        let needed = self.longest_lease + delay;
        let expired =
            self.sight.as_ref().is_some_and(|(_, since)| now.at.elapsed_for_challenger(*since) >= needed);
        version == write.base.0 && wanted && (free || expired && clear)
    }

    /// Whether the holder closes its account with this write and gives nothing back.
    pub fn is_outcome(&self, write: &Write) -> bool {
        let closes = write.progress.as_ref().is_some_and(|progress| !progress.open);
        self.token.is_some() && write.holder.is_some() && closes
    }

    /// Whether it says so of a workload that has ended by itself, and well, or so that there is no further
    /// attempt.
    pub fn records_end(&self, write: &Write) -> bool {
        self.is_outcome(write)
            && self.exit.is_some_and(|exit| exit.is_success() || exit == FATAL)
            && self.cause.is_none()
    }

    /// Whether it says so although it had told its workload to end.
    pub fn makes_up_success(&self, write: &Write) -> bool {
        let succeeded =
            write.finished.as_ref().is_some_and(|finished| finished.outcome == Outcome::Succeeded);
        self.is_outcome(write) && self.cause.is_some() && succeeded
    }

    pub fn stored(&mut self, request: &Request, version: u128) {
        let proof = (request.sent, request.write.lease_duration);
        let ends = |(sent, lease): (Moment, Duration)| sent.boot + hard(lease);
        if self.is_outcome(&request.write) {
            return;
        }
        if request.write.holder.is_some() {
            self.token.get_or_insert(version);
            self.stored = self.stored.filter(|known| ends(*known) > ends(proof)).or(Some(proof));
        }
    }
}

impl World {
    /// The same step once more gives the same.
    pub fn judge_step(
        &self,
        state: &mut State,
        number: usize,
        before: &Agent,
        input: Input,
        outputs: &[Output],
    ) {
        let mut again = before.elector.clone();
        if again.step(self.now(state, number), input) != outputs || again != state.agents[number].elector {
            state.broke(Claim::SameInputSameOutput);
        }
    }

    pub fn judge_start(&self, state: &mut State, number: usize, start: &Start) {
        let now = self.now(state, number);
        let agent = &state.agents[number];
        let in_time = agent.armed.is_some_and(|armed| now.at.boot < armed)
            && now.at.elapsed_for_holder(start.since) < start.within;
        let soft = Duration::from_millis(u64::from(state.directives.policy.renew_deadline_milliseconds));
        let before_soft =
            agent.evidence.stored.is_some_and(|(sent, _)| now.at.boot.saturating_sub(sent.boot) < soft);
        let holds = agent.evidence.token.is_some() && agent.evidence.exit.is_none() && !agent.running;
        if !(in_time && holds && (before_soft || state.directives.policy_changed)) {
            state.broke(Claim::StartsOnlyWhileHolding);
        }
        if start.token.0 <= state.last_token {
            state.broke(Claim::TokensRise);
        }
        if start.run <= state.store.ended {
            state.broke(Claim::FinishedIsFinished);
        }
        if self.took_too_long(state, Duration::ZERO) {
            state.broke(Claim::RunsHaveALimit);
        }
    }

    pub fn judge_deadline(&self, state: &mut State, number: usize, boot: Duration) {
        let now = self.now(state, number).at.boot;
        let agent = &state.agents[number];
        let proven = agent.evidence.stored.is_some_and(|(sent, lease)| boot <= sent.boot + hard(lease));
        let revived = agent.armed.is_some_and(|armed| armed <= now && boot > now);
        if !proven || revived {
            state.broke(Claim::DeadlineMovesByProofOnly);
        }
    }

    pub fn judge_put(&self, state: &mut State, number: usize, write: &Write) {
        if write.holder.is_none() && !is_empty(state, number, write) {
            state.broke(Claim::ReleasesOnlyWhenEmpty);
        }
        let evidence = &state.agents[number].evidence;
        if write.holder.is_some()
            && evidence.token.is_none()
            && !evidence.may_take(self.now(state, number), write)
        {
            state.broke(Claim::TakesOnlyWhatIsFree);
        }
        let evidence = &state.agents[number].evidence;
        let is_outcome = evidence.is_outcome(write);
        let long_ago =
            |tick: Option<u32>| tick.is_some_and(|tick| self.tick * (state.tick - tick) >= KILL_MARGIN);
        if is_outcome && !(long_ago(evidence.killed) && long_ago(evidence.ended)) {
            state.broke(Claim::OutcomesComeAfterTheKill);
        }
        let released_as =
            if write.holder.is_none() { write.released.as_ref().map(|mark| mark.ready) } else { None };
        let evidence = &state.agents[number].evidence;
        if evidence.token.is_some() && released_as.is_some_and(|ready| ready != evidence.ready) {
            state.broke(Claim::ReadinessIsTold);
        }
        let said_ready = write.health.as_ref().is_some_and(|health| health.workload_ready.is_some());
        if said_ready && !state.agents[number].evidence.ready {
            state.broke(Claim::ReadinessIsTold);
        }
        let this = (state.tick, write.base.0, is_outcome);
        let evidence = &mut state.agent(number).evidence;
        let spins = evidence.last_put == Some(this) && write.holder.is_some();
        evidence.last_put = Some(this);
        let acquires = evidence.token.is_none() && write.holder.is_some();
        evidence.in_doubt = evidence.in_doubt.or(acquires.then_some(write.base.0));
        if spins {
            state.broke(Claim::NoneSpins);
        }
    }

    /// A candidate that writes an account has counted what the controller had found out by then, once.
    pub fn judge_account(&self, state: &mut State, base: &Record, write: &Write) {
        let (Some(before), Some(after)) = (&base.annotations.progress, &write.progress) else { return };
        let known = before.failures + found_out(base, before);
        // The attempt that ends with this write, or was lost before it.
        let ended = before.open && (write.holder.is_none() || !after.open || after.starts > before.starts);
        let exact = (known..=known + u32::from(ended)).contains(&after.failures);
        let limited = self.policy.completion_policy == super::CompletionPolicy::OnSuccess;
        let begins = after.starts > before.starts && limited && known > self.policy.backoff_limit;
        if !exact || begins {
            state.broke(Claim::FailuresCountOnce);
        }
    }

    pub fn judge_stop(&self, state: &mut State, number: usize, kill: bool) {
        let tick = state.tick;
        let evidence = &state.agents[number].evidence;
        let stops = evidence.terminated.is_none() && evidence.killed.is_none();
        if stops && !self.has_cause(state, number) {
            state.broke(Claim::StopsForACause);
        }
        let evidence = &mut state.agent(number).evidence;
        let since = if kill { &mut evidence.killed } else { &mut evidence.terminated };
        since.get_or_insert(tick);
    }

    /// From S, or from when it kills in good order, to when the kernel would.
    fn before_the_deadline(&self) -> Duration {
        let soft = Duration::from_millis(u64::from(self.policy.renew_deadline_milliseconds));
        hard(Duration::from_secs(u64::from(self.policy.lease_duration_seconds)))
            .saturating_sub(soft)
            .max(OWN_KILL)
    }

    fn has_cause(&self, state: &State, number: usize) -> bool {
        let agent = &state.agents[number];
        let me = Some(&agent.candidate.identity);
        let ours = state
            .store
            .lease
            .as_ref()
            .is_some_and(|lease| lease.holder.as_ref() == me && lease.uid == "lease-0");
        let soft = self.now(state, number).at.boot + self.before_the_deadline();
        let late = agent.armed.is_none_or(|armed| armed <= soft);
        let told = agent.evidence.exit.is_some() || agent.evidence.drained.is_some();
        let directed = state.directives.stopped
            || state.directives.handover.as_ref() == me
            || state.directives.policy_changed;
        let directed = directed || state.directives.failed_pod;
        !ours || late || told || directed || self.took_too_long(state, Duration::ZERO)
    }

    /// Whether the run, which began with the first tick, has taken as long as it may, and `grace` beyond
    /// that.
    fn took_too_long(&self, state: &State, grace: Duration) -> bool {
        let limit =
            self.policy.active_deadline_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        limit.is_some_and(|limit| self.tick * state.tick >= limit + grace)
    }

    /// Judged where all candidates are prompt: none can be blamed for the time that others take.
    pub fn judge_time(&self, state: &mut State) {
        let tick = state.tick;
        if state.running() > 0 || owes_a_wait(state) || state.agents.iter().all(|agent| agent.over) {
            state.idle_since = tick;
        }
        if self.patience.is_some_and(|patience| tick > state.idle_since + patience) {
            state.broke(Claim::WorkloadRuns);
        }
        // What is due at a tick is done before the next.
        if state.running() > 0 && self.took_too_long(state, self.stop_grace + self.tick) {
            state.broke(Claim::RunsHaveALimit);
        }
        if self.is_prompt() && state.agents.iter().any(|agent| stops_in_secret(state, agent)) {
            state.broke(Claim::StopsAreNoFailures);
        }
        if self.is_prompt() && state.agents.iter().any(|agent| is_ready_in_secret(state, agent)) {
            state.broke(Claim::ReadinessIsTold);
        }
        if self.agents_overstay(state) {
            state.broke(Claim::StopsHaveALimit);
        }
    }

    fn agents_overstay(&self, state: &State) -> bool {
        let past = |since: Option<u32>, limit: Duration| {
            since.is_some_and(|since| self.tick * (state.tick - since) > limit)
        };
        self.is_prompt()
            && state.agents.iter().filter(|agent| !agent.over).any(|agent| {
                let Evidence { terminated, killed, .. } = agent.evidence;
                (killed.is_none() && past(terminated, agent.candidate.stop_grace)) || past(killed, UNDEAD)
            })
    }
}

/// Whether the next start is put off, because attempts before it have failed one after the other.
fn owes_a_wait(state: &State) -> bool {
    let progress = state.store.lease.as_ref().and_then(|lease| lease.annotations.progress.as_ref());
    progress.is_some_and(|progress| !progress.open && progress.retry_after_seconds > 0)
}

/// Whether nothing is left of the process that `write` releases for: the writer's own, or its predecessor.
fn is_empty(state: &State, number: usize, write: &Write) -> bool {
    let agent = &state.agents[number];
    let released = write.released.as_ref().map(|mark| &mark.by);
    let is_own = released == Some(&agent.candidate.identity);
    if is_own { !agent.running } else { released.is_some_and(|dead| !state.is_alive(dead)) }
}

/// Whether a workload was told to stop and given time for that, and the Lease does not say so.
fn stops_in_secret(state: &State, agent: &Agent) -> bool {
    let graceful = agent.evidence.terminated.is_some()
        && agent.evidence.killed.is_none()
        && !agent.candidate.stop_grace.is_zero();
    graceful
        && agent.running
        && held_by(state, agent).is_some_and(|lease| !says(lease, |health| health.stopping.is_some()))
}

/// Whether a workload has been ready and runs undisturbed, and the Lease does not say so.
fn is_ready_in_secret(state: &State, agent: &Agent) -> bool {
    let undisturbed = agent.evidence.terminated.is_none()
        && agent.evidence.killed.is_none()
        && agent.evidence.exit.is_none();
    let runs = agent.running && agent.evidence.ready && undisturbed;
    runs && held_by(state, agent).is_some_and(|lease| !says(lease, |health| health.workload_ready.is_some()))
}

fn held_by<'a>(state: &'a State, agent: &Agent) -> Option<&'a Record> {
    state.store.lease.as_deref().filter(|lease| lease.holder.as_ref() == Some(&agent.candidate.identity))
}

fn says(lease: &Record, what: impl Fn(&Health) -> bool) -> bool {
    lease.annotations.health.as_ref().is_some_and(what)
}

impl State {
    /// A candidate that ends as if nothing were under way knows that nothing is.
    pub fn judge_ending(&mut self, number: usize, ending: &Ending) {
        if *ending == Ending::Interrupted && self.agents[number].evidence.in_doubt.is_some() {
            self.broke(Claim::OnlyStartsCount);
        }
    }

    /// What is given back without a start counts none, and what was asked to end has no outcome of its own.
    pub fn judge_words(&mut self, dead: &Dead, write: &Write) {
        let counted = write
            .progress
            .as_ref()
            .is_some_and(|progress| progress.open || progress.starts > u32::from(self.starts));
        if dead.in_doubt.is_some() && counted {
            self.broke(Claim::OnlyStartsCount);
        }
        let by_exit = write
            .released
            .as_ref()
            .is_some_and(|mark| matches!(mark.reason, Reason::WorkloadSucceeded | Reason::WorkloadFailed));
        if dead.cause.is_some() && by_exit {
            self.broke(Claim::FinishedIsFinished);
        }
    }
}

/// Attempts of which the account leaves it open whether they failed, and the controller does not.
fn found_out(record: &Record, progress: &Progress) -> u32 {
    let failed =
        |uid: &str| record.annotations.run.iter().flat_map(|run| &run.failed_pods).any(|pod| pod.uid == uid);
    let open = progress.tenants.iter().filter(|tenant| failed(&tenant.uid) && tenant.provisional.is_some());
    let uncounted = open.filter(|tenant| tenant.provisional != Some(Provisional::Lost));
    u32::try_from(uncounted.count()).unwrap_or(u32::MAX)
}

const OWN_KILL: Duration = Duration::from_millis(50);
/// What no process survives of a kill that does not take effect.
const UNDEAD: Duration = Duration::from_secs(10);
