//! A candidate pod: the template, with the agent in front of the workload.

mod environment;
pub mod placement;
#[cfg(test)]
mod tests;
mod volumes;
mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, ObjectFieldSelector, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::{installer, probes};
use crate::api::SingletonJob;
use crate::contract::{labels, pod};
use crate::controller::names;
use crate::controller::settings::Agent;

const DEFAULT_GRACE_PERIOD: i64 = 30;
const SAFE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The candidate with this number. The hash is that of the current template.
pub fn candidate(job: &SingletonJob, number: i64, template_hash: &str, agent: &Agent) -> Pod {
    let mut spec = job.spec.template.spec.clone().unwrap_or_default();
    spec.restart_policy = Some(job.spec.restart_policy().to_owned());
    let installer = installer::installer(agent, &spec, job.spec.workload());
    let grace_period = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_PERIOD);
    if let Some(index) = job.spec.workload_index() {
        workload::gate(&mut spec.containers[index], job, grace_period);
    }
    spec.init_containers.get_or_insert_default().insert(0, installer);
    spec.volumes.get_or_insert_default().extend(volumes::volumes());
    add_pull_secrets(&mut spec, agent);
    placement::spread(&mut spec, job);
    placement::tolerate(&mut spec);
    Pod { metadata: metadata(job, number, template_hash), spec: Some(spec), status: None }
}

/// A pod of the unchanged template, under a number that no candidate has.
pub fn template(job: &SingletonJob) -> Pod {
    let template = job.spec.template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(names::pod_name(&job.name_any(), 0)),
        namespace: job.namespace(),
        labels: metadata.labels,
        annotations: metadata.annotations,
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec, status: None }
}

fn metadata(job: &SingletonJob, number: i64, template_hash: &str) -> ObjectMeta {
    let template = job.spec.template.metadata.clone().unwrap_or_default();
    let mut all_labels = names::pod_labels(job);
    all_labels.insert(labels::ROLE.to_owned(), labels::ROLE_STANDBY.to_owned());
    all_labels.insert(labels::TEMPLATE_HASH.to_owned(), template_hash.to_owned());
    ObjectMeta {
        name: Some(names::pod_name(&job.name_any(), number)),
        namespace: job.namespace(),
        labels: Some(all_labels),
        annotations: Some(annotations(job, template.annotations.unwrap_or_default())),
        owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Annotations that tools read, and the controller's own. kubectl reads which container is meant; autoscalers
/// read that a pod may be moved whose successor stands by. The template's own values win.
fn annotations(job: &SingletonJob, mut theirs: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = format!("{},{}", pod::AGENT_VOLUME, pod::STATE_VOLUME);
    theirs
        .entry(SAFE_VOLUMES.to_owned())
        .and_modify(|theirs| *theirs = format!("{theirs},{ours}"))
        .or_insert(ours);
    if let Some(gated) = job.spec.workload() {
        theirs.entry(DEFAULT_CONTAINER.to_owned()).or_insert_with(|| gated.name.clone());
    }
    if job.spec.is_service() {
        theirs.entry(SAFE_TO_EVICT.to_owned()).or_insert_with(|| "true".to_owned());
    }
    if job.spec.workload().is_some_and(probes::report_readiness) {
        theirs.insert(labels::READINESS.to_owned(), labels::READINESS_REPORTED.to_owned());
    }
    theirs
}

/// Adds the pull secrets of the agent's image that the template does not name.
fn add_pull_secrets(spec: &mut PodSpec, agent: &Agent) {
    let secrets = spec.image_pull_secrets.get_or_insert_default();
    for secret in &agent.pull_secrets {
        if secrets.iter().all(|known| known.name != *secret) {
            secrets.push(LocalObjectReference { name: secret.clone() });
        }
    }
}

/// A field of the pod, by its path, for the downward API.
fn field(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector { api_version: Some("v1".into()), field_path: path.into() }
}
