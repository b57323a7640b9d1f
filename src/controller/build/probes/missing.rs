//! Probes that take the place of those that the template does not have.

use k8s_openapi::api::core::v1::Probe;

use super::numbers::DEFAULT_FAILURES;
use crate::api::StandbyReadiness;

const OWN_READINESS_PERIOD: i32 = 5;
/// The period where readiness says who is active, because traffic follows a takeover that soon.
const ROLE_PERIOD: i32 = 1;

/// Asks whether the candidate itself is ready.
pub(super) fn own_readiness(standby: StandbyReadiness) -> Probe {
    let period = match standby {
        StandbyReadiness::Ready => OWN_READINESS_PERIOD,
        StandbyReadiness::NotReady => ROLE_PERIOD,
    };
    Probe { period_seconds: Some(period), ..Probe::default() }
}

/// Asks whether a standby that is not to be ready could take over. The controller knows that by nothing else.
/// The probe never gives up, because it must not end a candidate.
pub(super) fn able_to_take_over() -> Probe {
    Probe { period_seconds: Some(ROLE_PERIOD), failure_threshold: Some(i32::MAX), ..Probe::default() }
}

/// The liveness of a workload whose template says only how it comes up. Several failures end it, because one
/// may be the kubelet's own: a probe that a busy node did not finish says nothing of a workload that came up
/// long ago.
pub(super) fn only_coming_up(startup: &Probe) -> Probe {
    Probe {
        period_seconds: startup.period_seconds,
        failure_threshold: Some(DEFAULT_FAILURES),
        termination_grace_period_seconds: startup.termination_grace_period_seconds,
        ..Probe::default()
    }
}
