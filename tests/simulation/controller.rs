//! The controller, as far as candidates meet it: its own plans, carried out on the simulated server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};
use singletonjob::api::status::LeaseStatus;
use singletonjob::api::takeover::CLEARED_HOLDER;
use singletonjob::api::{
    LeaseTiming, SingletonJob, SingletonJobStatus, UnreachableHolder, UnreachableHolderPolicy,
};
use singletonjob::controller::observe::holder_pod::HolderPodState;
use singletonjob::controller::observe::lease_observations::Observation;
use singletonjob::controller::observe::{Observed, ObservedLease};
use singletonjob::controller::plan;
use singletonjob::controller::plan::clearance;
use singletonjob::controller::plan::directives::{Decisions, Directives};
use singletonjob::controller::plan::handover::Choice;
use singletonjob::controller::plan::run_plan::RunPlan;
use singletonjob::controller::plan::takeover::{self, Creation};
use singletonjob::lease::annotations::{Annotations, CompletionPolicy, Handover, Reason, Released};
use singletonjob::lease::clock::Moment;
use singletonjob::lease::identity::{Identity, Version};
use singletonjob::lease::record::Record;

use crate::clocks::{Clock, RATES};
use crate::faults::Fault;
use crate::rng::Rng;
use crate::trace_event::{LeaseKey, TraceEvent};
use crate::trace_event::{State, who};
use crate::world::{Event, Mutant, World};

const ROUND: Duration = Duration::from_secs(5);
/// Users do not make the next one at once.
const BETWEEN_JOBS: u64 = 20_000;

pub struct Controller {
    pub clock: Clock,
    pub away_until: Duration,
    job: SingletonJob,
    unreachable: UnreachableHolder,
    jobs: u32,
    /// The SingletonJob is gone; a new one of its name comes then.
    next_job: Option<Duration>,
    sighting: Option<(LeaseKey, Moment)>,
    pub handover: Option<Handover>,
    pub succession: Vec<String>,
    handovers: u32,
}

/// A lease duration, and what may be set beside it, in seconds.
pub fn timing(seconds: i32, renew: Option<i32>, grace: Option<i32>, retry: Option<i32>) -> LeaseTiming {
    LeaseTiming {
        lease_duration_seconds: seconds,
        renew_deadline_seconds: renew,
        grace_period_seconds: grace,
        retry_period_seconds: retry,
    }
}

impl Controller {
    pub fn new(unreachable: UnreachableHolder, rng: &mut Rng) -> Self {
        let clock = Clock::new(rng.number(RATES), rng);
        let service = rng.percent(60);
        Self {
            clock,
            away_until: Duration::ZERO,
            job: job(1, service, rng.pick(&[3, 5, 15, 15, 30]).unwrap_or(15), &unreachable),
            unreachable,
            jobs: 1,
            next_job: None,
            sighting: None,
            handover: None,
            succession: Vec::new(),
            handovers: 0,
        }
    }

    pub fn job_uid(&self) -> String {
        self.job.metadata.uid.clone().unwrap_or_default()
    }

    pub fn completion(&self) -> CompletionPolicy {
        if self.job.spec.is_service() { CompletionPolicy::Never } else { CompletionPolicy::OnSuccess }
    }

    pub fn suspend(&mut self, suspended: bool) {
        self.job.spec.suspend = suspended;
    }

    pub fn is_suspended(&self) -> bool {
        self.job.spec.suspend
    }

    pub fn is_between_jobs(&self) -> bool {
        self.next_job.is_some()
    }

    pub fn set_timing(&mut self, timing: LeaseTiming) {
        self.job.spec.lease = timing;
    }

    fn status(&mut self) -> &mut LeaseStatus {
        self.job
            .status
            .get_or_insert_with(SingletonJobStatus::default)
            .lease
            .get_or_insert_with(LeaseStatus::default)
    }

