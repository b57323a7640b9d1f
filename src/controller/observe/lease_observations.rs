//! Remembers how long each Lease has been unchanged, on this machine's clock.
//!
//! A timestamp of another machine cannot show that a holder has fallen silent. How long this controller has
//! seen nothing new can. This module also tells news from renewals, because a renewal wakes no
//! reconciliation.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::expiries::Expiries;
use super::index::{Key, own_key};
use crate::lease::annotations::Reason;
use crate::lease::clock::{self, Moment};
use crate::lease::identity::{Identity, Version};
use crate::lease::record::Record;

/// What this controller knows of a Lease beyond its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// How long this controller has seen no sign of life of the holder.
    pub unchanged: Duration,
    /// Whether this controller has seen a sign of life. Otherwise a short `unchanged` may only mean that it
    /// has just begun to watch.
    pub seen_alive: bool,
    /// The holder's fencing token. `None` if neither the Lease nor an acquisition that this controller saw
    /// tells.
    pub token: Option<Version>,
    /// The previous holder.
    pub before: Option<Former>,
    /// The time from the previous holder's last sign of life to the acquisition, on this machine's clock.
    /// `None` unless this controller saw both.
    pub gap: Option<Duration>,
}

/// A holder that has been followed by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its identity.
    pub holder: Identity,
    /// When it last renewed, by its own time of day.
    pub renewed: Option<Timestamp>,
    /// Why its agent had been told to stop, if the Lease said so and the holder did not release it.
    pub stopping: Option<Reason>,
}

/// What the watch has told of one Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WatchedLease {
    /// Since when holder and renewTime have been as they are, on this machine's clock.
    unchanged_since: Moment,
    seen_alive: bool,
    token: Option<Version>,
    before: Option<Former>,
    stopping: Option<Reason>,
    gap: Option<Duration>,
    uid: String,
    holder: Option<Identity>,
    renew_time: Option<Timestamp>,
    lease_duration: Duration,
    digest: u64,
}

/// How long after a lease has expired any standby would have taken over.
pub const TAKEOVER_SLACK: Duration = Duration::from_secs(1);

/// What the watch has told of all Leases. It is cheap to share, because it is locked only for a moment.
#[derive(Debug, Default)]
pub struct LeaseObservations {
    watched: Mutex<HashMap<Key, WatchedLease>>,
    expiries: Expiries,
}

impl LeaseObservations {
    /// Records a Lease from the watch. Returns whether it says more than that its holder lives. A holder that
    /// lives after its lease has expired is news too.
    pub fn update(&self, lease: &Lease, now: Moment) -> bool {
        let Ok(record) = Record::read(lease) else { return true };
        let (key, digest) = (own_key(lease), digest(lease));
        let mut watched = self.lock();
        let known = watched.get(&key).filter(|known| known.uid == record.uid);
        let is_news = known.is_none_or(|known| known.digest != digest || known.is_silent(now));
        let next = match known {
            Some(known) => known.followed_by(record, digest, now),
            None => WatchedLease::first(record, digest, now),
        };
        self.expiries.arm(&key, next.until_expired(now));
        watched.insert(key, next);
        is_news
    }

    /// Waits until the next Lease has expired without a renewal, and any standby would have taken over.
    pub async fn next_expired(&self) -> Key {
        self.expiries.next(|key| self.lock().get(key)?.until_expired(clock::now().at)).await
    }

    /// Forgets the Lease of this namespace and name, which is gone.
    pub fn forget(&self, lease: &Key) {
        self.lock().remove(lease);
    }

    /// Returns what this controller knows of a Lease beyond `record`, its content. A record that was read
    /// directly may be newer than what the watch has told.
    pub fn observation(&self, namespace: &str, name: &str, record: &Record, now: Moment) -> Observation {
        match self.get(namespace, name).filter(|known| known.uid == record.uid) {
            None => Observation { token: token(record, None), ..Observation::default() },
            Some(known) if known.holder != record.holder => known.observe_takeover(record, now),
            Some(known) => known.observe(record, now),
        }
    }

    /// How long the holder has not renewed. `None` if no candidate holds the Lease.
    pub fn silence(&self, namespace: &str, name: &str, now: Moment) -> Option<Duration> {
        let known = self.get(namespace, name).filter(|known| known.holder.is_some())?;
        Some(now.elapsed_for_challenger(known.unchanged_since))
    }

