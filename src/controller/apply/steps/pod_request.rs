//! One request about one pod that exists, with what [`Objects`](crate::controller::build::Objects) says of it.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::api::SingletonJob;
use crate::controller::api_call::Failure;
use crate::controller::apply::applied::Applied;
use crate::controller::apply::pods;
use crate::controller::observe::candidate::PodRef;
use crate::controller::plan::candidates::RoleLabel;
use crate::controller::refusals::Step;

/// A request about one pod that exists.
pub(in crate::controller::apply) enum PodRequest {
    /// Sets the role label.
    Label(RoleLabel),
    /// Ends what still runs in an ended pod.
    StopSidecars(PodRef),
    /// Lets an ended pod stay when its node is lost.
    Keep(PodRef),
    /// Deletes a pod, only as it was read: what has changed since is looked at again.
    Delete(PodRef),
}

impl PodRequest {
    /// What the API server may refuse, and of which pod.
    pub(super) fn step(&self) -> (Step, String) {
        match self {
            Self::Label(label) => (Step::Label, label.pod.name.clone()),
            Self::StopSidecars(pod) => (Step::StopSidecars, pod.name.clone()),
            Self::Keep(pod) => (Step::Keep, pod.name.clone()),
            Self::Delete(pod) => (Step::DeletePod, pod.name.clone()),
        }
    }

    /// Sends the request, and records in `applied` what it has done.
    pub(super) async fn send(
        self,
        pods: &Api<Pod>,
        job: &SingletonJob,
        applied: &mut Applied,
    ) -> Result<(), Failure> {
        match self {
            Self::Label(label) => pods::set_role(pods, job, &label).await,
            Self::StopSidecars(pod) => pods::stop_sidecars(pods, &pod, applied).await,
            Self::Keep(pod) => pods::keep(pods, &pod).await,
            Self::Delete(pod) => pods::delete(pods, pod, applied).await,
        }
    }
}
