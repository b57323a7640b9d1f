//! Counts what the controller does. The names of its machinery are those that existing dashboards know, and
//! `docs/metrics.md` lists all.

pub mod jobs;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::api::status::Takeover;
use jobs::{JobMetrics, Jobs};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Elected {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    reason: String,
}

/// All metrics of the controller.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Outcome, Counter>,
    reconcile_errors: Family<Controller, Counter>,
    reconcile_seconds: Histogram,
    workers: Family<Controller, Gauge>,
    leader: Family<Elected, Gauge>,
    takeovers: Family<Cause, Counter>,
    takeover_gap: Histogram,
    jobs: Arc<Jobs>,
}

const CONTROLLER: Controller = Controller { controller: "singletonjob" };
const RECONCILE_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];
const GAP_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Histogram::new(RECONCILE_SECONDS),
            workers: Family::default(),
            leader: Family::default(),
            takeovers: Family::default(),
            takeover_gap: Histogram::new(GAP_SECONDS),
            jobs: Arc::default(),
        };
        metrics.registry = metrics.registered();
        metrics
    }
}

/// One metric of the controller itself, as `/metrics` names and explains it.
struct Row {
    name: &'static str,
    help: &'static str,
    metric: fn(&Metrics) -> Box<dyn Metric>,
}

const fn row(name: &'static str, help: &'static str, metric: fn(&Metrics) -> Box<dyn Metric>) -> Row {
    Row { name, help, metric }
}

const ROWS: [Row; 8] = [
    row("controller_runtime_reconcile", "Reconciliations that ended, by result", |all| {
        Box::new(all.reconciles.clone())
    }),
    row("controller_runtime_reconcile_errors", "Reconciliations that failed", |all| {
        Box::new(all.reconcile_errors.clone())
    }),
    row("controller_runtime_reconcile_time_seconds", "How long a reconciliation took", |all| {
        Box::new(all.reconcile_seconds.clone())
    }),
    row("controller_runtime_active_workers", "Reconciliations under way", |all| {
        Box::new(all.workers.clone())
    }),
    row("leader_election_master_status", "1 in the replica that leads, otherwise 0", |all| {
        Box::new(all.leader.clone())
    }),
    row("singletonjob_takeovers", "Changes of hands that this replica saw, by reason", |all| {
        Box::new(all.takeovers.clone())
    }),
    row(
        "singletonjob_takeover_gap_seconds",
        "How long a Lease had no holder before a candidate took it",
        |all| Box::new(all.takeover_gap.clone()),
    ),
    row("singletonjob_build", "1, with the version as a label", |_| {
        Box::new(Info::new([("version", env!("CARGO_PKG_VERSION"))]))
    }),
];

/// A metric of any type. Unlike a bare box it also says whether it is empty, because `/metrics` leaves out an
/// empty one.
#[derive(Debug)]
struct AnyMetric(Box<dyn Metric>);

impl EncodeMetric for AnyMetric {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Metrics {
    fn registered(&self) -> Registry {
        let mut registry = Registry::default();
        for Row { name, help, metric } in ROWS {
            registry.register(name, help, AnyMetric(metric(self)));
        }
        registry.register_collector(Box::new(self.jobs.clone()));
        registry
    }

    /// Counts a reconciliation that has ended.
    pub fn count_reconciliation(&self, succeeded: bool, took: Duration) {
        let (result, error) = if succeeded { ("success", 0) } else { ("error", 1) };
        self.reconciles.get_or_create(&Outcome { controller: CONTROLLER.controller, result }).inc();
        self.reconcile_errors.get_or_create(&CONTROLLER).inc_by(error);
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Sets how many reconciliations are under way.
    pub fn set_active_workers(&self, under_way: usize) {
        self.workers.get_or_create(&CONTROLLER).set(i64::try_from(under_way).unwrap_or(i64::MAX));
    }

    /// Sets whether this replica leads, by the name of the Lease by which replicas are elected.
    pub fn set_leader(&self, lease: &'static str, leads: bool) {
        self.leader.get_or_create(&Elected { name: lease }).set(i64::from(leads));
    }

    /// Counts a takeover.
    pub fn count_takeover(&self, takeover: &Takeover) {
        self.takeovers.get_or_create(&Cause { reason: format!("{:?}", takeover.reason) }).inc();
        if let Some(gap) = takeover.gap_milliseconds.and_then(|gap| u64::try_from(gap).ok()) {
            self.takeover_gap.observe(Duration::from_millis(gap).as_secs_f64());
        }
    }

    /// Asks `source` for the metrics of each SingletonJob, whenever a client reads `/metrics` from now on.
    pub fn follow(&self, source: impl Fn() -> Vec<JobMetrics> + Send + Sync + 'static) {
        self.jobs.follow(source);
    }

    /// All metrics, in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "cannot write metrics down");
        }
        text
    }
}
