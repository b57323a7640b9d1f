//! When a holder must stop, and when a challenger may start.
//!
//! # Guarantees
//! For any two clocks whose rates differ by less than 1.2 : 1, a holder that has stopped by
//! [`Timing::hard_deadline`] plus [`Timing::kill_margin`], counted from before its last confirmed renewal was
//! sent, has stopped before any challenger that waits [`Timing::lease_duration`] from first sight may start.
//!
//! # Not guaranteed
//! Anything about effects that already left the pod: those need the fencing token.

use std::time::Duration;

const SHORTEST_LEASE: Duration = Duration::from_secs(3);
/// Below this an etcd election, a second or two, ends every tenure: no time is kept for a graceful stop.
const SHORTEST_GRACEFUL_LEASE: Duration = Duration::from_secs(6);
/// The longest `G` that is derived: what Kubernetes gives a container between SIGTERM and SIGKILL by default.
/// With a longer lease, more of it is left for renewing.
const LONGEST_DERIVED_GRACE: Duration = Duration::from_secs(30);
const LONGEST_REQUEST: Duration = Duration::from_secs(5);
const REQUEST_SLACK: Duration = Duration::from_millis(100);

/// What a user asked for; what is left out is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingSpec {
    /// How long a challenger waits; whole seconds, at least 3.
    pub lease_duration: Duration,
    /// When a holder that cannot renew begins to stop.
    pub renew_deadline: Option<Duration>,
    /// From SIGTERM to SIGKILL when the lease is being lost.
    pub grace_period: Option<Duration>,
    /// From send to send of renewals.
    pub retry_period: Option<Duration>,
}

impl TimingSpec {
    /// Everything derived from the lease duration.
    pub fn of(lease_duration: Duration) -> Self {
        Self { lease_duration, renew_deadline: None, grace_period: None, retry_period: None }
    }
}

/// The durations of one tenure; constructing it proves that they fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    lease_duration: Duration,
    renew_deadline: Duration,
    grace_period: Duration,
    retry_period: Duration,
}

/// Durations that do not fit into one another.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TimingError {
    /// Shorter than any cluster can keep.
    #[error("leaseDurationSeconds {given} is too short or not whole; use a whole number, 3 or more")]
    Lease {
        /// As asked for, in seconds.
        given: f64,
    },
    /// The graceful stop would end after the hard deadline.
    #[error(
        "renewDeadlineSeconds {renew} + gracePeriodSeconds {grace} do not fit into leaseDurationSeconds {lease} (at most {hard:.1} s); \
         use leaseDurationSeconds {fits} or more"
    )]
    Deadline {
        /// In seconds, as are all fields here.
        renew: f64,
        /// The graceful stop.
        grace: f64,
        /// As asked for.
        lease: u64,
        /// What the lease duration leaves for both.
        hard: f64,
        /// The smallest lease duration that would do.
        fits: u64,
    },
    /// Too few renewals before the holder must stop.
    #[error(
        "retryPeriodSeconds {retry} is more than a third of renewDeadlineSeconds {renew:.1}; use at most {most:.1}"
    )]
    Retry {
        /// In seconds, as are all fields here.
        retry: f64,
        /// As asked for or derived.
        renew: f64,
        /// The longest that would do.
        most: f64,
    },
}

impl Timing {
    /// # Errors
    /// [`TimingError`] names the first rule broken and what would satisfy it.
    pub fn new(wanted: &TimingSpec) -> Result<Self, TimingError> {
        let lease_duration = wanted.lease_duration;
        if lease_duration < SHORTEST_LEASE || lease_duration.subsec_nanos() != 0 {
            return Err(TimingError::Lease { given: lease_duration.as_secs_f64() });
        }
        let hard = hard_deadline(lease_duration);
        let grace_period =
            wanted.grace_period.unwrap_or_else(|| default_grace(lease_duration, wanted.renew_deadline));
        let renew_deadline = wanted.renew_deadline.unwrap_or(hard.saturating_sub(grace_period));
        if renew_deadline.is_zero() || renew_deadline + grace_period > hard {
            return Err(deadline_misfit(lease_duration, renew_deadline, grace_period));
        }
        let retry_period = wanted.retry_period.unwrap_or(to_milliseconds(renew_deadline / 3));
        if retry_period.is_zero() || retry_period * 3 > renew_deadline {
            return Err(retry_misfit(retry_period, renew_deadline));
        }
        Ok(Self { lease_duration, renew_deadline, grace_period, retry_period })
    }

