//! Every order in which things can happen to a few candidates, within bounds, against the elector itself.
//!
//! What is claimed of it is in `world/oracle.rs`, the bounds are in `worlds.rs`. That each rule of the
//! elector is needed for that is shown in `tests/mutants`; here, that each assumption about the environment
//! is.

mod search;
mod world;
mod worlds;

use std::time::Duration;

use search::Found;
use singletonjob::lease;
use world::{BrokenAssumption, Clocks, World};

/// Far more than any of them takes: a busy machine must not make a difference.
const PATIENCE: Duration = Duration::from_secs(600);

/// For each larger world, in seconds, unless `MODEL_SECONDS` says otherwise.
const LARGER_PATIENCE: u64 = 1800;

/// Searches them one after the other, and says what was found; demands that nothing is broken, and that
/// something happened.
fn hold_in(worlds: &[World], patience: Duration) -> Vec<Found> {
    let found: Vec<_> = worlds
        .iter()
        .map(|world| {
            let found = search::to_the_end(world, patience);
            println!("{:30} {found}", world.name);
            found
        })
        .collect();
    let failed = |found: &Found| found.broken.is_some() || found.is_empty();
    let failures: Vec<_> =
        worlds.iter().zip(&found).filter(|(_, found)| failed(found)).map(|(world, _)| world.name).collect();
    assert!(failures.is_empty(), "broken, or nothing happened: {failures:?}");
    found
}

#[test]
fn every_claim_holds_in_every_world() {
    let found = hold_in(&worlds::all(), PATIENCE);
    assert!(found.iter().all(|found| found.exhausted), "a world was not searched to its end");
}

/// Some of these worlds have no end that a machine comes to: that much of them as there is time for.
#[test]
#[ignore = "takes hours and much memory: make model"]
fn every_claim_holds_in_larger_worlds() {
    let patience =
        std::env::var("MODEL_SECONDS").map_or(LARGER_PATIENCE, |seconds| seconds.parse().expect("seconds"));
    let larger: Vec<_> = worlds::all().iter().flat_map(worlds::larger).collect();
    let found = hold_in(&larger, Duration::from_secs(patience));
    let states: usize = found.iter().map(|found| found.states).sum();
    let exhausted = found.iter().filter(|found| found.exhausted).count();
    println!(
        "{states} states in {} worlds, {exhausted} of them searched to their ends; every claim holds",
        found.len()
    );
}

fn is_caught(world: &str, broken_assumption: BrokenAssumption) {
    let found = search::for_a_short_trace(&World { broken_assumption, ..worlds::named(world) }, PATIENCE);
    println!("{broken_assumption:?} in {world}: {found}");
    assert!(found.broken.is_some(), "{broken_assumption:?} was not noticed in the world {world:?}");
}

#[test]
fn every_assumption_about_the_environment_is_needed() {
    is_caught("delay", BrokenAssumption::UserspaceTimer);
    is_caught("delay", BrokenAssumption::NoKillMargin);
    is_caught("elector that cannot die", BrokenAssumption::DeadlineOfTheElectorAlone);
    is_caught("deletion", BrokenAssumption::NoPlaceholder);
    is_caught("deletion after a change", BrokenAssumption::ShorterPlaceholder);
    is_caught("emptied and deleted after a change", BrokenAssumption::EmptiedIsHeard);
    is_caught("containers of one pod", BrokenAssumption::IdentityPerPod);
    is_caught("last words", BrokenAssumption::EarlyLastWords);
    is_caught("everything killed in one pod", BrokenAssumption::SignedWithoutLock);
    is_caught("everything killed in one pod", BrokenAssumption::UnlockedByFork);
}

#[test]
fn clocks_that_differ_too_much_are_noticed() {
    let world = World { clocks: Clocks::Wild, ..worlds::named("drifting clocks") };
    assert!(search::for_a_short_trace(&world, PATIENCE).broken.is_some());
}
