//! What others wrote is never a reason to crash: everything that is parsed, and what is decided from it,
//! under arbitrary input.
//!
//! Anybody with rights on Leases can write anything into one, and a candidate that crashed over it would take
//! the others with it. `make fuzz CASES=1000000` goes on for longer; a failing input is printed in its
//! smallest form.

mod leases;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use leases::{arbitrary_lease, candidate, hostile_json};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use singletonjob::agent::config::Config;
use singletonjob::api::checks::calendar::Calendar;
use singletonjob::contract::LeaseFile;
use singletonjob::lease::annotations::{Annotations, Exit, Policy};
use singletonjob::lease::clock::{Moment, Now};
use singletonjob::lease::elector::{Answer, Elector, Fact, Input, Order, Output, Source, Write};
use singletonjob::lease::identity::{Identity, Version};
use singletonjob::lease::record::Record;

/// For all that is asked of one schedule, on a busy machine.
const LONGEST_SEARCH: Duration = Duration::from_secs(2);
/// Characters of cron in any order, fields of numbers, fields with a name or an extension in any place, and
/// any text.
const CRON: &str = r"[-0-9*/,?LW#+@ ]{0,20}|([-0-9*/,]{1,5} ){4}[-0-9*/,#L]{1,5}|([-0-9*/,]{0,3}(JAN|Sun|[LW0-9*])[-0-9*/,#LW]{0,3} ){5}|.*";

/// One thing after another that a candidate may meet.
#[derive(Clone, Debug)]
enum Event {
    Sees(Box<Lease>, bool),
    Gone,
    Answered(u8),
    Ended(i32),
    Waits(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (arbitrary_lease(), any::<bool>()).prop_map(|(lease, read)| Event::Sees(Box::new(lease), read)),
        1 => Just(Event::Gone),
        3 => any::<u8>().prop_map(Event::Answered),
        1 => any::<i32>().prop_map(Event::Ended),
        4 => (0_u32..120_000).prop_map(Event::Waits),
    ]
}

/// An elector and the moment it is.
struct Life {
    elector: Elector,
    now: Now,
    started: bool,
    seen: Option<Record>,
    asked: Vec<(u64, Write)>,
}

impl Life {
    fn new() -> Self {
        let boot = Duration::from_secs(1000);
        let now =
            Now { at: Moment { boot, raw: boot }, wall: "2026-11-21T12:00:00Z".parse().expect("a time") };
        Self { elector: Elector::new(candidate(), now), now, started: false, seen: None, asked: Vec::new() }
    }

    fn live(&mut self, events: Vec<Event>) {
        for event in events {
            self.meet(event);
        }
    }

    fn meet(&mut self, event: Event) {
        match event {
            Event::Sees(lease, read) => {
                if let Ok(record) = Record::read(&lease) {
                    let source = if read { Source::Read } else { Source::Watch };
                    self.seen = Some(record.clone());
                    self.step(Input::Saw(Box::new(record), source));
                }
            }
            Event::Gone => self.step(Input::Missing),
            Event::Answered(how) => self.answer(how),
            Event::Ended(code) if self.started => {
                self.step(Input::Told(Fact::WorkloadEnded(Exit::Code(code))));
            }
            Event::Ended(_) => {}
            Event::Waits(milliseconds) => self.wait(Duration::from_millis(u64::from(milliseconds))),
        }
    }

    fn answer(&mut self, how: u8) {
        let Some((attempt, write)) = self.asked.pop() else { return };
        let answer = match how % 6 {
            0 => Answer::Conflict,
            1 => Answer::Refused("no".into()),
            2 => Answer::Unknown("lost".into()),
            _ => Answer::Stored(Box::new(self.store(write))),
        };
        self.step(Input::Answered { attempt, answer });
    }

    fn store(&self, write: Write) -> Record {
        let before = self.seen.clone().expect("a write follows on what was seen");
        Record {
            uid: write.uid,
            version: Version(write.base.0.saturating_add(1)),
            holder: write.holder,
            lease_duration: write.lease_duration,
            acquire_time: write.acquire_time,
            renew_time: Some(write.renew_time),
            transitions: write.transitions,
            annotations: Annotations {
                progress: write.progress,
                released: write.released,
                finished: write.finished,
                handover: if write.drop_directives { None } else { before.annotations.handover },
                cleared: if write.drop_directives { None } else { before.annotations.cleared },
                ..before.annotations
            },
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now.at.boot += time;
        self.now.at.raw += time;
        self.now.wall += time;
        self.step(Input::Tick);
    }

    /// Also: the same input gives the same outputs.
    fn step(&mut self, input: Input) {
        let mut twin = self.elector.clone();
        let outputs = self.elector.step(self.now, input.clone());
        assert_eq!(outputs, twin.step(self.now, input));
        for output in outputs {
            match output {
                Output::Put { attempt, write, .. } => self.asked.push((attempt, *write)),
                Output::Order(Order::Start(_)) => {
                    assert!(!self.started, "started twice");
                    self.started = true;
                }
                Output::Order(Order::Kill) => self.step(Input::Told(Fact::TreeEmpty)),
                Output::Order(_) | Output::Read { .. } | Output::Exit(_) => {}
            }
        }
        assert!(!self.elector.wakes_in(self.now).is_zero());
    }
}

fn lives() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(event(), 1..40)
}

