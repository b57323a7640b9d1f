//! What a change of hands costs with five candidates, and who comes first.

use std::time::Duration;

use singletonjob::api::UnreachableHolder;
use singletonjob::lease::annotations::CompletionPolicy;

use crate::controller;
use crate::faults::FaultProfile;
use crate::trace_event::who;
use crate::world::{Mutant, Settings, World};

const SEEDS: u64 = 6;
const ROUNDS: u32 = 10;
/// Until every agent is back that was away.
const BETWEEN: Duration = Duration::from_secs(90);
/// A holder that stopped and gave the Lease back; others were gone, or killed.
const CLEAN: [&str; 2] = ["Drain", "RolledOut"];

/// Five candidates, and nothing happens but what the test does.
fn five(seed: u64) -> World {
    let fault_profile = FaultProfile::quiet();
    let mut world = World::new(Settings {
        seed,
        agents: 5,
        fault_profile,
        unreachable: UnreachableHolder::default(),
        mutant: Mutant::Nothing,
    });
    world.controller.set_timing(controller::timing(15, None, None, None));
    world.run(BETWEEN).expect("nothing happens");
    world
}

/// One change of hands.
struct Change {
    /// What the holder before left behind.
    cause: String,
    /// Writes of all who wanted the Lease.
    claims: u64,
    next: String,
}

impl World {
    fn holder_place(&self) -> usize {
        let holder = self.server.lease().and_then(|lease| lease.holder.as_ref()).map(who).expect("held");
        self.processes[&holder].place.expect("in a pod")
    }

    /// Makes the holder go, in whatever way, and waits until an agent holds again; none where several came
    /// after each other.
    fn change(&mut self, act: impl FnOnce(&mut Self, usize)) -> Option<Change> {
        let (before, claims, starts) =
            (self.coverage.takeovers.clone(), self.coverage.claims, self.coverage.starts);
        let place = self.holder_place();
        act(self, place);
        let end = self.now + BETWEEN;
        let verdict = self.run(end);
        assert_eq!(verdict, Ok(()), "{}", self.judge.trace.describe("in a quiet world"));
        let (cause, _) =
            self.coverage.takeovers.iter().find(|(cause, count)| before.get(*cause) != Some(count))?;
        let next = self.places[self.holder_place()].pod_uid();
        let change = Change { cause: cause.clone(), claims: self.coverage.claims - claims, next };
        (self.coverage.starts == starts + 1).then_some(change)
    }

    /// As the controller writes it.
    fn line_up(&mut self, line: Vec<String>) {
        self.server.annotate(self.now, |annotations| annotations.succession = line);
    }

    /// Its pod comes back as another one, which can prove nothing.
    fn crash(&mut self, place: usize) {
        self.places[place].leaving = true;
        self.kill_all(place);
    }

    /// Its container comes back in the same pod.
    fn kill_all(&mut self, place: usize) {
        let holder = self.places[place].who.expect("it runs");
        self.destroy(holder, "killed from outside");
    }
}

fn average(claims: &[u64]) -> f64 {
    assert!(claims.len() > 20, "too few to say anything: {claims:?}");
    let [sum, count] = [claims.iter().sum(), claims.len() as u64]
        .map(|number| u32::try_from(number).map_or(f64::MAX, f64::from));
    sum / count
}

#[test]
fn with_five_candidates_a_clean_takeover_costs_one_write() {
    let mut seen = Vec::new();
    for seed in 1..=SEEDS {
        let mut world = five(seed);
        for round in 0..ROUNDS {
            let line = world.standbys();
            let change = world.change(|world, place| {
                let record = world.server.lease().cloned().expect("there");
                if round % 2 == 0 {
                    world.controller.direct_handover(&record, line.clone());
                    world.look();
                } else {
                    world.line_up(line.clone());
                    world.drain(place, false);
                }
            });
            let Some(Change { cause, claims, next }) =
                change.filter(|change| CLEAN.contains(&change.cause.as_str()))
            else {
                continue;
            };
            assert_eq!((claims, &next), (1, &line[0]), "seed {seed}, round {round}, {cause}");
            seen.push(cause);
        }
    }
    assert!(CLEAN.iter().all(|cause| seen.iter().filter(|seen| seen == cause).count() > 10), "{seen:?}");
}

#[test]
fn with_five_candidates_a_takeover_after_a_crash_costs_two_writes() {
    for lined_up in [true, false] {
        let mut claims = Vec::new();
        for seed in 1..=SEEDS {
            let mut world = five(seed);
            for _ in 0..ROUNDS {
                let line = if lined_up { world.standbys() } else { Vec::new() };
                world.line_up(line);
                let change = world.change(World::crash);
                claims.extend(change.filter(|change| change.cause == "expired").map(|change| change.claims));
            }
        }
        let average = average(&claims);
        println!("after a crash, lined up: {lined_up}: {average:.2} writes per takeover");
        assert!(average <= 2.0, "lined up: {lined_up}: {average}, {claims:?}");
    }
}

#[test]
fn everything_killed_in_a_container_costs_two_writes_and_seconds() {
    for seed in 1..=SEEDS {
        let mut world = five(seed);
        if world.controller.completion() == CompletionPolicy::OnSuccess {
            continue;
        }
        let line = world.standbys();
        world.line_up(line);
        let change = world.change(World::kill_all).expect("one takeover");
        assert_eq!((change.cause.as_str(), change.claims), ("ElectorDied", 1), "seed {seed}");
        let gap = world.coverage.longest_gap;
        // The container comes back after half a second and waits for K.
        assert!(gap < Duration::from_millis(2_500), "seed {seed}: {gap:?}");
    }
}

#[test]
fn with_five_that_rank_themselves_a_drain_costs_two_writes_at_most() {
    let mut claims = Vec::new();
    for seed in 1..=SEEDS {
        let mut world = five(seed);
        for _ in 0..ROUNDS {
            let change = world.change(|world, place| world.drain(place, false));
            claims.extend(change.filter(|change| change.cause == "Drain").map(|change| change.claims));
        }
    }
    let average = average(&claims);
    println!("after a drain, each with a rank of its own: {average:.2} writes per takeover");
    assert!(average <= 2.0, "{average}, {claims:?}");
}
