//! Every order in which things can happen to a few candidates, within bounds, against the elector itself.
//!
//! What is claimed of it is in `model/world/oracle.rs`, the bounds are in `model/worlds.rs`. That each rule of the elector is needed for that
//! is shown in `mutants.rs`; here, that each assumption about the environment is.

mod model {
    use singletonjob::lease;

    pub mod search;
    pub mod world;
    pub mod worlds;
}

use std::time::Duration;

use model::world::{Breach, Clocks, World};
use model::{search, worlds};

/// Far more than any of them takes: a busy machine must not make a difference.
const PATIENCE: Duration = Duration::from_secs(600);

fn hold_in(worlds: Vec<World>, patience: Duration) {
    let mut failures = Vec::new();
    for world in worlds {
        let found = search::to_the_end(&world, patience);
        println!("{:30} {found}", world.name);
        if !found.exhausted || found.is_empty() {
            failures.push(world.name);
        }
    }
    assert!(failures.is_empty(), "broken, not searched to the end, or nothing happened: {failures:?}");
}

#[test]
fn every_claim_holds_in_every_world() {
    hold_in(worlds::all(), PATIENCE);
}

#[test]
#[ignore = "takes long and much memory: make model"]
fn every_claim_holds_in_larger_worlds() {
    hold_in(worlds::all().iter().flat_map(worlds::larger).collect(), Duration::from_secs(1800));
}

fn is_caught(world: &str, breach: Breach) {
    let found = search::for_a_short_story(&World { breach, ..worlds::named(world) }, PATIENCE);
    println!("{breach:?} in {world}: {found}");
    assert!(found.broken.is_some(), "{breach:?} was not noticed in the world {world:?}");
}

#[test]
fn every_assumption_about_the_environment_is_needed() {
    is_caught("delay", Breach::UserspaceTimer);
    is_caught("delay", Breach::NoKillMargin);
    is_caught("deletion", Breach::NoPlaceholder);
    is_caught("deletion after a change", Breach::ShorterPlaceholder);
    is_caught("containers of one pod", Breach::IdentityPerPod);
    is_caught("last words", Breach::EarlyLastWords);
}

#[test]
fn clocks_that_differ_too_much_are_noticed() {
    let world = World { clocks: Clocks::Wild, ..worlds::named("drifting clocks") };
    assert!(search::for_a_short_story(&world, PATIENCE).broken.is_some());
}
