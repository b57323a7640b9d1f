//! What follows from a spec alone, so that a tool can say it without a cluster.
//!
//! # Layout
//! - [`calendar`]: the ticks of a schedule; what cannot be read is refused with what to write instead.
//! - [`template_warnings`]: what in a template hinders a takeover, although the API server lets it in.
//!
//! # Example
//! ```
//! use k8s_openapi::jiff::Timestamp;
//! use serde_json::json;
//! use singletonjob_api::SingletonJobSpec;
//! use singletonjob_api::checks::calendar::Calendar;
//! use singletonjob_api::checks::template_warnings::{self, ClusterFacts};
//!
//! let spec: SingletonJobSpec = serde_json::from_value(json!({
//!     "schedule": {"cron": "30 2 * * *", "timeZone": "Europe/Stockholm"},
//!     "template": {"spec": {"containers": [
//!         {"name": "main", "command": ["report"], "resources": {"limits": {"cpu": "100m"}}},
//!     ]}},
//! }))?;
//!
//! // On that night, clocks are put forward from 02:00 to 03:00.
//! let now: Timestamp = "2026-03-28T12:00:00Z".parse()?;
//! let schedule = spec.schedule.as_ref().ok_or("no schedule")?;
//! let calendar = Calendar::with_ticks_after(schedule, now)?;
//! assert_eq!(calendar.after(now), Some("2026-03-29T01:00:00Z".parse()?));
//!
//! let warnings = template_warnings::find(&spec, &ClusterFacts::default());
//! assert_eq!(warnings[0].reason, "LowCPULimit");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod calendar;
pub mod template_warnings;
