//! Which run is wanted, and how far it has come.

use jiff::Timestamp;

use super::super::observe::Observed;
use super::schedule::Agenda;
use crate::api::SingletonJob;
use crate::api::conditions::reasons;
use crate::lease::notes::{Desired, Finished, Progress, Run};

/// A job without a schedule has one run.
const ONLY_RUN: u32 = 1;
/// Why nothing runs although the Lease, made anew, does not know that the run is over.
const FINISHED: &str = "Finished";
/// Why nothing runs yet.
const NOTHING_DUE: &str = "NothingDue";
/// Why nothing runs any more that was never started.
const MISSED: &str = "Missed";

/// What the Lease should say should run; `agenda` is that of a job with a schedule.
pub fn wanted(job: &SingletonJob, observed: &Observed, agenda: Option<&Agenda>) -> Run {
    let number = agenda.map_or(ONLY_RUN, |agenda| agenda.number);
    let over = agenda.map_or_else(|| is_over(job, observed), |agenda| !agenda.goes_on);
    let reason = match (job.spec.suspend, job.spec.replicas) {
        _ if agenda.is_some_and(|agenda| agenda.given_up) => Some(MISSED),
        _ if number == 0 => Some(NOTHING_DUE),
        _ if over && ended(job, observed, number).is_none() => Some(FINISHED),
        (_, 0) => Some(reasons::SCALED_TO_ZERO),
        (true, _) if agenda.is_none() => Some(reasons::SUSPENDED),
        _ => None,
    };
    Run {
        uid: job.metadata.uid.clone().unwrap_or_default(),
        number,
        desired: if reason.is_some() { Desired::Stop } else { Desired::Run },
        scheduled_time: agenda.and_then(|agenda| agenda.scheduled_time),
        reason: reason.map(str::to_owned),
    }
}

/// The run that goes on, or else the last one: as the Lease has it, or as was known before a Lease that is lost. 0 where none has been due.
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
fn noted<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Run> {
    let run = observed.lease.as_ref()?.record.notes.run.as_ref()?;
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
fn ended<'a>(job: &SingletonJob, observed: &'a Observed, number: u32) -> Option<&'a Finished> {
    last_finished(job, observed).filter(|finished| finished.run == number)
}

/// How the last run of this very SingletonJob ended that ended by itself; one of an earlier SingletonJob of that name is another's.
pub fn last_finished<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Finished> {
    let finished = observed.lease.as_ref()?.record.notes.finished.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&finished.uid)).then_some(finished)
}

/// Whether nothing of the current run is left to do: as the Lease has it, or as was known before a Lease that is lost.
pub fn is_over(job: &SingletonJob, observed: &Observed) -> bool {
    let number = current(job, observed);
    let known = || job.status.as_ref().is_some_and(|status| status.runs.iter().any(|run| run.number == i64::from(number)));
    number == 0 || finished(job, observed).is_some() || is_given_up(job, observed) || known()
}

/// Whether the current run could not be started in time.
pub fn is_given_up(job: &SingletonJob, observed: &Observed) -> bool {
    noted(job, observed).is_some_and(|run| run.desired == Desired::Stop && run.reason.as_deref() == Some(MISSED))
}

/// When the run was over, on the clock of whoever finished it.
pub fn completion_time(job: &SingletonJob, observed: &Observed) -> Option<Timestamp> {
    let recorded = || job.status.as_ref()?.runs.first()?.completion_time.as_ref().map(|time| time.0);
    finished(job, observed).map(|finished| finished.completion_time).or_else(recorded)
}

/// How the current run goes.
pub fn progress<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Progress> {
    progress_of(job, observed, current(job, observed))
}

/// How run `number` of this very SingletonJob goes, or went.
pub fn progress_of<'a>(job: &SingletonJob, observed: &'a Observed, number: u32) -> Option<&'a Progress> {
    let progress = observed.lease.as_ref()?.record.notes.progress.as_ref()?;
    (job.metadata.uid.as_deref() == Some(&progress.uid) && progress.run == number).then_some(progress)
}
