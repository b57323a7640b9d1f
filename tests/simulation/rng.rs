//! Chance, all of it from one seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of chance. Each purpose has its own, so that a change of one does not shuffle the others.
pub struct Rng(fastrand::Rng);

impl Rng {
    pub fn new(seed: u64, purpose: &str) -> Self {
        let salt =
            purpose.bytes().fold(seed, |salt, byte| salt.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        Self(fastrand::Rng::with_seed(salt))
    }

    pub fn percent(&mut self, chance: u32) -> bool {
        self.0.u32(0..100) < chance
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.0.u32(0..times) == 0
    }

    pub fn between(&mut self, range: RangeInclusive<Duration>) -> Duration {
        Duration::from_nanos(self.0.u64(nanoseconds(*range.start())..=nanoseconds(*range.end())))
    }

    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        self.between(Duration::from_millis(*range.start())..=Duration::from_millis(*range.end()))
    }

    pub fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    pub fn pick<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        (!list.is_empty()).then(|| list[self.0.usize(0..list.len())])
    }
}

pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
