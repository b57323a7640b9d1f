//! Keeps the renewals of many holders apart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::identity::Identity;

/// In ten thousandths of the period, together a tenth: the API server gets that much more to do at most.
const BY_IDENTITY: u64 = 800;
const BY_WRITE: u64 = 200;

/// By how much one candidate shortens its period. The share of its identity gives it a pace of its own, so
/// that holders that began together drift apart within some ten renewals. The share of the write keeps two
/// holders with nearly the same pace from staying together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn of(identity: &Identity) -> Self {
        Self(hash(identity))
    }

    /// Shortens `period` by up to a tenth, for what follows the write of this number.
    pub(super) fn shorten(self, period: Duration, write: u64) -> Duration {
        let share = self.0 % BY_IDENTITY + hash((self.0, write)) % BY_WRITE;
        period - period * u32::try_from(share).unwrap_or(0) / 10_000
    }
}

/// The same for the same candidate in every process: the decisions of an elector depend on its inputs alone.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_candidates_with_the_same_pace_do_not_stay_together() {
        let period = Duration::from_secs(1);
        let periods = |jitter: Jitter| (1..100).map(move |write| jitter.shorten(period, write));
        let equal =
            periods(Jitter(7)).zip(periods(Jitter(7 + BY_IDENTITY))).filter(|(one, other)| one == other);
        assert!(equal.count() < 10);
    }

    proptest! {
        #[test]
        fn a_period_is_shortened_by_a_tenth_at_most(nonce: u64, write: u64, milliseconds in 1_u64..86_400_000) {
            let period = Duration::from_millis(milliseconds);
            let shortened = Jitter::of(&Identity::new("web-1", "uid-1", nonce)).shorten(period, write);
            prop_assert!(shortened <= period && shortened * 10 > period * 9, "{shortened:?} of {period:?}");
        }
    }
}
