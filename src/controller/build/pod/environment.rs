//! The environment of the gated container. It holds names only: what may change is in the Lease.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};
use kube::ResourceExt;

use super::field;
use crate::api::SingletonJob;
use crate::contract::{environment, paths};

/// The variables that the agent and the workload read.
pub(super) fn environment(job: &SingletonJob, grace_period: i64, message_path: String) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    let field = |name: &str, path: &str| EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field(path)), ..EnvVarSource::default() }),
    };
    let lock = has_lock(job).then(|| value(environment::POD_LOCK, paths::POD_LOCK.into()));
    let always = [
        value(environment::NAME, job.name_any()),
        value(environment::NAMESPACE, job.namespace().unwrap_or_default()),
        value(environment::JOB_UID, job.uid().unwrap_or_default()),
        field(environment::POD_NAME, "metadata.name"),
        field(environment::POD_UID, "metadata.uid"),
        field(environment::POD_IP, "status.podIP"),
        value(environment::TERMINATION_GRACE_PERIOD_SECONDS, grace_period.to_string()),
        value(environment::TERMINATION_MESSAGE_PATH, message_path),
    ];
    always.into_iter().chain(lock).collect()
}

/// Whether the kernel of the node itself runs the container. Another runtime may emulate file locks, or run
/// the processes elsewhere.
fn has_lock(job: &SingletonJob) -> bool {
    job.spec.template.spec.as_ref().is_none_or(|spec| spec.runtime_class_name.is_none())
}
