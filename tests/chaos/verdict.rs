//! What the records say against what was done: which candidate took over because of what, how long no
//! workload ran, and whether that was in time.

use std::time::Duration;

use crate::plan::{Cause, Kind};
use testkit::witness::{Tenure, Violation};

/// On top of a lease, for a challenger to get going.
const SLACK: Duration = Duration::from_secs(1);
/// The same, in the middle of all crashes.
const USUAL_SLACK: f64 = 0.3;
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60);
/// What daemons of a pod that was frozen as a whole may run for when it is continued: see "What is not
/// promised" in `docs/safety.md`.
const LAST_MOMENTS: Duration = Duration::from_millis(50);
/// Fewer crashes than these have no middle to speak of.
const ENOUGH: usize = 5;

/// A job, and when it ran.
pub struct Account {
    pub job: &'static str,
    pub lease: Duration,
    pub tenures: Vec<Tenure>,
    pub violations: Vec<Violation>,
}

/// Who is there to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// A ready one that the fault leaves alone.
    Ready,
    /// A ready one, but the fault hits it as well.
    HitToo,
    /// A one-shot may have none for a moment: it has to be made first.
    Missing,
}

/// A fault that hit the holder of a Lease.
#[derive(Clone, Debug)]
pub struct Hit {
    pub job: &'static str,
    /// Of the tenure that it hit.
    pub token: u128,
    pub cause: Cause,
    /// Just before it was made.
    pub at: Duration,
    /// When it was gone, if it does not just happen.
    pub healed: Option<Duration>,
    pub standby: Standby,
}

/// From one workload to the next, within one incarnation of a job.
#[derive(Clone, Debug)]
pub struct Takeover {
    pub job: &'static str,
    pub lease: Duration,
    /// None where nothing was done to the holder.
    pub hit: Option<Hit>,
    /// From the last instruction to the first.
    pub gap: Duration,
    /// From when the lease duration counts to the first instruction; none where nothing is promised.
    pub wait: Option<Duration>,
    /// How long the job may pause, for this was not its first setback.
    pub pause: Duration,
}

impl Takeover {
    /// How long after its lease had passed, counted from the crash, a ready standby took over; in seconds,
    /// because it may be sooner.
    pub fn crash_seconds_over(&self) -> Option<f64> {
        let crashed = |hit: &&Hit| hit.cause.kind() == Kind::Crash && hit.standby == Standby::Ready;
        self.hit.as_ref().filter(|hit| crashed(hit) && self.pause.is_zero())?;
        Some(self.wait?.as_secs_f64() - self.lease.as_secs_f64())
    }

    fn is_late(&self) -> bool {
        self.wait.is_some_and(|wait| wait > self.lease + self.pause + SLACK)
    }
}

/// What is to be said.
pub struct Verdict {
    pub takeovers: Vec<Takeover>,
    /// Runs that were finished twice, for a holder that was hit may not have been able to say that it had
    /// finished.
    pub repeated: Vec<Violation>,
    /// Daemons that executed once more when their pod was continued, before its PID 1 had killed them.
    pub continued: Vec<Violation>,
    /// What must not be.
    pub objections: Vec<String>,
}

/// Judges all jobs.
pub fn of(accounts: &[Account], hits: &[Hit]) -> Verdict {
    let takeovers: Vec<_> = accounts.iter().flat_map(|account| takeovers(account, hits)).collect();
    let violations =
        accounts.iter().flat_map(|account| account.violations.iter().map(move |what| (account.job, what)));
    let (repeated, violations): (Vec<_>, Vec<_>) =
        violations.partition(|(job, what)| is_repeated(job, what, hits));
    let (continued, violations): (Vec<_>, Vec<_>) =
        violations.into_iter().partition(|(job, what)| is_continued(job, what, accounts, hits));
    let violations = violations.into_iter().map(|(job, what)| format!("{job}: {what}"));
    let late = takeovers.iter().filter(|takeover| takeover.is_late()).map(|late| format!("late: {late:?}"));
    let objections = violations.chain(late).chain(usually_late(&takeovers)).collect();
    let [repeated, continued] =
        [repeated, continued].map(|excused| excused.into_iter().map(|(_, what)| what.clone()).collect());
    Verdict { takeovers, repeated, continued, objections }
}

/// Started at least once is what is promised: see "What is not" in the README.
fn is_repeated(job: &str, what: &Violation, hits: &[Hit]) -> bool {
    let Violation::FinishedTwice(_, first, _) = what else { return false };
    hits.iter().any(|hit| hit.job == job && hit.token == *first)
}

/// Whether the earlier of two that overlap was frozen as a whole, and executed last in the moment of its
/// thaw.
fn is_continued(job: &str, what: &Violation, accounts: &[Account], hits: &[Hit]) -> bool {
    let Violation::Overlap(earlier, _, _) = what else { return false };
    let tenures = accounts.iter().filter(|account| account.job == job).flat_map(|account| &account.tenures);
    let Some(tenure) = tenures.filter(|tenure| tenure.token == *earlier).max_by_key(|tenure| tenure.last)
    else {
        return false;
    };
    let mut frozen =
        hits.iter().filter(|hit| hit.job == job && hit.token == *earlier && hit.cause == Cause::PodFrozen);
    frozen.any(|hit| {
        let only_daemons = tenure.main_last <= hit.at + LAST_MOMENTS;
        only_daemons && hit.healed.is_some_and(|thaw| tenure.last.abs_diff(thaw) <= LAST_MOMENTS)
    })
}

