//! Hours of virtual time: several electors, one Lease server, and everything that may go wrong between them.

mod api;
mod changes;
mod clocks;
mod container;
mod controller;
mod cost;
mod coverage;
mod driver;
mod faults;
mod fencer;
mod judge;
mod kubelet;
mod limits;
mod liveness;
mod network;
mod pauses;
mod pod_locks;
mod process;
mod queue;
mod records;
mod regression_seeds;
mod rng;
mod safety;
mod server;
mod trace_event;
mod watch;
mod world;

use std::time::Duration;

use coverage::Coverage;
use faults::{Fault, FaultProfile};
use regression_seeds::REGRESSION_SEEDS;
use singletonjob::api::{UnreachableHolder, UnreachableHolderPolicy};
use world::{Mutant, Settings, World};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// What a run of all tests plays; by hand as many as one likes.
const HOURS: u64 = 24;

/// One world, to its end.
fn simulate(settings: Settings, duration: Duration) -> Result<Coverage, String> {
    let mut world = World::new(settings);
    world.run(duration).map_err(|why| world.judge.trace.describe(&why))?;
    world.coverage.close(world.now, &world.judge);
    Ok(world.coverage)
}

/// A world that keeps its promises, where a lease that has passed is enough for a takeover.
fn sound(seed: u64, agents: usize, fault_profile: FaultProfile) -> Settings {
    Settings {
        seed,
        agents,
        fault_profile,
        unreachable: UnreachableHolder::default(),
        mutant: Mutant::Nothing,
    }
}

/// All that a seed stands for.
fn settings(seed: u64) -> Settings {
    let agents = 2 + usize::try_from(seed % 4).expect("small");
    Settings {
        seed,
        agents,
        fault_profile: FaultProfile::of(seed),
        unreachable: unreachable(seed),
        mutant: Mutant::Nothing,
    }
}

/// What is done about silent holders: mostly the default.
fn unreachable(seed: u64) -> UnreachableHolder {
    let (policy, delay_seconds) = match seed % 10 {
        1 => (UnreachableHolderPolicy::AfterPodGone, 0),
        2 => (UnreachableHolderPolicy::Manual, 0),
        6 => (UnreachableHolderPolicy::AfterPodGone, 4),
        7 => (UnreachableHolderPolicy::AfterLeaseExpiry, 10),
        _ => (UnreachableHolderPolicy::AfterLeaseExpiry, 0),
    };
    UnreachableHolder { policy, delay_seconds }
}

/// The hour of one seed.
fn hour(seed: u64) -> Coverage {
    let again = format!("SIMULATION_SEED={seed} cargo test --test simulation -- replay --nocapture");
    simulate(settings(seed), HOUR).unwrap_or_else(|trace| panic!("{trace}\n{again}"))
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number"))
    })
}

/// `SIMULATION_HOURS` says how many, `SIMULATION_SEED` from which seed on.
#[test]
fn hours_of_chaos_break_no_promise() {
    let (first, hours) = (number("SIMULATION_SEED", 1), number("SIMULATION_HOURS", HOURS));
    let mut coverage = Coverage::default();
    (first..first + hours).for_each(|seed| coverage.add(hour(seed)));
    println!("{coverage}");
    if hours >= HOURS {
        coverage.assert_complete();
    }
}

/// The hour of `SIMULATION_SEED`: its end in words, whatever that is.
#[test]
fn replay() {
    let mut world = World::new(settings(number("SIMULATION_SEED", 1)));
    let verdict = world.run(HOUR);
    if std::env::var_os("SIMULATION_SEED").is_some() {
        println!("{}", world.judge.trace.describe("what came before"));
    }
    assert_eq!(verdict, Ok(()));
}

