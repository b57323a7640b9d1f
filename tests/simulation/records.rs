//! The judge, judged: records of things that must not happen.

use std::time::Duration;

use jiff::Timestamp;

use crate::cost::Cost;
use crate::limits::{Account, Limits};
use crate::safety::{Safety, Verdict};
use crate::trace_event::{LeaseKey, Sent, State, TraceEvent, Who};

const L: Duration = Duration::from_secs(15);
/// Of its default timing.
const D: Duration = Duration::from_secs(11);
const S: Duration = Duration::from_millis(8800);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn renewed(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("valid")
}

fn triple(holder: Option<Who>, second: i64) -> LeaseKey {
    LeaseKey { uid: "lease".into(), holder, renew_time: Some(renewed(second)) }
}

fn stored(version: u128, by: Option<Who>, holder: Option<Who>, second: i64) -> TraceEvent {
    let state = State {
        version,
        triple: triple(holder, second),
        released: holder.is_none(),
        strict: false,
        cleared: false,
        lease: L,
        delay: Duration::ZERO,
        finished: None,
        account: Account::default(),
    };
    TraceEvent::Commits { by, state }
}

fn hears(who: Who, boot: Duration, holder: Option<Who>, second: i64) -> TraceEvent {
    TraceEvent::Hears { who, boot, triple: triple(holder, second), longest: L }
}

fn sends(who: Who, boot: Duration, base: u128, holder: Option<Who>, second: i64) -> TraceEvent {
    TraceEvent::Sends {
        who,
        boot,
        put: Sent {
            base,
            holder,
            renew_time: renewed(second),
            lease: L,
            starts: 1,
            closed: false,
            decided: boot,
        },
    }
}

fn starts(who: Who, boot: Duration, token: u128) -> TraceEvent {
    TraceEvent::Starts { who, boot, token, run: ("job".into(), 1), within: S }
}

/// Agent 1 takes the free Lease and runs, as it should.
fn rightful() -> Vec<TraceEvent> {
    vec![
        stored(10, None, None, 0),
        hears(1, at(0), None, 0),
        sends(1, at(0), 10, Some(1), 1),
        stored(11, Some(1), Some(1), 1),
        TraceEvent::Arms { who: 1, boot: at(0), deadline: at(0) + D },
        starts(1, at(0), 11),
    ]
}

/// Agent 1 is gone; agent 2 has seen its last renewal.
fn abandoned() -> Vec<TraceEvent> {
    let mut record = rightful();
    record.extend([TraceEvent::Stops { who: 1, boot: at(11) }, hears(2, at(50), Some(1), 1)]);
    record
}

/// Agent 2 takes over on its own clock.
fn takeover(boot: Duration, token: u128) -> Vec<TraceEvent> {
    vec![
        sends(2, boot, 11, Some(2), 2),
        stored(token, Some(2), Some(2), 2),
        TraceEvent::Arms { who: 2, boot, deadline: boot + D },
        starts(2, boot, token),
    ]
}

fn judged(record: impl IntoIterator<Item = TraceEvent>) -> Verdict {
    let mut safety = Safety::default();
    record.into_iter().try_for_each(|event| safety.judge(&event))
}

