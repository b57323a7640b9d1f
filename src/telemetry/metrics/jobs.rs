//! Metrics of each SingletonJob. Every request of `/metrics` reads them anew, so a SingletonJob that is gone
//! leaves nothing behind, and a replica that begins to lead counts on where the other one stopped.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// The metrics of one SingletonJob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobMetrics {
    /// The namespace of the SingletonJob.
    pub namespace: String,
    /// The name of the SingletonJob.
    pub name: String,
    /// Whether a candidate holds the Lease.
    pub held: bool,
    /// Candidates that there should be. Zero if nothing should run.
    pub wanted_candidates: u32,
    /// Candidates that could take over at once.
    pub ready_standbys: u32,
    /// Whether a person must put something right first.
    pub stalled: bool,
    /// How often the Lease changed hands.
    pub transitions: u32,
    /// For how long a challenger waits.
    pub lease_duration: Duration,
    /// How long the controller has seen no renewal. `None` while no candidate holds.
    pub silence: Option<Duration>,
    /// Failed attempts of the current run.
    pub failed_attempts: u32,
    /// All runs that succeeded.
    pub succeeded_runs: u32,
    /// All runs that failed.
    pub failed_runs: u32,
    /// All ticks of a schedule that did not become a run.
    pub missed_runs: u32,
}

struct Series {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: fn(&JobMetrics) -> Option<f64>,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&JobMetrics) -> Option<f64>) -> Series {
    Series { name, help, kind: MetricType::Gauge, value }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&JobMetrics) -> Option<f64>) -> Series {
    Series { name, help, kind: MetricType::Counter, value }
}

const SERIES: [Series; 11] = [
    gauge("singletonjob_held", "1 while a candidate holds the Lease, otherwise 0", |job| {
        Some(f64::from(u8::from(job.held)))
    }),
    gauge(
        "singletonjob_wanted_candidates",
        "Candidates there should be; 0 while suspended, and when finished",
        |job| Some(job.wanted_candidates.into()),
    ),
    gauge("singletonjob_ready_standbys", "Candidates that could take over at once", |job| {
        Some(job.ready_standbys.into())
    }),
    gauge("singletonjob_stalled", "1 while a person must put something right first, otherwise 0", |job| {
        Some(f64::from(u8::from(job.stalled)))
    }),
    gauge("singletonjob_lease_duration_seconds", "How long a challenger waits after a crash", |job| {
        Some(job.lease_duration.as_secs_f64())
    }),
    gauge(
        "singletonjob_lease_silence_seconds",
        "How long the controller has seen no renewal; absent while the Lease has no holder",
        |job| job.silence.map(|silence| silence.as_secs_f64()),
    ),
    gauge("singletonjob_failed_attempts", "Failed attempts of the run of now", |job| {
        Some(job.failed_attempts.into())
    }),
    counter(
        "singletonjob_lease_transitions",
        "How often the Lease changed hands, as it says itself",
        |job| Some(job.transitions.into()),
    ),
    counter("singletonjob_succeeded_runs", "Runs that succeeded, ever", |job| {
        Some(job.succeeded_runs.into())
    }),
    counter("singletonjob_failed_runs", "Runs that failed, ever", |job| Some(job.failed_runs.into())),
    counter("singletonjob_missed_runs", "Ticks of a schedule that did not become a run, ever", |job| {
        Some(job.missed_runs.into())
    }),
];

type Source = Box<dyn Fn() -> Vec<JobMetrics> + Send + Sync>;

/// The metrics of all SingletonJobs in the replica that leads, and none elsewhere.
#[derive(Default)]
pub(super) struct Jobs(Mutex<Option<Source>>);

impl Jobs {
    pub(super) fn follow(&self, source: impl Fn() -> Vec<JobMetrics> + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(source));
    }

    fn job_metrics(&self) -> Vec<JobMetrics> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map_or_else(Vec::new, |source| source())
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.job_metrics()).finish()
    }
}

impl Collector for Jobs {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let all = self.job_metrics();
        if all.is_empty() {
            return Ok(());
        }
        SERIES.iter().try_for_each(|series| encode(&mut encoder, series, &all))
    }
}

fn encode(encoder: &mut DescriptorEncoder, series: &Series, all: &[JobMetrics]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(series.name, series.help, None, series.kind)?;
    for job in all {
        let Some(value) = (series.value)(job) else { continue };
        let labels = [("namespace", job.namespace.as_str()), ("name", job.name.as_str())];
        let mut metric = family.encode_family(&labels)?;
        match series.kind {
            MetricType::Counter => metric.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)?,
            _ => metric.encode_gauge(&value)?,
        }
    }
    Ok(())
}
