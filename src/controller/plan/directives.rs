//! Decides, compares and writes the directives of the controller in a Lease.
//!
//! A new directive is a field of [`Directives`], a line in [`Directives::decide`], one in
//! [`Directives::fingerprint`], one in [`Directives::are_in`] and one in [`Directives::write`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;

use super::super::observe::Observed;
use super::clearance;
use super::handover::request::HandoverAnswer;
use super::handover::{self, Choice};
use super::policy::policy;
use super::run_plan::RunPlan;
use super::runs::Closed;
use super::wanted_run::wanted;
use crate::api::SingletonJob;
use crate::lease::annotations::{
    self, Annotations, Cleared, Desired, FailedPod, Handover, Policy, Run, Spread, Ticks, keys,
};
use crate::lease::identity::Identity;
use crate::lease::timing::Timing;

/// The decisions of a plan that its directives say.
#[derive(Clone, Debug)]
pub struct Decisions<'a> {
    /// The durations of the spec.
    pub timing: Timing,
    /// The run of the job.
    pub run: &'a RunPlan,
    /// The handover, and the order of the standbys.
    pub choice: &'a Choice,
    /// What the controller tried in order to have candidates on several nodes.
    pub spread: Option<Spread>,
}

/// The directives of the controller in one Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// What candidates obey.
    pub policy: Policy,
    /// The run that candidates should execute, or stop.
    pub run: Run,
    /// What became of the ticks of a schedule. `None` keeps the annotation.
    pub ticks: Option<Ticks>,
    /// The holder that should hand over. `None` keeps an earlier request, which only candidates remove.
    pub handover: Option<Handover>,
    /// The statement that a silent holder is gone. `None` keeps the annotation, which only candidates remove.
    pub cleared: Option<Cleared>,
    /// The order in which candidates take over. `None` keeps the annotation.
    pub succession: Option<Vec<String>>,
    /// The user's request that the controller grants with `handover`. `None` keeps the annotation.
    pub granted: Option<String>,
    /// The hash of the template from which the Lease was, or is to be, handed back. `None` removes the
    /// annotation.
    pub handed_back: Option<String>,
    /// What the controller tried in order to have candidates on several nodes. `None` removes the annotation.
    pub spread: Option<Spread>,
}

impl Directives {
    /// The directives that every Lease has.
    pub fn new(policy: Policy, run: Run) -> Self {
        Self {
            policy,
            run,
            ticks: None,
            handover: None,
            cleared: None,
            succession: None,
            granted: None,
            handed_back: None,
            spread: None,
        }
    }

    /// Decides what the Lease of `job` should say.
    pub fn decide(job: &SingletonJob, observed: &Observed, decisions: Decisions<'_>, now: Timestamp) -> Self {
        let Decisions { timing, run, choice, spread } = decisions;
        let granted =
            choice.request.as_ref().filter(|request| matches!(request.answer, HandoverAnswer::Granted(_)));
        Self {
            policy: policy(job, observed, timing),
            run: wanted(job, observed, run, now),
            ticks: run.schedule.as_ref().map(|schedule| schedule.ticks.clone()),
            handover: choice.handover.clone().filter(|handover| !is_asked(observed, handover)),
            cleared: clearance::cleared(job, observed),
            succession: choice.succession.clone(),
            granted: granted.map(|request| request.text.clone()),
            handed_back: choice.handed_back.clone(),
            spread,
        }
    }

    /// A hash of what the directives ask for. It leaves out the moments at which the controller decides, so
    /// that the same decision has the same hash at every look.
    pub fn fingerprint(&self) -> String {
        let Self { policy, run, ticks, handover, cleared, succession, granted, handed_back, spread } = self;
        let Run { uid, number, desired, scheduled_time, reason, resumptions, since: _, failed_pods } = run;
        let ticks = ticks.as_ref().map(|ticks| {
            // A decision that settles a tick changes one of the others too.
            let Ticks { uid, schedule, settled: _, last, missed, paused, request } = ticks;
            (uid, schedule, last, missed, paused, request)
        });
        let handover = handover.as_ref().map(|handover| (handover.holder.as_str(), handover.reason));
        let tries = spread.as_ref().map(|spread| spread.tries);
        let mut hasher = DefaultHasher::new();
        (uid, number, desired, scheduled_time, reason, resumptions, failed_pods).hash(&mut hasher);
        (policy, ticks, handover, cleared, succession, granted, handed_back, tries).hash(&mut hasher);
        format!("{:x}", hasher.finish())
    }

    /// The directives that are true of `lease`. It may have changed hands since the controller found a holder
    /// to be gone.
    #[must_use]
    pub fn about(&self, lease: &Lease) -> Self {
        let cleared = self.cleared.clone().filter(|cleared| is_about(cleared, lease));
        Self { cleared, ..self.clone() }
    }

    /// Whether the Lease says all these directives.
    pub fn are_in(&self, says: &Annotations) -> bool {
        let Self { policy, run, ticks, handover, cleared, succession, granted: _, handed_back, spread } =
            self;
        says.policy.as_ref() == Some(policy)
            && says.run.as_ref() == Some(run)
            && (ticks.is_none() || says.ticks == *ticks)
            && (handover.is_none() || says.handover == *handover)
            && (cleared.is_none() || says.cleared == *cleared)
            && succession.as_ref().is_none_or(|line| says.succession == *line)
            && says.handed_back == *handed_back
            && says.spread == *spread
    }

