mod failed_pods;
mod foreign;
mod limits;
mod long_leases;
mod outcomes;
mod predecessor;
mod readiness;
mod spread;
mod stops;
mod suspension;
mod times;
mod turns;
mod unreachable;

use std::time::Duration;

use jiff::Timestamp;

use super::super::annotations::{
    Annotations, CompletionPolicy, Desired, Exit, FailurePolicy, Handover, Health, Outcome, Policy, Progress,
    Reason, Released, Run, UnreachableHolder,
};
use super::super::clock::{Moment, Now};
use super::super::identity::{Identity, Version};
use super::super::record::Record;
use super::*;

/// Milliseconds since the test began.
fn at(milliseconds: u64) -> Now {
    let boot = Duration::from_secs(1000) + Duration::from_millis(milliseconds);
    let wall = Timestamp::from_second(1_700_000_000).expect("valid") + Duration::from_millis(milliseconds);
    Now { at: Moment { boot, raw: boot }, wall }
}

/// A reading of CLOCK_BOOTTIME.
fn boot(milliseconds: u64) -> Duration {
    at(milliseconds).at.boot
}

/// What the timer is set to for a hard deadline: the kernel needs a moment too.
fn kernel_kill(milliseconds: u64) -> Duration {
    boot(milliseconds - 5)
}

/// With the margin of a lease of 15 s.
fn arm(at: Duration) -> Order {
    Order::ArmDeadline { at, kill_margin: Duration::from_millis(1500) }
}

fn me() -> Identity {
    Identity::new("web-1", "uid-1", 1)
}

fn other() -> Identity {
    Identity::new("web-2", "uid-2", 2)
}

pub(super) fn policy() -> Policy {
    Policy {
        lease_duration_seconds: 15,
        renew_deadline_milliseconds: 8800,
        grace_period_milliseconds: 2200,
        retry_period_milliseconds: 2900,
        completion_policy: CompletionPolicy::OnSuccess,
        backoff_limit: 6,
        candidates: 2,
        failure_policy: FailurePolicy::default(),
        active_deadline_seconds: None,
        token_floor: None,
        unreachable_holder: UnreachableHolder::AfterLeaseExpiry,
        delay_seconds: 0,
    }
}

fn run() -> Run {
    Run::first("job")
}

fn wall(milliseconds: u64) -> Timestamp {
    at(milliseconds).wall
}

/// Why a holder stops although nothing has failed.
pub(super) const INTERRUPTIONS: [Reason; 6] =
    [Reason::Handover, Reason::Unready, Reason::Failback, Reason::Drain, Reason::RolledOut, Reason::Stopped];

/// Free at once.
fn free() -> Record {
    let released = Released::created("lease", Identity::read("controller"));
    Record {
        uid: "lease".into(),
        version: Version(10),
        holder: None,
        lease_duration: Duration::ZERO,
        acquire_time: None,
        renew_time: None,
        transitions: 0,
        annotations: Annotations {
            policy: Some(policy()),
            run: Some(run()),
            released: Some(released),
            ..Annotations::default()
        },
    }
}

fn held_by(holder: Identity) -> Record {
    Record {
        holder: Some(holder),
        lease_duration: Duration::from_secs(15),
        acquire_time: Some(wall(0)),
        renew_time: Some(wall(0)),
        annotations: Annotations { released: None, ..free().annotations },
        ..free()
    }
}

impl Record {
    fn version(self, version: u128) -> Self {
        Self { version: Version(version), ..self }
    }

    fn renewed(self, milliseconds: u64) -> Self {
        Self { renew_time: Some(wall(milliseconds)), ..self }
    }

    fn noted(mut self, note: impl FnOnce(&mut Annotations)) -> Self {
        note(&mut self.annotations);
        self
    }
}

