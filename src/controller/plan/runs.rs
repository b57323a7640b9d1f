//! How far the runs of a job have come, by the Lease and by status.

use jiff::Timestamp;

use super::super::observe::Observed;
use crate::api::SingletonJob;
use crate::api::conditions::reasons;
use crate::lease::annotations::{Desired, Finished, Progress, Run};
use crate::lease::elector;

/// A job without a schedule has one run.
pub(super) const ONLY_RUN: u32 = 1;

/// Why a run is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was not started within `spec.schedule.startingDeadlineSeconds`: its tick is missed.
    Missed,
    /// It was not started within `spec.activeDeadlineSeconds`: it has failed.
    DeadlineExceeded,
}

impl Closed {
    /// As the annotation of the run has it.
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

/// Whether the controller has closed the current run, by the Lease.
pub fn closed(job: &SingletonJob, observed: &Observed) -> Option<Closed> {
    let run = noted(job, observed).filter(|run| run.desired == Desired::Stop)?;
    Closed::read(run.reason.as_deref()?)
}

/// The run that goes on, or else the last one: as the Lease has it, or as was known before a Lease that is
/// lost. 0 where none has been due.
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

/// The run that the Lease asks for; one of an earlier SingletonJob of that name is another's.
pub(super) fn noted<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Run> {
    let run = observed.lease.as_ref()?.record.annotations.run.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&run.uid)).then_some(run)
}

/// The tick that the current run is of.
pub fn scheduled_time(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let remembered = || job.status.as_ref()?.run.as_ref()?.scheduled_time.as_ref().map(|time| time.0);
    noted(job, observed).map_or_else(remembered, |run| run.scheduled_time)
}

/// How the current run ended, if it did.
pub fn finished<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Finished> {
    ended(job, observed, current(job, observed))
}

/// How run `number` of this very SingletonJob ended, as far as the Lease knows.
pub(super) fn ended<'a>(job: &SingletonJob, observed: &'a Observed, number: u32) -> Option<&'a Finished> {
    last_finished(job, observed).filter(|finished| finished.run == number)
}

/// How the last run of this very SingletonJob ended that ended by itself; one of an earlier SingletonJob of
/// that name is another's.
pub fn last_finished<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Finished> {
    let finished = observed.lease.as_ref()?.record.annotations.finished.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&finished.uid)).then_some(finished)
}

/// Whether nothing of the current run is left to do: as the Lease has it, or as was known before a Lease that
/// is lost.
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
/// it.
pub fn completion_time(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let recorded = || job.status.as_ref()?.runs.first()?.completion_time.as_ref().map(|time| time.0);
    finished(job, observed).map(|finished| finished.completion_time).or_else(recorded)
}

/// How the current run goes.
pub fn progress(job: &SingletonJob, observed: &Observed) -> Option<Progress> {
    progress_of(job, observed, current(job, observed))
}

/// How run `number` of this very SingletonJob goes, or went; with what candidates have not counted yet,
/// although they are told.
pub fn progress_of(job: &SingletonJob, observed: &Observed, number: u32) -> Option<Progress> {
    let progress = observed.lease.as_ref()?.record.annotations.progress.clone()?;
    let is_its = job.metadata.uid.as_deref() == Some(&progress.uid) && progress.run == number;
    is_its.then(|| match noted(job, observed) {
        Some(run) => elector::with_failed_pods(progress, run),
        None => progress,
    })
}