    /// Writes all these directives into `annotations`.
    pub fn write(&self, annotations: &mut BTreeMap<String, String>) {
        let Self { policy, run, ticks, handover, cleared, succession, granted, handed_back, spread } = self;
        annotations::write(annotations, keys::POLICY, Some(policy));
        annotations::write(annotations, keys::RUN, Some(run));
        annotations::write(annotations, keys::HANDED_BACK, handed_back.as_ref());
        annotations::write(annotations, keys::SPREAD, spread.as_ref());
        annotations::write_if_some(annotations, keys::TICKS, ticks.as_ref());
        annotations::write_if_some(annotations, keys::CLEARED, cleared.as_ref());
        annotations::write_if_some(annotations, keys::HANDOVER, handover.as_ref());
        annotations::write_if_some(annotations, keys::SUCCESSION, succession.as_ref());
        annotations::write_if_some(annotations, keys::HANDLED_REQUEST, granted.as_ref());
    }

    /// The handover that the Lease does not ask for yet. `None` if there is none.
    pub fn new_handover(&self, says: &Annotations) -> Option<&Handover> {
        self.handover.as_ref().filter(|handover| says.handover.as_ref() != Some(handover))
    }

    /// The failed pods that the Lease does not name yet.
    pub fn new_failed_pods(&self, says: &Annotations) -> Vec<FailedPod> {
        let named = says.run.as_ref().map_or(&[][..], |run| &run.failed_pods);
        let is_new = |pod: &&FailedPod| named.iter().all(|known| known.uid != pod.uid);
        self.run.failed_pods.iter().filter(is_new).cloned().collect()
    }

    /// Whether these directives, decided from `before`, may overwrite what the Lease `says` now. Meanwhile
    /// another controller may have taken a tick, tried another node or rejected a template. Candidates may
    /// also have begun, or finished, the run that another is to follow.
    pub fn may_follow(&self, before: &Annotations, says: &Annotations) -> bool {
        let closes = self.run.desired == Desired::Stop
            && self.run.reason.as_deref() == Some(Closed::DeadlineExceeded.reason());
        let decides_anew = (self.ticks.is_some() || closes) && before.run.as_ref() != Some(&self.run);
        let unchanged = before.progress == says.progress && before.finished == says.finished;
        let remembered = before.handed_back == says.handed_back && before.spread == says.spread;
        before.run == says.run && before.ticks == says.ticks && remembered && (unchanged || !decides_anew)
    }
}

fn is_asked(observed: &Observed, wanted: &Handover) -> bool {
    let asked = observed.lease.as_ref().and_then(|lease| lease.record.annotations.handover.as_ref());
    asked.is_some_and(|asked| {
        asked.holder == wanted.holder && handover::is_under_way(Some(asked.reason), wanted.reason)
    })
}

fn is_about(cleared: &Cleared, lease: &Lease) -> bool {
    let holder = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .filter(|holder| !holder.is_empty());
    lease.uid().as_ref() == Some(&cleared.lease_uid)
        && holder == cleared.holder.as_ref().map(Identity::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{act, job, now, settled, there};
    use super::*;

    fn directives() -> Directives {
        act(&job(json!({"activeDeadlineSeconds": 60}), settled()), &there(None, vec![])).directives
    }

    fn ticks(missed: u64, settled: Timestamp) -> Ticks {
        let (uid, schedule) = ("j".to_owned(), "0 * * * * UTC".to_owned());
        Ticks { uid, schedule, settled, last: None, missed, paused: false, request: None }
    }

    #[test]
    fn a_refused_write_pauses_no_write_of_other_directives() {
        let same = directives();
        let cleared =
            |holder: &str| Some(Cleared { lease_uid: "l".to_owned(), holder: Some(Identity::read(holder)) });
        let line = |uid: &str| Some(vec![uid.to_owned()]);
        let table = [
            ("the holder is gone", Directives { cleared: cleared("web-1_u1_0"), ..same.clone() }),
            ("another one is", Directives { cleared: cleared("web-2_u2_0"), ..same.clone() }),
            ("there is a schedule", Directives { ticks: Some(ticks(0, now())), ..same.clone() }),
            ("a tick is missed", Directives { ticks: Some(ticks(1, now())), ..same.clone() }),
            ("there is an order", Directives { succession: line("u1"), ..same.clone() }),
            ("there is another", Directives { succession: line("u2"), ..same.clone() }),
            ("a request is granted", Directives { granted: Some("now".to_owned()), ..same.clone() }),
            ("a template is rejected", Directives { handed_back: Some("new".to_owned()), ..same.clone() }),
            (
                "another node is tried",
                Directives { spread: Some(Spread { tries: 1, last: now() }), ..same.clone() },
            ),
        ];
        let mut known = vec![("nothing else", same.fingerprint())];
        for (what, directives) in table {
            let fingerprint = directives.fingerprint();
            let alike = known.iter().find(|(_, known)| *known == fingerprint);
            assert_eq!(alike, None, "{what}");
            known.push((what, fingerprint));
        }
    }

    #[test]
    fn the_same_directives_are_the_same_whenever_they_are_decided() {
        let at = |moment: Timestamp| {
            let run = Run { since: Some(moment), ..directives().run };
            let spread = Some(Spread { tries: 1, last: moment });
            Directives { run, ticks: Some(ticks(0, moment)), spread, ..directives() }.fingerprint()
        };
        assert_eq!(at(now()), at(now() + std::time::Duration::from_secs(1)));
    }
}