#[test]
fn the_same_seed_plays_the_same_story() {
    let hash = |seed| simulate(settings(seed), HOUR / 4).expect("nothing breaks").hashes;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

#[test]
fn kept_seeds_do_what_they_are_kept_for() {
    for (seed, why, shows) in REGRESSION_SEEDS {
        let other = || (1..=HOURS).find(|seed| shows(&hour(*seed)));
        assert!(
            shows(&hour(seed)),
            "seed {seed} is kept for this, and does not show it any more: {why}; {:?} does",
            other()
        );
    }
}

/// Until a broken world shows it: what was found.
fn found(mutant: Mutant, faults: &[Fault]) -> String {
    let fault_profile = || FaultProfile::only(faults, (5_000, 60_000));
    let settings = |seed| Settings { mutant, ..sound(seed, 3, fault_profile()) };
    let trace = (1..=20).find_map(|seed| simulate(settings(seed), 10 * MINUTE).err());
    let trace = trace.unwrap_or_else(|| panic!("{mutant:?} was not found out"));
    trace.lines().next_back().unwrap_or_default().to_owned()
}

#[test]
fn a_broken_world_is_found_out() {
    let overlaps = [
        (Mutant::WildClocks, vec![Fault::NodeCut, Fault::RequestsLost]),
        (Mutant::NoKernelTimer, vec![Fault::ElectorStopped]),
        (Mutant::DeadlineOfTheElectorAlone, vec![Fault::ElectorHangs]),
        (Mutant::NoPlaceholder, vec![Fault::LeaseDeleted]),
        (Mutant::HiddenPauses, vec![Fault::NodeSleeps]),
        (Mutant::SlowKernel, vec![Fault::ElectorStopped]),
        (Mutant::NoCompareAndSwap, vec![Fault::CacheLags, Fault::SlowNetwork, Fault::NodeCrashes]),
    ];
    for (mutant, faults) in overlaps {
        let why = found(mutant, &faults);
        assert!(why.starts_with("I1: "), "{mutant:?}: {why}");
    }
    let why = found(Mutant::UnlockedByFork, &[Fault::DuplicateContainer]);
    assert!(why.starts_with("I6: "), "a lock that a fork frees: {why}");
}

#[test]
fn candidates_that_sleep_or_spin_are_found_out() {
    let why = found(Mutant::Sleepers, &[Fault::ContainerKilled]);
    assert!(why.starts_with("I9: ") && why.contains("could run"), "{why}");
    let why = found(Mutant::ForgetsDeletions, &[Fault::CacheLags, Fault::JobReplaced]);
    assert!(why.starts_with("I9: ") && why.contains("spins"), "{why}");
}

/// In a world without faults but one, `at` a time.
fn world_of(seed: u64, lease_seconds: i32) -> World {
    let mut world = World::new(sound(seed, 3, FaultProfile::quiet()));
    world.controller.set_timing(controller::timing(lease_seconds, None, None, None));
    world
}

fn seeds() -> impl Iterator<Item = u64> {
    1..=10
}

/// All processes end at once, without a word: none gives anything back.
fn all_crash(policy: UnreachableHolderPolicy) -> World {
    let unreachable = UnreachableHolder { policy, delay_seconds: 0 };
    let fault_profile = FaultProfile::quiet();
    let mut world =
        World::new(Settings { seed: 1, agents: 3, fault_profile, unreachable, mutant: Mutant::Nothing });
    world.controller.set_timing(controller::timing(15, None, None, None));
    world.run(5 * MINUTE).expect("nothing happens");
    world.controller.away_until = 10 * MINUTE;
    (0..3).for_each(|node| world.node_crashes(node, Duration::from_secs(5)));
    world
}

#[test]
fn under_a_stricter_policy_no_candidate_starts_without_a_clearance() {
    for (policy, running) in
        [(UnreachableHolderPolicy::AfterLeaseExpiry, 1), (UnreachableHolderPolicy::AfterPodGone, 0)]
    {
        let mut world = all_crash(policy);
        let verdict = world.run(10 * MINUTE - Duration::from_secs(1));
        assert_eq!(verdict, Ok(()), "{}", world.judge.trace.describe("without a controller"));
        assert_eq!(world.judge.safety.running(), running, "{policy:?}");
        let verdict = world.run(11 * MINUTE);
        assert_eq!(verdict, Ok(()), "{}", world.judge.trace.describe("the controller is back"));
        assert_eq!(world.judge.safety.running(), 1, "{policy:?}");
    }
}

/// Some have heard of the last change, some of the one before, and some are new and know of the last alone.
#[test]
fn a_lease_that_gets_shorter_and_longer_again_is_safe_at_every_step() {
    let faults = [
        Fault::TimingChanged,
        Fault::TimingChanged,
        Fault::NodeCut,
        Fault::AnswersLost,
        Fault::ElectorStopped,
    ];
    let more = [
        Fault::TimingChanged,
        Fault::ContainerKilled,
        Fault::CacheLags,
        Fault::LeaseDeleted,
        Fault::ControllerAway,
    ];
    for seed in seeds() {
        let fault_profile = FaultProfile::only(&[faults, more].concat(), (500, 15_000));
        let settings = sound(seed, 4, fault_profile);
        let coverage = simulate(settings, HOUR / 4).unwrap_or_else(|trace| panic!("seed {seed}\n{trace}"));
        assert!(
            coverage.faults[&Fault::TimingChanged] > 10 && coverage.takeovers.contains_key("expired"),
            "seed {seed}"
        );
    }
}

/// Answers that are lost while a freed Lease is taken, by candidates that are told to end.
#[test]
fn a_candidate_that_ends_in_doubt_about_the_lease_gives_it_back() {
    let faults = [Fault::AnswersLost, Fault::Drain, Fault::Drain, Fault::ContainerKilled];
    let ended = |seed| {
        let fault_profile = FaultProfile::only(&faults, (500, 8_000));
        let settings = sound(seed, 4, fault_profile);
        let coverage = simulate(settings, HOUR / 2).unwrap_or_else(|trace| panic!("seed {seed}\n{trace}"));
        coverage.endings.get(coverage::IN_DOUBT).copied().unwrap_or(0)
    };
    assert!(seeds().map(ended).sum::<u64>() > 0, "no agent ever ended so");
}

#[test]
fn a_store_restored_with_its_lease_comes_to_rest_within_a_lease() {
    for seed in seeds() {
        let mut world = world_of(seed, 15);
        world.run(5 * MINUTE).expect("nothing happens");
        world.restore(2 * MINUTE);
        world.judge.suspend(true);
        world.run(6 * MINUTE).expect("outside of every promise");
        assert!(world.judge.safety.running() <= 1, "seed {seed}");
        world.judge.suspend(false);
        let verdict = world.run(20 * MINUTE);
        assert_eq!(verdict, Ok(()), "{}", world.judge.trace.describe("after a restore"));
        assert_eq!(world.judge.safety.running(), 1, "seed {seed}");
    }
}

#[test]
fn nothing_starts_by_a_token_lower_than_one_that_is_remembered() {
    for seed in seeds() {
        let mut world = world_of(seed, 15);
        world.server.pass_by(100_000);
        world.run(10 * MINUTE).expect("nothing happens");
        let starts = world.coverage.starts;
        world.lose_store();
        let verdict = world.run(20 * MINUTE);
        assert_eq!(verdict, Ok(()), "{}", world.judge.trace.describe("after a loss"));
        assert_eq!((world.coverage.starts, world.judge.safety.running()), (starts, 0), "seed {seed}");
        world.server.pass_by(200_000);
        world.touch_lease();
        world.run(22 * MINUTE).expect("tokens rise");
        assert_eq!(world.judge.safety.running(), 1, "seed {seed}");
    }
}