    /// A SingletonJob of the same name; nothing is known of it yet.
    fn begin_next_job(&mut self, service: bool, seconds: i32) {
        self.jobs += 1;
        self.next_job = None;
        self.handover = None;
        self.job = job(self.jobs, service, seconds, &self.unreachable);
    }

    pub fn direct_handover(&mut self, record: &Record, succession: Vec<String>) {
        let Some(holder) = record.holder.clone() else { return };
        self.handovers += 1;
        self.handover = Some(Handover { id: self.handovers.to_string(), holder, reason: Reason::RolledOut });
        self.succession = succession;
    }

    /// For how long the Lease has been as it is, on this controller's clock.
    fn unchanged(&mut self, record: &Record, now: Moment) -> Duration {
        let triple = State::of(record).triple;
        match &self.sighting {
            Some((seen, since)) if *seen == triple => now.elapsed_for_challenger(*since),
            _ => {
                self.sighting = Some((triple, now));
                Duration::ZERO
            }
        }
    }

    fn observe(&mut self, record: Option<&Record>, pods: bool, now: Moment) -> Observed {
        let lease = record.map(|record| {
            let unchanged = self.unchanged(record, now);
            ObservedLease {
                object: Lease::default(),
                record: record.clone(),
                observation: Observation { unchanged, ..Observation::default() },
            }
        });
        Observed { nobody_there: lease.is_none() && !pods, lease, ..Observed::default() }
    }

    /// What status remembers after a look; it lags behind as far as looks do.
    fn report(&mut self, observed: &Observed) {
        let longest = takeover::longest(&self.job, observed);
        let record = observed.lease.as_ref().map(|seen| &seen.record);
        let proven = record.filter(|record| record.acquire_time.is_some());
        let token = record.and_then(token);
        let handled = clearance::confirmation::handled(&self.job, observed);
        self.job.status.get_or_insert_default().last_handled_cleared_holder = handled;
        let status = self.status();
        status.longest_lease_duration_seconds = i32::try_from(longest.as_secs()).ok();
        if let Some(holder) = proven.and_then(|record| record.holder.as_ref()) {
            status.last_holder_identity = Some(holder.to_string());
        }
        let known = status.fencing_token.as_ref().and_then(|token| token.parse::<Version>().ok());
        status.fencing_token = token.max(known).map(|token| token.to_string());
    }
}

fn token(record: &Record) -> Option<Version> {
    let fresh =
        record.holder.is_some() && record.acquire_time.is_some() && record.acquire_time == record.renew_time;
    let said = record.annotations.health.as_ref().and_then(|health| health.token);
    let released = record.annotations.released.as_ref().and_then(|released| released.token);
    fresh.then_some(record.version).max(said).max(released)
}

/// Exit codes of which the failure policies of one-shots speak.
pub const FATAL: i32 = 42;
pub const IGNORED: i32 = 43;

/// Most one-shots have a failure policy, every third has a deadline: some have both.
fn limits(number: u32, service: bool) -> (Value, Value) {
    let rule = |code, action| json!({"onExitCodes": {"operator": "In", "values": [code]}, "action": action});
    let on_lease_loss = if number.is_multiple_of(4) { "Ignore" } else { "Count" };
    let policy =
        json!({"rules": [rule(FATAL, "FailRun"), rule(IGNORED, "Ignore")], "onLeaseLoss": on_lease_loss});
    let only = |wanted: bool, value| if wanted && !service { value } else { Value::Null };
    (only(number % 6 != 3 && number % 6 != 5, policy), only(number.is_multiple_of(3), json!(90)))
}

fn job(number: u32, service: bool, lease_seconds: i32, unreachable: &UnreachableHolder) -> SingletonJob {
    let (failure_policy, deadline) = limits(number, service);
    let (completion, limit) = if service {
        ("Never", None)
    } else {
        ("OnSuccess", Some(if number.is_multiple_of(2) { 1 } else { 6 }))
    };
    let job = json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
        "metadata": {"name": "web", "namespace": "shop", "uid": format!("job-{number}")},
        "spec": {
            "completionPolicy": completion, "backoffLimit": limit, "replicas": 5, "lease": {"leaseDurationSeconds": lease_seconds},
            "failurePolicy": failure_policy, "activeDeadlineSeconds": deadline,
            "takeover": {"unreachableHolder": unreachable},
            "template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}},
        },
    });
    serde_json::from_value(job).expect("a SingletonJob")
}

