//! Decides what the controller must look up before it can plan.

use super::super::observe::Observed;
use super::super::observe::answer::Questions;
use super::clearance;
use crate::api::SingletonJob;

/// The questions whose answers decide something about `job`.
pub fn questions(job: &SingletonJob, observed: &Observed) -> Questions {
    Questions { holder: clearance::in_question(job, observed), claims: observed.crowded().is_some() }
}
