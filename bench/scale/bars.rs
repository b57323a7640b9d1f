//! The bars: what was measured against what is allowed. Nothing is measured here.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use super::converge::Converged;
use super::cycles::Cycles;
use super::fair::{Fair, held};
use super::idle::Idle;
use super::restart::Restarted;

/// A SingletonJob of the largest number costs at most so many times what one of the smallest does.
const CPU_RATIO: f64 = 1.3;
/// The part of the API server's CPU time that the controller uses at most.
const CPU_OF_SERVER: f64 = 1.0 / 3.0;
const MEMORY: f64 = 25e6;
const MEMORY_OF_JOB: f64 = 20e3;
const MEMORY_RATIO: f64 = 1.2;
const CORES_AT_REST: f64 = 0.03;
const REQUESTS: f64 = 14.0;
const READY: Duration = Duration::from_secs(5);
/// With ready candidates, a run starts so long after its tick: docs/schedule.md says it.
const RUN_STARTED: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_secs(1);
const DELAY_RATIO: f64 = 2.0;

/// A figure that may not be larger than is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    what: String,
    measured: f64,
    allowed: f64,
    unit: &'static str,
}

impl Bar {
    fn new(what: impl Into<String>, measured: f64, allowed: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, allowed, unit }
    }

    fn count(what: impl Into<String>, measured: usize, allowed: usize) -> Self {
        Self::new(what, float(measured), float(allowed), "")
    }

    fn megabytes(what: impl Into<String>, measured: u64, allowed: f64) -> Self {
        Self::new(what, bytes(measured) / 1e6, allowed / 1e6, " MB")
    }

    fn seconds(what: impl Into<String>, measured: Duration, allowed: Duration) -> Self {
        Self::new(what, measured.as_secs_f64(), allowed.as_secs_f64(), " s")
    }

    /// Whether it holds. A figure that is no number does not.
    pub fn is_held(&self) -> bool {
        self.measured <= self.allowed
    }
}

impl Display for Bar {
    fn fmt(&self, to: &mut Formatter<'_>) -> Result {
        let Self { what, measured, allowed, unit } = self;
        let is_held = if self.is_held() { "held" } else { "MISSED" };
        write!(to, "bar: {what}: measured {measured:.2}{unit}, allowed {allowed:.2}{unit}: {is_held}")
    }
}

/// Those of each number of SingletonJobs, and of the largest beside the smallest.
pub fn of_jobs(rows: &[(&Converged, &Restarted)]) -> Vec<Bar> {
    let mut bars: Vec<Bar> =
        rows.iter().flat_map(|(converged, restarted)| of_row(converged, restarted)).collect();
    bars.extend(growth(rows.iter().map(|(converged, _)| *converged)));
    bars
}

fn of_row(converged: &Converged, restarted: &Restarted) -> Vec<Bar> {
    let jobs = converged.jobs;
    let allowed = memory(jobs, converged.template);
    let memory = Bar::megabytes(format!("{jobs} jobs: memory after a restart"), restarted.resident, allowed);
    [of_converging(converged), of_rest(converged), of_restart(jobs, restarted), vec![memory]].concat()
}

fn of_converging(row: &Converged) -> Vec<Bar> {
    let jobs = row.jobs;
    let of_server = row.controller_cpu.as_secs_f64() / row.server_cpu.as_secs_f64();
    vec![
        Bar::new(format!("{jobs} jobs: controller's CPU to the API server's"), of_server, CPU_OF_SERVER, ""),
        Bar::new(
            format!("{jobs} jobs: requests per job"),
            float(row.requests.total()) / float(jobs),
            REQUESTS,
            "",
        ),
    ]
}