    fn get(&self, namespace: &str, name: &str) -> Option<WatchedLease> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, WatchedLease>> {
        // Every change is a single insert or remove: a panic elsewhere leaves nothing half done.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WatchedLease {
    /// A Lease of which the watch has told nothing before. Its content may be old, so that it is no sign of
    /// life.
    fn first(record: Record, digest: u64, now: Moment) -> Self {
        Self {
            unchanged_since: now,
            seen_alive: false,
            token: token(&record, None),
            before: None,
            stopping: stopping(&record),
            gap: None,
            uid: record.uid,
            holder: record.holder,
            renew_time: record.renew_time,
            lease_duration: record.lease_duration,
            digest,
        }
    }

    /// The same Lease after the watch has told `record`.
    fn followed_by(&self, record: Record, digest: u64, now: Moment) -> Self {
        let same_holder = self.holder == record.holder;
        let unchanged = same_holder && self.renew_time == record.renew_time;
        Self {
            unchanged_since: if unchanged { self.unchanged_since } else { now },
            seen_alive: self.seen_alive || !unchanged,
            token: token(&record, if same_holder { self.token } else { None }),
            before: if same_holder { self.before.clone() } else { self.former() },
            stopping: stopping(&record),
            gap: if same_holder { self.gap } else { self.gap(&record, now) },
            uid: record.uid,
            holder: record.holder,
            renew_time: record.renew_time,
            lease_duration: record.lease_duration,
            digest,
        }
    }

    /// How long until it has expired and any standby would have taken over, if no renewal arrives. `None` if
    /// no candidate holds it.
    fn until_expired(&self, now: Moment) -> Option<Duration> {
        if self.holder.is_none() || self.lease_duration.is_zero() {
            return None;
        }
        let unchanged = now.elapsed_for_challenger(self.unchanged_since);
        Some((self.lease_duration + TAKEOVER_SLACK).saturating_sub(unchanged))
    }

    /// Whether its lease has expired.
    fn is_silent(&self, now: Moment) -> bool {
        let unchanged = now.elapsed_for_challenger(self.unchanged_since);
        self.holder.is_some() && !self.lease_duration.is_zero() && unchanged >= self.lease_duration
    }

    /// What is known beyond `record`, which has the same holder.
    fn observe(self, record: &Record, now: Moment) -> Observation {
        let renewed = self.renew_time != record.renew_time;
        let unchanged =
            if renewed { Duration::ZERO } else { now.elapsed_for_challenger(self.unchanged_since) };
        Observation {
            unchanged,
            seen_alive: self.seen_alive || renewed,
            token: token(record, self.token),
            before: self.before,
            gap: self.gap,
        }
    }

    /// What is known beyond `record`, which has another holder or none. The watch has yet to tell of it.
    fn observe_takeover(&self, record: &Record, now: Moment) -> Observation {
        Observation {
            unchanged: Duration::ZERO,
            seen_alive: true,
            token: token(record, None),
            before: self.former(),
            gap: self.gap(record, now),
        }
    }

    /// The last holder before a change of hands that happens now. A release keeps the one before it.
    fn former(&self) -> Option<Former> {
        match self.holder.clone() {
            Some(holder) => Some(Former { holder, renewed: self.renew_time, stopping: self.stopping }),
            None => self.before.clone(),
        }
    }

    /// The time from the last sign of life to the acquisition that `acquired` shows. `None` unless this
    /// controller saw both.
    fn gap(&self, acquired: &Record, now: Moment) -> Option<Duration> {
        let saw_both = self.seen_alive && acquired.holder.is_some();
        saw_both.then(|| now.elapsed_for_challenger(self.unchanged_since))
    }
}

/// Why the agent of the holder was told to stop, as the Lease says. `None` if the workload has ended since.
fn stopping(record: &Record) -> Option<Reason> {
    if record.tells_outcome() {
        return None;
    }
    record.annotations.health.as_ref().and_then(|health| health.stopping)
}

/// The holder's token. The holder writes it with its first renewal. Before that, it is the token that was
/// `known`, or else the version of the acquiring PUT, whose renewTime is its acquireTime. A directive that
/// the controller writes in between changes the version and not the token.
fn token(record: &Record, known: Option<Version>) -> Option<Version> {
    record.holder.as_ref()?;
    let said = record.annotations.health.as_ref().and_then(|health| health.token);
    let fresh = record.acquire_time.is_some() && record.acquire_time == record.renew_time;
    said.or(known).or(fresh.then_some(record.version))
}

/// A digest of all that a renewal does not change.
fn digest(lease: &Lease) -> u64 {
    let spec = lease.spec.clone().unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (&spec.holder_identity, spec.lease_duration_seconds, spec.lease_transitions).hash(&mut hasher);
    (&lease.metadata.uid, lease.metadata.deletion_timestamp.is_some()).hash(&mut hasher);
    let empty = BTreeMap::new();
    lease.metadata.annotations.as_ref().unwrap_or(&empty).hash(&mut hasher);
    lease.metadata.labels.as_ref().unwrap_or(&empty).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(version: u32, holder: &str, second: u32) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string()},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:01.000000Z",
                     "renewTime": format!("2026-01-01T00:00:{second:02}.000000Z")},
        }))
        .expect("a Lease")
    }

    fn at(seconds: u64) -> Moment {
        Moment { boot: Duration::from_secs(seconds), raw: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_renewal_is_no_news_but_a_sign_of_life() {
        let lease_observations = LeaseObservations::default();
        assert!(lease_observations.update(&lease(10, "a_u_1", 1), at(5)));
        assert!(!lease_observations.update(&lease(11, "a_u_1", 4), at(8)));
        assert_eq!(lease_observations.get("shop", "web").expect("seen").unchanged_since, at(8));
    }

    #[test]
    fn a_holder_that_lives_after_its_lease_has_expired_is_news() {
        let lease_observations = LeaseObservations::default();
        lease_observations.update(&lease(10, "a_u_1", 1), at(5));
        assert!(!lease_observations.update(&lease(11, "a_u_1", 4), at(19)));
        assert!(lease_observations.update(&lease(12, "a_u_1", 5), at(34)), "15 s of silence");
        assert!(!lease_observations.update(&lease(13, "a_u_1", 6), at(35)));
    }

    #[test]
    fn what_is_seen_again_unchanged_is_as_old_as_before() {
        let lease_observations = LeaseObservations::default();
        lease_observations.update(&lease(10, "a_u_1", 1), at(5));
        lease_observations.update(&lease(10, "a_u_1", 1), at(300));
        assert_eq!(lease_observations.get("shop", "web").expect("seen").unchanged_since, at(5));
    }

    #[test]
    fn what_is_seen_for_the_first_time_is_no_sign_of_life() {
        let lease_observations = LeaseObservations::default();
        let look = |lease: &Lease| {
            lease_observations
                .observation("shop", "web", &Record::read(lease).expect("a record"), at(9))
                .seen_alive
        };
        let (first, renewed, next) = (lease(10, "a_u_1", 1), lease(11, "a_u_1", 4), lease(12, "b_u_1", 5));
        assert!(!look(&first), "no watch has told of it");
        lease_observations.update(&first, at(5));
        lease_observations.update(&first, at(7));
        assert_eq!([look(&first), look(&renewed), look(&next)], [false, true, true]);
        lease_observations.update(&renewed, at(8));
        assert!(look(&renewed));
    }

    #[test]
    fn the_token_is_known_where_the_acquisition_was_seen() {
        let lease_observations = LeaseObservations::default();
        lease_observations.update(&lease(10, "a_u_1", 1), at(5));
        lease_observations.update(&lease(11, "a_u_1", 4), at(8));
        assert_eq!(lease_observations.get("shop", "web").expect("seen").token, Some(Version(10)));
        lease_observations.update(&lease(12, "b_u_1", 1), at(9));
        lease_observations.update(&lease(13, "b_u_1", 1), at(9));
        assert_eq!(
            lease_observations.get("shop", "web").expect("seen").token,
            Some(Version(12)),
            "a directive was written before its first renewal"
        );
        let late = LeaseObservations::default();
        late.update(&lease(11, "a_u_1", 4), at(8));
        assert_eq!(late.get("shop", "web").expect("seen").token, None);
    }

    #[test]
    fn the_gap_between_two_holders_is_measured_on_one_clock() {
        let lease_observations = LeaseObservations::default();
        let gap = |lease: &Lease, now| {
            lease_observations
                .observation("shop", "web", &Record::read(lease).expect("a record"), at(now))
                .gap
        };
        lease_observations.update(&lease(10, "a_u_1", 2), at(5));
        let (unseen, released, next) = (lease(11, "b_u_1", 1), lease(12, "", 30), lease(13, "c_u_1", 2));
        assert_eq!(gap(&unseen, 9), None, "since when the first was silent is not known");
        lease_observations.update(&unseen, at(9));
        lease_observations.update(&released, at(10));
        assert_eq!(gap(&next, 17), Some(Duration::from_secs(7)), "read before the watch has told");
        lease_observations.update(&next, at(12));
        lease_observations.update(&lease(14, "c_u_1", 5), at(15));
        assert_eq!(gap(&lease(14, "c_u_1", 5), 16), Some(Duration::from_secs(2)), "also after a renewal");
    }

    #[test]
    fn who_held_it_before_is_remembered_over_a_release() {
        let lease_observations = LeaseObservations::default();
        lease_observations.update(&lease(10, "a_u_1", 2), at(5));
        lease_observations.update(&lease(11, "", 3), at(6));
        assert!(lease_observations.update(&lease(12, "b_u_1", 4), at(7)));
        let before = lease_observations.get("shop", "web").expect("seen").before.expect("a holder");
        assert_eq!(before.holder, Identity::read("a_u_1"));
    }
}