/// The invariant that `event` breaks after `record`.
fn broken(record: Vec<TraceEvent>, event: TraceEvent) -> String {
    let verdict = judged(record.into_iter().chain([event])).expect_err("this must be rejected");
    verdict.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn a_tenure_and_a_takeover_by_the_rules_are_accepted() {
    assert_eq!(judged(abandoned().into_iter().chain(takeover(at(65), 12))), Ok(()));
}

#[test]
fn two_at_once_are_rejected() {
    let mut record = rightful();
    record.push(hears(2, at(50), Some(1), 1));
    record.extend(takeover(at(65), 12));
    assert!(judged(record).is_err_and(|why| why.starts_with("I1")));
    let asleep = [TraceEvent::Sleeps { who: 1 }, hears(2, at(50), Some(1), 1)];
    let record = rightful().into_iter().chain(asleep).chain(takeover(at(65), 12)).collect();
    assert_eq!(broken(record, TraceEvent::Wakes { who: 1 }), "I1");
}

#[test]
fn a_start_needs_a_deadline_ahead_and_a_fresh_token_of_its_own() {
    let ready = || rightful().into_iter().take(5).collect::<Vec<_>>();
    assert_eq!(broken(ready().into_iter().take(4).collect(), starts(1, at(0), 11)), "I2", "no deadline");
    assert_eq!(broken(ready(), starts(1, at(9), 11)), "I2", "after the renew deadline");
    assert_eq!(broken(ready(), starts(1, at(0), 12)), "I2", "another's token");
    let mut twice = rightful();
    twice.push(TraceEvent::Stops { who: 1, boot: at(1) });
    assert_eq!(broken(twice, starts(1, at(2), 12)), "I2", "a second time");
}

#[test]
fn a_deadline_is_moved_by_proof_alone() {
    let later = TraceEvent::Arms { who: 1, boot: at(3), deadline: at(3) + D };
    let mut record = rightful();
    record.push(sends(1, at(3), 11, Some(1), 4));
    assert_eq!(broken(record.clone(), later.clone()), "I3");
    let mut outcome = record.clone();
    record.extend([stored(12, Some(1), Some(1), 4), later.clone()]);
    assert_eq!(judged(record), Ok(()));
    if let Some(TraceEvent::Sends { put, .. }) = outcome.last_mut() {
        put.closed = true;
    }
    outcome.push(stored(12, Some(1), Some(1), 4));
    assert_eq!(broken(outcome, later), "I3", "an outcome renews nothing");
}

#[test]
fn a_takeover_before_the_lease_is_over_is_rejected() {
    assert_eq!(broken(abandoned(), sends(2, at(64), 11, Some(2), 2)), "I4");
    assert_eq!(broken(abandoned(), sends(3, at(500), 11, Some(3), 2)), "I4", "never seen");
}

#[test]
fn a_takeover_without_the_confirmation_or_time_it_needs_is_rejected() {
    let asked = |strict, cleared, delay| {
        let TraceEvent::Commits { by, state } = stored(12, None, Some(1), 1) else { unreachable!() };
        let word = TraceEvent::Commits {
            by,
            state: State { strict, cleared, delay: Duration::from_secs(delay), ..state },
        };
        abandoned().into_iter().chain([word]).collect::<Vec<_>>()
    };
    let takes = |second| sends(2, at(second), 12, Some(2), 2);
    assert_eq!(
        broken(asked(true, false, 0), takes(900)),
        "I4",
        "the controller does not say that it is gone"
    );
    assert_eq!(broken(asked(true, true, 0), takes(64)), "I4", "a word shortens nothing");
    assert_eq!(judged(asked(true, true, 0).into_iter().chain([takes(65)])), Ok(()));
    assert_eq!(broken(asked(false, false, 10), takes(74)), "I4", "the delay is not over");
    assert_eq!(judged(asked(false, false, 10).into_iter().chain([takes(75)])), Ok(()));
}

#[test]
fn a_release_while_something_runs_is_rejected_and_a_renewal_after_one() {
    assert_eq!(broken(rightful(), sends(1, at(1), 11, None, 2)), "I6");
    let mut record = rightful();
    record.extend([TraceEvent::Stops { who: 1, boot: at(1) }, sends(1, at(1), 11, None, 2)]);
    assert_eq!(broken(record, sends(1, at(2), 11, Some(1), 3)), "rule 9");
}

#[test]
fn a_token_that_does_not_rise_is_rejected() {
    let mut record = abandoned();
    record.extend(takeover(at(65), 12).into_iter().take(3));
    assert_eq!(broken(record, starts(2, at(65), 11)), "I7");
    assert_eq!(broken(abandoned(), stored(9, None, Some(1), 1)), "A3");
}

#[test]
fn a_start_is_taken_back_only_by_a_candidate_that_did_not_make_it() {
    let counted = || {
        let TraceEvent::Commits { by, state } = stored(12, None, Some(1), 1) else { unreachable!() };
        TraceEvent::Commits {
            by,
            state: State { account: Account { starts: 2, ..Account::default() }, ..state },
        }
    };
    let gives_back = || sends(1, at(12), 12, None, 2);
    assert_eq!(broken(abandoned().into_iter().chain([counted()]).collect(), gives_back()), "starts");
    let unstarted = rightful().into_iter().take(5).chain([counted(), gives_back()]);
    assert_eq!(judged(unstarted), Ok(()));
}

#[test]
fn a_renew_time_set_back_within_a_tenure_is_rejected_but_not_at_its_start() {
    assert_eq!(broken(rightful(), sends(1, at(3), 11, Some(1), 0)), "renewTime");
    assert_eq!(broken(rightful(), sends(1, at(3), 11, Some(1), 1)), "renewTime", "the same");
    assert_eq!(broken(abandoned(), sends(1, at(11), 11, None, 0)), "renewTime", "a release");
    assert_eq!(judged(abandoned().into_iter().chain([sends(2, at(65), 11, Some(2), 0)])), Ok(()));
}

#[test]
fn a_run_that_finishes_or_starts_once_it_is_finished_is_rejected() {
    let finished = |version, run: Option<u32>| {
        let TraceEvent::Commits { by, state } = stored(version, Some(1), None, 2) else { unreachable!() };
        TraceEvent::Commits { by, state: State { finished: run.map(|run| ("job".into(), run)), ..state } }
    };
    let mut record = abandoned();
    record.push(finished(20, Some(1)));
    assert_eq!(broken(record.clone(), starts(2, at(65), 21)), "once");
    record.push(finished(21, None));
    assert_eq!(broken(record, finished(22, Some(1))), "once");
}

#[test]
fn a_workload_that_outlives_its_deadline_or_its_agent_is_rejected() {
    assert_eq!(judged(rightful().into_iter().chain([TraceEvent::Stops { who: 1, boot: at(12) }])), Ok(()));
    assert_eq!(broken(rightful(), TraceEvent::Stops { who: 1, boot: at(13) }), "A2");
    assert_eq!(broken(rightful(), TraceEvent::Exits { who: 1, ending: "interrupted" }), "rule 8");
    assert_eq!(broken(rightful(), TraceEvent::Disarms { who: 1 }), "I2");
}

/// Agent 1 holds a Lease with such an account, and then gives it back with another.
fn accounts(held: &Account, given_back: &Account, finished: bool) -> Vec<TraceEvent> {
    let with = |event, account: &Account, finished: bool| {
        let TraceEvent::Commits { by, state } = event else { unreachable!() };
        let finished = finished.then(|| ("job".into(), 1));
        TraceEvent::Commits { by, state: State { account: account.clone(), finished, ..state } }
    };
    vec![
        with(stored(11, Some(1), Some(1), 1), held, false),
        with(stored(12, Some(1), None, 2), given_back, finished),
    ]
}

fn limited(record: impl IntoIterator<Item = TraceEvent>) -> Verdict {
    let mut limits = Limits::default();
    record.into_iter().try_for_each(|event| limits.judge(&event))
}

#[test]
fn what_a_failure_policy_says_and_what_is_done_must_be_the_same() {
    let ruled = Account { fatal: vec![42], ignored: vec![43], ..Account::default() };
    let after = |code, verdict: Option<&str>, failures| {
        let given_back = Account {
            failed_with: Some(code),
            verdict: verdict.map(str::to_owned),
            failures,
            ..ruled.clone()
        };
        limited(accounts(&ruled, &given_back, verdict.is_some()))
    };
    assert_eq!(after(42, Some("FailurePolicy"), 1), Ok(()));
    assert_eq!((after(43, None, 0), after(1, None, 1)), (Ok(()), Ok(())));
    assert!(after(42, None, 1).is_err(), "tried again");
    assert!(after(1, Some("FailurePolicy"), 1).is_err(), "failed for nothing");
    assert!(after(43, None, 1).is_err(), "counted");
    assert!(after(1, Some("DeadlineExceeded"), 1).is_err(), "without a limit");
}

#[test]
fn a_run_beyond_its_time_is_rejected() {
    let limit = |taken| Account { deadline: Some(Duration::from_secs(90)), taken, ..Account::default() };
    let run = |taken, end| {
        let begin =
            accounts(&limit(Duration::from_secs(taken)), &Account::default(), false).into_iter().take(1);
        limited(begin.chain([starts(1, at(0), 11), TraceEvent::Stops { who: 1, boot: at(end) }]))
    };
    assert_eq!((run(0, 90), run(60, 70)), (Ok(()), Ok(())));
    assert!(run(0, 141).is_err() && run(60, 81).is_err(), "too long");
    assert!(run(90, 91).is_err(), "not to be started");
}

#[test]
fn an_agent_that_writes_or_reads_again_and_again_spins() {
    let mut cost = Cost::default();
    cost.pace(Duration::from_secs(3));
    let write = |second: u64| (at(second), sends(1, at(second), 11, Some(1), 2));
    let mut steady = (0..100).map(|turn| write(turn * 3));
    assert_eq!(steady.try_for_each(|(at, event)| cost.judge(at, &event)), Ok(()));
    let mut hasty = (0..20).map(|turn| write(300 + turn / 2));
    assert!(hasty.try_for_each(|(at, event)| cost.judge(at, &event)).is_err());
    let mut reads = (0..50).map(|turn| at(400) + Duration::from_millis(turn * 100));
    assert!(reads.try_for_each(|at| cost.judge(at, &TraceEvent::Reads { who: 2 })).is_err());
}
