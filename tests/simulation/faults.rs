//! What goes wrong, when, and for how long: a schedule from the seed.

use std::time::Duration;

use singletonjob::contract::exit_codes;
use singletonjob::lease::annotations::Exit;

use crate::clocks::RATES;
use crate::controller::{FATAL, IGNORED, timing};
use crate::network::Direction;
use crate::process::Stage;
use crate::rng::Rng;
use crate::server::Ailment;
use crate::trace_event::{Who, who};
use crate::world::{Event, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    NodeCut,
    AnswersLost,
    RequestsLost,
    SlowNetwork,
    Server(Ailment),
    CacheLags,
    WatchFallsSilent,
    WatchEnds,
    ElectorStopped,
    /// It sleeps in the kernel, as for a disk that does not answer.
    ElectorHangs,
    PodFrozen,
    Starved,
    ElectorCrashes,
    ContainerKilled,
    NodeCrashes,
    NodeSleeps,
    WorkloadSucceeds,
    WorkloadFails,
    Drain,
    Unhealthy,
    PodForgotten,
    DuplicateContainer,
    LeaseDeleted,
    LeaseEmptied,
    HandoverDirected,
    Suspended,
    TimingChanged,
    JobReplaced,
    ControllerAway,
    WallClockJumps,
    ClockDrifts,
    StoreRestored,
    StoreLost,
}

/// All that a schedule draws from; what is likely stands there more often.
pub const ALL: [Fault; 43] = [
    Fault::NodeCut,
    Fault::NodeCut,
    Fault::AnswersLost,
    Fault::AnswersLost,
    Fault::RequestsLost,
    Fault::SlowNetwork,
    Fault::SlowNetwork,
    Fault::Server(Ailment::Down),
    Fault::Server(Ailment::Hangs),
    Fault::Server(Ailment::Stalls),
    Fault::Server(Ailment::Fails),
    Fault::Server(Ailment::Fails),
    Fault::Server(Ailment::Throttles),
    Fault::Server(Ailment::Forbids),
    Fault::CacheLags,
    Fault::CacheLags,
    Fault::WatchFallsSilent,
    Fault::WatchEnds,
    Fault::ElectorStopped,
    Fault::ElectorStopped,
    Fault::ElectorHangs,
    Fault::PodFrozen,
    Fault::Starved,
    Fault::ElectorCrashes,
    Fault::ElectorCrashes,
    Fault::ContainerKilled,
    Fault::NodeCrashes,
    Fault::NodeSleeps,
    Fault::WorkloadSucceeds,
    Fault::WorkloadFails,
    Fault::Drain,
    Fault::Unhealthy,
    Fault::PodForgotten,
    Fault::DuplicateContainer,
    Fault::LeaseDeleted,
    Fault::LeaseEmptied,
    Fault::HandoverDirected,
    Fault::Suspended,
    Fault::TimingChanged,
    Fault::JobReplaced,
    Fault::ControllerAway,
    Fault::WallClockJumps,
    Fault::ClockDrifts,
];

type TimingSpec = (i32, Option<i32>, Option<i32>, Option<i32>);

/// What users may set: `L`, `S`, `G` and `R`.
const TIMINGS: [TimingSpec; 7] = [
    (3, None, None, None),
    (6, None, None, None),
    (15, None, None, None),
    (40, None, None, None),
    (10, Some(4), Some(3), Some(1)),
    (12, Some(3), None, Some(1)),
    (40, Some(20), Some(0), Some(6)),
];

/// How rough it is.
#[derive(Clone, Debug)]
pub struct FaultProfile {
    /// Between two faults, in milliseconds.
    pub between: (u64, u64),
    /// A process is paused in the midst of what it does once in so many steps.
    pub hiccup: u32,
    pub faults: Vec<Fault>,
}

