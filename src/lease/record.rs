//! What a Lease says.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use super::notes::Notes;

/// A resourceVersion: an integer that grows with every write to the cluster's store (KEP-5504), over deletion and recreation too.
///
/// The version of the PUT that acquired a Lease is the *fencing token* of the tenure it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u128);

/// Not the decimal number without leading zeros that Kubernetes 1.35 and later promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resourceVersion {0:?} is not a decimal number: this API server's versions cannot be compared (KEP-5504)")]
pub struct NotComparable(String);

impl FromStr for Version {
    type Err = NotComparable;

    fn from_str(text: &str) -> Result<Self, NotComparable> {
        let comparable = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| comparable).map(Self).ok_or_else(|| NotComparable(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A `holderIdentity`: `<pod>_<podUID>_<16 hex, new per process>`. Never shared by two processes, not even two of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    /// The identity of the process that chose `nonce`.
    pub fn new(pod: &str, pod_uid: &str, nonce: u64) -> Self {
        Self(format!("{pod}_{pod_uid}_{nonce:016x}"))
    }

    /// As read from a Lease; whoever wrote it.
    pub fn read(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole of it; equality is on this.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pod's name, or the whole text where it was not written by a candidate.
    pub fn pod(&self) -> &str {
        self.parts().map_or(&self.0, |(pod, _)| pod)
    }

    /// The pod's uid, where it was written by a candidate.
    pub fn pod_uid(&self) -> Option<&str> {
        self.parts().map(|(_, uid)| uid)
    }

    /// Whether it was written by a candidate of this job: anybody may write a `holderIdentity`.
    pub fn is_of(&self, job: &str) -> bool {
        let number = self.parts().and_then(|(pod, _)| pod.strip_prefix(job)?.strip_prefix('-'));
        number.is_some_and(|number| !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit()))
    }

    fn parts(&self) -> Option<(&str, &str)> {
        let mut parts = self.0.split('_');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(pod), Some(uid), Some(_nonce), None) => Some((pod, uid)),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One observation of a Lease, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// `metadata.uid`: a recreated Lease is another Lease.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// Who holds it; none when empty or absent.
    pub holder: Option<Identity>,
    /// `L` as its writer saw it.
    pub lease_duration: Duration,
    /// When the holder acquired it, on the holder's clock.
    pub acquire_time: Option<Timestamp>,
    /// Strictly increasing from write to write of one tenure; which write this is, not when it was. A new tenure begins with the time of day.
    pub renew_time: Option<Timestamp>,
    /// How often it changed hands; for people, never a token.
    pub transitions: i32,
    /// The annotations.
    pub notes: Notes,
}

/// A Lease that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Every object from an API server has one.
    #[error("the Lease has no metadata.{0}")]
    Missing(&'static str),
    /// See [`NotComparable`].
    #[error(transparent)]
    Version(#[from] NotComparable),
}

impl Record {
    /// # Errors
    /// [`Malformed`] where the object did not come from an API server that this protocol can be run on.
    pub fn read(lease: &Lease) -> Result<Self, Malformed> {
        let metadata = &lease.metadata;
        let spec = lease.spec.clone().unwrap_or_default();
        Ok(Self {
            uid: metadata.uid.clone().ok_or(Malformed::Missing("uid"))?,
            version: metadata.resource_version.as_deref().ok_or(Malformed::Missing("resourceVersion"))?.parse()?,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()).map(Identity),
            lease_duration: Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)),
            acquire_time: spec.acquire_time.map(|time| time.0),
            renew_time: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or(0),
            notes: Notes::read(metadata.annotations.as_ref()),
        })
    }

    /// Whether an empty Lease is free at once: released by its holder, and untouched since.
    pub fn is_released(&self) -> bool {
        let marked = |mark: &super::notes::Released| mark.lease_uid == self.uid && mark.renew_time == self.renew_time;
        self.holder.is_none() && self.notes.released.as_ref().is_some_and(marked)
    }

    /// Whether the holder has recorded how its attempt ended, and given nothing back: something in its container survives SIGKILL. An
    /// acquisition that has counted no start names no token yet.
    pub fn tells_outcome(&self) -> bool {
        let holds = self.holder.is_some() && self.notes.health.as_ref().is_some_and(|health| health.token.is_some());
        holds && self.notes.progress.as_ref().is_some_and(|progress| !progress.open)
    }

    /// The highest fencing token known, where a start on this version would get a lower one: no candidate acquires it.
    pub fn floor_above(&self) -> Option<Version> {
        self.notes.policy.as_ref().and_then(|policy| policy.token_floor).filter(|floor| self.version <= *floor)
    }

    /// Whether this holder of this very Lease is known to be gone for good; where it is empty, whoever held it before.
    pub fn is_cleared(&self) -> bool {
        let meant = |cleared: &super::notes::Cleared| cleared.lease_uid == self.uid && cleared.holder == self.holder;
        self.notes.cleared.as_ref().is_some_and(meant)
    }

    /// The renewTime of a write that follows `previous`: greater, so that the write is never byte-identical to what is stored and every write
    /// can be told by it. Where nothing is greater, the clock's: a person wrote the end of time into the Lease.
    pub fn next_renew_time(previous: Option<Timestamp>, wall: Timestamp) -> Timestamp {
        let next = previous.and_then(|previous| previous.checked_add(Duration::from_micros(1)).ok());
        next.map_or(wall, |next| next.max(wall))
    }

    /// Whether it says what the SingletonJob of this uid should run.
    pub fn is_about(&self, job_uid: &str) -> bool {
        self.notes.run.as_ref().is_some_and(|run| run.uid == job_uid)
    }

    /// Whether the wanted run was already recorded as finished.
    pub fn is_finished(&self) -> bool {
        match (&self.notes.run, &self.notes.finished) {
            (Some(wanted), Some(finished)) => wanted.uid == finished.uid && wanted.number == finished.run,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_known_by_the_name_of_its_pod() {
        let table = [
            ("web-2_u2_7", true),
            ("web-02_u2_7", false),
            ("web-+2_u2_7", false),
            ("web-0_u2_7", false),
            ("other-2_u2_7", false),
            ("web-2", false),
            ("web-2/../x_u_7", false),
            ("app", false),
        ];
        for (holder, is_one) in table {
            assert_eq!(Identity::read(holder).is_of("web"), is_one, "{holder}");
        }
    }

    #[test]
    fn a_renew_time_at_the_end_of_time_is_followed_by_that_of_the_clock() {
        let wall: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        assert_eq!(Record::next_renew_time(None, wall), wall);
        assert_eq!(Record::next_renew_time(Some(wall), wall), wall + Duration::from_micros(1));
        assert_eq!(Record::next_renew_time(Some(Timestamp::MAX), wall), wall);
    }
}
