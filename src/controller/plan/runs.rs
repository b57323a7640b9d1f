//! Reads from the Lease and from status how far the runs of a job have come.

use jiff::Timestamp;

use super::super::observe::Observed;
use crate::api::SingletonJob;
use crate::api::conditions::reasons;
use crate::lease::annotations::{Desired, Finished, Progress, Run};
use crate::lease::elector;

/// The number of the one run of a job without a schedule.
pub(super) const ONLY_RUN: u32 = 1;

/// Why the controller closed a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// No candidate started it within `spec.schedule.startingDeadlineSeconds`, so its tick is missed.
    Missed,
    /// No candidate started it within `spec.activeDeadlineSeconds`, so it has failed.
    DeadlineExceeded,
}

impl Closed {
    /// The reason in the annotation `run`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missed => "Missed",
            Self::DeadlineExceeded => reasons::DEADLINE_EXCEEDED,
        }
    }

    fn read(reason: &str) -> Option<Self> {
        [Self::Missed, Self::DeadlineExceeded].into_iter().find(|closed| closed.reason() == reason)
    }
}

/// Why the controller has closed the current run, by the Lease. `None` if it has not.
pub fn closed(job: &SingletonJob, observed: &Observed) -> Option<Closed> {
    let run = noted(job, observed).filter(|run| run.desired == Desired::Stop)?;
    Closed::read(run.reason.as_deref()?)
}

/// The run that goes on, or else the last one; 0 if none has been due. The Lease tells, or status if the
/// Lease is lost.
pub fn current(job: &SingletonJob, observed: &Observed) -> u32 {
    if job.spec.schedule.is_none() {
        return ONLY_RUN;
    }
    noted(job, observed).map_or_else(|| remembered(job), |run| run.number)
}

fn remembered(job: &SingletonJob) -> u32 {
    let Some(status) = &job.status else { return 0 };
    let last = status.runs.iter().map(|run| run.number).chain(status.run.iter().map(|run| run.number)).max();
    last.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// The run that the Lease asks for. `None` also if that is a run of an earlier SingletonJob of that name.
pub(super) fn noted<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Run> {
    let run = observed.lease.as_ref()?.record.annotations.run.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&run.uid)).then_some(run)
}

/// The tick that the current run is of. `None` if it is of no tick.
pub fn scheduled_time(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let remembered = || job.status.as_ref()?.run.as_ref()?.scheduled_time.as_ref().map(|time| time.0);
    noted(job, observed).map_or_else(remembered, |run| run.scheduled_time)
}

/// How the current run ended. `None` if it did not.
pub fn finished<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Finished> {
    ended(job, observed, current(job, observed))
}

/// How run `number` of this very SingletonJob ended. `None` if the Lease does not say.
pub(super) fn ended<'a>(job: &SingletonJob, observed: &'a Observed, number: u32) -> Option<&'a Finished> {
    last_finished(job, observed).filter(|finished| finished.run == number)
}

/// How the last run ended that ended by itself. `None` also if that is a run of an earlier SingletonJob of
/// that name.
pub fn last_finished<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Finished> {
    let finished = observed.lease.as_ref()?.record.annotations.finished.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&finished.uid)).then_some(finished)
}

/// Whether nothing of the current run is left to do. The Lease tells, or status if the Lease is lost.
pub fn is_over(job: &SingletonJob, observed: &Observed) -> bool {
    let number = current(job, observed);
    let known = || {
        job.status
            .as_ref()
            .is_some_and(|status| status.runs.iter().any(|run| run.number == i64::from(number)))
    };
    number == 0 || finished(job, observed).is_some() || closed(job, observed).is_some() || known()
}

/// When the run completed, on the clock of the candidate that finished it or of the controller that closed
/// it. `None` if it did not.
pub fn completion_time(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let recorded = || job.status.as_ref()?.runs.first()?.completion_time.as_ref().map(|time| time.0);
    finished(job, observed).map(|finished| finished.completion_time).or_else(recorded)
}

/// The account of the current run. `None` if no candidate has begun one.
pub fn progress(job: &SingletonJob, observed: &Observed) -> Option<Progress> {
    progress_of(job, observed, current(job, observed))
}

/// The account of run `number` of this very SingletonJob. It includes the failed pods that the Lease names
/// and candidates have not counted yet.
pub fn progress_of(job: &SingletonJob, observed: &Observed, number: u32) -> Option<Progress> {
    let progress = observed.lease.as_ref()?.record.annotations.progress.clone()?;
    let is_its = job.metadata.uid.as_deref() == Some(&progress.uid) && progress.run == number;
    is_its.then(|| match noted(job, observed) {
        Some(run) => elector::with_failed_pods(progress, run),
        None => progress,
    })
}
