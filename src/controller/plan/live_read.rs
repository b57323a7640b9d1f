//! Decides what the controller reads from the API server itself before it carries out a plan, and then plans
//! again.
//!
//! A plan is in doubt if a stale cache could do harm by it. It may create the first Lease as free while a pod
//! runs the workload, create a pod that exists, or delete a standby that holds the Lease by now. The controller
//! then reads the SingletonJob and its pods, and the Lease if it knows of one.
//!
//! It does not read an object that it is about to create by name, because the API server refuses what exists
//! already. After such a refusal, and after any other failure, the controller reads everything, and finds its
//! own object, or another client's.

use super::super::observe::{LiveRead, Observed};
use super::super::refusals::{Standing, Step};
use super::{Actions, Plan};
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, reasons, types};

impl Plan {
    /// What the controller reads again. `None` if it may go by its caches. `has_failed` says that its last try
    /// did.
    pub fn live_read(
        &self,
        job: &SingletonJob,
        observed: &Observed,
        standing: &Standing,
        has_failed: bool,
    ) -> Option<LiveRead> {
        match self {
            Self::Act(act) => act.live_read(observed, standing, has_failed || has_found_foreign(job)),
            Self::Delete => Some(LiveRead { lease: true, access: has_failed }),
            Self::LeaveAlone | Self::Invalid(_) => None,
        }
    }
}

impl Actions {
    /// `doubts` says that the caches may lack what is there.
    fn live_read(&self, observed: &Observed, standing: &Standing, doubts: bool) -> Option<LiveRead> {
        if self.create_lease.is_some() {
            let reads = LiveRead { lease: doubts, access: doubts };
            return standing.is_asked(Step::MakeLease).then_some(reads);
        }
        let is_in_doubt = self.changes_pods(standing) || (doubts && lacks_access(observed, standing));
        is_in_doubt.then_some(LiveRead { lease: true, access: doubts })
    }

    /// Whether the controller is about to create or delete pods, which come and go by what the Lease says.
    fn changes_pods(&self, standing: &Standing) -> bool {
        let is_told = standing.find(Step::Annotate, &self.directives.fingerprint()).is_none();
        let makes_pods = self.create.count > 0
            && standing.is_asked(Step::ValidateTemplate)
            && standing.is_asked(Step::MakePod);
        is_told && (makes_pods || !self.delete.is_empty())
    }
}

/// Whether the controller is about to create a Role or RoleBinding.
fn lacks_access(observed: &Observed, standing: &Standing) -> bool {
    let lacks_role = observed.role.is_none() && standing.is_asked(Step::GrantRole);
    let comes_to_binding = observed.role.is_some() || standing.is_asked(Step::GrantRole);
    let lacks_binding = observed.binding.is_none() && comes_to_binding && standing.is_asked(Step::BindRole);
    lacks_role || lacks_binding
}

/// Whether status says that another client's object has a needed name. The caches do not have such an object.
fn has_found_foreign(job: &SingletonJob) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, types::STALLED)
        .is_some_and(|stalled| stalled.status == "True" && stalled.reason == reasons::FOREIGN_OBJECT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{job, now, pod, service, settled, there};
    use super::*;

    fn read(job: &SingletonJob, observed: &Observed, has_failed: bool) -> Option<(bool, bool)> {
        let plan = super::super::plan(job, observed, now());
        plan.live_read(job, observed, &Standing::default(), has_failed).map(|read| (read.lease, read.access))
    }

    #[test]
    fn what_is_created_by_name_is_read_only_after_a_failure() {
        let new = job(json!({"completionPolicy": "Never"}), json!({}));
        assert_eq!(read(&new, &Observed::default(), false), Some((false, false)), "the job and its pods");
        assert_eq!(read(&new, &Observed::default(), true), Some((true, true)));
        let complete = there(Some(1), vec![pod(1, true), pod(2, true)]);
        assert_eq!(
            read(&service(2), &complete, false),
            None,
            "only the Role and the RoleBinding are missing"
        );
        assert_eq!(read(&service(2), &complete, true), Some((true, true)));
    }

    #[test]
    fn a_pod_comes_and_goes_only_by_what_the_api_server_says() {
        let few = there(Some(1), vec![pod(1, true)]);
        assert_eq!(read(&service(2), &few, false), Some((true, false)), "one is missing");
        let many = there(Some(1), vec![pod(1, true), pod(2, true), pod(3, true)]);
        assert_eq!(read(&service(2), &many, false), Some((true, false)), "one is too many");
    }

    #[test]
    fn a_foreign_object_that_status_tells_of_is_looked_at_again() {
        let stalled = json!({"type": "Stalled", "status": "True", "reason": "ForeignObject", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut status = settled();
        status["conditions"] = json!([stalled]);
        let told = job(json!({"completionPolicy": "Never"}), status);
        assert_eq!(read(&told, &Observed::default(), false), Some((true, true)));
    }
}
