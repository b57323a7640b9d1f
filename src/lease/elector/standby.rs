//! Decides when a standby may take the Lease.

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{Desired, Policy, Progress, Run, UnreachableHolder};
use super::super::clock::{Moment, Now};
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::super::timing::Timing;
use super::local_lease::repetition;
use super::step::Step;
use super::{
    Candidate, Ending, LocalLease, Order, Write, charges, limits, predecessor, progress, succession,
};

/// How long an end is put off for a PUT whose fate is unknown: PID 1 gives back a Lease that was taken by it,
/// if it hears of it in time.
const PATIENCE: Duration = Duration::from_secs(3);
const HEAD_START: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Standby {
    sight: Option<Snapshot>,
    /// When it last gave back the Lease of its predecessor, and the version that this was based on.
    gave_back: Option<(Moment, Version)>,
}

/// A tenure as it was first seen. While this stays the same, no holder has renewed; what else is in the Lease
/// does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Snapshot {
    of: LeaseKey,
    since: Moment,
    /// When contact returned while this was in sight, the first time.
    returned: Option<Moment>,
}

type LeaseKey = (String, Option<Identity>, Option<Timestamp>);

fn lease_key(record: &Record) -> LeaseKey {
    (record.uid.clone(), record.holder.clone(), record.renew_time)
}

impl Standby {
    pub(super) fn saw(&mut self, now: Moment, record: &Record, returned: bool) {
        match &mut self.sight {
            Some(sight) if sight.of == lease_key(record) => {
                sight.returned = sight.returned.or(returned.then_some(now));
            }
            sight => *sight = Some(Snapshot { of: lease_key(record), since: now, returned: None }),
        }
    }

    pub(super) fn decide(
        &mut self,
        step: &mut Step<'_>,
        drain: Option<Moment>,
        lease: &mut LocalLease,
    ) -> Option<Ending> {
        let now = step.now;
        match (drain, lease.in_doubt()) {
            (Some(_), None) => return Some(Ending::Interrupted),
            (Some(since), Some(base)) if now.at.elapsed_for_holder(since) >= PATIENCE => {
                return Some(Ending::InDoubt(base));
            }
            (Some(_) | None, _) => {}
        }
        if let Some(why) = lease.unreadable(now.at) {
            return Some(Ending::Unreadable(why));
        }
        let may_write = drain.is_none() && lease.is_idle();
        if may_write && self.wait_for_the_dead(now.at, step.candidate, lease) == Some(Duration::ZERO) {
            self.give_back(step, lease);
        } else if may_write
            && self.wait(now, step.candidate, lease) == Some(Duration::ZERO)
            && can_hold(step.lateness, lease)
        {
            acquire(step, lease);
        } else if lease.silence(now.at).is_zero() {
            lease.want_read();
        }
        lease.read(step);
        None
    }

    /// How long from now until the Lease may be taken; `None` if it may not, however long it stays as it is.
    fn wait(&self, now: Now, candidate: &Candidate, lease: &LocalLease) -> Option<Duration> {
        let (Some(sight), Some(record)) = (&self.sight, lease.latest()) else { return None };
        let (policy, timing) = (lease.policy()?, lease.timing()?);
        let run = wanted(record, candidate)?;
        if lease.trouble().is_some() {
            return None;
        }
        if !is_clear(record, policy) {
            return None;
        }
        if record.floor_above().is_some() {
            return None;
        }
        let rank = succession::delay(&candidate.identity, record, policy.candidates);
        let after = |asleep: Duration| {
            asleep.saturating_add(rank).saturating_sub(now.at.elapsed_for_challenger(sight.since))
        };
        let progress = progress::of(record, run);
        let (expiry, back_off) = waiting_period(record, &progress, policy, lease.longest_lease());
        // A run whose time is over is closed then, and not when its back-off is: nothing will be started.
        let closed =
            limits::left(&progress, policy, now.wall).map_or(Duration::MAX, |left| left.max(after(expiry)));
        let waited = after(expiry.saturating_add(back_off)).min(closed);
        Some(
            waited
                .max(head_start(now.at, sight, record, timing))
                .max(lease.pace(now.at, timing.retry_period())),
        )
    }

    /// How long from now until the Lease of the predecessor is given back. `None` if that does not hold it.
    fn wait_for_the_dead(&self, now: Moment, candidate: &Candidate, lease: &LocalLease) -> Option<Duration> {
        let (record, timing) = (lease.latest()?, lease.timing()?);
        let left = candidate.lock.as_ref()?.left(record, now)?;
        if lease.trouble().is_some() {
            return None;
        }
        let pace = self.gave_back.filter(|(_, base)| !lease.has_lost_against(record, *base));
        let again = pace.map_or(Duration::ZERO, |(sent, _)| {
            repetition(timing.retry_period()).saturating_sub(now.elapsed_for_holder(sent))
        });
        Some(left.max(again))
    }

