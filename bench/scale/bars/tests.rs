use super::*;
use crate::converge::Rest;
use crate::fair::Sample;
use crate::requests::Counts;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn sample(milliseconds: u64) -> Sample {
    Sample { begun: ms(5000), held: ms(milliseconds) }
}

fn counts(name: &str, count: usize) -> Counts {
    Counts { by_name: [(name.to_owned(), count)].into(), writes: count, ..Counts::default() }
}

/// So many jobs that cost what is allowed, to the last bit.
fn converged(jobs: usize) -> Converged {
    Converged {
        jobs,
        template: 1000,
        time: ms(1000),
        controller_cpu: Duration::from_secs(jobs as u64),
        server_cpu: Duration::from_secs(3 * jobs as u64),
        requests: counts("create pods", 14 * jobs),
        reconciliations: 0.0,
        rest: Rest { cores: 0.03, resident: 25_000_000 + jobs as u64 * 21_000, ..Rest::default() },
    }
}

fn restarted() -> Restarted {
    Restarted {
        ready: ms(5000),
        requests: Counts::default(),
        resident: 25_210_000,
        is_tick_kept: true,
        run_started: ms(6000),
    }
}

fn missed(bars: &[Bar]) -> Vec<&str> {
    bars.iter().filter(|bar| !bar.is_held()).map(|bar| bar.what.as_str()).collect()
}

fn missed_by(change: impl FnOnce(&mut Converged, &mut Restarted)) -> Vec<String> {
    let (mut row, mut restarted) = (converged(10), restarted());
    change(&mut row, &mut restarted);
    missed(&of_jobs(&[(&row, &restarted)])).into_iter().map(str::to_owned).collect()
}

#[test]
fn what_is_allowed_holds_every_bar() {
    assert!(missed_by(|_, _| {}).is_empty());
}

#[test]
fn each_figure_misses_its_own_bar() {
    assert_eq!(
        missed_by(|row, _| row.server_cpu = ms(29_999)),
        ["10 jobs: controller's CPU to the API server's"]
    );
    assert_eq!(missed_by(|row, _| row.requests = counts("get pods", 141)), ["10 jobs: requests per job"]);
    assert_eq!(missed_by(|row, _| row.rest.resident += 1), ["10 jobs: memory"]);
    assert_eq!(missed_by(|row, _| row.rest.cores = 0.031), ["10 jobs: part of a core at rest"]);
    assert_eq!(missed_by(|row, _| row.rest.reconciliations = 1.0), ["10 jobs: reconciliations at rest"]);
    assert_eq!(
        missed_by(|row, _| row.rest.requests = counts("update status", 1)),
        ["10 jobs: writes at rest"]
    );
    assert_eq!(
        missed_by(|_, row| row.requests = counts("patch roles", 1)),
        ["10 jobs: writes after a restart"]
    );
    assert_eq!(missed_by(|_, row| row.ready = ms(5001)), ["10 jobs: ready after a restart"]);
    assert_eq!(missed_by(|_, row| row.is_tick_kept = false), ["10 jobs: ticks lost in a restart"]);
    assert_eq!(missed_by(|_, row| row.resident += 1), ["10 jobs: memory after a restart"]);
    let late = missed_by(|_, row| row.run_started = ms(6001));
    assert_eq!(late, ["10 jobs: the run of that tick starts after the new controller"]);
}

#[test]
fn cpu_per_job_may_grow_by_three_tenths() {
    let (small, mut large, restarted) = (converged(100), converged(2000), restarted());
    (large.controller_cpu, large.server_cpu) = (Duration::from_secs(2600), Duration::from_secs(7800));
    assert!(missed(&of_jobs(&[(&large, &restarted), (&small, &restarted)])).is_empty());
    large.controller_cpu = Duration::from_secs(2601);
    large.server_cpu = Duration::from_secs(7900);
    let bars = of_jobs(&[(&large, &restarted), (&small, &restarted)]);
    assert_eq!(missed(&bars), ["CPU per job at 2000 jobs to that at 100"]);
}

#[test]
fn one_number_of_jobs_has_no_growth() {
    let (row, restarted) = (converged(100), restarted());
    assert!(of_jobs(&[(&row, &restarted)]).iter().all(|bar| !bar.what.contains("to that at")));
}

#[test]
fn memory_may_grow_by_a_fifth_over_cycles() {
    let cycles =
        |after| Cycles { number: 7, time: ms(1), idle: 1, before: 10_000_000, on_the_way: Vec::new(), after };
    assert!(missed(&of_cycles(&cycles(12_000_000))).is_empty());
    assert_eq!(missed(&of_cycles(&cycles(12_000_001))), ["7 cycles: memory after to memory before"]);
}

#[test]
fn idle_jobs_hold_their_memory_and_keep_their_pods() {
    let resident = 25_000_000 + 10 * 21_000;
    let idle = |restart_resident, restart_requests| Idle {
        jobs: 10,
        template: 1000,
        time: ms(1),
        controller_cpu: ms(1),
        rest: Rest { resident, ..Rest::default() },
        ready: ms(1),
        restart_requests,
        restart_resident,
    };
    assert!(missed(&of_idle(&idle(resident, counts("update status", 10)))).is_empty());
    let bars = of_idle(&idle(resident + 1, counts("create pods", 1)));
    let both =
        ["10 idle jobs: memory after a restart", "10 idle jobs: objects made or deleted after a restart"];
    assert_eq!(missed(&bars), both);
}

#[test]
fn the_slowest_is_compared_with_what_is_usual_alone() {
    let fair = |converging: u64, converged: u64| Fair {
        jobs: 9,
        alone: [100, 100, 900].map(sample).into(),
        converging: vec![sample(1), sample(converging)],
        converged: vec![sample(1), sample(converged)],
    };
    assert!(missed(&of_fair(&fair(200, 1100))).is_empty());
    assert_eq!(
        missed(&of_fair(&fair(201, 1100))),
        ["beside 9 jobs that converge: time of another's to its own"]
    );
    assert_eq!(missed(&of_fair(&fair(200, 1101))), ["beside 9 jobs that have converged: delay of another's"]);
}

#[test]
fn a_bar_says_what_was_measured_and_what_is_allowed() {
    let bar = Bar::new("requests per job", 14.5, 14.0, "");
    assert_eq!(bar.to_string(), "bar: requests per job: measured 14.50, allowed 14.00: MISSED");
    assert!(!Bar::new("nothing", f64::NAN, 1.0, "").is_held());
}
