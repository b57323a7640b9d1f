//! Round after round: all candidates in place, something breaks, it is healed, a workload runs again.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use testkit::observe::now;
use testkit::scenario::Scenario;
use tokio::time::sleep;

use crate::faults::{Blow, Broken, delete_pod, restart_controllers, strike_api_server};
use crate::jobs::{Jobs, Position};
use crate::plan::{Cause, JOBS, Plan, Round, Stroke, Target};
use crate::verdict::{Hit, Standby};

/// What was done, and to whom.
pub struct Rounds<'a> {
    scenario: &'a Scenario,
    jobs: &'a Jobs<'a>,
    hits: Vec<Hit>,
}

impl<'a> Rounds<'a> {
    pub fn new(scenario: &'a Scenario, jobs: &'a Jobs<'a>) -> Self {
        Self { scenario, jobs, hits: Vec::new() }
    }

    /// Every holder that was hit, in order.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Begins rounds for `time`, and ends the last one.
    pub async fn play(&mut self, mut plan: Plan, time: Duration) {
        let jobs = self.jobs;
        let rounds = pin!(async {
            let until = now() + time;
            while now() < until {
                self.round(&mut plan).await;
            }
        });
        if let Either::Right(_) = select(rounds, pin!(jobs.repeat_one_shot())).await {
            unreachable!("one-shots are made for ever");
        }
    }

    async fn round(&mut self, plan: &mut Plan) {
        let positions = self.jobs.settled().await;
        let round = plan.round();
        self.scenario.remark(&round.to_string());
        if round.without_controller {
            restart_controllers(self.scenario.cluster);
        }
        let first = self.hits.len();
        let frozen = round.on_frozen_disk.map(|node| Broken::Cluster(self.scenario.cluster.freeze(node)));
        let mut broken = self.strike(round, positions).await;
        broken.extend(frozen);
        sleep(round.time).await;
        self.heal(broken, first);
        self.jobs.running().await;
    }

    async fn strike(&mut self, round: Round, positions: Vec<Position>) -> Vec<Broken> {
        match round.target {
            Target::Pods(strokes) => self.strike_pods(strokes, &positions).await,
            Target::Node(node) => self.cut(node, &self.jobs.still(positions)),
            Target::Disk(node) => self.freeze(node, &self.jobs.still(positions)),
            Target::ApiServer(cause) => self.strike_api_server(cause, &self.jobs.still(positions)),
        }
    }

    async fn strike_pods(&mut self, strokes: [Stroke; JOBS], positions: &[Position]) -> Vec<Broken> {
        let mut blows = Vec::new();
        for (stroke, position) in strokes.into_iter().zip(positions) {
            match stroke {
                Stroke::Active(cause) => {
                    blows.push((position, Blow::prepare(self.scenario.cluster, cause, &position.active)));
                }
                Stroke::Standby => self.delete_standby(position).await,
                Stroke::Spared => {}
            }
        }
        let mut broken = Vec::new();
        for (position, blow) in blows {
            let cause = blow.cause;
            let (at, what) = blow.strike(self.scenario).await;
            self.hit(position, cause, at, Standby::Ready);
            broken.push(what);
        }
        broken
    }

    async fn delete_standby(&self, position: &Position) {
        if let Some(standby) = position.standbys.first() {
            self.scenario.remark(&format!("{}: standby {} deleted", position.job, standby.name));
            let _: Broken = delete_pod(self.scenario, &standby.name, None).await;
        }
    }

    fn cut(&mut self, node: &str, positions: &[Position]) -> Vec<Broken> {
        let fault = self.scenario.cluster.cut(node);
        for position in positions.iter().filter(|position| position.active.node == node) {
            let all_hit = position.standbys.iter().all(|standby| standby.node == node);
            self.hit(
                position,
                Cause::NodeCut,
                fault.before,
                if all_hit { Standby::HitToo } else { Standby::Ready },
            );
        }
        vec![Broken::Cluster(fault)]
    }

    fn freeze(&mut self, node: &str, positions: &[Position]) -> Vec<Broken> {
        let fault = self.scenario.cluster.freeze(node);
        for position in positions.iter().filter(|position| position.active.node == node) {
            self.hit(position, Cause::DiskFrozen, fault.before, Standby::Ready);
        }
        vec![Broken::Cluster(fault)]
    }

    fn strike_api_server(&mut self, cause: Cause, positions: &[Position]) -> Vec<Broken> {
        let fault = strike_api_server(self.scenario.cluster, cause);
        for position in positions {
            self.hit(position, cause, fault.before, Standby::HitToo);
        }
        vec![Broken::Cluster(fault)]
    }

    fn hit(&mut self, position: &Position, cause: Cause, at: Duration, standby: Standby) {
        let standby = if position.standbys.is_empty() { Standby::Missing } else { standby };
        self.scenario.remark(&format!(
            "{}: {} of {}, token {}: {standby:?}",
            position.job,
            cause.name(),
            position.active.name,
            position.token
        ));
        self.hits.push(Hit { job: position.job, token: position.token, cause, at, healed: None, standby });
    }

    /// All at once, and later than any of it began; what just happened has no end to speak of.
    fn heal(&mut self, broken: Vec<Broken>, first: usize) {
        let healed = broken.into_iter().filter_map(Broken::heal).max();
        for hit in &mut self.hits[first..] {
            hit.healed = healed;
        }
        self.scenario.remark("healed");
    }
}
