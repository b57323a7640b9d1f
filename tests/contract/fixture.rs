//! The controller and the candidates of a lifecycle, and the Lease between them. Nothing in here is random:
//! the same lifecycle gives the same writes.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::controller::build::lease as build;
use singletonjob::controller::observe::lease_observations::Observation;
use singletonjob::controller::observe::{Observed, ObservedLease};
use singletonjob::controller::plan;
use singletonjob::controller::plan::directives::{Decisions, Directives};
use singletonjob::controller::plan::handover::Choice;
use singletonjob::controller::plan::run_plan::RunPlan;
use singletonjob::controller::plan::takeover::Creation;
use singletonjob::lease::annotations::{Exit, Handover, Reason};
use singletonjob::lease::clock::{Moment, Now};
use singletonjob::lease::elector::{
    Answer, Candidate, Elector, Fact, Input, Order, Orphan, Output, Source, Write,
};
use singletonjob::lease::identity::{Identity, Version};
use singletonjob::lease::record::Record;
use singletonjob::lease::store;

/// Is given what is written, under a name, and says what is stored.
pub type Shelf<'a> = &'a mut dyn FnMut(&str, Lease) -> Lease;

const JOB_UID: &str = "5f0c2f6e-0b1a-4b43-9d2f-3f1c8e7a6d51";

fn job(spec: &Value) -> SingletonJob {
    let mut all =
        json!({"template": {"spec": {"containers": [{"name": "main", "command": ["/usr/bin/rollup"]}]}}});
    all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let job = json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
        "metadata": {"name": "rollup", "namespace": "billing", "uid": JOB_UID}, "spec": all,
    });
    serde_json::from_value(job).expect("a SingletonJob")
}

/// The controller, and what it works with.
pub struct Fixture<'a> {
    lifecycle: &'static str,
    shelf: Shelf<'a>,
    job: SingletonJob,
    lease: Lease,
    writes: usize,
    milliseconds: u64,
}

impl<'a> Fixture<'a> {
    pub fn new(lifecycle: &'static str, spec: &Value, shelf: Shelf<'a>) -> Self {
        Self { lifecycle, shelf, job: job(spec), lease: Lease::default(), writes: 0, milliseconds: 0 }
    }

    pub fn pass(&mut self, milliseconds: u64) {
        self.milliseconds += milliseconds;
    }

    fn now(&self) -> Now {
        let passed = Duration::from_millis(self.milliseconds);
        let boot = Duration::from_secs(1000) + passed;
        let wall = Timestamp::from_second(1_700_000_000).expect("a time") + passed;
        Now { at: Moment { boot, raw: boot }, wall }
    }

    fn record(&self) -> Record {
        Record::read(&self.lease).expect("it was stored")
    }

    /// As an API server does.
    fn store(&mut self, name: &str, mut lease: Lease) {
        self.writes += 1;
        let uid = format!("a3b1c7d2-0000-4000-8000-{:012}", self.writes);
        lease.metadata.uid.get_or_insert(uid);
        lease.metadata.resource_version = Some((self.writes * 100).to_string());
        self.lease = (self.shelf)(&format!("{}/{:02}-{name}", self.lifecycle, self.writes), lease);
    }

    fn directives(&self, handover: Option<Handover>, line: Option<Vec<String>>) -> Directives {
        let there = self.lease.metadata.uid.is_some();
        let seen = there.then(|| ObservedLease {
            object: self.lease.clone(),
            record: self.record(),
            observation: Observation::default(),
        });
        let observed = Observed { lease: seen, ..Observed::default() };
        let timing = plan::policy::timing(&self.job).expect("it fits");
        let run = RunPlan::noted(&self.job, &observed);
        let choice = Choice { handover, succession: line, ..Choice::default() };
        let decisions = Decisions { timing, run: &run, choice: &choice, spread: None };
        Directives::decide(&self.job, &observed, decisions, self.now().wall)
    }

    /// The very first Lease, for the candidate that comes first.
    pub fn makes(&mut self) {
        self.store("made", build::new(&self.job, &Creation::First, &self.directives(None, None)));
        self.store("free", build::marked_free(&self.lease));
    }

