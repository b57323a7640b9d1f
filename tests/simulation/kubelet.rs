//! Pods and containers: started, restarted after a back-off, drained, replaced, forgotten.

use std::time::Duration;

use singletonjob::lease::annotations::CompletionPolicy;
use singletonjob::lease::elector::{Candidate, Fact};
use singletonjob::lease::identity::Identity;

use crate::process::{News, Process, Temper, Tree};
use crate::trace_event::{TraceEvent, Who};
use crate::world::{Event, Mutant, World};

const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// As a kubelet may be configured; the default is 5 minutes, which would only make the hours quieter.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
const SOUND_RUN: Duration = Duration::from_secs(600);
/// Kept of the grace period by the agent.
const RESERVE: Duration = Duration::from_secs(2);
pub const GRACE_PERIOD: Duration = Duration::from_secs(12);

/// Where a candidate belongs: a pod, and after it another one.
pub struct Place {
    number: usize,
    pub node: usize,
    pod: u32,
    restarts: u32,
    pub job: String,
    pub who: Option<Who>,
    /// The pod is being deleted.
    pub leaving: bool,
}

impl Place {
    pub fn new(number: usize, node: usize) -> Self {
        Self { number, node, pod: 0, restarts: 0, job: "job-1".to_owned(), who: None, leaving: false }
    }

    /// Another pod.
    pub fn renew(&mut self, job: &str) {
        self.pod += 1;
        self.restarts = 0;
        self.leaving = false;
        job.clone_into(&mut self.job);
    }

    pub fn pod_uid(&self) -> String {
        format!("uid-{}-{}", self.number, self.pod)
    }

    fn candidate(&self, nonce: Who) -> Candidate {
        Candidate::new(
            Identity::new(&format!("web-{}", self.number), &self.pod_uid(), nonce),
            self.job.clone(),
            GRACE_PERIOD - RESERVE,
        )
    }
}

impl World {
    pub fn launch(&mut self, number: usize) {
        let place = &self.places[number];
        let node = place.node;
        let awake = !self.nodes[node].down && !self.nodes[node].suspended;
        if place.who.is_none() && awake && !self.controller.is_between_jobs() {
            let temper = self.temper();
            self.start_container(number, temper);
        }
    }

    fn start_container(&mut self, number: usize, temper: Temper) {
        self.born += 1;
        let (who, node) = (self.born, self.places[number].node);
        let lock = self.take_lock(who, number);
        let candidate = Candidate { lock, ..self.places[number].candidate(who) };
        let now = self.nodes[node].clock.now(self.now);
        self.processes.insert(who, Process::new(who, number, node, candidate, now, self.now, temper));
        self.places[number].who = Some(who);
        self.note(TraceEvent::Appears { who, place: number });
        self.open_watch(who);
        self.tell(who, News::Tick);
    }

    fn temper(&mut self) -> Temper {
        let obeys_within = match self.chance.number(0..=9) {
            0..=5 => Some(self.chance.millis(1..=300)),
            6..=8 => Some(self.chance.millis(300..=9000)),
            _ => None,
        };
        let leaves_orphans = self.chance.percent(20);
        let hangs = self.chance.percent(10).then(|| self.chance.millis(1000..=60_000));
        Temper { obeys_within, leaves_orphans, hangs }
    }

    pub fn container_ended(&mut self, process: &Process) {
        let Some(number) = process.place else { return };
        self.places[number].who = None;
        if self.nodes[self.places[number].node].down {
            return;
        }
        let one_shot = self.controller.completion() == CompletionPolicy::OnSuccess;
        let delay = if self.places[number].leaving || one_shot {
            self.replace(number)
        } else {
            self.back_off(number, process.born)
        };
        self.after(delay, Event::Launch(number));
    }

    fn replace(&mut self, number: usize) -> Duration {
        let job = self.controller.job_uid();
        self.places[number].renew(&job);
        self.chance.millis(500..=3000)
    }

