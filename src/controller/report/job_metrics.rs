//! Converts the status of one SingletonJob to metrics.

use std::time::Duration;

use kube::ResourceExt;

use crate::api::SingletonJob;
use crate::api::conditions::{is_true, types};
use crate::telemetry::metrics::jobs::JobMetrics;

/// The metrics of `job`. The controller has heard nothing of its holder for `silence`.
pub fn of(job: &SingletonJob, silence: Option<Duration>) -> JobMetrics {
    let status = job.status.clone().unwrap_or_default();
    let lease = status.lease.clone().unwrap_or_default();
    let idle = if job.spec.schedule.is_some() { status.run.is_none() } else { !status.runs.is_empty() };
    let over = idle || job.spec.is_stopped() || job.metadata.deletion_timestamp.is_some();
    JobMetrics {
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
        held: lease.holder.is_some(),
        wanted_candidates: if over { 0 } else { to_u32(Some(job.spec.replicas)) },
        ready_standbys: to_u32(status.ready_standbys),
        stalled: is_true(&status.conditions, types::STALLED),
        transitions: to_u32(lease.transitions),
        lease_duration: Duration::from_secs(to_u32(Some(job.spec.lease.lease_duration_seconds)).into()),
        silence: if lease.holder.is_some() { silence } else { None },
        failed_attempts: to_u32(status.run.map(|run| run.failures)),
        succeeded_runs: to_u32(status.succeeded_runs),
        failed_runs: to_u32(status.failed_runs),
        missed_runs: status.missed_runs.and_then(|missed| u32::try_from(missed).ok()).unwrap_or(0),
    }
}

fn to_u32(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job_metrics(spec: Value, status: Value) -> JobMetrics {
        let mut all = json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}}});
        all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        let job = json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": all, "status": status,
        });
        of(&serde_json::from_value(job).expect("a SingletonJob"), Some(Duration::from_secs(2)))
    }

    #[test]
    fn candidates_are_wanted_while_something_should_run() {
        assert_eq!(job_metrics(json!({}), json!({})).wanted_candidates, 3);
        assert_eq!(job_metrics(json!({"suspend": true}), json!({})).wanted_candidates, 0);
        let scheduled = |status: Value| job_metrics(json!({"schedule": {"cron": "@daily"}}), status);
        assert_eq!(
            scheduled(json!({"runs": [{"number": 1, "outcome": "Succeeded"}], "missedRuns": 3}))
                .wanted_candidates,
            0
        );
        assert_eq!(scheduled(json!({"run": {"number": 2}})).wanted_candidates, 3);
        let run = json!({"number": 1, "outcome": "Succeeded"});
        assert_eq!(job_metrics(json!({}), json!({"runs": [run], "succeededRuns": 1})).wanted_candidates, 0);
    }

    #[test]
    fn silence_is_a_holders() {
        let held =
            job_metrics(json!({}), json!({"lease": {"name": "web", "holder": "web-1", "transitions": 4}}));
        assert_eq!((held.held, held.transitions, held.silence), (true, 4, Some(Duration::from_secs(2))));
        assert_eq!(job_metrics(json!({}), json!({"lease": {"name": "web"}})).silence, None);
    }
}