impl FaultProfile {
    /// Each seed has a fault profile of its own: some all calm, some with two kinds of fault only, and those
    /// often.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "climate");
        let between =
            rng.pick(&[(2_000, 20_000), (10_000, 90_000), (30_000, 300_000)]).unwrap_or((10_000, 90_000));
        let hiccup = rng.pick(&[300, 3_000, u32::MAX]).unwrap_or(u32::MAX);
        let mut faults = ALL.to_vec();
        if rng.percent(40) {
            faults = (0..rng.number(2..=6)).filter_map(|_| rng.pick(&ALL)).collect();
        }
        Self { between, hiccup, faults }
    }

    pub fn only(faults: &[Fault], between: (u64, u64)) -> Self {
        Self { between, hiccup: u32::MAX, faults: faults.to_vec() }
    }

    pub fn quiet() -> Self {
        Self::only(&[], (1_000, 1_000))
    }

    pub fn pause(&self, rng: &mut Rng) -> Duration {
        rng.millis(self.between.0..=self.between.1)
    }
}

/// Most often fatal, where the job has a failure policy. A service may ask for another holder so.
fn failure_of(who: Who) -> Exit {
    let codes = [FATAL, IGNORED, FATAL, 1, exit_codes::HAND_OVER];
    Exit::Code(codes[usize::try_from(who % 5).expect("small")])
}

impl World {
    pub fn strike(&mut self) {
        let pause = self.settings.fault_profile.pause(&mut self.mischief);
        self.after(pause, Event::Strikes);
        let Some(fault) = self.mischief.pick(&self.settings.fault_profile.faults) else { return };
        let Some(place) = self.target() else { return };
        let node = self.places[place].node;
        let duration = self.duration();
        self.happens(fault, Some(place));
        match fault {
            Fault::NodeCut | Fault::AnswersLost | Fault::RequestsLost | Fault::SlowNetwork => {
                self.trouble_network(fault, node, duration);
            }
            Fault::Server(ailment) => self.trouble_server(ailment, duration),
            Fault::CacheLags | Fault::WatchFallsSilent | Fault::WatchEnds => {
                self.trouble_watches(fault, place, duration);
            }
            Fault::NodeCrashes => self.node_crashes(node, duration),
            Fault::NodeSleeps => self.node_sleeps(node, duration),
            Fault::WallClockJumps => self.nodes[node].clock.jump_wall(&mut self.mischief),
            Fault::ClockDrifts => self.drift(node),
            Fault::Drain => self.drain(place, false),
            Fault::Unhealthy => self.drain(place, true),
            Fault::PodForgotten => self.forget_container(place, false),
            Fault::DuplicateContainer => self.forget_container(place, true),
            _ => self.trouble_process(fault, place, duration),
        }
    }

    /// Mostly the holder of the Lease: there it hurts.
    fn target(&mut self) -> Option<usize> {
        let holder = self.server.lease().and_then(|lease| lease.holder.as_ref()).map(who);
        let place = holder.and_then(|holder| self.processes.get(&holder)).and_then(|process| process.place);
        let any = usize::try_from(self.mischief.number(0..=u64::MAX) % self.places.len() as u64).ok();
        if self.mischief.percent(60) { place.or(any) } else { any }
    }

    /// Short, around the lease duration, or long.
    fn duration(&mut self) -> Duration {
        match self.mischief.number(0..=9) {
            0..=3 => self.mischief.millis(50..=3_000),
            4..=7 => self.mischief.millis(3_000..=20_000),
            _ => self.mischief.millis(20_000..=90_000),
        }
    }

    fn trouble_network(&mut self, fault: Fault, node: usize, duration: Duration) {
        let until = self.now + duration;
        let whole_cluster = self.mischief.percent(15);
        for (number, node_of_many) in self.nodes.iter_mut().enumerate() {
            if number != node && !whole_cluster {
                continue;
            }
            let link = &mut node_of_many.link;
            match fault {
                Fault::SlowNetwork => link.slow_down(until),
                Fault::AnswersLost => link.block(Direction::Answers, until),
                Fault::RequestsLost => link.block(Direction::Requests, until),
                _ => {
                    link.block(Direction::Requests, until);
                    link.block(Direction::Answers, until);
                }
            }
        }
    }