    fn back_off(&mut self, number: usize, born: Duration) -> Duration {
        let place = &mut self.places[number];
        if self.now.saturating_sub(born) >= SOUND_RUN {
            place.restarts = 0;
        }
        let doubled =
            FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(place.restarts.saturating_sub(1).min(8)));
        let delay =
            if place.restarts == 0 { Duration::from_millis(500) } else { doubled.min(LONGEST_BACKOFF) };
        place.restarts += 1;
        delay
    }

    /// SIGTERM now, SIGKILL when the grace period is over; then another pod.
    pub fn drain(&mut self, number: usize, unhealthy: bool) {
        let Some(who) = self.places[number].who else { return };
        self.places[number].leaving = !unhealthy;
        let now = self.now;
        if let Some(process) = self.electing(who) {
            process.draining = true;
            process.well_from = process.well_from.max(now);
        }
        if unhealthy {
            self.tell(who, News::Fact(Fact::Unhealthy));
        }
        self.tell(who, News::Fact(Fact::Drain));
        self.after(GRACE_PERIOD, Event::Evicted(who));
    }

    /// The pod's place is given to another container while the old one runs on, until the kubelet finds out.
    pub fn forget_container(&mut self, number: usize, same_pod: bool) {
        let Some(who) = self.places[number].who.take() else { return };
        if let Some(process) = self.processes.get_mut(&who) {
            process.place = None;
        }
        if !same_pod {
            self.replace(number);
        }
        let (next, found) = (self.chance.millis(100..=3000), self.chance.millis(5_000..=120_000));
        self.after(next, Event::Launch(number));
        self.after(found, Event::Evicted(who));
    }

    pub fn node_crashes(&mut self, node: usize, duration: Duration) {
        if self.nodes[node].down {
            return;
        }
        if self.nodes[node].suspended {
            self.node_resumes(node);
        }
        self.nodes[node].down = true;
        self.for_all_on(node, |world, who| world.destroy(who, "its node crashed"));
        self.forget_locks(node);
        self.after(duration, Event::NodeReturns(node));
    }

    pub fn node_returns(&mut self, node: usize) {
        self.nodes[node].down = false;
        self.fill(node);
    }

    /// What could not be launched while it was away.
    fn fill(&mut self, node: usize) {
        for number in 0..self.places.len() {
            if self.places[number].node == node && self.places[number].who.is_none() {
                let delay = self.chance.millis(500..=5000);
                self.after(delay, Event::Launch(number));
            }
        }
    }

    /// Nothing runs on it meanwhile, the kernel's timers included.
    pub fn node_sleeps(&mut self, node: usize, duration: Duration) {
        if self.nodes[node].down || self.nodes[node].suspended {
            return;
        }
        self.nodes[node].suspended = true;
        if self.is_mutant(Mutant::HiddenPauses) {
            self.nodes[node].clock.stop(self.now, true);
        } else {
            self.nodes[node].clock.suspend(self.now, true);
        }
        self.for_all_on(node, |world, who| {
            world.pause(who, duration, true);
            world.note(TraceEvent::Sleeps { who });
        });
        self.after(duration, Event::NodeResumes(node));
    }

    pub fn node_resumes(&mut self, node: usize) {
        self.nodes[node].suspended = false;
        self.nodes[node].clock.suspend(self.now, false);
        self.nodes[node].clock.stop(self.now, false);
        self.for_all_on(node, |world, who| {
            world.expired_in_sleep(who);
            world.note(TraceEvent::Wakes { who });
        });
        self.fill(node);
    }

    /// Timers fire before any process runs.
    fn expired_in_sleep(&mut self, who: Who) {
        let boot = self.boot_of(who);
        let Some(armed) = self.electing(who).and_then(|process| process.armed) else { return };
        if boot >= armed && !self.is_mutant(Mutant::NoKernelTimer) {
            self.stops(who, Tree::Empty);
            self.elector_dies(who, true);
        } else {
            self.after(Duration::ZERO, Event::Deadline(who, armed));
        }
    }

    pub fn for_all_on(&mut self, node: usize, mut act: impl FnMut(&mut Self, Who)) {
        let all: Vec<_> = self
            .processes
            .values()
            .filter(|process| process.node == node)
            .map(|process| process.who)
            .collect();
        for who in all {
            act(self, who);
        }
    }
}
