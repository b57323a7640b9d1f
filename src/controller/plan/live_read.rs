//! Decides which plans the controller makes again on data of the API server itself.

use super::super::observe::Observed;
use super::super::refusals::{Standing, Step};
use super::{Actions, Plan};

impl Plan {
    /// Whether the controller is about to create what a cache does not have, or to delete what by a cache is
    /// not needed or over.
    pub fn needs_live_read(&self, observed: &Observed, standing: &Standing) -> bool {
        match self {
            Self::Act(act) => act.needs_live_read(observed, standing),
            Self::Delete => true,
            Self::LeaveAlone | Self::Invalid(_) => false,
        }
    }
}

impl Actions {
    fn needs_live_read(&self, observed: &Observed, standing: &Standing) -> bool {
        if self.create_lease.is_some() {
            return standing.is_asked(Step::MakeLease);
        }
        let makes_role = observed.role.is_none() && standing.is_asked(Step::GrantRole);
        let comes_to_binding = observed.role.is_some() || standing.is_asked(Step::GrantRole);
        let makes_binding =
            observed.binding.is_none() && comes_to_binding && standing.is_asked(Step::BindRole);
        // Pods come and go by what the Lease says.
        let is_told = standing.find(Step::Annotate, &self.directives.fingerprint()).is_none();
        let makes_pods = self.create.count > 0
            && standing.is_asked(Step::ValidateTemplate)
            && standing.is_asked(Step::MakePod);
        makes_role || makes_binding || (is_told && (makes_pods || !self.delete.is_empty()))
    }
}
