//! Names of the annotations.

/// See [`Policy`](super::Policy).
pub const POLICY: &str = "singletonjob.dev/policy";
/// See [`Run`](super::Run).
pub const RUN: &str = "singletonjob.dev/run";
/// See [`Handover`](super::Handover).
pub const HANDOVER: &str = "singletonjob.dev/handover";
/// See [`Cleared`](super::Cleared).
pub const CLEARED: &str = "singletonjob.dev/cleared";
/// JSON list of pod uids.
pub const SUCCESSION: &str = "singletonjob.dev/succession";
/// JSON string: see [`Annotations::handled_request`](super::Annotations::handled_request).
pub const HANDLED_REQUEST: &str = "singletonjob.dev/handled-handover-request";
/// JSON string: see [`Annotations::handed_back`](super::Annotations::handed_back).
pub const HANDED_BACK: &str = "singletonjob.dev/handed-back";
/// See [`Spread`](super::Spread).
pub const SPREAD: &str = "singletonjob.dev/spread";
/// See [`Ticks`](super::Ticks).
pub const TICKS: &str = "singletonjob.dev/ticks";
/// See [`Progress`](super::Progress).
pub const PROGRESS: &str = "singletonjob.dev/progress";
/// See [`Released`](super::Released).
pub const RELEASED: &str = "singletonjob.dev/released";
/// See [`Finished`](super::Finished).
pub const FINISHED: &str = "singletonjob.dev/finished";
/// See [`Health`](super::Health).
pub const HEALTH: &str = "singletonjob.dev/health";