/// Or nothing would be shown about what a holder makes of what it reads.
#[test]
fn what_is_tried_is_odd_but_not_hopeless() {
    let mut runner = TestRunner::deterministic();
    let mut starts = || {
        let mut life = Life::new();
        life.live(lives().new_tree(&mut runner).expect("no filter").current());
        life.started
    };
    let started = (0..200).map(|_| starts()).filter(|started| *started).count();
    assert!(started > 20, "{started} of 200 lives came to a start");
}

proptest! {
    #[test]
    fn whatever_stands_in_a_lease_a_candidate_lives_on(events in lives()) {
        let mut life = Life::new();
        life.live(events);
    }

    #[test]
    fn a_policy_of_any_numbers_is_obeyed_or_refused(policy in hostile_json(leases::policy())) {
        if let Ok(policy) = serde_json::from_value::<Policy>(policy)
            && let Ok(timing) = policy.timing()
        {
            prop_assert!(timing.renew_deadline() + timing.grace_period() <= timing.hard_deadline());
            prop_assert!(timing.hard_deadline() + timing.kill_margin() <= timing.lease_duration());
            prop_assert!(!timing.request_deadline().is_zero());
        }
    }

    #[test]
    fn what_the_workload_reads_of_its_lease_comes_back_as_it_was_written(standing in hostile_json(leases::standing())) {
        if let Ok(standing) = serde_json::from_value::<LeaseFile>(standing) {
            let text = serde_json::to_string(&standing).expect("plain data");
            prop_assert_eq!(serde_json::from_str::<LeaseFile>(&text).expect("its own words"), standing);
        }
    }

    #[test]
    fn a_file_of_any_bytes_is_a_standing_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _: Result<LeaseFile, _> = serde_json::from_slice(&bytes);
        let _: Result<Value, _> = serde_json::from_slice(&bytes);
    }

    #[test]
    fn an_identity_of_any_text_has_a_pod_to_show(text in any::<String>()) {
        let identity = Identity::read(text.clone());
        prop_assert_eq!(identity.as_str(), &text);
        prop_assert!(text.contains(identity.pod()) && text.contains(identity.pod_uid().unwrap_or_default()));
    }

    #[test]
    fn a_version_is_a_decimal_number_or_refused(text in "[0-9]{0,45}|.*") {
        match text.parse::<Version>() {
            Ok(version) => prop_assert_eq!(version.to_string(), text),
            Err(error) => prop_assert!(error.to_string().contains("KEP-5504")),
        }
    }

    #[test]
    fn a_schedule_of_any_text_is_read_or_explained_and_its_ticks_rise(
        cron in CRON,
        zone in prop_oneof![Just(None), "Europe/Stockholm|Pacific/Apia|UTC|[A-Z][a-z/]{0,9}|.*".prop_map(Some)],
        since in -377_705_023_201_i64..253_402_207_200,
        long in 0_i64..10_000_000_000,
    ) {
        let schedule = json!({"cron": cron, "timeZone": zone});
        match Calendar::read(&serde_json::from_value(schedule).expect("a schedule")) {
            Err(error) => prop_assert!(error.starts_with("spec.schedule.") && error.contains("write "), "{}", error),
            Ok(calendar) => {
                let began = Instant::now();
                let since = Timestamp::from_second(since).expect("in range");
                let now = since.checked_add(SignedDuration::from_secs(long)).unwrap_or(Timestamp::MAX);
                let due = calendar.due(since, now);
                prop_assert!(due.latest.is_none_or(|latest| latest > since && latest <= now && due.previous.is_none_or(|previous| previous < latest)));
                prop_assert!(calendar.after(now).is_none_or(|next| next > now));
                prop_assert!(began.elapsed() < LONGEST_SEARCH, "{cron:?} is searched for {:?}", began.elapsed());
            }
        }
    }

    #[test]
    fn an_environment_of_any_bytes_is_read_or_explained(values in prop::collection::vec(prop::option::of(any::<Vec<u8>>()), 10)) {
        let mut values = values.into_iter();
        let environment = std::cell::RefCell::new(&mut values);
        let lookup = |_: &str| environment.borrow_mut().next().flatten().map(OsString::from_vec);
        if let Err(error) = Config::read(lookup) {
            prop_assert!(error.to_string().starts_with("SINGLETONJOB_"), "{}", error);
        }
    }
}
