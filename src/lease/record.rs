//! What a Lease says.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::annotations::Annotations;
use super::identity::{Identity, NotComparable, Version};

/// One observation of a Lease, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// `metadata.uid`: a recreated Lease is another Lease.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// Who holds it; `None` if empty or absent.
    pub holder: Option<Identity>,
    /// `L` as its writer saw it.
    pub lease_duration: Duration,
    /// When the holder acquired it, on the holder's clock.
    pub acquire_time: Option<Timestamp>,
    /// Strictly increasing from write to write of one tenure; which write this is, not when it was. A new
    /// tenure begins with the time of day.
    pub renew_time: Option<Timestamp>,
    /// How often it changed hands; for people, never a token.
    pub transitions: i32,
    /// The annotations.
    pub annotations: Annotations,
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
    /// [`Malformed`] if the object did not come from an API server that this protocol can be run on.
    pub fn read(lease: &Lease) -> Result<Self, Malformed> {
        let metadata = &lease.metadata;
        let spec = lease.spec.clone().unwrap_or_default();
        Ok(Self {
            uid: metadata.uid.clone().ok_or(Malformed::Missing("uid"))?,
            version: metadata
                .resource_version
                .as_deref()
                .ok_or(Malformed::Missing("resourceVersion"))?
                .parse()?,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()).map(Identity::read),
            lease_duration: Duration::from_secs(
                spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0),
            ),
            acquire_time: spec.acquire_time.map(|time| time.0),
            renew_time: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or(0),
            annotations: Annotations::read(metadata.annotations.as_ref()),
        })
    }

    /// Whether an empty Lease is free at once: released by its holder, and untouched since.
    pub fn is_released(&self) -> bool {
        let marked = |mark: &super::annotations::Released| {
            mark.lease_uid == self.uid && mark.renew_time == self.renew_time
        };
        self.holder.is_none() && self.annotations.released.as_ref().is_some_and(marked)
    }

    /// Whether the holder has recorded how its attempt ended, and given nothing back: something in its
    /// container survives SIGKILL. An acquisition that has counted no start names no token yet.
    pub fn tells_outcome(&self) -> bool {
        let holds = self.holder.is_some()
            && self.annotations.health.as_ref().is_some_and(|health| health.token.is_some());
        holds && self.annotations.progress.as_ref().is_some_and(|progress| !progress.open)
    }

    /// The highest fencing token known, if a start on this version would get a lower one. No candidate
    /// acquires such a Lease.
    pub fn floor_above(&self) -> Option<Version> {
        self.annotations
            .policy
            .as_ref()
            .and_then(|policy| policy.token_floor)
            .filter(|floor| self.version <= *floor)
    }

    /// Whether this holder of this very Lease is known to be gone for good; where it is empty, the one that
    /// held it before.
    pub fn is_cleared(&self) -> bool {
        let meant = |cleared: &super::annotations::Cleared| {
            cleared.lease_uid == self.uid && cleared.holder == self.holder
        };
        self.annotations.cleared.as_ref().is_some_and(meant)
    }

    /// The renewTime of a write that follows `previous`: greater, so that the write is never byte-identical
    /// to what is stored and every write can be told by it. It is the clock's if a person wrote the end of
    /// time into the Lease, because no time is greater.
    pub fn next_renew_time(previous: Option<Timestamp>, wall: Timestamp) -> Timestamp {
        let next = previous.and_then(|previous| previous.checked_add(Duration::from_micros(1)).ok());
        next.map_or(wall, |next| next.max(wall))
    }

    /// Whether it says what the SingletonJob of this uid should run.
    pub fn is_about(&self, job_uid: &str) -> bool {
        self.annotations.run.as_ref().is_some_and(|run| run.uid == job_uid)
    }

    /// Whether the wanted run was already recorded as finished.
    pub fn is_finished(&self) -> bool {
        match (&self.annotations.run, &self.annotations.finished) {
            (Some(wanted), Some(finished)) => wanted.uid == finished.uid && wanted.number == finished.run,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renew_time_at_the_end_of_time_is_followed_by_that_of_the_clock() {
        let wall: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        assert_eq!(Record::next_renew_time(None, wall), wall);
        assert_eq!(Record::next_renew_time(Some(wall), wall), wall + Duration::from_micros(1));
        assert_eq!(Record::next_renew_time(Some(Timestamp::MAX), wall), wall);
    }
}