    fn give_back(&mut self, step: &mut Step<'_>, lease: &mut LocalLease) {
        let (Some(record), Some(timing)) = (lease.latest(), lease.timing()) else { return };
        self.gave_back = Some((step.now.at, record.version));
        if let Some(write) = predecessor::release(record, step.now) {
            lease.put_for_the_dead(step, write, timing);
        }
    }

    pub(super) fn next_due(
        &self,
        now: Now,
        candidate: &Candidate,
        drain: Option<Moment>,
        lease: &LocalLease,
    ) -> Duration {
        let wait = match drain {
            Some(since) => PATIENCE.saturating_sub(now.at.elapsed_for_holder(since)),
            None if lease.is_idle() => self
                .wait(now, candidate, lease)
                .into_iter()
                .chain(self.wait_for_the_dead(now.at, candidate, lease))
                .min()
                .unwrap_or(Duration::MAX),
            None => Duration::MAX,
        };
        // Silence asks for a read: nothing is due while one is under way, which may take longer than a short
        // retry period.
        let silence = if lease.is_reading() { Duration::MAX } else { lease.silence(now.at) };
        wait.min(silence)
    }
}

/// Whether there would be time left for a renewal: a container that starves is no place to hold a Lease.
fn can_hold(lateness: Duration, lease: &LocalLease) -> bool {
    lease.timing().is_some_and(|timing| {
        timing.renew_deadline() > lateness + timing.retry_period() + timing.request_deadline()
    })
}

/// The run that `record` wants from this candidate, if it wants one.
fn wanted<'a>(record: &'a Record, candidate: &Candidate) -> Option<&'a Run> {
    let run = record.annotations.run.as_ref()?;
    let wanted = run.desired == Desired::Run && run.uid == candidate.job_uid && !record.is_finished();
    wanted.then_some(run)
}

/// Whether nothing but time stands in the way: what was not given back may need a confirmation that its
/// holder is gone.
fn is_clear(record: &Record, policy: &Policy) -> bool {
    match policy.unreachable_holder {
        UnreachableHolder::AfterLeaseExpiry => true,
        UnreachableHolder::AfterPodGone | UnreachableHolder::Manual => {
            record.is_released() || record.is_cleared()
        }
    }
}

/// From first sight: the longest lease that the holder may believe in and the delay, unless it has released,
/// and then the back-off. A holder that is gone is waited for no less: a pod may be gone, and its processes
/// not.
fn waiting_period(
    record: &Record,
    progress: &Progress,
    policy: &Policy,
    longest_lease: Duration,
) -> (Duration, Duration) {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let lease =
        if record.is_released() { Duration::ZERO } else { longest_lease + seconds(policy.delay_seconds) };
    // What is owed for an earlier pod does not keep a silent holder's place empty, nor a run without attempts
    // from its end.
    let waits = !progress.open && !charges::are_too_many(progress, policy);
    (lease, seconds(if waits { progress.retry_after_seconds } else { 0 }))
}

/// A candidate that was itself out of contact lets the holder speak first when contact returns, once: its
/// workload may have ended meanwhile, and a finished run should not be run again for want of a few seconds.
fn head_start(now: Moment, sight: &Snapshot, record: &Record, timing: Timing) -> Duration {
    match sight.returned {
        Some(returned) if record.holder.is_some() => {
            (timing.request_deadline() + HEAD_START).saturating_sub(now.elapsed_for_challenger(returned))
        }
        _ => Duration::ZERO,
    }
}

fn acquire(step: &mut Step<'_>, lease: &mut LocalLease) {
    let Some(timing) = lease.timing() else { return };
    let Some(write) = takeover(step, lease, timing) else { return };
    if step.candidate.lock.is_some() {
        step.order(Order::SignLock { lease_uid: write.uid.clone() });
    }
    lease.put(step, write, timing);
}

/// The write that makes this candidate the holder, if the Lease wants a run of it.
fn takeover(step: &Step<'_>, lease: &LocalLease, timing: Timing) -> Option<Write> {
    let (now, candidate) = (step.now, step.candidate);
    let (record, policy) = (lease.latest()?, lease.policy()?);
    let run = wanted(record, candidate)?;
    let progress = progress::write_off(progress::of(record, run), policy, record);
    Some(Write {
        uid: record.uid.clone(),
        base: record.version,
        holder: Some(candidate.identity.clone()),
        lease_duration: timing.lease_duration(),
        acquire_time: Some(now.wall),
        renew_time: lease.first_renew_time(now.wall),
        transitions: record.transitions.saturating_add(1),
        progress: Some(charges::begin(
            progress::start(progress, policy, now.wall),
            candidate.identity.pod_uid(),
        )),
        // Stays for as long as the tenure that follows on it, and tells how that one came about; it frees
        // nothing any more.
        released: if record.is_released() { record.annotations.released.clone() } else { None },
        finished: record.annotations.finished.clone(),
        health: Some(lease.health()),
        drop_directives: true,
    })
}
