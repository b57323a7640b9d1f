//! Every order in which things can happen to a few candidates, within bounds, against the elector itself.

mod model {
    use singletonjob::lease;

    pub mod search;
    pub mod world;
    pub mod worlds;
}

use std::time::Duration;

use model::{search, worlds};

#[test]
fn every_claim_holds_in_every_world() {
    for world in worlds::all() {
        let found = search::to_the_end(&world, Duration::from_secs(60));
        println!("{:24} {found}", world.name);
    }
}
