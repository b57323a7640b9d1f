//! Whether anything should run.

use jiff::Timestamp;

use super::super::observe::Observed;
use crate::api::SingletonJob;
use crate::api::conditions::reasons;
use crate::lease::notes::{Desired, Finished, Progress, Run};

/// A job without a schedule has one run.
const ONLY_RUN: u32 = 1;
/// Why nothing runs although the Lease, made anew, does not know that the run is over.
const FINISHED: &str = "Finished";

/// What the Lease should say should run.
pub fn wanted(job: &SingletonJob, observed: &Observed) -> Run {
    let forgotten = finished(job, observed).is_none() && is_finished(job, observed);
    let reason = match (job.spec.suspend, job.spec.replicas) {
        _ if forgotten => Some(FINISHED),
        (true, _) => Some(reasons::SUSPENDED),
        (false, 0) => Some(reasons::SCALED_TO_ZERO),
        (false, _) => None,
    };
    Run {
        uid: job.metadata.uid.clone().unwrap_or_default(),
        number: ONLY_RUN,
        desired: if reason.is_some() { Desired::Stop } else { Desired::Run },
        reason: reason.map(str::to_owned),
    }
}

/// How the run of this very SingletonJob ended, if it did; one of an earlier SingletonJob of that name is another's.
pub fn finished<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Finished> {
    let finished = observed.lease.as_ref()?.record.notes.finished.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&finished.uid) && finished.run == ONLY_RUN).then_some(finished)
}

/// Whether the run is over: as the Lease has it, or as was known before a Lease that is lost.
pub fn is_finished(job: &SingletonJob, observed: &Observed) -> bool {
    finished(job, observed).is_some() || job.status.as_ref().is_some_and(|status| !status.runs.is_empty())
}

/// When the run was over, on the clock of whoever finished it.
pub fn completion_time(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let recorded = || job.status.as_ref()?.runs.first()?.completion_time.as_ref().map(|time| time.0);
    finished(job, observed).map(|finished| finished.completion_time).or_else(recorded)
}

/// How the run of this very SingletonJob goes.
pub fn progress<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Progress> {
    let progress = observed.lease.as_ref()?.record.notes.progress.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&progress.uid) && progress.run == ONLY_RUN).then_some(progress)
}