fn of_rest(row: &Converged) -> Vec<Bar> {
    let (jobs, rest) = (row.jobs, &row.rest);
    vec![
        Bar::megabytes(format!("{jobs} jobs: memory"), rest.resident, memory(jobs, row.template)),
        Bar::new(
            format!("{jobs} jobs: part of a core at rest"),
            100.0 * rest.cores,
            100.0 * CORES_AT_REST,
            " %",
        ),
        Bar::new(format!("{jobs} jobs: reconciliations at rest"), rest.reconciliations, 0.0, ""),
        Bar::count(format!("{jobs} jobs: writes at rest"), rest.requests.writes, 0),
    ]
}

fn of_restart(jobs: usize, row: &Restarted) -> Vec<Bar> {
    vec![
        Bar::count(format!("{jobs} jobs: writes after a restart"), row.requests.writes, 0),
        Bar::seconds(format!("{jobs} jobs: ready after a restart"), row.ready, READY),
        Bar::count(format!("{jobs} jobs: ticks lost in a restart"), usize::from(!row.is_tick_kept), 0),
        Bar::seconds(
            format!("{jobs} jobs: the run of that tick starts after the new controller"),
            row.run_started,
            READY + RUN_STARTED,
        ),
    ]
}

/// CPU per job of the largest number beside the smallest, if there are two.
fn growth<'a>(rows: impl Iterator<Item = &'a Converged> + Clone) -> Option<Bar> {
    let smallest = rows.clone().min_by_key(|row| row.jobs)?;
    let largest = rows.max_by_key(|row| row.jobs)?;
    let what = format!("CPU per job at {} jobs to that at {}", largest.jobs, smallest.jobs);
    (largest.jobs > smallest.jobs)
        .then(|| Bar::new(what, cpu_of_job(largest) / cpu_of_job(smallest), CPU_RATIO, ""))
}

/// In seconds.
fn cpu_of_job(row: &Converged) -> f64 {
    row.controller_cpu.as_secs_f64() / float(row.jobs)
}

/// That of SingletonJobs that come and go.
pub fn of_cycles(row: &Cycles) -> Vec<Bar> {
    let ratio = bytes(row.after) / bytes(row.before);
    vec![Bar::new(format!("{} cycles: memory after to memory before", row.number), ratio, MEMORY_RATIO, "")]
}

/// Those of SingletonJobs whose candidates are not started.
pub fn of_idle(row: &Idle) -> Vec<Bar> {
    let (jobs, allowed) = (row.jobs, memory(row.jobs, row.template));
    let pods = row.restart_requests.of_verb("create") + row.restart_requests.of_verb("delete");
    vec![
        Bar::megabytes(format!("{jobs} idle jobs: memory"), row.rest.resident, allowed),
        Bar::megabytes(format!("{jobs} idle jobs: memory after a restart"), row.restart_resident, allowed),
        Bar::count(format!("{jobs} idle jobs: objects made or deleted after a restart"), pods, 0),
    ]
}

/// Those of the only SingletonJob of a tenant: its slowest beside what is usual when it is alone.
pub fn of_fair(row: &Fair) -> Vec<Bar> {
    let (jobs, alone) = (row.jobs, median(&held(&row.alone)));
    let delay = slowest(&held(&row.converged)).saturating_sub(alone);
    let ratio = slowest(&held(&row.converging)).as_secs_f64() / alone.as_secs_f64();
    vec![
        Bar::seconds(format!("beside {jobs} jobs that have converged: delay of another's"), delay, DELAY),
        Bar::new(
            format!("beside {jobs} jobs that converge: time of another's to its own"),
            ratio,
            DELAY_RATIO,
            "",
        ),
    ]
}

/// The memory that so many SingletonJobs of two pods may cost, in bytes.
pub fn memory(jobs: usize, template: usize) -> f64 {
    MEMORY + float(jobs) * (MEMORY_OF_JOB + float(template))
}

/// The one in the middle, the longer where there are two.
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The longest.
pub fn slowest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far smaller")]
fn float(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far smaller")]
fn bytes(size: u64) -> f64 {
    size as f64
}

#[cfg(test)]
mod tests;
