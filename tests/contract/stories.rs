//! Stories in which every kind of note is written at default settings.
//!
//! What was kept is compared write by write: a story is not changed any more once a version was kept with it.
//! What is new goes into a new one.

use std::time::Duration;

use serde_json::json;
use singletonjob::lease::annotations::Exit;
use singletonjob::lease::elector::Fact;

use super::cast::{Agent, Shelf, Stage};

const SERVICE: &str = "service";
const ONE_SHOT: &str = "one-shot";
const LIMIT: &str = "limit";
const TIMING: &str = "timing";
const CUT_SHORT: &str = "cut-short";

/// Whether what is kept under `name` is part of a story.
pub fn is_told(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(story, _)| [SERVICE, ONE_SHOT, LIMIT, TIMING, CUT_SHORT].contains(&story))
}

pub fn play_all(shelf: Shelf<'_>) {
    for play in [service, one_shot, limit, timing, cut_short] {
        play(shelf);
    }
}

/// A service changes hands in every way.
fn service(shelf: Shelf<'_>) {
    let mut stage = Stage::new(SERVICE, &json!({"completionPolicy": "Never"}), shelf);
    stage.makes();
    let mut first = Agent::new(&stage, 1);
    first.takes(&mut stage, "acquired");
    first.renews(&mut stage, "renewed");
    first.is_told(&stage, Fact::Lateness(Duration::from_secs(1)));
    first.renews(&mut stage, "renewed-with-a-warning");
    stage.asks_to_hand_over("asked-to-hand-over", 2);
    first.hears(&stage);
    first.stops(&mut stage, "handed-over");

    let mut second = Agent::new(&stage, 2);
    second.takes(&mut stage, "taken-over");
    stage.suspends("suspended", true);
    second.hears(&stage);
    second.stops(&mut stage, "stopped");
    Agent::new(&stage, 3).takes_nothing(&mut stage);
    stage.suspends("resumed", false);

    let mut third = Agent::new(&stage, 3);
    third.takes(&mut stage, "taken-when-resumed");
    third.is_told(&stage, Fact::Drain);
    third.stops(&mut stage, "drained");

    let mut fourth = Agent::new(&stage, 4);
    fourth.takes(&mut stage, "taken-after-a-drain");
    fourth.dies(&mut stage, "elector-died");

    let mut fifth = Agent::new(&stage, 5);
    fifth.takes(&mut stage, "taken-from-the-dead");
    fifth.hears_nothing_more(&mut stage);
    fifth.stops(&mut stage, "lease-lost");

    // As long as a second setback may cost.
    let mut sixth = Agent::new(&stage, 6);
    sixth.looks(&stage);
    stage.pass(10_000);
    sixth.takes(&mut stage, "taken-when-lost");
    stage.makes_again("made-again");
    Agent::new(&stage, 7).waits(&mut stage, 15);
}

/// A one-shot fails, and then succeeds.
fn one_shot(shelf: Shelf<'_>) {
    let mut stage = Stage::new(ONE_SHOT, &json!({}), shelf);
    stage.makes();
    let mut first = Agent::new(&stage, 1);
    first.takes(&mut stage, "acquired");
    first.gives_back(&mut stage, "failed", Exit::Code(1));
    let mut second = Agent::new(&stage, 2);
    second.takes(&mut stage, "tried-again");
    second.gives_back(&mut stage, "succeeded", Exit::Code(0));
    Agent::new(&stage, 3).takes_nothing(&mut stage);
}

/// A one-shot that is killed by a signal, once too often.
fn limit(shelf: Shelf<'_>) {
    let mut stage = Stage::new(LIMIT, &json!({"backoffLimit": 0}), shelf);
    stage.makes();
    let mut only = Agent::new(&stage, 1);
    only.takes(&mut stage, "acquired");
    only.gives_back(&mut stage, "used-up", Exit::Signal(11));
    Agent::new(&stage, 2).takes_nothing(&mut stage);
}

/// The lease is made shorter, and then longer than it was.
fn timing(shelf: Shelf<'_>) {
    let mut stage = Stage::new(TIMING, &json!({"completionPolicy": "Never"}), shelf);
    stage.makes();
    let mut holder = Agent::new(&stage, 1);
    holder.takes(&mut stage, "acquired");
    let mut witness = Agent::new(&stage, 2);
    witness.hears(&stage);
    stage.sets_lease("told-a-shorter-lease", 6);
    holder.hears(&stage);
    witness.hears(&stage);
    holder.renews(&mut stage, "renewed-for-the-shorter-lease");
    witness.hears(&stage);
    let mut newcomer = Agent::new(&stage, 3);
    newcomer.waits(&mut stage, 6);
    witness.waits(&mut stage, 9);

    stage.sets_lease("told-a-longer-lease", 40);
    Agent::new(&stage, 4).waits(&mut stage, 40);
}

/// A holder is told to stop and cut off before its workload has ended: the attempt is not used up.
fn cut_short(shelf: Shelf<'_>) {
    let mut stage = Stage::new(CUT_SHORT, &json!({"backoffLimit": 0}), shelf);
    stage.makes();
    let mut first = Agent::new(&stage, 1);
    first.takes(&mut stage, "acquired");
    first.is_drained(&mut stage, "told-to-stop");
    let mut second = Agent::new(&stage, 2);
    second.looks(&stage);
    stage.pass(15_000);
    second.takes(&mut stage, "taken-over");
    second.gives_back(&mut stage, "succeeded", Exit::Code(0));
}
