//! Answers the questions that the plan seldom has. Each answer takes requests of its own.

use kube::{Client, Resource};

use super::nodes::Nodes;
use super::observed::Observed;
use super::{holder_pod, room, volume_claims};
use crate::api::SingletonJob;
use crate::controller::api_call::Failure;
use crate::lease::identity::Identity;

/// What the plan has to know beyond the child objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// The silent holder whose pod the plan asks about.
    pub holder: Option<Identity>,
    /// Whether the plan asks how the claims that the candidates share may be mounted, and whether another
    /// node could take a candidate.
    pub claims: bool,
}

/// Adds an answer to each question.
///
/// # Errors
/// If a request fails without whose answer the controller must not decide.
pub async fn answer(
    client: &Client,
    job: &SingletonJob,
    mut observed: Observed,
    questions: Questions,
    nodes: &Nodes,
) -> Result<Observed, Failure> {
    if let (Some(holder), Some(seen)) = (questions.holder, &observed.lease) {
        let lease_created = seen.object.meta().creation_timestamp.as_ref().map(|time| time.0);
        observed.holder_pod_state =
            Some(Box::pin(holder_pod::state_of(client, job, &holder, &seen.record, lease_created)).await?);
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
    let room = room::since(job, crowded, known.all().iter().map(AsRef::as_ref));
    Observed { room, ..observed }
}