fn takeovers(account: &Account, hits: &[Hit]) -> Vec<Takeover> {
    let mut setbacks = 0;
    let mut takeovers = Vec::new();
    for (old, new) in account.tenures.iter().zip(account.tenures.iter().skip(1)) {
        if old.label != new.label {
            setbacks = 0;
            continue;
        }
        let of_this = |hit: &&Hit| hit.job == account.job && hit.token == old.token && hit.at <= new.first;
        let hit = hits.iter().rfind(of_this).cloned();
        setbacks += u32::from(hit.as_ref().is_none_or(|hit| hit.cause.is_setback()));
        takeovers.push(takeover(account, (old, new), hit, pause(setbacks)));
    }
    takeovers
}

/// As an elector does: none after the first setback, then longer and longer.
fn pause(setbacks: u32) -> Duration {
    let doubled = setbacks
        .checked_sub(2)
        .map_or(Duration::ZERO, |more| FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(more)));
    doubled.min(LONGEST_PAUSE)
}

fn takeover(
    account: &Account,
    (old, new): (&Tenure, &Tenure),
    hit: Option<Hit>,
    pause: Duration,
) -> Takeover {
    let healed = hit.as_ref().and_then(|hit| hit.healed).unwrap_or_default();
    let counts_from = match &hit {
        Some(hit) if pause.is_zero() || hit.standby == Standby::Missing => counts_from(hit, old),
        // A holder that was out of reach begins a pause anew where it releases the Lease late.
        _ => Some(old.last.max(healed)),
    };
    let since = |from: Duration| new.first.saturating_sub(from);
    Takeover {
        job: account.job,
        lease: account.lease,
        gap: since(old.last),
        wait: counts_from.map(since),
        pause,
        hit,
    }
}

/// The last moment at which the Lease may have been renewed, as far as anybody can say who is there to take
/// over.
fn counts_from(hit: &Hit, old: &Tenure) -> Option<Duration> {
    match (hit.cause.kind(), hit.standby) {
        (_, Standby::Missing) => None,
        (Kind::Ending, _) => Some(old.last),
        (Kind::Crash, Standby::Ready) => Some(hit.at),
        (Kind::Crash | Kind::Outage, _) => Some(hit.healed.unwrap_or(old.last).max(old.last)),
    }
}

fn usually_late(takeovers: &[Takeover]) -> Option<String> {
    let over = sorted(takeovers.iter().filter_map(Takeover::crash_seconds_over));
    let usual = median(&over).filter(|usual| over.len() >= ENOUGH && *usual > USUAL_SLACK)?;
    Some(format!(
        "half of {} crash takeovers came {usual:.3} s or more after the lease had passed",
        over.len()
    ))
}

