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
use kube::ResourceExt;

use crate::lease::annotations::Reason;
use crate::lease::clock::Moment;
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
    /// Who it was.
    pub holder: Identity,
    /// When it last renewed, by its own time of day.
    pub renewed: Option<Timestamp>,
    /// Why it had been told to stop, if it said so and gave nothing back.
    pub stopping: Option<Reason>,
}

/// What has been seen of one Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sighting {
    since: Moment,
    seen_alive: bool,
    token: Option<Version>,
    before: Option<Former>,
    stopping: Option<Reason>,
    gap: Option<Duration>,
    uid: String,
    holder: Option<Identity>,
    renew_time: Option<Timestamp>,
    digest: u64,
}

/// All Leases. Cheap to share: locked only for the moment of a look.
#[derive(Debug, Default)]
pub struct LeaseObservations {
    seen: Mutex<HashMap<(String, String), Sighting>>,
}

impl LeaseObservations {
    /// Records a Lease from the watch. Returns whether it says more than that its holder lives.
    pub fn saw(&self, lease: &Lease, now: Moment) -> bool {
        let Ok(record) = Record::read(lease) else { return true };
        let digest = digest(lease);
        let mut seen = self.lock();
        let known = seen.get(&key(lease)).filter(|sighting| sighting.uid == record.uid);
        let news = known.is_none_or(|sighting| sighting.digest != digest);
        let next = next(known, record, digest, now);
        seen.insert(key(lease), next);
        news
    }

    /// The Lease is gone.
    pub fn forget(&self, lease: &Lease) {
        self.lock().remove(&key(lease));
    }

    /// How long `record` has been as it is, to this controller's knowledge, and what is known beyond it. A
    /// record that was read directly may be newer than what the watch has told.
    pub fn look(&self, namespace: &str, name: &str, record: &Record, now: Moment) -> Observation {
        let fresh = Observation {
            unchanged: Duration::ZERO,
            seen_alive: false,
            token: token(record, None),
            before: None,
            gap: None,
        };
        let Some(known) = self.of(namespace, name).filter(|known| known.uid == record.uid) else {
            return fresh;
        };
        if known.holder != record.holder {
            let left = known.former();
            let gap = known.gap(record, now);
            return Observation { before: left.or(known.before), seen_alive: true, gap, ..fresh };
        }
        let same = known.renew_time == record.renew_time;
        let unchanged = if same { now.elapsed_for_challenger(known.since) } else { Duration::ZERO };
        Observation {
            unchanged,
            seen_alive: known.seen_alive || !same,
            token: token(record, known.token),
            before: known.before,
            gap: known.gap,
        }
    }

    /// How long the holder has not renewed. `None` if no candidate holds the Lease.
    pub fn silence(&self, namespace: &str, name: &str, now: Moment) -> Option<Duration> {
        let known = self.of(namespace, name).filter(|known| known.holder.is_some())?;
        Some(now.elapsed_for_challenger(known.since))
    }

    fn of(&self, namespace: &str, name: &str) -> Option<Sighting> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Sighting>> {
        // Every change is a single insert or remove: a panic elsewhere leaves nothing half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next(known: Option<&Sighting>, record: Record, digest: u64, now: Moment) -> Sighting {
    let Some(known) = known else {
        let (token, stopping) = (token(&record, None), stopping(&record));
        let Record { uid, holder, renew_time, .. } = record;
        return Sighting {
            since: now,
            seen_alive: false,
            token,
            before: None,
            stopping,
            gap: None,
            uid,
            holder,
            renew_time,
            digest,
        };
    };
    let same_holder = known.holder == record.holder;
    let same = same_holder && known.renew_time == record.renew_time;
    Sighting {
        since: if same { known.since } else { now },
        seen_alive: known.seen_alive || !same,
        token: token(&record, if same_holder { known.token } else { None }),
        before: if same_holder { known.before.clone() } else { known.former().or(known.before.clone()) },
        stopping: stopping(&record),
        gap: if same_holder { known.gap } else { known.gap(&record, now) },
        uid: record.uid,
        holder: record.holder,
        renew_time: record.renew_time,
        digest,
    }
}

impl Sighting {
    /// Who is followed by another now.
    fn former(&self) -> Option<Former> {
        let holder = self.holder.clone()?;
        Some(Former { holder, renewed: self.renew_time, stopping: self.stopping })
    }