impl World {
    pub fn look_and_again(&mut self) {
        self.look();
        self.after(ROUND, Event::Look);
    }

    /// One reconciliation.
    pub fn look(&mut self) {
        if self.now < self.controller.away_until {
            return;
        }
        let now = self.controller.clock.now(self.now).at;
        let record = self.server.lease().cloned();
        if let Some(at) = self.controller.next_job {
            return self.between_jobs(at, record.as_deref(), now);
        }
        let pods = self.places.iter().any(|place| place.who.is_some());
        let observed = self.controller.observe(record.as_deref(), pods, now);
        let observed = self.with_fate(observed);
        let Ok(timing) = plan::policy::timing(&self.controller.job) else { return };
        let directives = self.directives(&observed, timing);
        self.judge
            .cost
            .pace(directives.policy.timing().map_or(Duration::ZERO, |timing| timing.retry_period()));
        match &record {
            None => self.make_lease(takeover::creation(&self.controller.job, &observed, timing), &directives),
            Some(_) => self.annotate(&directives),
        }
        self.controller.report(&observed);
        if record.is_some_and(|record| record.is_finished()) {
            self.finish_job();
        }
    }

    /// A pod that was forgotten is gone from the API, and its processes need not be. A person is as easily
    /// deceived.
    fn with_fate(&mut self, observed: Observed) -> Observed {
        let Some(record) = observed.lease.as_ref().map(|seen| &seen.record) else { return observed };
        let runs = record
            .holder
            .as_ref()
            .and_then(|holder| self.processes.get(&who(holder)))
            .is_some_and(|it| it.place.is_some());
        if self.controller.unreachable.policy == UnreachableHolderPolicy::Manual && !runs {
            let holder = record.holder.as_ref().map(ToString::to_string);
            let word = holder.or_else(|| self.controller.status().last_holder_identity.clone());
            let annotations = self.controller.job.metadata.annotations.get_or_insert_default();
            annotations.extend(word.map(|word| (CLEARED_HOLDER.to_owned(), word)));
        }
        let pod = || HolderPodState::Unproven { pod: "web".to_owned(), node: None };
        let asked = clearance::in_question(&self.controller.job, &observed).is_some();
        let holder_pod_state = asked.then(|| if runs { pod() } else { HolderPodState::Gone });
        Observed { holder_pod_state, ..observed }
    }

    fn directives(&mut self, observed: &Observed, timing: singletonjob::lease::timing::Timing) -> Directives {
        let handover = self.controller.handover.take();
        let succession = handover.is_some().then(|| self.controller.succession.clone());
        let now = self.controller.clock.now(self.now).wall;
        let run = RunPlan::noted(&self.controller.job, observed);
        let choice = Choice { handover, succession, ..Choice::default() };
        let decisions = Decisions { timing, run: &run, choice: &choice, spread: None };
        Directives::decide(&self.controller.job, observed, decisions, now)
    }

    fn make_lease(&mut self, creation: Creation, directives: &Directives) {
        let told = Duration::from_secs(directives.policy.lease_duration_seconds.into());
        let creation = if self.is_mutant(Mutant::NoPlaceholder) { Creation::First } else { creation };
        let (holder, lease_duration) = match &creation {
            Creation::First => (None, told),
            Creation::Again { holder, longest_lease } => (Some(holder.clone()), *longest_lease),
        };
        let mut annotations = Annotations::default();
        direct(&mut annotations, directives);
        let record = Record {
            uid: String::new(),
            version: Version(0),
            holder,
            lease_duration,
            acquire_time: None,
            renew_time: None,
            transitions: 0,
            annotations,
        };
        if let Some(made) = self.server.create(self.now, record) {
            self.stored(None, &made);
        }
        if creation == Creation::First {
            self.mark_free();
        }
    }

