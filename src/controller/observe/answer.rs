//! Answers to questions that are seldom asked, because each takes requests of its own.

use kube::{Client, Resource};

use super::nodes::Nodes;
use super::observed::Observed;
use super::{holder_pod, room, volume_claims};
use crate::api::SingletonJob;
use crate::controller::api_call::Failure;
use crate::lease::identity::Identity;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// What has become of this silent holder.
    pub holder: Option<Identity>,
    /// How the claims that the candidates share may be mounted, and whether another node could take a
    /// candidate.
    pub claims: bool,
}

/// With an answer to each question.
///
/// # Errors
/// Where a request fails without whose answer nothing may be decided.
pub async fn answer(
    client: &Client,
    job: &SingletonJob,
    mut observed: Observed,
    questions: Questions,
    nodes: &Nodes,
) -> Result<Observed, Failure> {
    if let (Some(holder), Some(seen)) = (questions.holder, &observed.lease) {
        let made = seen.object.meta().creation_timestamp.as_ref().map(|time| time.0);
        observed.holder_pod_state =
            Some(Box::pin(holder_pod::look(client, job, &holder, &seen.record, made)).await?);
    }
    if questions.claims {
        observed.claims = Box::pin(volume_claims::look(client, job)).await;
        observed = with_room(job, observed, nodes);
    }
    Ok(observed)
}

/// Adds since when another node could take a candidate, if all candidates are on one node.
fn with_room(job: &SingletonJob, observed: Observed, known: &Nodes) -> Observed {
    let Some(crowded) = observed.crowded() else { return observed };
    if observed.claims.as_ref().is_none_or(|claims| room::is_pinned(job, claims)) {
        return observed;
    }
    let room = room::since(job, crowded, known.state().iter().map(AsRef::as_ref));
    Observed { room, ..observed }
}