/// What a correct API server stores for `write` on `base`.
fn stored(write: &Write, base: &Record, version: u128) -> Record {
    Record {
        uid: write.uid.clone(),
        version: Version(version),
        holder: write.holder.clone(),
        lease_duration: write.lease_duration,
        acquire_time: write.acquire_time.or(base.acquire_time),
        renew_time: Some(write.renew_time),
        transitions: write.transitions,
        annotations: Annotations {
            progress: write.progress.clone(),
            released: write.released.clone(),
            finished: write.finished.clone(),
            health: write.health.clone(),
            handover: if write.drop_directives { None } else { base.annotations.handover.clone() },
            cleared: if write.drop_directives { None } else { base.annotations.cleared.clone() },
            ..base.annotations.clone()
        },
    }
}

fn candidate() -> Candidate {
    Candidate {
        identity: me(),
        job_uid: "job".into(),
        stop_grace: Duration::from_secs(28),
        warnings: Vec::new(),
        clock_source: Some("tsc".into()),
        lock: None,
    }
}

/// An elector, the Lease it writes to, and the last thing it wanted written.
struct Fixture {
    elector: Elector,
    lease: Record,
    version: u128,
}

impl Fixture {
    fn new() -> Self {
        Self::of(candidate())
    }

    fn of(candidate: Candidate) -> Self {
        Self { elector: Elector::new(candidate, at(0)), lease: free(), version: 10 }
    }

    fn step(&mut self, now: u64, input: Input) -> Vec<Output> {
        self.elector.step(at(now), input)
    }

    fn saw(&mut self, now: u64, record: Record) -> Vec<Output> {
        self.lease = record.clone();
        self.version = record.version.0;
        self.step(now, Input::Saw(Box::new(record), Source::Read))
    }

    fn tick(&mut self, now: u64) -> Vec<Output> {
        self.step(now, Input::Tick)
    }

    fn told(&mut self, now: u64, fact: Fact) -> Vec<Output> {
        self.step(now, Input::Told(fact))
    }

    /// Answers the only PUT of `outputs` as a correct API server does.
    fn store(&mut self, now: u64, outputs: &[Output]) -> Vec<Output> {
        let (attempt, write) = put(outputs).expect("something to store");
        self.version += 1;
        self.lease = stored(&write, &self.lease, self.version);
        let answer = Answer::Stored(Box::new(self.lease.clone()));
        self.step(now, Input::Answered { attempt, answer })
    }

    fn unknown(&mut self, now: u64, outputs: &[Output]) -> Vec<Output> {
        let (attempt, _) = put(outputs).expect("something to lose");
        self.step(now, Input::Answered { attempt, answer: Answer::Unknown("no answer".into()) })
    }

    /// Holds since `0`, sent at `0`; token 11.
    fn holding() -> Self {
        Self::holding_by(candidate())
    }

    fn holding_by(candidate: Candidate) -> Self {
        let mut fixture = Self::of(candidate);
        let acquire = fixture.saw(0, free());
        fixture.store(10, &acquire);
        fixture
    }

    /// Holds, and its workload has been killed with `why` as the input that led there.
    fn emptied(now: u64, why: Input) -> (Self, Vec<Output>) {
        let mut fixture = Self::holding();
        fixture.step(now, why);
        fixture.tick(now + 28_000);
        let outputs = fixture.told(now + 28_000, Fact::TreeEmpty);
        (fixture, outputs)
    }
}

fn put(outputs: &[Output]) -> Option<(u64, Write)> {
    outputs.iter().find_map(|output| match output {
        Output::Put { attempt, write, .. } => Some((*attempt, Write::clone(write))),
        Output::Read { .. } | Output::Order(_) | Output::Exit(_) => None,
    })
}

/// What is done to processes and timers; what is only noted for PID 1 has tests of its own.
fn orders(outputs: &[Output]) -> Vec<Order> {
    all_orders(outputs).into_iter().filter(|order| !matches!(order, Order::Stop(_))).collect()
}

fn all_orders(outputs: &[Output]) -> Vec<Order> {
    assert_eq!(exit(outputs), None, "see `last_orders`");
    let order = |output: &Output| match output {
        Output::Order(order) => Some(order.clone()),
        Output::Put { .. } | Output::Read { .. } | Output::Exit(_) => None,
    };
    outputs.iter().filter_map(order).collect()
}

/// How the process is to end.
fn exit(outputs: &[Output]) -> Option<Ending> {
    outputs.iter().find_map(|output| match output {
        Output::Exit(ending) => Some(ending.clone()),
        Output::Put { .. } | Output::Read { .. } | Output::Order(_) => None,
    })
}

