//! The numbers of a probe, with the defaults of Kubernetes, and the time that they grant a workload to start.

use k8s_openapi::api::core::v1::Probe;

pub(super) const DEFAULT_PERIOD: i32 = 10;
pub(super) const DEFAULT_TIMEOUT: i32 = 1;
pub(super) const DEFAULT_FAILURES: i32 = 3;
pub(super) const DEFAULT_SUCCESSES: i32 = 1;

/// `number`, or `default` if it was left out. Kubernetes takes 0 for a number that was left out.
pub(super) fn given(number: Option<i32>, default: i32) -> i32 {
    number.filter(|number| *number != 0).unwrap_or(default)
}

/// `number` for the agent; a negative one counts as zero.
pub(super) fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// How long a workload may take to start before its liveness counts, in seconds.
pub(super) fn startup_budget(probe: &Probe) -> i32 {
    after_periods(probe, given(probe.failure_threshold, DEFAULT_FAILURES))
}

/// The same where the liveness probe is [`only_coming_up`](super::missing::only_coming_up): its last failure
/// comes when the template's time is over. If the template grants fewer periods than that probe counts, the
/// workload gets the first one.
pub(super) fn startup_budget_of_only_coming_up(probe: &Probe) -> i32 {
    let counted = DEFAULT_FAILURES - 1;
    after_periods(probe, given(probe.failure_threshold, DEFAULT_FAILURES).saturating_sub(counted).max(1))
}

fn after_periods(probe: &Probe, periods: i32) -> i32 {
    let period = given(probe.period_seconds, DEFAULT_PERIOD);
    probe.initial_delay_seconds.unwrap_or(0).saturating_add(period.saturating_mul(periods))
}