    /// `L`: how long a challenger waits from first sight.
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// `D`: the workload is dead by then, counted from before the last confirmed renewal was sent.
    pub fn hard_deadline(&self) -> Duration {
        hard_deadline(self.lease_duration)
    }

    /// `K`: what lateness and the kernel's kill may take after the hard deadline.
    pub fn kill_margin(&self) -> Duration {
        kill_margin(self.lease_duration)
    }

    /// `S`: the holder begins to stop.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// `G`: from SIGTERM to SIGKILL when the lease is being lost.
    pub fn grace_period(&self) -> Duration {
        self.grace_period
    }

    /// `R`: from send to send of renewals.
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// `Q`: the deadline of one request, such that one lost request is survived with room to spare.
    pub fn request_deadline(&self) -> Duration {
        let half = (self.renew_deadline - self.retry_period) / 2;
        LONGEST_REQUEST.min(half.saturating_sub(REQUEST_SLACK)).max(REQUEST_SLACK)
    }
}

/// `L / 1.2 - K`.
fn hard_deadline(lease_duration: Duration) -> Duration {
    lease_duration * 5 / 6 - kill_margin(lease_duration)
}

/// `K` of a lease of this length.
pub fn kill_margin(lease_duration: Duration) -> Duration {
    (lease_duration / 10).clamp(Duration::from_millis(500), Duration::from_secs(2))
}

fn default_grace(lease_duration: Duration, renew_deadline: Option<Duration>) -> Duration {
    if lease_duration < SHORTEST_GRACEFUL_LEASE {
        return Duration::ZERO;
    }
    let hard = hard_deadline(lease_duration);
    let room = renew_deadline.map_or(hard, |renew| hard.saturating_sub(renew));
    to_milliseconds((hard / 5).min(LONGEST_DERIVED_GRACE).min(room))
}

/// Timing travels in milliseconds; what is derived here must be equal to what was written there.
fn to_milliseconds(duration: Duration) -> Duration {
    duration - Duration::from_nanos(u64::from(duration.subsec_nanos()) % 1_000_000)
}

fn deadline_misfit(lease: Duration, renew: Duration, grace: Duration) -> TimingError {
    TimingError::Deadline {
        renew: renew.as_secs_f64(),
        grace: grace.as_secs_f64(),
        lease: lease.as_secs(),
        hard: hard_deadline(lease).as_secs_f64(),
        fits: smallest_lease_for(renew + grace),
    }
}

fn retry_misfit(retry: Duration, renew: Duration) -> TimingError {
    TimingError::Retry {
        retry: retry.as_secs_f64(),
        renew: renew.as_secs_f64(),
        most: (renew / 3).as_secs_f64(),
    }
}

