//! The Lease and the wishes in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::observe::{Observed, Seen};
use super::run_plan::RunPlan;
use super::{clearance, failure, handover, seconds};
use crate::api::SingletonJob;
use crate::api::status::LeaseStatus;
use crate::lease::identity::{Identity, Version};
use crate::lease::notes::{Cleared, CompletionPolicy, Handover, Policy, Run, Spread, Ticks};
use crate::lease::timing::Timing;

/// A Lease that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// There never was one, nor a candidate that could hold it: free at once.
    First,
    /// There was one, or a candidate that may hold it: takeover waits.
    Again {
        /// The last known holder.
        holder: Identity,
        /// The longest that any candidate may still hold by.
        longest_lease: Duration,
    },
}

/// What the controller says in a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// What candidates obey.
    pub policy: Policy,
    /// What should be run.
    pub run: Run,
    /// What has become of the ticks of a schedule. None leaves what is there.
    pub ticks: Option<Ticks>,
    /// Whom to ask to hand over. None leaves a request that is there: only candidates remove it.
    pub handover: Option<Handover>,
    /// The word that a silent holder is gone. None leaves one that is there, as above.
    pub cleared: Option<Cleared>,
    /// The line in which they take over. None leaves what is there.
    pub succession: Option<Vec<String>>,
    /// The request by annotation that is granted with `handover`. None leaves what is there.
    pub granted: Option<String>,
    /// The hash of the template from which the Lease was, or is to be, handed back. `None` removes what is there.
    pub handed_back: Option<String>,
    /// What was tried to have candidates on several nodes. `None` removes what is there.
    pub spread: Option<Spread>,
}

impl Wishes {
    /// The same for the same wish, whenever it is made.
    pub fn fingerprint(&self) -> String {
        let Run { number, desired, reason, .. } = &self.run;
        let mut hasher = DefaultHasher::new();
        (&self.policy, number, desired, reason).hash(&mut hasher);
        self.handover.as_ref().map(|handover| (handover.holder.as_str(), handover.reason)).hash(&mut hasher);
        format!("{:x}", hasher.finish())
    }
}

/// How a missing Lease is made.
pub fn creation(job: &SingletonJob, observed: &Observed, timing: Timing) -> Creation {
    let known = job.status.as_ref().and_then(|status| status.lease.as_ref());
    if known.is_none() && observed.nobody_there {
        return Creation::First;
    }
    let holder = known.and_then(|lease| lease.last_holder_identity.clone()).unwrap_or_else(|| Identity::UNKNOWN.to_owned());
    Creation::Again { holder: Identity::read(holder), longest_lease: longest(job, observed).max(timing.lease_duration()) }
}

/// The longest lease that any candidate may still hold by.
///
/// It grows as soon as a longer one is wanted, and is written down before candidates are told. It shrinks only when a candidate's own write
/// shows that they have heard: told so, and held for no longer, or released. A candidate that was not told then has lost the compare-and-swap. A Lease
/// that was emptied by hand shows nothing: its last holder may still hold by what is recorded there.
pub fn longest(job: &SingletonJob, observed: &Observed) -> Duration {
    let wanted = seconds(job.spec.lease.lease_duration_seconds);
    let remembered = status(job).and_then(|lease| lease.longest_lease_duration_seconds).map_or(Duration::ZERO, seconds);
    let Some(Seen { record, .. }) = &observed.lease else { return wanted.max(remembered) };
    let told = record.notes.policy.as_ref().map_or(remembered, |policy| Duration::from_secs(u64::from(policy.lease_duration_seconds)));
    let recorded = if record.is_released() { Duration::ZERO } else { record.lease_duration };
    let shows = record.acquire_time.is_some() && (record.holder.is_some() || record.is_released());
    let heard = told <= wanted && recorded <= wanted && shows;
    if heard { wanted } else { wanted.max(remembered).max(told).max(recorded) }
}

/// What the Lease should say. A longer lease is not told before it is written down in status.
pub fn wishes(job: &SingletonJob, observed: &Observed, timing: Timing, wanted: Run, run: &RunPlan, handover: Option<Handover>) -> Wishes {
    let policy = policy(job, observed, timing);
    let told = observed.lease.as_ref().and_then(|lease| lease.record.notes.policy.clone());
    let policy = if must_remember_first(job, observed) { told.unwrap_or(policy) } else { policy };
    let handover = handover.filter(|wish| !is_asked(observed, wish));
    let cleared = clearance::cleared(job, observed);
    let ticks = run.schedule.as_ref().map(|schedule| schedule.ticks.clone());
    Wishes { policy, run: wanted, ticks, handover, cleared, succession: None, granted: None, handed_back: None, spread: None }
}

/// Whether a longer lease is wanted than status remembers: it is written there first, then told.
pub fn must_remember_first(job: &SingletonJob, observed: &Observed) -> bool {
    let remembered = status(job).and_then(|lease| lease.longest_lease_duration_seconds);
    observed.lease.is_some() && remembered.is_none_or(|remembered| remembered < job.spec.lease.lease_duration_seconds)
}

fn is_asked(observed: &Observed, wish: &Handover) -> bool {
    observed
        .lease
        .as_ref()
        .and_then(|lease| lease.record.notes.handover.as_ref())
        .is_some_and(|asked| asked.holder == wish.holder && handover::is_under_way(Some(asked.reason), wish.reason))
}

fn policy(job: &SingletonJob, observed: &Observed, timing: Timing) -> Policy {
    let backoff_limit = job.spec.backoff_limit();
    let (unreachable_holder, delay_seconds) = clearance::policy(job);
    let floor = observed.lease.as_ref().map(|lease| lease.record.notes.policy.as_ref().and_then(|policy| policy.token_floor));
    let completion_policy = if backoff_limit.is_some() { CompletionPolicy::OnSuccess } else { CompletionPolicy::Never };
    Policy {
        backoff_limit: backoff_limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(0),
        candidates: u32::try_from(job.spec.replicas).unwrap_or(0),
        failure_policy: failure::policy(job),
        active_deadline_seconds: failure::active_deadline_seconds(job),
        // A Lease that is made again has forgotten the tokens before it; one that is there remembers them itself.
        token_floor: floor.unwrap_or_else(|| status(job).and_then(token)),
        unreachable_holder,
        delay_seconds,
        ..Policy::new(timing, completion_policy)
    }
}

fn token(lease: &LeaseStatus) -> Option<Version> {
    lease.fencing_token.as_ref()?.parse().ok()
}

fn status(job: &SingletonJob) -> Option<&LeaseStatus> {
    job.status.as_ref()?.lease.as_ref()
}
