//! Lifecycles in which every kind of note is written at default settings.
//!
//! What was kept is compared write by write: a lifecycle is not changed any more once a version was kept with
//! it. What is new goes into a new one.

use std::time::Duration;

use serde_json::json;
use singletonjob::lease::annotations::Exit;
use singletonjob::lease::elector::Fact;

use super::fixture::{Agent, Fixture, Shelf};

const SERVICE: &str = "service";
const ONE_SHOT: &str = "one-shot";
const LIMIT: &str = "limit";
const TIMING: &str = "timing";
const CUT_SHORT: &str = "cut-short";

/// Whether what is kept under `name` is part of a lifecycle.
pub fn is_told(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(lifecycle, _)| [SERVICE, ONE_SHOT, LIMIT, TIMING, CUT_SHORT].contains(&lifecycle))
}

pub fn play_all(shelf: Shelf<'_>) {
    for play in [service, one_shot, limit, timing, cut_short] {
        play(shelf);
    }
}

/// A service changes hands in every way.
fn service(shelf: Shelf<'_>) {
    let mut fixture = Fixture::new(SERVICE, &json!({"completionPolicy": "Never"}), shelf);
    fixture.makes();
    let mut first = Agent::new(&fixture, 1);
    first.takes(&mut fixture, "acquired");
    first.renews(&mut fixture, "renewed");
    first.is_told(&fixture, Fact::Lateness(Duration::from_secs(1)));
    first.renews(&mut fixture, "renewed-with-a-warning");
    fixture.asks_to_hand_over("asked-to-hand-over", 2);
    first.hears(&fixture);
    first.stops(&mut fixture, "handed-over");

    let mut second = Agent::new(&fixture, 2);
    second.takes(&mut fixture, "taken-over");
    fixture.suspends("suspended", true);
    second.hears(&fixture);
    second.stops(&mut fixture, "stopped");
    Agent::new(&fixture, 3).takes_nothing(&mut fixture);
    fixture.suspends("resumed", false);

    let mut third = Agent::new(&fixture, 3);
    third.takes(&mut fixture, "taken-when-resumed");
    third.is_told(&fixture, Fact::Drain);
    third.stops(&mut fixture, "drained");

    let mut fourth = Agent::new(&fixture, 4);
    fourth.takes(&mut fixture, "taken-after-a-drain");
    fourth.dies(&mut fixture, "elector-died");

    let mut fifth = Agent::new(&fixture, 5);
    fifth.takes(&mut fixture, "taken-from-the-dead");
    fifth.hears_nothing_more(&mut fixture);
    fifth.stops(&mut fixture, "lease-lost");

    // As long as a second setback may cost.
    let mut sixth = Agent::new(&fixture, 6);
    sixth.looks(&fixture);
    fixture.pass(10_000);
    sixth.takes(&mut fixture, "taken-when-lost");
    fixture.makes_again("made-again");
    Agent::new(&fixture, 7).waits(&mut fixture, 15);
}

/// A one-shot fails, and then succeeds.
fn one_shot(shelf: Shelf<'_>) {
    let mut fixture = Fixture::new(ONE_SHOT, &json!({}), shelf);
    fixture.makes();
    let mut first = Agent::new(&fixture, 1);
    first.takes(&mut fixture, "acquired");
    first.gives_back(&mut fixture, "failed", Exit::Code(1));
    let mut second = Agent::new(&fixture, 2);
    second.takes(&mut fixture, "tried-again");
    second.gives_back(&mut fixture, "succeeded", Exit::Code(0));
    Agent::new(&fixture, 3).takes_nothing(&mut fixture);
}

/// A one-shot that is killed by a signal, once too often.
fn limit(shelf: Shelf<'_>) {
    let mut fixture = Fixture::new(LIMIT, &json!({"backoffLimit": 0}), shelf);
    fixture.makes();
    let mut only = Agent::new(&fixture, 1);
    only.takes(&mut fixture, "acquired");
    only.gives_back(&mut fixture, "used-up", Exit::Signal(11));
    Agent::new(&fixture, 2).takes_nothing(&mut fixture);
}

/// The lease is made shorter, and then longer than it was.
fn timing(shelf: Shelf<'_>) {
    let mut fixture = Fixture::new(TIMING, &json!({"completionPolicy": "Never"}), shelf);
    fixture.makes();
    let mut holder = Agent::new(&fixture, 1);
    holder.takes(&mut fixture, "acquired");
    let mut witness = Agent::new(&fixture, 2);
    witness.hears(&fixture);
    fixture.sets_lease("told-a-shorter-lease", 6);
    holder.hears(&fixture);
    witness.hears(&fixture);
    holder.renews(&mut fixture, "renewed-for-the-shorter-lease");
    witness.hears(&fixture);
    let mut newcomer = Agent::new(&fixture, 3);
    newcomer.waits(&mut fixture, 6);
    witness.waits(&mut fixture, 9);

    fixture.sets_lease("told-a-longer-lease", 40);
    Agent::new(&fixture, 4).waits(&mut fixture, 40);
}

/// A holder is told to stop and cut off before its workload has ended: the attempt is not used up.
fn cut_short(shelf: Shelf<'_>) {
    let mut fixture = Fixture::new(CUT_SHORT, &json!({"backoffLimit": 0}), shelf);
    fixture.makes();
    let mut first = Agent::new(&fixture, 1);
    first.takes(&mut fixture, "acquired");
    first.is_drained(&mut fixture, "told-to-stop");
    let mut second = Agent::new(&fixture, 2);
    second.looks(&fixture);
    fixture.pass(15_000);
    second.takes(&mut fixture, "taken-over");
    second.gives_back(&mut fixture, "succeeded", Exit::Code(0));
}