/// The orders of a last step, and how the process is to end after them.
fn last_orders(outputs: &[Output]) -> (Vec<Order>, Option<Ending>) {
    let (exits, others): (Vec<_>, Vec<_>) =
        outputs.iter().cloned().partition(|output| matches!(output, Output::Exit(_)));
    assert!(exits.len() == 1 && matches!(outputs.last(), Some(Output::Exit(_))), "{outputs:?}");
    (orders(&others), exit(&exits))
}

fn reads(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Read { .. }))
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let outputs = Fixture::new().saw(0, free());
    let (_, write) = put(&outputs).expect("an acquisition");
    assert_eq!((write.holder, write.base, write.uid.as_str()), (Some(me()), Version(10), "lease"));
    assert_eq!(write.progress.map(|progress| (progress.starts, progress.open)), Some((1, true)));
}

#[test]
fn a_lease_of_unknown_origin_counts_as_held_for_a_full_wait() {
    let mut fixture = Fixture::new();
    let empty = free().noted(|annotations| annotations.released = None);
    assert_eq!(put(&fixture.saw(0, empty)), None);
    assert_eq!(put(&fixture.tick(14_999)), None);
}

#[test]
fn a_mark_that_is_not_bound_to_the_last_write_frees_nothing() {
    for stale in [free().renewed(0), Record { uid: "recreated".into(), ..free() }] {
        assert_eq!(put(&Fixture::new().saw(0, stale)), None);
    }
}

#[test]
fn a_directive_from_the_controller_does_not_prolong_the_wait() {
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()));
    fixture.saw(
        9_000,
        held_by(other()).version(12).noted(|annotations| annotations.succession = vec!["uid-1".into()]),
    );
    assert_eq!(put(&fixture.tick(14_900)), None);
    let (_, write) = put(&takeover_at(&mut fixture, 15_000)).expect("a takeover");
    assert_eq!(write.base, Version(12));
}

/// Ticks at `now`, answering the read that silence has led to.
fn takeover_at(fixture: &mut Fixture, now: u64) -> Vec<Output> {
    let lease = fixture.lease.clone();
    let outputs = fixture.tick(now);
    if put(&outputs).is_some() { outputs } else { fixture.saw(now, lease) }
}

#[test]
fn a_renewal_restarts_the_wait_whatever_its_timestamp_says() {
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()));
    fixture.saw(9_000, held_by(other()).renewed(1).version(12));
    assert_eq!(put(&takeover_at(&mut fixture, 23_900)), None);
    assert!(put(&takeover_at(&mut fixture, 24_100)).is_some());
}

#[test]
fn the_longest_lease_ever_seen_is_waited_for() {
    let mut fixture = Fixture::new();
    fixture.saw(0, Record { lease_duration: Duration::from_secs(60), ..held_by(other()) });
    fixture.saw(1_000, held_by(other()).renewed(1).version(12));
    assert_eq!(put(&takeover_at(&mut fixture, 60_900)), None);
    assert!(put(&takeover_at(&mut fixture, 61_100)).is_some());
}

#[test]
fn a_challenger_that_was_out_of_contact_lets_the_holder_speak_first_once() {
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()));
    fixture.step(16_000, Input::Unreachable("down".into()));
    assert_eq!(put(&fixture.saw(20_000, held_by(other()))), None);
    fixture.step(21_000, Input::Unreachable("down again".into()));
    assert_eq!(put(&fixture.saw(23_000, held_by(other()))), None);
    assert!(put(&takeover_at(&mut fixture, 24_000)).is_some(), "2.85 s + 1 s after contact returned first");
}

#[test]
fn nothing_is_acquired_that_is_not_wanted() {
    let stopped = free().noted(|annotations| annotations.run = Some(Run { desired: Desired::Stop, ..run() }));
    let foreign =
        free().noted(|annotations| annotations.run = Some(Run { uid: "recreated".into(), ..run() }));
    let silent = free().noted(|annotations| annotations.run = None);
    let unruly = free()
        .noted(|annotations| annotations.policy = Some(Policy { lease_duration_seconds: 1, ..policy() }));
    let backwards = free().noted(|annotations| {
        annotations.policy = Some(Policy { token_floor: Some(Version(10)), ..policy() });
    });
    for record in [stopped, foreign, silent, unruly, backwards] {
        assert_eq!(put(&Fixture::new().saw(0, record)), None);
    }
}

