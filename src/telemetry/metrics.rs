//! What is counted. Names of the machinery are those that existing dashboards know; `docs/metrics.md` lists
//! all.

pub mod jobs;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

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
struct Why {
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
    takeovers: Family<Why, Counter>,
    takeover_gap: Histogram,
    jobs: Arc<Jobs>,
}

const CONTROLLER: Controller = Controller { controller: "singletonjob" };
const RECONCILE_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];
const GAP_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0];

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
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
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "controller_runtime_reconcile",
            "Reconciliations that ended, by result",
            self.reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciliations that failed",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "How long a reconciliation took",
            self.reconcile_seconds.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciliations under way",
            self.workers.clone(),
        );
        registry.register(
            "leader_election_master_status",
            "1 in the replica that leads, otherwise 0",
            self.leader.clone(),
        );
        registry.register(
            "singletonjob_takeovers",
            "Changes of hands that this replica saw, by reason",
            self.takeovers.clone(),
        );
        registry.register(
            "singletonjob_takeover_gap_seconds",
            "How long a Lease had no holder before a candidate took it",
            self.takeover_gap.clone(),
        );
        registry.register(
            "singletonjob_build",
            "1, with the version as a label",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(self.jobs.clone()));
        self
    }

    /// One reconciliation is over.
    pub fn reconciled(&self, succeeded: bool, took: Duration) {
        let (result, error) = if succeeded { ("success", 0) } else { ("error", 1) };
        self.reconciles.get_or_create(&Outcome { controller: CONTROLLER.controller, result }).inc();
        self.reconcile_errors.get_or_create(&CONTROLLER).inc_by(error);
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// How many reconciliations are under way.
    pub fn working(&self, under_way: usize) {
        self.workers.get_or_create(&CONTROLLER).set(i64::try_from(under_way).unwrap_or(i64::MAX));
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.get_or_create(&Elected { name: "singletonjob-controller" }).set(i64::from(leads));
    }

    /// A Lease has changed hands.
    pub fn took_over(&self, takeover: &Takeover) {
        self.takeovers.get_or_create(&Why { reason: format!("{:?}", takeover.reason) }).inc();
        if let Some(gap) = takeover.gap_milliseconds.and_then(|gap| u64::try_from(gap).ok()) {
            self.takeover_gap.observe(Duration::from_millis(gap).as_secs_f64());
        }
    }

    /// From now on `source` is asked, whenever metrics are, how each SingletonJob fares.
    pub fn follow(&self, source: impl Fn() -> Vec<JobMetrics> + Send + Sync + 'static) {
        self.jobs.follow(source);
    }

    /// In the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "cannot write metrics down");
        }
        text
    }
}
