//! The gated container: the template's, with the agent before its command.

use k8s_openapi::api::core::v1::Container;

use super::environment::environment;
use super::volumes;
use crate::api::SingletonJob;
use crate::contract::paths;
use crate::controller::build::probes;

/// Puts the agent before the workload. The variables of the agent replace those of the same name.
pub(super) fn gate(container: &mut Container, job: &SingletonJob, grace_period: i64) {
    let mut command = vec![paths::AGENT.to_owned(), "run".to_owned(), "--".to_owned()];
    command.extend(container.command.take().unwrap_or_default());
    command.extend(container.args.take().unwrap_or_default());
    container.command = Some(command);
    probes::rewrite(container, grace_period, job.spec.standby_readiness);
    let message_path =
        container.termination_message_path.clone().unwrap_or_else(|| paths::TERMINATION_MESSAGE.to_owned());
    let ours = environment(job, grace_period, message_path);
    let env = container.env.get_or_insert_default();
    env.retain(|theirs| ours.iter().all(|ours| ours.name != theirs.name));
    env.splice(0..0, ours);
    container.volume_mounts.get_or_insert_default().extend(volumes::mounts());
}