#[test]
fn the_deadline_is_armed_before_the_start_and_counts_from_the_send() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free());
    let outputs = orders(&fixture.store(2_000, &acquire));
    assert_eq!(outputs[0], arm(kernel_kill(11_000)));
    assert!(matches!(&outputs[1], Order::Start(start) if (start.token, start.attempt) == (Version(11), 1)));
}

#[test]
fn a_workload_is_started_for_the_tick_of_the_run_that_was_acquired() {
    for tick in [None, Some(wall(7))] {
        let mut fixture = Fixture::new();
        let acquire = fixture.saw(
            0,
            free().noted(|annotations| {
                annotations.run = Some(Run { number: 2, scheduled_time: tick, ..run() });
            }),
        );
        let outputs = orders(&fixture.store(10, &acquire));
        assert!(
            matches!(&outputs[1], Order::Start(start) if (start.run, start.scheduled_time) == (2, tick)),
            "{outputs:?}"
        );
    }
}

#[test]
fn a_tenure_proven_after_its_renew_deadline_is_given_back_unused() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free());
    let outputs = fixture.store(9_000, &acquire);
    assert_eq!(orders(&outputs), []);
    assert_eq!(put(&outputs).map(|(_, write)| write.holder), Some(None));
}

#[test]
fn an_acquisition_of_unknown_fate_starts_only_by_proof() {
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free());
    let (_, write) = put(&acquire).expect("an acquisition");
    assert!(reads(&fixture.unknown(2_800, &acquire)));
    let outputs = orders(&fixture.saw(4_000, stored(&write, &free(), 11)));
    assert_eq!(outputs[0], arm(kernel_kill(11_000)));
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free());
    fixture.unknown(2_800, &acquire);
    assert_eq!(
        orders(&fixture.saw(4_000, held_by(me()).renewed(7).version(11))),
        [],
        "ours by name, but not by this attempt"
    );
}

#[test]
fn a_confirmed_renewal_moves_the_deadline_to_its_own_send() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    assert_eq!(orders(&fixture.store(4_000, &renewal)), [arm(kernel_kill(13_900))]);
}

#[test]
fn an_answer_without_a_write_is_no_renewal() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    let (attempt, _) = put(&renewal).expect("a renewal");
    let unchanged = Answer::Stored(Box::new(fixture.lease.clone()));
    assert_eq!(orders(&fixture.step(3_000, Input::Answered { attempt, answer: unchanged })), []);
}

#[test]
fn a_read_extends_nothing_by_itself_but_proves_the_attempt_it_shows() {
    let mut fixture = Fixture::holding();
    let first = fixture.tick(2_900);
    let (attempt, write) = put(&first).expect("a renewal");
    let second = put(&fixture.unknown(5_700, &first)).expect("a repetition").0;
    assert_ne!(attempt, second);
    let outputs = fixture.step(5_900, Input::Answered { attempt: second, answer: Answer::Conflict });
    assert!(reads(&outputs));
    let outputs = fixture.saw(6_000, stored(&write, &fixture.lease.clone(), 12));
    assert_eq!(orders(&outputs), [arm(kernel_kill(13_900))], "2.9 s + 11 s, whenever it was read");
}

#[test]
fn after_a_directive_has_won_the_race_the_renewal_is_repeated_at_once() {
    let mut fixture = Fixture::holding();
    let (attempt, _) = put(&fixture.tick(2_900)).expect("a renewal");
    fixture.step(2_950, Input::Answered { attempt, answer: Answer::Conflict });
    let told = fixture.lease.clone().version(15);
    assert_eq!(put(&fixture.saw(2_960, told)).map(|(_, write)| write.base), Some(Version(15)));
}

