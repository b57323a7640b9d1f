//! What names a holder and a state of a Lease: the identity of a process, and the version that a write gave
//! the object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A resourceVersion: an integer that grows with every write to the cluster's store (KEP-5504), over deletion
/// and recreation too.
///
/// The version of the PUT that acquired a Lease is the *fencing token* of the tenure it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u128);

/// Not the decimal number without leading zeros that Kubernetes 1.35 and later promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "resourceVersion {0:?} is not a decimal number: this API server's versions cannot be compared (KEP-5504)"
)]
pub struct NotComparable(String);

impl FromStr for Version {
    type Err = NotComparable;

    fn from_str(text: &str) -> Result<Self, NotComparable> {
        let is_comparable = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(version) if is_comparable => Ok(Self(version)),
            Ok(_) | Err(_) => Err(NotComparable(text.to_owned())),
        }
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

/// A `holderIdentity`: `<pod>_<podUID>_<16 hex, new per process>`. Never shared by two processes, not even
/// two of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    /// The identity of the process that chose `nonce`.
    pub fn new(pod: &str, pod_uid: &str, nonce: u64) -> Self {
        Self(format!("{pod}_{pod_uid}_{nonce:016x}"))
    }

    /// As read from a Lease, whatever client wrote it.
    pub fn read(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The holder of a Lease whose last holder is not known.
    pub const UNKNOWN: &'static str = "unknown";

    /// The whole of it; equality is on this.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pod's name, or the whole text if no candidate wrote it.
    pub fn pod(&self) -> &str {
        self.parts().map_or(&self.0, |(pod, _)| pod)
    }

    /// The pod's uid, if a candidate wrote it.
    pub fn pod_uid(&self) -> Option<&str> {
        self.parts().map(|(_, uid)| uid)
    }

    /// What tells the process from all others of its pod, if a candidate wrote it.
    pub fn nonce(&self) -> Option<&str> {
        self.pod_uid()?;
        self.0.rsplit('_').next()
    }

    /// Whether a candidate of this job wrote it, because another client may write a `holderIdentity` too.
    pub fn is_of(&self, job: &str) -> bool {
        let number = self.parts().and_then(|(pod, _)| pod.strip_prefix(job)?.strip_prefix('-'));
        number.is_some_and(|number| {
            !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
        })
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
}