    /// It was deleted under its holder.
    pub fn makes_again(&mut self, name: &str) {
        let holder = self.record().holder.expect("held");
        self.remembers(
            &json!({"lastHolderIdentity": holder, "fencingToken": self.lease.metadata.resource_version}),
        );
        self.lease = Lease::default();
        let creation = Creation::Again { holder, longest_lease: Duration::from_secs(15) };
        self.store(name, build::new(&self.job, &creation, &self.directives(None, None)));
    }

    fn remembers(&mut self, lease: &Value) {
        let mut all = json!({"name": "rollup"});
        all.as_object_mut().expect("an object").extend(lease.as_object().expect("an object").clone());
        self.job.status = Some(serde_json::from_value(json!({"lease": all})).expect("a status"));
    }

    fn annotates(&mut self, name: &str, handover: Option<Handover>, line: Option<Vec<String>>) {
        let directives = self.directives(handover, line);
        self.store(name, build::with_directives(&self.lease, &directives).expect("something new"));
    }

    /// To the candidate of that number, as a rollout does.
    pub fn asks_to_hand_over(&mut self, name: &str, to: u32) {
        let holder = self.record().holder.expect("held");
        let asked = Handover { id: "rollout-1".to_owned(), holder, reason: Reason::RolledOut };
        self.annotates(name, Some(asked), Some(vec![pod_uid(to)]));
    }

    pub fn suspends(&mut self, name: &str, suspend: bool) {
        self.job.spec.suspend = suspend;
        self.annotates(name, None, None);
    }

    /// Once it is written down in status, as a longer lease has to be.
    pub fn sets_lease(&mut self, name: &str, seconds: i32) {
        self.job.spec.lease.lease_duration_seconds = seconds;
        self.remembers(&json!({"longestLeaseDurationSeconds": seconds.max(15)}));
        self.annotates(name, None, None);
    }
}

fn pod_uid(number: u32) -> String {
    format!("7d9e4c10-0000-4000-8000-{number:012}")
}

/// A candidate: its elector, and what that has ordered.
pub struct Agent {
    candidate: Candidate,
    elector: Elector,
    token: Option<Version>,
    orders: Vec<Order>,
    ended: bool,
}

impl Agent {
    /// It knows nothing yet.
    pub fn new(fixture: &Fixture<'_>, number: u32) -> Self {
        let identity = Identity::new(&format!("rollup-{number}"), &pod_uid(number), number.into());
        let candidate = Candidate::new(identity, JOB_UID, Duration::from_secs(28));
        Self {
            elector: Elector::new(candidate.clone(), fixture.now()),
            candidate,
            token: None,
            orders: Vec::new(),
            ended: false,
        }
    }

    /// One step, with every read answered at once; the write that came of it.
    fn told(&mut self, fixture: &Fixture<'_>, input: Input) -> Option<(u64, Write)> {
        let (mut inputs, mut put) = (VecDeque::from([input]), None);
        while let Some(input) = inputs.pop_front() {
            for output in self.elector.step(fixture.now(), input) {
                match output {
                    Output::Read { .. } => {
                        inputs.push_back(Input::Saw(Box::new(fixture.record()), Source::Read));
                    }
                    Output::Put { attempt, write, .. } => put = Some((attempt, *write)),
                    Output::Order(order) => self.orders.push(order),
                    Output::Exit(_) => self.ended = true,
                }
            }
        }
        put
    }

    fn writes(&mut self, fixture: &mut Fixture<'_>, name: &str, input: Input) {
        let (attempt, write) = self
            .told(fixture, input)
            .unwrap_or_else(|| panic!("{}/{name} is not written", fixture.lifecycle));
        fixture.store(name, store::overlay(&fixture.lease, &write));
        let answer = Answer::Stored(Box::new(fixture.record()));
        assert!(self.told(fixture, Input::Answered { attempt, answer }).is_none());
    }

    /// Reads the Lease. It is too late on its feet to take it.
    pub fn looks(&mut self, fixture: &Fixture<'_>) {
        self.is_told(fixture, Fact::Lateness(Duration::from_secs(60)));
    }

    /// Takes the Lease, once those had their turn who come before it, and starts the workload.
    pub fn takes(&mut self, fixture: &mut Fixture<'_>, name: &str) {
        self.looks(fixture);
        fixture.pass(1000);
        self.writes(fixture, name, Input::Told(Fact::Lateness(Duration::ZERO)));
        assert!(
            self.orders.iter().any(|order| matches!(order, Order::Start(_))),
            "{}/{name}: {:?}",
            fixture.lifecycle,
            self.orders
        );
        self.token = Some(fixture.record().version);
    }

