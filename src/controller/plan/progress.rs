//! Decides whether a rollout makes progress. A template that cannot start holds the rollout up and does no
//! harm, but the controller tells the user in the end.
//!
//! The deadline counts from what the pods say. Every controller thus comes to the same moment, and none has
//! to remember when it first looked.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::candidates::alive;
use super::runs;
use super::time::left;
use crate::api::SingletonJob;

/// How long a rollout waits for a candidate before the controller calls that a failure. A Deployment allows
/// as long by default.
pub const DEADLINE: Duration = Duration::from_secs(600);

/// A candidate of the new template that a rollout waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// Since when it could not take over, was not ready as the holder, or was there at all.
    pub since: Timestamp,
}

impl Awaited<'_> {
    /// How long the candidate may still take.
    pub fn left(&self, now: Timestamp) -> Duration {
        left(self.since, DEADLINE, now)
    }
}

/// The candidate that a rollout has waited for longest. `None` if there is no rollout, or if it waits for no
/// candidate.
pub fn awaited<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<Awaited<'a>> {
    let rolls_out = !job.spec.is_stopped()
        && !runs::is_over(job, observed)
        && alive(observed).any(|candidate| !observed.is_current(candidate));
    if !rolls_out {
        return None;
    }
    let new = || observed.candidates.iter().filter(|candidate| observed.is_current(candidate));
    let newest_able = new()
        .filter(|candidate| candidate.can_take_over)
        .map(|candidate| candidate.number)
        .max()
        .unwrap_or(0);
    // One that ended before it was able to take over has been waited for too, until another was in its place.
    let failed = |candidate: &Candidate| candidate.was_in_vain() && candidate.number > newest_able;
    let waits =
        new().filter(|candidate| !observed.serves(candidate) && (candidate.is_alive() || failed(candidate)));
    waits
        .filter_map(|candidate| Some(Awaited { candidate, since: since(observed, candidate)? }))
        .min_by_key(|it| it.since)
}

/// Since when a rollout waits for `candidate`. It waits for a holder since its takeover, because a standby
/// may be unready by design.
fn since(observed: &Observed, candidate: &Candidate) -> Option<Timestamp> {
    let since = candidate.unready_since.or(candidate.since)?;
    if !observed.is_holder(candidate) {
        return Some(since);
    }
    observed.lease.as_ref()?.record.acquire_time.max(Some(since))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{act, job, now, old, one_shot, pod, service, settled, there};
    use super::*;
    use crate::controller::observe::candidate::End;
    use crate::controller::observe::candidate::Phase;

    fn ago(seconds: u64) -> Timestamp {
        now() - Duration::from_secs(seconds)
    }

    /// A candidate of the new template, made so long ago.
    fn made(number: i64, ready: bool, seconds: u64) -> Candidate {
        Candidate { since: Some(ago(seconds)), ..pod(number, ready) }
    }

    fn refused(number: i64, seconds: u64) -> Candidate {
        let end = End {
            succeeded: false,
            exit_code: None,
            reason: Some("OutOfcpu".into()),
            message: None,
            at: Some(ago(seconds)),
            fault_of_pod: None,
            disrupted: false,
        };
        Candidate { phase: Phase::Terminated(end), ..made(number, false, seconds) }
    }

    fn waits(job: &SingletonJob, candidates: Vec<Candidate>) -> Option<(String, u64)> {
        let observed = there(Some(1), candidates);
        awaited(job, &observed).map(|awaited| (awaited.candidate.name.clone(), awaited.left(now()).as_secs()))
    }

    fn stopped(spec: Value) -> SingletonJob {
        job(spec, settled())
    }

    #[test]
    fn a_rollout_waits_for_the_new_pod_that_is_unready_for_the_least_time() {
        let was_ready = Candidate { unready_since: Some(ago(5)), ..made(3, false, 100_000) };
        let leaving = Candidate { phase: Phase::Terminating, ..made(3, false, 700) };
        let table = vec![
            ("just made", service(2), vec![old(1), old(2), made(3, false, 1)], Some(("web-3", 599))),
            ("for too long", service(2), vec![old(1), old(2), made(3, false, 600)], Some(("web-3", 0))),
            (
                "one of two",
                service(3),
                vec![old(1), made(3, true, 900), made(4, false, 30)],
                Some(("web-4", 570)),
            ),
            (
                "the older of two",
                service(3),
                vec![old(1), made(3, false, 50), made(4, false, 30)],
                Some(("web-3", 550)),
            ),
            ("ready until lately", service(2), vec![old(1), was_ready], Some(("web-3", 595))),
            (
                "refused by its node",
                service(2),
                vec![old(1), refused(3, 400), made(4, false, 10)],
                Some(("web-3", 200)),
            ),
            (
                "replaced by one that is ready",
                service(2),
                vec![old(1), refused(3, 400), made(4, true, 10)],
                None,
            ),
            (
                "a running attempt is left alone",
                one_shot(2),
                vec![old(1), made(3, false, 600)],
                Some(("web-3", 0)),
            ),
            ("all ready", service(2), vec![old(1), made(3, true, 900)], None),
            ("on its way out", service(2), vec![old(1), leaving], None),
            ("no rollout", service(2), vec![made(1, true, 900), made(2, false, 900)], None),
            ("rolled back", service(2), vec![made(1, true, 900), Candidate { ready: false, ..old(3) }], None),
            ("suspended", stopped(json!({"suspend": true})), vec![old(1), made(3, false, 900)], None),
            ("scaled to zero", service(0), vec![old(1), made(3, false, 900)], None),
        ];
        for (what, job, candidates, expected) in table {
            assert_eq!(
                waits(&job, candidates),
                expected.map(|(name, left)| (name.to_owned(), left)),
                "{what}"
            );
        }
    }

    #[test]
    fn a_holder_is_waited_for_from_when_it_took_over() {
        let standing_by =
            Candidate { unready_since: Some(ago(5000)), has_held: true, ..made(3, false, 5000) };
        let mut observed = there(Some(3), vec![old(1), standing_by]);
        observed.lease.as_mut().expect("a Lease").record.acquire_time = Some(ago(20));
        assert_eq!(awaited(&service(2), &observed).map(|awaited| awaited.left(now()).as_secs()), Some(580));
    }

    #[test]
    fn the_deadline_is_looked_at_when_it_is_due() {
        let look = |seconds| {
            act(&service(2), &there(Some(1), vec![old(1), old(2), made(3, false, seconds)])).next_look
        };
        assert_eq!(
            [look(595), look(600)].map(|look| look.expect("one").as_secs()),
            [5, 16],
            "then nothing but the lease is waited for"
        );
    }
}