    /// Since when this was so is known only to a controller that saw it begin.
    fn gap(&self, acquired: &Record, now: Moment) -> Option<Duration> {
        let saw_both = self.seen_alive && acquired.holder.is_some();
        saw_both.then(|| now.elapsed_for_challenger(self.since))
    }
}

/// Why the holder was told to stop, as it says; `None` if its workload has ended since.
fn stopping(record: &Record) -> Option<Reason> {
    if record.tells_outcome() {
        return None;
    }
    record.annotations.health.as_ref().and_then(|health| health.stopping)
}

/// The holder's token: as it says with its first renewal; before that, as was `known`, or else the version of
/// the acquiring PUT, whose renewTime is its acquireTime. A directive that the controller writes in between
/// changes the version and not the token.
fn token(record: &Record, known: Option<Version>) -> Option<Version> {
    record.holder.as_ref()?;
    let said = record.annotations.health.as_ref().and_then(|health| health.token);
    let fresh = record.acquire_time.is_some() && record.acquire_time == record.renew_time;
    said.or(known).or(fresh.then_some(record.version))
}

fn key(lease: &Lease) -> (String, String) {
    (lease.namespace().unwrap_or_default(), lease.name_any())
}

/// Everything but what a renewal changes.
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
            "spec": {"holderIdentity": holder, "acquireTime": "2026-01-01T00:00:01.000000Z",
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
        assert!(lease_observations.saw(&lease(10, "a_u_1", 1), at(5)));
        assert!(!lease_observations.saw(&lease(11, "a_u_1", 4), at(8)));
        assert_eq!(lease_observations.of("shop", "web").expect("seen").since, at(8));
    }

    #[test]
    fn what_is_seen_again_unchanged_is_as_old_as_before() {
        let lease_observations = LeaseObservations::default();
        lease_observations.saw(&lease(10, "a_u_1", 1), at(5));
        lease_observations.saw(&lease(10, "a_u_1", 1), at(300));
        assert_eq!(lease_observations.of("shop", "web").expect("seen").since, at(5));
    }

    #[test]
    fn what_is_seen_for_the_first_time_is_no_sign_of_life() {
        let lease_observations = LeaseObservations::default();
        let look = |lease: &Lease| {
            lease_observations.look("shop", "web", &Record::read(lease).expect("a record"), at(9)).seen_alive
        };
        let (first, renewed, next) = (lease(10, "a_u_1", 1), lease(11, "a_u_1", 4), lease(12, "b_u_1", 5));
        assert!(!look(&first), "no watch has told of it");
        lease_observations.saw(&first, at(5));
        lease_observations.saw(&first, at(7));
        assert_eq!([look(&first), look(&renewed), look(&next)], [false, true, true]);
        lease_observations.saw(&renewed, at(8));
        assert!(look(&renewed));
    }

    #[test]
    fn the_token_is_known_where_the_acquisition_was_seen() {
        let lease_observations = LeaseObservations::default();
        lease_observations.saw(&lease(10, "a_u_1", 1), at(5));
        lease_observations.saw(&lease(11, "a_u_1", 4), at(8));
        assert_eq!(lease_observations.of("shop", "web").expect("seen").token, Some(Version(10)));
        lease_observations.saw(&lease(12, "b_u_1", 1), at(9));
        lease_observations.saw(&lease(13, "b_u_1", 1), at(9));
        assert_eq!(
            lease_observations.of("shop", "web").expect("seen").token,
            Some(Version(12)),
            "a directive was written before its first renewal"
        );
        let late = LeaseObservations::default();
        late.saw(&lease(11, "a_u_1", 4), at(8));
        assert_eq!(late.of("shop", "web").expect("seen").token, None);
    }

    #[test]
    fn the_gap_between_two_holders_is_measured_on_one_clock() {
        let lease_observations = LeaseObservations::default();
        let gap = |lease: &Lease, now| {
            lease_observations.look("shop", "web", &Record::read(lease).expect("a record"), at(now)).gap
        };
        lease_observations.saw(&lease(10, "a_u_1", 2), at(5));
        let (unseen, released, next) = (lease(11, "b_u_1", 1), lease(12, "", 30), lease(13, "c_u_1", 2));
        assert_eq!(gap(&unseen, 9), None, "since when the first was silent is not known");
        lease_observations.saw(&unseen, at(9));
        lease_observations.saw(&released, at(10));
        assert_eq!(gap(&next, 17), Some(Duration::from_secs(7)), "read before the watch has told");
        lease_observations.saw(&next, at(12));
        lease_observations.saw(&lease(14, "c_u_1", 5), at(15));
        assert_eq!(gap(&lease(14, "c_u_1", 5), 16), Some(Duration::from_secs(2)), "also after a renewal");
    }

    #[test]
    fn who_held_it_before_is_remembered_over_a_release() {
        let lease_observations = LeaseObservations::default();
        lease_observations.saw(&lease(10, "a_u_1", 2), at(5));
        lease_observations.saw(&lease(11, "", 3), at(6));
        assert!(lease_observations.saw(&lease(12, "b_u_1", 4), at(7)));
        let before = lease_observations.of("shop", "web").expect("seen").before.expect("a holder");
        assert_eq!(before.holder, Identity::read("a_u_1"));
    }
}
