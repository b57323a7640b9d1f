//! Words and times for people, beside those of the API.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::reasons;
use crate::api::status::TakeoverReason;
use crate::controller::plan::run_plan::{MissReason, MissedTicks};
use crate::lease::annotations::{Exit, FailedPod, Reason, Released};

/// "1 attempt", "2 attempts".
pub fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { many })
}

/// "31 ms", "15.2 s".
pub fn duration(milliseconds: i64) -> String {
    let (seconds, tenths) = (milliseconds / 1000, milliseconds % 1000 / 100);
    if milliseconds < 1000 { format!("{milliseconds} ms") } else { format!("{seconds}.{tenths} s") }
}

/// Why a holder gave the Lease back, or is asked to: the API's word, and what it means.
pub fn release(reason: Reason) -> String {
    let means = match reason {
        Reason::Created => "it had no holder",
        Reason::Handover => "a user asked for it",
        Reason::Unready => "its pod has not been ready for too long",
        Reason::Failback => "a standby is ready on a node that spec.takeover.preferredNodes prefers",
        Reason::RolledOut => "its pod is of an old template",
        Reason::Drain => "its pod is ending",
        Reason::WorkloadSucceeded => "its workload has succeeded",
        Reason::WorkloadFailed => "its workload has ended",
        Reason::Stopped => "by spec.suspend, by spec.replicas: 0, or because its run is over",
        Reason::LeaseLost => "it could not renew in time",
        Reason::ElectorDied => "its agent died, or its whole container was killed",
    };
    format!("{reason:?} ({means})")
}

/// Why a holder gave the Lease back, as [`release`] says it.
pub fn given_back(released: &Released) -> String {
    if released.hands_over() {
        return format!("its workload hands over by exit code {}", Exit::HAND_OVER.code());
    }
    if released.unhealthy {
        return format!("{:?} ({}: its liveness probe failed)", released.reason, reasons::UNHEALTHY);
    }
    release(released.reason)
}

/// Why a candidate followed another as holder: the API's word, and what it means.
pub fn takeover(reason: TakeoverReason) -> String {
    let means = match reason {
        TakeoverReason::InitialAcquire => "it had no holder before",
        TakeoverReason::Handover => "a user or the workload asked for it",
        TakeoverReason::Unready => "its pod had not been ready for too long",
        TakeoverReason::Failback => "a standby was ready on a node that spec.takeover.preferredNodes prefers",
        TakeoverReason::Drain => "its pod was ended",
        TakeoverReason::RolledOut => "its pod was of an old template",
        TakeoverReason::WorkloadFailed => "its workload ended",
        TakeoverReason::Expired => "it stopped renewing the Lease",
        TakeoverReason::Cleared => "a client deleted or emptied the Lease",
        TakeoverReason::LeaseLost => "it could not renew in time",
    };
    format!("{reason:?} ({means})")
}

/// What the kubelet says of a pod that it ended for the pod's own fault.
pub fn failed_pod(pod: &FailedPod) -> String {
    let message =
        pod.message.as_ref().map_or(String::new(), |message| format!(": {}", message.trim_end_matches('.')));
    format!("the kubelet ended {} ({}{message})", pod.name, pod.reason)
}

/// Ticks that did not become a run, and why the last of them did not.
pub fn missed(missed: &MissedTicks) -> String {
    let MissedTicks { count: number, more, last, reason } = missed;
    let many = if *more {
        format!("at least {number} ticks were missed, the last counted")
    } else {
        count(*number, "tick was missed, that", "ticks were missed, the last")
    };
    let why = match reason {
        MissReason::Passed => {
            "no controller could start it in time, and the controller makes up only for the latest tick"
                .to_owned()
        }
        MissReason::Late => {
            "the controller noticed it later than spec.schedule.startingDeadlineSeconds allows".to_owned()
        }
        MissReason::Busy(run) => {
            format!("run {run} was going on, and spec.schedule.concurrencyPolicy is Forbid")
        }
        MissReason::Waiting(run) => {
            format!("run {run} was still waiting to start, and spec.schedule.concurrencyPolicy is Forbid")
        }
        MissReason::Overtaken => "it had to wait, and another tick came after it".to_owned(),
        MissReason::Unstarted => {
            "no candidate could start it within spec.schedule.startingDeadlineSeconds".to_owned()
        }
    };
    format!("{many} of {last}: {why}", last = to_seconds(*last).0)
}

/// A time as status stores it, in whole seconds. So a status that is computed again equals the one that was
/// written.
pub fn to_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// A time for sentences, written as in the fields of status: `2026-01-01T14:03:11Z`.
pub fn moment(time: Timestamp) -> String {
    to_seconds(time).0.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many_and_every_number_has_its_unit() {
        assert_eq!(
            (count(1, "attempt", "attempts"), count(0_i32, "attempt", "attempts")),
            ("1 attempt".into(), "0 attempts".into())
        );
        assert_eq!(
            (duration(31), duration(1_049), duration(15_250)),
            ("31 ms".into(), "1.0 s".into(), "15.2 s".into())
        );
        let ticks = |number, more| {
            missed(&MissedTicks {
                count: number,
                more,
                last: Timestamp::UNIX_EPOCH,
                reason: MissReason::Busy(3),
            })
        };
        let why =
            "of 1970-01-01T00:00:00Z: run 3 was going on, and spec.schedule.concurrencyPolicy is Forbid";
        assert_eq!(ticks(1, false), format!("1 tick was missed, that {why}"));
        assert_eq!(ticks(2, false), format!("2 ticks were missed, the last {why}"));
        assert_eq!(ticks(1000, true), format!("at least 1000 ticks were missed, the last counted {why}"));
        assert_eq!(takeover(TakeoverReason::Expired), "Expired (it stopped renewing the Lease)");
        assert_eq!(moment("2026-01-01T14:03:11.9Z".parse().expect("valid")), "2026-01-01T14:03:11Z");
    }
}