    pub fn renews(&mut self, fixture: &mut Fixture<'_>, name: &str) {
        fixture.pass(3000);
        self.writes(fixture, name, Input::Tick);
    }

    pub fn hears(&mut self, fixture: &Fixture<'_>) {
        self.says_at_most_that_it_stops(fixture, Input::Saw(Box::new(fixture.record()), Source::Watch));
    }

    /// And that is lost on its way: these lifecycles are older than the agents that say so.
    fn says_at_most_that_it_stops(&mut self, fixture: &Fixture<'_>, input: Input) {
        if let Some((attempt, write)) = self.told(fixture, input) {
            assert!(
                write.health.is_some_and(|health| health.stopping.is_some()),
                "{}: nothing is to be written",
                fixture.lifecycle
            );
            assert!(
                self.told(fixture, Input::Answered { attempt, answer: Answer::Unknown("lost".to_owned()) })
                    .is_none()
            );
        }
    }

    /// Its workload is told to stop, and the Lease that it is.
    pub fn is_drained(&mut self, fixture: &mut Fixture<'_>, name: &str) {
        self.writes(fixture, name, Input::Told(Fact::Drain));
        assert_eq!(self.orders.last(), Some(&Order::Terminate), "{}/{name}", fixture.lifecycle);
    }

    pub fn is_told(&mut self, fixture: &Fixture<'_>, fact: Fact) {
        self.says_at_most_that_it_stops(fixture, Input::Told(fact));
    }

    /// Its workload ends, by itself or because it was told to; the Lease is given back.
    pub fn gives_back(&mut self, fixture: &mut Fixture<'_>, name: &str, exit: Exit) {
        fixture.pass(100);
        self.is_told(fixture, Fact::WorkloadEnded(exit));
        assert_eq!(self.orders.last(), Some(&Order::Kill), "{}/{name}", fixture.lifecycle);
        self.writes(fixture, name, Input::Told(Fact::TreeEmpty));
        assert!(self.ended, "{}/{name}: {:?}", fixture.lifecycle, self.orders);
    }

    pub fn stops(&mut self, fixture: &mut Fixture<'_>, name: &str) {
        assert_eq!(self.orders.last(), Some(&Order::Terminate), "{}/{name}", fixture.lifecycle);
        self.gives_back(fixture, name, Exit::Code(0));
    }

    /// No answer to anything, until its workload is told to stop.
    pub fn hears_nothing_more(&mut self, fixture: &mut Fixture<'_>) {
        while self.orders.last() != Some(&Order::Terminate) {
            fixture.pass(500);
            let mut put = self.told(fixture, Input::Tick);
            while let Some((attempt, _)) = put {
                put = self.told(
                    fixture,
                    Input::Answered { attempt, answer: Answer::Unknown("no answer".to_owned()) },
                );
            }
        }
    }

    /// The elector is killed; PID 1 has the last word.
    pub fn dies(self, fixture: &mut Fixture<'_>, name: &str) {
        let orphan = Orphan { token: self.token, exit: None, cause: None, overdue: false, in_doubt: None };
        let write =
            orphan.release(&fixture.record(), &self.candidate.identity, fixture.now()).expect("it held");
        fixture.store(name, store::overlay(&fixture.lease, &write));
    }

    /// For so long and not longer: then it would take the Lease, which is not stored.
    pub fn waits(&mut self, fixture: &mut Fixture<'_>, seconds: u64) {
        for _ in 0..seconds {
            assert!(
                self.told(fixture, Input::Tick).is_none(),
                "{}: it does not wait for {seconds} s",
                fixture.lifecycle
            );
            fixture.pass(1000);
        }
        assert!(
            self.told(fixture, Input::Tick).is_some(),
            "{}: it waits for longer than {seconds} s",
            fixture.lifecycle
        );
    }

    pub fn takes_nothing(&mut self, fixture: &mut Fixture<'_>) {
        for _ in 0..600 {
            assert!(
                self.told(fixture, Input::Tick).is_none(),
                "{}: nothing is left to do",
                fixture.lifecycle
            );
            fixture.pass(1000);
        }
    }
}