/// The smallest whole number of seconds whose hard deadline is at least `stop`.
fn smallest_lease_for(stop: Duration) -> u64 {
    let (mut seconds, mut longest) =
        (SHORTEST_LEASE.as_secs(), stop.as_secs() * 2 + SHORTEST_LEASE.as_secs());
    while seconds < longest {
        let middle = seconds.midpoint(longest);
        if hard_deadline(Duration::from_secs(middle)) >= stop {
            longest = middle;
        } else {
            seconds = middle + 1;
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_lease_gives_the_documented_defaults() {
        let table: [(u64, [u64; 5]); 6] = [
            (15, [1_500, 11_000, 2_200, 8_800, 2_933]),
            (60, [2_000, 48_000, 9_600, 38_400, 12_800]),
            (182, [2_000, 149_666, 29_933, 119_733, 39_911]),
            (183, [2_000, 150_500, 30_000, 120_500, 40_166]),
            (300, [2_000, 248_000, 30_000, 218_000, 72_666]),
            (3600, [2_000, 2_998_000, 30_000, 2_968_000, 989_333]),
        ];
        for (lease, defaults) in table {
            let timing = Timing::new(&TimingSpec::of(seconds(lease))).expect("fits");
            let derived = [
                timing.kill_margin(),
                timing.hard_deadline(),
                timing.grace_period(),
                timing.renew_deadline(),
                timing.retry_period(),
            ];
            assert_eq!(derived.map(to_milliseconds), defaults.map(millis), "{lease}");
        }
    }

    #[test]
    fn a_grace_period_that_was_asked_for_may_be_longer_than_a_derived_one() {
        let wanted = TimingSpec { grace_period: Some(seconds(100)), ..TimingSpec::of(seconds(300)) };
        let timing = Timing::new(&wanted).expect("fits");
        assert_eq!((timing.grace_period(), timing.renew_deadline()), (seconds(100), seconds(148)));
    }

    #[test]
    fn a_derived_grace_period_leaves_the_renew_deadline_that_was_asked_for() {
        let wanted = TimingSpec { renew_deadline: Some(seconds(240)), ..TimingSpec::of(seconds(300)) };
        let timing = Timing::new(&wanted).expect("fits");
        assert_eq!((timing.grace_period(), timing.renew_deadline()), (seconds(8), seconds(240)));
    }

    #[test]
    fn one_request_of_a_long_lease_takes_no_longer_than_any_other() {
        let request = |lease| Timing::new(&TimingSpec::of(seconds(lease))).expect("fits").request_deadline();
        assert_eq!(request(15), Duration::from_micros(2_833_500));
        assert_eq!([60, 300, 3600].map(request), [LONGEST_REQUEST; 3]);
    }

    #[test]
    fn the_shortest_lease_keeps_no_time_for_a_graceful_stop() {
        let timing = Timing::new(&TimingSpec::of(seconds(3))).expect("fits");
        assert_eq!((timing.hard_deadline(), timing.grace_period()), (seconds(2), Duration::ZERO));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_lease_duration_that_would() {
        let wanted = TimingSpec {
            renew_deadline: Some(seconds(12)),
            grace_period: Some(seconds(2)),
            ..TimingSpec::of(seconds(15))
        };
        assert_eq!(
            Timing::new(&wanted).expect_err("14 s do not fit into 11 s").to_string(),
            "renewDeadlineSeconds 12 + gracePeriodSeconds 2 do not fit into leaseDurationSeconds 15 (at most 11.0 s); \
             use leaseDurationSeconds 20 or more"
        );
        let fitting = TimingSpec { lease_duration: seconds(20), ..wanted };
        Timing::new(&fitting).expect("the message is right");
    }

    #[test]
    fn renewals_that_could_not_be_repeated_are_refused() {
        let wanted = TimingSpec { retry_period: Some(seconds(4)), ..TimingSpec::of(seconds(15)) };
        assert_eq!(
            Timing::new(&wanted).expect_err("too seldom").to_string(),
            "retryPeriodSeconds 4 is more than a third of renewDeadlineSeconds 8.8; use at most 2.9"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_safe_and_survives_one_lost_request(
            lease in 1_u64..3600, renew in proptest::option::of(0_u64..3600), grace in proptest::option::of(0_u64..600),
            retry in proptest::option::of(0_u64..600),
        ) {
            let wanted = TimingSpec {
                lease_duration: seconds(lease), renew_deadline: renew.map(seconds), grace_period: grace.map(seconds),
                retry_period: retry.map(seconds),
            };
            if let Ok(timing) = Timing::new(&wanted) {
                prop_assert!((timing.hard_deadline() + timing.kill_margin()) * 6 <= timing.lease_duration() * 5);
                prop_assert!(timing.renew_deadline() + timing.grace_period() <= timing.hard_deadline());
                prop_assert!(timing.retry_period() + timing.request_deadline() * 2 <= timing.renew_deadline() + millis(200));
            }
        }

        #[test]
        fn every_lease_of_three_seconds_or_more_has_defaults(lease in 3_u64..100_000) {
            prop_assert!(Timing::new(&TimingSpec::of(seconds(lease))).is_ok());
        }

        #[test]
        fn what_fits_with_a_fifth_of_d_as_grace_fits_with_the_derived_one(
            lease in 3_u64..=86_400, renew in proptest::option::of(1_u64..=86_400),
            retry in proptest::option::of(1_u64..=86_400),
        ) {
            let wanted = TimingSpec {
                lease_duration: seconds(lease), renew_deadline: renew.map(seconds), grace_period: None,
                retry_period: retry.map(seconds),
            };
            let hard = hard_deadline(wanted.lease_duration);
            let room = hard.saturating_sub(wanted.renew_deadline.unwrap_or_default());
            let grace = if lease < 6 { Duration::ZERO } else { to_milliseconds((hard / 5).min(room)) };
            let with_a_fifth = TimingSpec { grace_period: Some(grace), ..wanted };
            if Timing::new(&with_a_fifth).is_ok() {
                prop_assert!(Timing::new(&wanted).is_ok());
            }
        }
    }
}