#[test]
fn failures_are_repeated_sooner_but_nobody_spins() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    assert_eq!(put(&fixture.unknown(2_910, &renewal)), None);
    assert_eq!(put(&fixture.tick(4_000)), None);
    assert!(put(&fixture.tick(4_400)).is_some(), "half a retry period after the last was sent");
}

#[test]
fn a_holder_that_cannot_renew_stops_its_workload_before_the_lease_ends() {
    let mut fixture = Fixture::holding();
    fixture.tick(2_900);
    assert_eq!(orders(&fixture.tick(8_799)), []);
    assert_eq!(orders(&fixture.tick(8_800)), [Order::Terminate]);
    assert_eq!(orders(&fixture.tick(10_949)), []);
    assert_eq!(orders(&fixture.tick(10_950)), [Order::Kill], "in good order, before the kernel does it");
    let outputs = fixture.told(11_010, Fact::TreeEmpty);
    assert_eq!(orders(&outputs), [Order::DisarmDeadline]);
}

#[test]
fn no_answer_revives_a_tenure_after_its_deadline() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    let outputs = fixture.store(11_001, &renewal);
    assert_eq!(orders(&outputs), [Order::Kill]);
    assert_eq!(put(&fixture.tick(14_000)), None, "nor is it renewed");
}

#[test]
fn waking_up_late_does_not_move_the_deadline() {
    let mut fixture = Fixture::holding();
    assert_eq!(orders(&fixture.tick(11_400)), [Order::Kill]);
    assert_eq!(orders(&fixture.tick(11_450)), []);
}

#[test]
fn a_renewal_that_succeeds_while_stopping_does_not_take_the_stop_back() {
    let mut fixture = Fixture::holding();
    let renewal = fixture.tick(2_900);
    fixture.tick(8_800);
    let next = fixture.store(9_000, &renewal);
    assert_eq!(orders(&next), [arm(kernel_kill(13_900))]);
    assert_eq!(orders(&fixture.store(9_100, &next)), [arm(kernel_kill(20_000))]);
    assert_eq!(orders(&fixture.tick(11_000)), [Order::Kill], "its grace is over");
    let outputs = fixture.told(11_005, Fact::TreeEmpty);
    assert_eq!(
        put(&outputs).and_then(|(_, write)| write.released).map(|mark| mark.reason),
        Some(Reason::LeaseLost)
    );
}

#[test]
fn whoever_sees_another_in_its_place_kills_at_once_and_writes_nothing() {
    let taken = held_by(other()).version(20);
    let cleared = free().version(20);
    let recreated = Record { uid: "recreated".into(), ..held_by(me()).version(20) };
    for record in [taken, cleared, recreated] {
        let mut fixture = Fixture::holding();
        let outputs = fixture.saw(100, record);
        assert_eq!((orders(&outputs), put(&outputs)), (vec![Order::Kill], None));
        let (orders, ending) = last_orders(&fixture.told(110, Fact::TreeEmpty));
        assert_eq!(orders, [Order::DisarmDeadline]);
        assert!(matches!(ending, Some(Ending::Lost(_))), "{ending:?}");
    }
}

#[test]
fn absence_counts_only_from_a_read() {
    let mut fixture = Fixture::holding();
    let outputs = fixture.step(100, Input::Vanished);
    assert_eq!((orders(&outputs), reads(&outputs)), (vec![], true));
    assert_eq!(orders(&fixture.step(110, Input::Missing)), [Order::Kill]);
}

#[test]
fn an_old_observation_does_not_end_a_tenure() {
    let mut fixture = Fixture::holding();
    for source in [Source::Watch, Source::Read] {
        let old = Input::Saw(Box::new(held_by(other()).version(11)), source);
        assert_eq!(orders(&fixture.step(100, old)), [], "{source:?}");
    }
}

