//! The worlds that are searched, each as small as its question allows.

use std::time::Duration;

use super::lease::notes::{CompletionPolicy, Policy};
use super::world::{Breach, Clocks, Fault, World, policy};

/// Two candidates of two pods, to the first takeover, with nothing that goes wrong but delay.
fn quiet(name: &'static str) -> World {
    World {
        name,
        agents: 2,
        one_pod: false,
        tick: Duration::from_millis(500),
        horizon: 7,
        faults: Vec::new(),
        at_most: usize::MAX,
        clocks: Clocks::Equal,
        policy: policy(3),
        stop_grace: Duration::ZERO,
        lazy: vec![0],
        last_words: false,
        patience: None,
        breach: Breach::Nothing,
    }
}

/// Delay alone.
pub fn delay() -> World {
    World { lazy: vec![0, 1], horizon: 6, ..quiet("delay") }
}

/// Lost answers.
pub fn loss() -> World {
    World { faults: vec![Fault::LosePut], ..quiet("loss") }
}

fn one_of(name: &'static str, faults: Vec<Fault>) -> World {
    World { faults, at_most: 1, ..quiet(name) }
}

/// A process dies or its workload ends.
pub fn crash() -> World {
    one_of("crash", vec![Fault::Crash, Fault::End])
}

/// Everything that is searched.
pub fn all() -> Vec<World> {
    vec![
        delay(),
        World { lazy: vec![1], ..loss() },
        loss(),
        crash(),
        World { lazy: vec![0, 1], ..crash() },
        World { lazy: vec![1], ..crash() },
    ]
}
