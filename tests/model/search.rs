//! Searching a world to its end, and saying how large it was.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::world::{Action, BROKEN, Claim, World};

pub struct Found {
    pub states: usize,
    pub depth: usize,
    pub took: Duration,
    /// Whether there was nothing left to try.
    pub exhausted: bool,
    /// Which claim was broken first, and how.
    pub broken: Option<(Claim, Vec<Action>)>,
}

const THREADS: usize = 2;

/// Depth first: it needs memory for what was seen, and for one trace. Ends at the first claim that is broken.
pub fn to_the_end(world: &World, patience: Duration) -> Found {
    let began = Instant::now();
    let checker = world.clone().checker().threads(THREADS).timeout(patience);
    report(&checker.finish_when(broken()).spawn_dfs().join(), began, patience)
}

/// Breadth first: finds a short trace.
pub fn for_a_short_trace(world: &World, patience: Duration) -> Found {
    let began = Instant::now();
    let checker = world.clone().checker().threads(THREADS).timeout(patience);
    report(&checker.finish_when(broken()).spawn_bfs().join(), began, patience)
}

fn broken() -> HasDiscoveries {
    HasDiscoveries::AllOf([BROKEN].into())
}

fn report(checker: &impl Checker<World>, began: Instant, patience: Duration) -> Found {
    let took = began.elapsed();
    let trace = checker.discovery(BROKEN).map(|path| (path.last_state().broken, path.into_actions()));
    Found {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took,
        exhausted: took < patience && trace.is_none(),
        broken: trace.and_then(|(claim, trace)| Some((claim?, trace))),
    }
}

impl Found {
    /// Whether too little was possible for the search to say anything.
    pub fn is_empty(&self) -> bool {
        self.states < 10
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { states, depth, took, exhausted, broken, .. } = self;
        write!(formatter, "{states:>9} states, depth {depth:>3}, {:>6.1} s, ", took.as_secs_f64())?;
        match broken {
            Some((claim, trace)) => {
                write!(formatter, "broken: {claim:?} in {} steps: {trace:?}", trace.len())
            }
            None if *exhausted => write!(formatter, "searched to its end"),
            None => write!(formatter, "NOT searched to its end"),
        }
    }
}