    fn trouble_server(&mut self, ailment: Ailment, duration: Duration) {
        self.server.fall_ill(ailment, self.now + duration);
        if ailment == Ailment::Down {
            self.end_all_watches();
        }
    }

    fn trouble_watches(&mut self, fault: Fault, place: usize, duration: Duration) {
        let who = self.places[place].who.unwrap_or_default();
        match fault {
            Fault::CacheLags => {
                let lag = self.mischief.millis(50..=20_000);
                self.server.lag(lag, self.now + duration);
                self.end_all_watches();
            }
            Fault::WatchEnds => self.end_watch(who),
            _ => self.streams.values_mut().for_each(|stream| stream.silent = true),
        }
    }

    fn drift(&mut self, node: usize) {
        if !self.is_mutant(crate::world::Mutant::WildClocks) {
            self.nodes[node].clock.set_rate(self.now, &mut self.mischief, RATES);
        }
        self.for_all_on(node, |world, who| {
            if let Some(armed) = world.processes.get(&who).and_then(|process| process.armed) {
                world.after(Duration::ZERO, Event::Deadline(who, armed));
            }
        });
    }

    fn trouble_process(&mut self, fault: Fault, place: usize, duration: Duration) {
        let Some(who) = self.places[place].who else { return };
        match fault {
            Fault::ElectorStopped => self.pause(who, duration, false),
            Fault::ElectorHangs => self.hang(who, duration),
            Fault::PodFrozen => self.pause(who, duration, true),
            Fault::Starved => self.starve(who, duration),
            Fault::ElectorCrashes if self.hangs(who) => {}
            Fault::ElectorCrashes => self.elector_dies(who, false),
            Fault::ContainerKilled => self.destroy(who, "killed from outside"),
            Fault::WorkloadSucceeds => self.workload_exits(self.running().unwrap_or(who), Exit::Code(0)),
            Fault::WorkloadFails => {
                let who = self.running().unwrap_or(who);
                self.workload_exits(who, failure_of(who));
            }
            _ => self.trouble_controller(fault, duration),
        }
    }

    fn running(&self) -> Option<Who> {
        self.processes
            .values()
            .find(|process| process.stage == Stage::Electing && self.judge.safety.is_running(process.who))
            .map(|it| it.who)
    }

    fn starve(&mut self, who: Who, duration: Duration) {
        let until = self.now + duration;
        if let Some(process) = self.electing(who) {
            process.starving = until;
            process.well_from = process.well_from.max(until);
            self.was_late(who, Duration::from_millis(500));
        }
    }

    fn trouble_controller(&mut self, fault: Fault, duration: Duration) {
        match fault {
            Fault::LeaseDeleted => self.delete_lease(),
            Fault::LeaseEmptied => self.empty_lease(),
            Fault::HandoverDirected => self.direct_handover(),
            Fault::Suspended => self.controller.suspend(!self.controller.is_suspended()),
            Fault::TimingChanged => {
                if let Some((lease, renew, grace, retry)) = self.mischief.pick(&TIMINGS) {
                    self.controller.set_timing(timing(lease, renew, grace, retry));
                }
            }
            Fault::JobReplaced => self.replace_job(self.now + duration),
            _ => self.controller.away_until = self.now + duration,
        }
        self.look();
    }

    fn direct_handover(&mut self) {
        let succession = self.standbys();
        if let Some(record) = self.server.lease().cloned() {
            self.controller.direct_handover(&record, succession);
        }
    }

    /// From a backup of that age: Lease and versions go back, every connection is reset.
    pub fn restore(&mut self, age: Duration) {
        self.happens(Fault::StoreRestored, None);
        self.server.restore(self.now, age);
        self.end_all_watches();
    }

    /// The Lease is gone, and versions begin anew; the SingletonJob and its status were kept.
    pub fn lose_store(&mut self) {
        self.happens(Fault::StoreLost, None);
        self.server.begin_anew(self.now);
        self.judge.safety.forget_versions();
        self.end_all_watches();
    }
}