    fn mark_free(&mut self) {
        let Some(uid) = self.server.lease().map(|lease| lease.uid.clone()) else { return };
        let mark = Released::created(uid, Identity::read("singletonjob-controller"));
        let marked = self.server.annotate(self.now, |annotations| annotations.released = Some(mark));
        if let Some(marked) = marked {
            self.stored(None, &marked);
        }
    }

    fn annotate(&mut self, directives: &Directives) {
        if let Some(annotated) = self.server.annotate(self.now, |annotations| direct(annotations, directives))
        {
            self.coverage.directives += 1;
            self.judge.cost.directed();
            self.stored(None, &annotated);
        }
    }

    /// As a user does who edits it by hand.
    pub fn touch_lease(&mut self) {
        if let Some(touched) =
            self.server.annotate(self.now, |annotations| annotations.succession.push("absent".to_owned()))
        {
            self.stored(None, &touched);
        }
    }

    /// As a person does by hand.
    pub fn empty_lease(&mut self) {
        if let Some(emptied) = self.server.empty(self.now) {
            self.stored(None, &emptied);
        }
    }

    /// Not with an outcome that stands nowhere else: without it, no program could know that the run is
    /// finished.
    pub fn delete_lease(&mut self) {
        if self.server.lease().is_some_and(|lease| !lease.is_finished()) {
            self.server.delete(self.now);
            self.note(TraceEvent::Deletes);
            self.lease_changed();
        }
    }

    fn finish_job(&mut self) {
        let next = self.now + self.chance.millis(1000..=BETWEEN_JOBS);
        self.replace_job(next);
    }

    /// The SingletonJob is deleted, its pods with it; another one of that name comes later.
    pub fn replace_job(&mut self, at: Duration) {
        if self.controller.next_job.is_some() {
            return;
        }
        self.happens(Fault::JobReplaced, None);
        self.controller.next_job = Some(at);
        for number in 0..self.places.len() {
            self.drain(number, false);
        }
        self.queue.push(at, Event::Look);
    }

    /// Its Lease stays until no workload can be running by it.
    fn between_jobs(&mut self, at: Duration, record: Option<&Record>, now: Moment) {
        if let Some(record) = record {
            let told = record.annotations.policy.as_ref().map_or(0, |policy| policy.lease_duration_seconds);
            let longest = record.lease_duration.max(Duration::from_secs(told.into()));
            if record.is_released() || self.controller.unchanged(record, now) >= longest {
                self.delete_lease();
            }
        }
        if self.now < at {
            return;
        }
        let service = self.mischief.percent(40);
        let seconds = self.mischief.pick(&[3, 6, 15]).unwrap_or(15);
        self.controller.begin_next_job(service, seconds);
        self.look();
        let uid = self.controller.job_uid();
        for number in 0..self.places.len() {
            if self.places[number].who.is_none() {
                self.places[number].renew(&uid);
            }
            self.after(Duration::from_millis(100), Event::Launch(number));
        }
    }

    /// Pods of the present SingletonJob that could take over.
    pub fn standbys(&self) -> Vec<String> {
        let holder = self.server.lease().and_then(|lease| lease.holder.as_ref()).map(who);
        let ready =
            self.places.iter().filter(|place| place.who.is_some() && place.who != holder && !place.leaving);
        ready.map(crate::kubelet::Place::pod_uid).collect()
    }
}

fn direct(annotations: &mut Annotations, directives: &Directives) {
    annotations.policy = Some(directives.policy.clone());
    annotations.run = Some(directives.run.clone());
    if let Some(cleared) = &directives.cleared {
        annotations.cleared = Some(cleared.clone());
    }
    if let Some(handover) = &directives.handover {
        annotations.handover = Some(handover.clone());
        annotations.succession = directives.succession.clone().unwrap_or_default();
    }
}
