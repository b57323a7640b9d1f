//! What is counted. Names of the machinery are those that existing dashboards know.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::SingletonJobStatus;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Job {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Elected {
    name: &'static str,
}

/// All metrics of the controller.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Outcome, Counter>,
    reconcile_seconds: Histogram,
    leader: Family<Elected, Gauge>,
    held: Family<Job, Gauge>,
    ready_standbys: Family<Job, Gauge>,
}

const CONTROLLER: &str = "singletonjob";
const SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(SECONDS),
            leader: Family::default(),
            held: Family::default(),
            ready_standbys: Family::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("controller_runtime_reconcile", "Reconciliations, by result", self.reconciles.clone());
        registry.register("controller_runtime_reconcile_time_seconds", "How long one took", self.reconcile_seconds.clone());
        registry.register("leader_election_master_status", "Whether this replica leads", self.leader.clone());
        registry.register("singletonjob_held", "Whether a candidate holds the Lease", self.held.clone());
        registry.register("singletonjob_ready_standbys", "Candidates that could take over at once", self.ready_standbys.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("singletonjob_build", "Which version this is", build);
        self
    }

    /// One reconciliation is over.
    pub fn reconciled(&self, succeeded: bool, took: Duration) {
        let result = if succeeded { "success" } else { "error" };
        self.reconciles.get_or_create(&Outcome { controller: CONTROLLER, result }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.get_or_create(&Elected { name: "singletonjob-controller" }).set(i64::from(leads));
    }

    /// How one SingletonJob fares.
    pub fn report(&self, namespace: &str, name: &str, status: &SingletonJobStatus) {
        let job = Job { namespace: namespace.to_owned(), name: name.to_owned() };
        let held = status.lease.as_ref().is_some_and(|lease| lease.holder.is_some());
        self.held.get_or_create(&job).set(i64::from(held));
        self.ready_standbys.get_or_create(&job).set(i64::from(status.ready_standbys.unwrap_or(0)));
    }

    /// One SingletonJob is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let job = Job { namespace: namespace.to_owned(), name: name.to_owned() };
        self.held.remove(&job);
        self.ready_standbys.remove(&job);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_dashboards_find_what_they_look_for() {
        let metrics = Metrics::default();
        metrics.reconciled(true, Duration::from_millis(3));
        metrics.leads(true);
        let text = metrics.encode();
        assert!(text.contains(r#"controller_runtime_reconcile_total{controller="singletonjob",result="success"} 1"#), "{text}");
        assert!(text.contains(r#"leader_election_master_status{name="singletonjob-controller"} 1"#), "{text}");
    }
}