#[test]
fn completion_outcome_and_release_are_one_write() {
    let mut fixture = Fixture::holding();
    assert_eq!(
        orders(&fixture.told(500, Fact::WorkloadEnded(Exit::Code(0)))),
        [Order::Kill],
        "what it left behind"
    );
    let outputs = fixture.told(510, Fact::TreeEmpty);
    assert_eq!(orders(&outputs), [Order::DisarmDeadline]);
    let (_, write) = put(&outputs).expect("a release");
    let finished = write.finished.clone().expect("an outcome");
    assert_eq!(
        (finished.outcome, finished.token, finished.attempt),
        (Outcome::Succeeded, Some(Version(11)), 1)
    );
    assert_eq!(write.holder, None);
    let ending = Some(Ending::Exited(Exit::Code(0)));
    assert_eq!(last_orders(&fixture.store(520, &outputs)), (vec![], ending));
    let lease = fixture.lease.clone();
    assert_eq!(put(&Fixture::new().saw(0, lease)), None, "no standby runs a finished run again");
}

#[test]
fn a_workload_that_has_ended_may_have_its_outcome_written_late() {
    let mut fixture = Fixture::holding();
    fixture.told(500, Fact::WorkloadEnded(Exit::Code(0)));
    let release = fixture.told(510, Fact::TreeEmpty);
    let mut pending = fixture.unknown(3_300, &release);
    for now in (3_400..20_000).step_by(100) {
        if put(&pending).is_some() {
            pending = fixture.unknown(now, &pending);
        }
        if put(&pending).is_none() {
            pending = fixture.tick(now);
        }
    }
    while put(&pending).is_none() {
        pending = fixture.tick(21_500);
    }
    let ending = Some(Ending::Exited(Exit::Code(0)));
    assert_eq!(last_orders(&fixture.store(21_600, &pending)), (vec![], ending));
}

#[test]
fn a_release_of_unknown_fate_is_proven_by_a_read() {
    let mut fixture = Fixture::holding();
    fixture.told(500, Fact::WorkloadEnded(Exit::Code(3)));
    let release = fixture.told(510, Fact::TreeEmpty);
    let (_, write) = put(&release).expect("a release");
    fixture.unknown(3_300, &release);
    let shown = stored(&write, &fixture.lease.clone(), 12);
    let ending = Some(Ending::Exited(Exit::Code(3)));
    assert_eq!(last_orders(&fixture.saw(3_400, shown)), (vec![], ending));
}

#[test]
fn a_failure_is_counted_where_it_is_released_and_delays_the_second_start() {
    let mut fixture = Fixture::holding();
    fixture.told(500, Fact::WorkloadEnded(Exit::Code(1)));
    let release = fixture.told(510, Fact::TreeEmpty);
    fixture.store(520, &release);
    let progress = fixture.lease.annotations.progress.clone().expect("an account");
    assert_eq!((progress.failures, progress.retry_after_seconds, progress.open), (1, 0, false));
    let again = fixture
        .lease
        .clone()
        .noted(|annotations| annotations.progress = Some(Progress { retry_after_seconds: 10, ..progress }));
    let mut fixture = Fixture::new();
    assert_eq!(put(&fixture.saw(0, again)), None);
    assert_eq!(put(&takeover_at(&mut fixture, 9_900)), None);
    assert!(put(&takeover_at(&mut fixture, 10_000)).is_some());
}

#[test]
fn an_acquirer_that_finds_the_attempts_used_up_closes_the_run() {
    let lost = Progress {
        uid: "job".into(),
        run: 1,
        starts: 7,
        failures: 6,
        setbacks: 1,
        open: true,
        ..Progress::default()
    };
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()).noted(|annotations| annotations.progress = Some(lost)));
    let acquire = takeover_at(&mut fixture, 25_000);
    let outputs = fixture.store(25_010, &acquire);
    assert_eq!(orders(&outputs), []);
    let finished = put(&outputs).and_then(|(_, write)| write.finished).expect("an outcome");
    assert_eq!(
        (finished.outcome, finished.reason.as_str(), finished.failures),
        (Outcome::Failed, "BackoffLimitExceeded", 7)
    );
}