/// Seconds, ascending.
pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The one in the middle of sorted values, the later of two.
pub fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn ran(token: u128, first: u64, last: u64) -> Tenure {
        let (pod, label) = (format!("web-{token}"), String::new());
        Tenure {
            token,
            run: 1,
            attempt: 1,
            pod,
            label,
            first: ms(first),
            last: ms(last),
            main_last: ms(last),
            signals: Vec::new(),
            exit: None,
        }
    }

    fn hit(cause: Cause, at: u64) -> Hit {
        Hit { job: "web", token: 7, cause, at: ms(at), healed: Some(ms(at + 9000)), standby: Standby::Ready }
    }

    fn verdict(tenures: &[Tenure], hits: &[Hit]) -> Verdict {
        of(&[Account { job: "web", lease: LEASE, tenures: tenures.to_vec(), violations: Vec::new() }], hits)
    }

    #[test]
    fn a_crash_counts_from_the_fault_and_is_late_a_second_after_the_lease() {
        let cut = hit(Cause::NodeCut, 10_000);
        let in_time = verdict(&[ran(7, 0, 13_000), ran(9, 17_000, 20_000)], std::slice::from_ref(&cut));
        assert_eq!((in_time.takeovers[0].gap, in_time.takeovers[0].wait), (ms(4000), Some(ms(7000))));
        assert!(in_time.objections.is_empty());
        assert_eq!(verdict(&[ran(7, 0, 13_000), ran(9, 17_001, 20_000)], &[cut]).objections.len(), 1);
    }

    #[test]
    fn where_none_was_left_to_take_over_it_counts_from_the_healing() {
        let alone = Hit { standby: Standby::HitToo, ..hit(Cause::NodeCut, 10_000) };
        let verdict = verdict(&[ran(7, 0, 13_000), ran(9, 25_000, 30_000)], &[alone]);
        assert_eq!(verdict.takeovers[0].wait, Some(ms(6000)));
        assert!(verdict.objections.is_empty());
    }

    #[test]
    fn where_the_standby_had_to_be_made_first_nothing_is_promised() {
        let missing = Hit { standby: Standby::Missing, ..hit(Cause::WorkloadKilled, 10_000) };
        assert!(
            verdict(&[ran(7, 0, 10_000), ran(9, 60_000, 70_000)], std::slice::from_ref(&missing))
                .objections
                .is_empty()
        );
        let again = Hit { token: 9, at: ms(70_000), ..missing.clone() };
        let twice = [ran(7, 0, 10_000), ran(9, 60_000, 70_000), ran(11, 160_000, 170_000)];
        assert!(verdict(&twice, &[missing, again]).objections.is_empty(), "nor at its second setback");
    }

    #[test]
    fn a_takeover_that_nothing_explains_counts_from_the_last_instruction() {
        let other = Hit { job: "other", ..hit(Cause::NodeCut, 10_000) };
        let verdict = verdict(&[ran(7, 0, 13_000), ran(9, 21_000, 30_000)], &[other]);
        assert!(verdict.takeovers[0].hit.is_none());
        assert_eq!(verdict.objections.len(), 1);
    }

    #[test]
    fn a_second_setback_may_make_the_job_pause_and_the_first_may_not() {
        let killed = |token, at| Hit { token, healed: None, ..hit(Cause::ElectorKilled, at) };
        let hits = [killed(7, 10_000), killed(9, 20_000)];
        let again = |first| [ran(7, 0, 10_000), ran(9, 10_100, 20_000), ran(11, first, 90_000)];
        assert!(verdict(&again(37_000), &hits).objections.is_empty());
        assert_eq!(verdict(&again(37_001), &hits).objections.len(), 1);
        let drained = Hit { cause: Cause::PodDeleted, ..hits[0].clone() };
        assert_eq!(verdict(&again(37_000), &[drained, hits[1].clone()]).objections.len(), 1);
    }

    #[test]
    fn from_one_incarnation_to_the_next_is_no_takeover() {
        let again = Tenure { label: "again".into(), ..ran(9, 90_000, 99_000) };
        assert!(verdict(&[ran(7, 0, 13_000), again], &[]).takeovers.is_empty());
    }

    #[test]
    fn crashes_that_are_usually_late_are_objected_to() {
        let labelled =
            |token, first, n: u64| Tenure { label: n.to_string(), ..ran(token, first, first + 3500) };
        let pair = |n: u64| {
            [
                labelled(u128::from(n) * 10, n * 20_000, n),
                labelled(u128::from(n) * 10 + 1, n * 20_000 + 10_000, n),
            ]
        };
        let tenures: Vec<_> = (1..6).flat_map(pair).collect();
        let hits: Vec<_> = (1..6)
            .map(|n| Hit { token: u128::from(n) * 10, ..hit(Cause::PodFrozen, n * 20_000 + 3500) })
            .collect();
        let objections = verdict(&tenures, &hits).objections;
        assert!(objections.len() == 1 && objections[0].starts_with("half of 5"), "{objections:?}");
    }

    #[test]
    fn a_run_may_be_finished_twice_where_the_first_to_finish_was_hit() {
        let violations = vec![Violation::FinishedTwice(1, 7, 9)];
        let account = [Account { job: "web", lease: LEASE, tenures: Vec::new(), violations }];
        assert_eq!(of(&account, &[]).objections.len(), 1);
        let excused = of(&account, &[hit(Cause::NodeCut, 10_000)]);
        assert!(excused.objections.is_empty() && excused.repeated.len() == 1);
    }

    #[test]
    fn only_in_the_moment_of_its_thaw_may_a_frozen_pod_execute_beside_another() {
        let overlap = |main_last, last, cause| {
            let violations = vec![Violation::Overlap(7, 9, ms(1))];
            let tenures =
                vec![Tenure { main_last: ms(main_last), ..ran(7, 0, last) }, ran(9, 17_000, 40_000)];
            let judged =
                of(&[Account { job: "web", lease: LEASE, tenures, violations }], &[hit(cause, 10_000)]);
            (judged.objections.len(), judged.continued.len())
        };
        assert_eq!(overlap(10_000, 19_050, Cause::PodFrozen), (0, 1));
        assert_eq!(overlap(10_000, 19_051, Cause::PodFrozen), (1, 0));
        assert_eq!(overlap(10_000, 18_000, Cause::PodFrozen), (1, 0), "it was not continued yet");
        assert_eq!(
            overlap(19_050, 19_050, Cause::PodFrozen),
            (1, 0),
            "the workload itself does not run again"
        );
        assert_eq!(overlap(10_000, 19_050, Cause::ElectorStopped), (1, 0));
    }

    #[test]
    fn violations_are_objections() {
        let violations = vec![Violation::TokenShared(7)];
        assert_eq!(
            of(&[Account { job: "web", lease: LEASE, tenures: Vec::new(), violations }], &[])
                .objections
                .len(),
            1
        );
    }
}
