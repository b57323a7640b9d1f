//! The requests about a SingletonJob that the API server may refuse, and what users read about each.

use crate::api::conditions::reasons;

/// One kind of request about a SingletonJob, in the order in which the controller sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Creates the Lease.
    MakeLease,
    /// Writes directives into the Lease.
    Annotate,
    /// Creates or changes the Role.
    GrantRole,
    /// Creates or changes the RoleBinding.
    BindRole,
    /// Creates, changes or deletes the PodDisruptionBudget.
    GuardDrains,
    /// Sets a pod's role label.
    Label,
    /// Ends what still runs in a pod whose workload has ended.
    StopSidecars,
    /// Lets an ended pod stay when its node is lost.
    Keep,
    /// Validates the template.
    ValidateTemplate,
    /// Creates a pod.
    MakePod,
    /// Deletes a pod.
    DeletePod,
}

impl Step {
    /// Whether the controller can create no candidate without it.
    pub fn comes_before_pods(self) -> bool {
        matches!(self, Self::MakeLease | Self::GrantRole | Self::BindRole | Self::ValidateTemplate)
    }

    /// The reason of conditions and events about its refusal: one of [`reasons`].
    pub fn reason(self) -> &'static str {
        match self {
            Self::MakeLease | Self::Annotate => reasons::LEASE_REFUSED,
            Self::GrantRole => reasons::ROLE_REFUSED,
            Self::BindRole => reasons::ROLE_BINDING_REFUSED,
            Self::GuardDrains => reasons::POD_DISRUPTION_BUDGET_REFUSED,
            Self::ValidateTemplate => reasons::INVALID_TEMPLATE,
            Self::Label | Self::StopSidecars | Self::Keep | Self::MakePod | Self::DeletePod => {
                reasons::POD_REFUSED
            }
        }
    }

    /// What the request is for, as half a sentence about the object.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::MakeLease => "candidates agree through the Lease which of them runs the workload",
            Self::Annotate => {
                "changes of the spec and requests to hand over reach the candidates through the Lease"
            }
            Self::GrantRole => "the Role lets candidates read and renew the Lease",
            Self::BindRole => "the RoleBinding gives the pods' service account the right to renew the Lease",
            Self::GuardDrains => "the PodDisruptionBudget makes a drain wait until a standby is ready",
            Self::Label => "Services find the active pod by its label",
            Self::StopSidecars => {
                "the controller ends the other containers of the pod, whose workload has ended"
            }
            Self::Keep => "the controller keeps the ended pod, and its log, if its node is lost",
            Self::ValidateTemplate => "the controller creates candidates from spec.template",
            Self::MakePod => "the pod is a candidate",
            Self::DeletePod => "the pod is not needed any more",
        }
    }
}