#[test]
fn a_handover_is_for_the_holder_it_names() {
    let request = |holder| Handover { id: "1".into(), holder, reason: Reason::RolledOut };
    let mut fixture = Fixture::holding();
    let for_other =
        fixture.lease.clone().version(12).noted(|annotations| annotations.handover = Some(request(other())));
    assert_eq!(orders(&fixture.saw(100, for_other)), []);
    let for_me =
        fixture.lease.clone().version(13).noted(|annotations| annotations.handover = Some(request(me())));
    let told = fixture.saw(200, for_me);
    assert_eq!(orders(&told), [Order::Terminate]);
    fixture.store(210, &told);
    fixture.told(300, Fact::WorkloadEnded(Exit::Signal(15)));
    let release = fixture.told(310, Fact::TreeEmpty);
    let (_, write) = put(&release).expect("a release");
    assert_eq!(write.released.map(|mark| mark.reason), Some(Reason::RolledOut));
    assert!(write.drop_directives);
    assert_eq!(write.progress.map(|progress| (progress.failures, progress.setbacks)), Some((0, 0)));
    assert_eq!(last_orders(&fixture.store(320, &release)), (vec![], Some(Ending::Interrupted)));
}

#[test]
fn a_drain_keeps_renewing_and_releases_when_the_tree_is_empty() {
    let mut fixture = Fixture::holding();
    let told = fixture.told(100, Fact::Drain);
    assert_eq!(orders(&told), [Order::Terminate]);
    fixture.store(150, &told);
    let renewal = fixture.tick(3_000);
    assert_eq!(put(&renewal).and_then(|(_, write)| write.holder), Some(me()));
    fixture.store(3_050, &renewal);
    fixture.told(3_100, Fact::WorkloadEnded(Exit::Code(0)));
    let outputs = fixture.told(3_110, Fact::TreeEmpty);
    let (_, write) = put(&outputs).expect("a release");
    assert_eq!((write.released.map(|mark| mark.reason), write.finished), (Some(Reason::Drain), None));
}

#[test]
fn a_drain_after_a_failed_liveness_probe_is_a_failure() {
    let mut fixture = Fixture::holding();
    fixture.told(90, Fact::Unhealthy);
    fixture.told(100, Fact::Drain);
    fixture.told(200, Fact::WorkloadEnded(Exit::Signal(15)));
    let (_, write) = put(&fixture.told(210, Fact::TreeEmpty)).expect("a release");
    assert_eq!(write.progress.map(|progress| progress.failures), Some(1));
}

#[test]
fn what_ignores_sigterm_is_killed_after_its_grace_and_then_released() {
    let (_, outputs) = Fixture::emptied(100, Input::Told(Fact::Drain));
    assert!(put(&outputs).is_none_or(|(_, write)| write.holder.is_none()));
}

#[test]
fn what_cannot_be_killed_is_never_released() {
    let mut fixture = Fixture::holding();
    let mut outputs = fixture.told(500, Fact::Drain);
    // A grace of 28 s, and then 10 s more.
    for now in (1..=38).map(|second| 500 + second * 1_000) {
        if let Some((_, write)) = put(&outputs) {
            assert_eq!(
                (write.holder, write.progress.map(|progress| progress.open)),
                (Some(me()), Some(true))
            );
            fixture.store(now - 900, &outputs);
        }
        outputs = fixture.tick(now);
    }
    assert_eq!((last_orders(&outputs), put(&outputs)), ((vec![], Some(Ending::Unkillable)), None));
}

#[test]
fn a_shorter_lease_counts_before_it_is_sent() {
    let mut fixture = Fixture::holding();
    let short = Policy {
        lease_duration_seconds: 6,
        renew_deadline_milliseconds: 3500,
        grace_period_milliseconds: 800,
        retry_period_milliseconds: 1100,
        ..policy()
    };
    let outputs = fixture
        .saw(2_000, fixture.lease.clone().version(12).noted(|annotations| annotations.policy = Some(short)));
    assert_eq!(put(&outputs).map(|(_, write)| write.lease_duration), Some(Duration::from_secs(6)));
    assert_eq!(
        orders(&outputs),
        [Order::ArmDeadline { at: kernel_kill(2_000 + 4_400), kill_margin: Duration::from_millis(600) }],
        "5 s - 0.6 s: it may be stored unheard"
    );
    assert!(
        matches!(outputs.last(), Some(Output::Put { .. })),
        "a pause after it was sent would be too late: {outputs:?}"
    );
}

#[test]
fn a_renewal_says_what_the_clocks_of_its_node_count() {
    let renewal = Fixture::holding().tick(2_900);
    let (_, write) = put(&renewal).expect("a renewal");
    assert_eq!(write.health.and_then(|health| health.clock_source).as_deref(), Some("tsc"));
}

#[test]
fn lateness_shortens_the_deadline_and_is_reported() {
    let mut fixture = Fixture::holding();
    fixture.told(100, Fact::Lateness(Duration::from_millis(800)));
    let renewal = fixture.tick(2_900);
    let (_, write) = put(&renewal).expect("a renewal");
    assert!(write.health.is_some_and(|health| health.warnings[0].contains("up to 1000 ms late")));
    assert_eq!(orders(&fixture.store(2_950, &renewal)), [arm(kernel_kill(13_100))]);
}

#[test]
fn an_unused_tenure_is_given_back_when_the_start_comes_too_late() {
    let mut fixture = Fixture::holding();
    let outputs = fixture.told(8_900, Fact::NotStarted);
    assert_eq!(orders(&outputs), [Order::DisarmDeadline]);
    assert_eq!(put(&outputs).map(|(_, write)| write.holder), Some(None));
}

#[test]
fn a_candidate_that_starves_takes_nothing() {
    let mut fixture = Fixture::new();
    fixture.told(0, Fact::Lateness(Duration::from_secs(4)));
    assert_eq!(put(&fixture.saw(10, free())), None);
    assert!(put(&fixture.told(20, Fact::Lateness(Duration::ZERO))).is_some());
}

#[test]
fn a_standby_never_writes_while_another_holds() {
    let mut fixture = Fixture::new();
    for second in 0..600 {
        let renewed = held_by(other()).renewed(second).version(u128::from(11 + second));
        assert_eq!(put(&fixture.saw(second * 1000, renewed)), None);
        assert_eq!(put(&fixture.tick(second * 1000 + 500)), None);
    }
}

#[test]
fn a_lease_that_can_never_be_read_ends_the_candidate_with_the_reason() {
    let mut fixture = Fixture::new();
    fixture.step(0, Input::Unreachable("connection refused".into()));
    assert_eq!(orders(&fixture.tick(29_000)), []);
    let ending = Ending::Unreadable("connection refused".into());
    assert_eq!(
        last_orders(&fixture.step(30_000, Input::Unreachable("connection refused".into()))),
        (vec![], Some(ending))
    );
    let mut fixture = Fixture::new();
    fixture.saw(0, held_by(other()));
    fixture.step(1_000, Input::Unreachable("connection refused".into()));
    assert_eq!(orders(&fixture.tick(600_000)), [], "an outage later on is waited for");
}

#[test]
fn a_candidate_whose_read_takes_long_sleeps_meanwhile() {
    let mut fixture = Fixture::new();
    let often = Policy { retry_period_milliseconds: 100, ..policy() };
    fixture.saw(0, held_by(other()).noted(|annotations| annotations.policy = Some(often)));
    assert!(reads(&fixture.tick(600)), "half a second of silence");
    assert_eq!(fixture.elector.wakes_in(at(2_000)), LONGEST_SLEEP, "the read may take 4 s");
}

#[test]
fn a_draining_standby_ends_and_does_not_acquire() {
    let mut fixture = Fixture::new();
    fixture.told(0, Fact::Drain);
    assert_eq!(put(&fixture.saw(10, free())), None);
    let mut fixture = Fixture::new();
    let acquire = fixture.saw(0, free());
    assert_eq!(orders(&fixture.told(1, Fact::Drain)), [], "it may be the holder already");
    let outputs = fixture.store(10, &acquire);
    assert_eq!((orders(&outputs), put(&outputs).map(|(_, write)| write.holder)), (vec![], Some(None)));
}

#[test]
fn a_holder_at_defaults_writes_at_most_two_times_in_five_seconds() {
    let mut fixture = Fixture::holding();
    let mut writes = 0;
    for now in (0..600_000).step_by(50) {
        let outputs = fixture.tick(now);
        if put(&outputs).is_some() {
            writes += 1;
            fixture.store(now + 10, &outputs);
        }
    }
    assert!(writes <= 240, "{writes} in 600 s");
}
