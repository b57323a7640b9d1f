//! What was measured, as the tables of docs/scale.md.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bars::{median, memory, slowest};
use super::converge::Converged;
use super::cycles::Cycles;
use super::fair::{Fair, Sample, begun, held};
use super::idle::Idle;
use super::renewals::Renewals;
use super::restart::Restarted;

/// All that was measured of one number of SingletonJobs.
pub struct Row {
    /// Until all are held, and at rest.
    pub converged: Converged,
    /// When the controller was replaced.
    pub restarted: Restarted,
}

/// From apply to a holder with a ready standby, at rest, and over a restart; then the requests by name.
pub fn jobs(rows: &[Row]) -> String {
    let head = [
        "SingletonJobs",
        "converged",
        "controller CPU per job",
        "of the API server's",
        "memory",
        "allowed",
        "at its height",
        "reconciliations per job",
        "requests per job",
        "at rest",
        "reconciliations at rest",
        "writes at rest",
        "restart",
        "memory after it",
        "writes after it",
        "a tick's run starts",
    ];
    table(
        &head,
        rows.iter().map(|row| {
            [converging(&row.converged), resting(&row.converged), restarting(&row.restarted)].concat()
        }),
    ) + "\n"
        + &requests(rows)
        + "\n"
        + &retries(rows)
}

fn converging(row: &Converged) -> Vec<String> {
    let of_server = 100.0 * row.controller_cpu.as_secs_f64() / row.server_cpu.as_secs_f64();
    vec![
        row.jobs.to_string(),
        seconds(row.time),
        format!("{:.1} ms", per(row.controller_cpu.as_secs_f64() * 1e3, row.jobs)),
        format!("{of_server:.0} %"),
        megabytes(row.rest.resident),
        format!("{:.0} MB", memory(row.jobs, row.template) / 1e6),
        megabytes(row.rest.peak),
        format!("{:.1}", per(row.reconciliations, row.jobs)),
        format!("{:.1}", per(float(row.requests.total()), row.jobs)),
    ]
}

fn resting(row: &Converged) -> Vec<String> {
    vec![
        format!("{:.1} % of a core", 100.0 * row.rest.cores),
        format!("{} in {:.0} s", row.rest.reconciliations, row.rest.time.as_secs_f64()),
        row.rest.requests.writes.to_string(),
    ]
}

fn restarting(row: &Restarted) -> Vec<String> {
    vec![
        seconds(row.ready),
        megabytes(row.resident),
        row.requests.writes.to_string(),
        format!("after {}", seconds(row.run_started)),
    ]
}

/// By name, one column for each number of SingletonJobs.
fn requests(rows: &[Row]) -> String {
    let names: BTreeSet<&String> =
        rows.iter().flat_map(|row| row.converged.requests.by_name.keys()).collect();
    let head: Vec<String> = rows.iter().map(|row| format!("per job of {}", row.converged.jobs)).collect();
    let head: Vec<&str> = ["request"].into_iter().chain(head.iter().map(String::as_str)).collect();
    table(
        &head,
        names.into_iter().map(|name| {
            let count = |row: &Row| row.converged.requests.by_name.get(name).copied().unwrap_or_default();
            let columns = rows.iter().map(|row| format!("{:.2}", per(float(count(row)), row.converged.jobs)));
            [name.clone()].into_iter().chain(columns).collect()
        }),
    )
}

fn retries(rows: &[Row]) -> String {
    let of_row = |row: &Row| {
        let Row { converged, restarted } = row;
        format!(
            "{} SingletonJobs: retries {:?}; requests at rest {:?}; after a restart {:?}\n",
            converged.jobs,
            converged.requests.retries,
            converged.rest.requests.by_name,
            restarted.requests.by_name,
        )
    };
    rows.iter().map(of_row).collect()
}

/// Memory over SingletonJobs that come and go.
pub fn cycles(row: &Cycles) -> String {
    let on_the_way: Vec<_> = row.on_the_way.iter().copied().map(megabytes).collect();
    let cells = [
        row.number.to_string(),
        seconds(row.time),
        megabytes(row.idle),
        megabytes(row.before),
        on_the_way.join(", "),
        megabytes(row.after),
    ];
    let head = ["cycles", "time", "memory at the start", "before the first", "after each tenth", "after all"];
    table(&head, [cells.into()])
}

/// SingletonJobs whose candidates are not started.
pub fn idle(row: &Idle) -> String {
    let head = [
        "SingletonJobs",
        "converged",
        "controller CPU per job",
        "memory",
        "allowed",
        "at its height",
        "at rest",
        "restart",
        "memory after it",
        "requests after it",
    ];
    let cells = [
        row.jobs.to_string(),
        seconds(row.time),
        format!("{:.1} ms", per(row.controller_cpu.as_secs_f64() * 1e3, row.jobs)),
        megabytes(row.rest.resident),
        format!("{:.0} MB", memory(row.jobs, row.template) / 1e6),
        megabytes(row.rest.peak),
        format!(
            "{:.1} % of a core, {} reconciliations in {:.0} s",
            100.0 * row.rest.cores,
            row.rest.reconciliations,
            row.rest.time.as_secs_f64()
        ),
        seconds(row.ready),
        megabytes(row.restart_resident),
        format!("{:?}", row.restart_requests.by_name),
    ];
    table(&head, [cells.into()])
}

/// The only SingletonJob of a tenant, from apply until it is held.
pub fn fair(row: &Fair) -> String {
    let line = |when: String, samples: &[Sample]| {
        let (begun, held) = (begun(samples), held(samples));
        let times = [median(&begun), slowest(&begun), median(&held), slowest(&held)].map(milliseconds);
        [vec![when, samples.len().to_string()], times.into()].concat()
    };
    let head =
        ["the other tenant", "samples", "has a Lease: median", "slowest", "is held: median", "slowest"];
    let rows = [
        line("has none".to_owned(), &row.alone),
        line(format!("has {} that converge", row.jobs), &row.converging),
        line(format!("has {} that have converged", row.jobs), &row.converged),
    ];
    table(&head, rows)
}

/// What renewing costs, by lease duration.
pub fn renewals(rows: &[Renewals]) -> String {
    let percent = |part: f64| format!("{:.1} %", 100.0 * part);
    table(
        &["holders", "`leaseDurationSeconds`", "Lease writes a second", "API server", "etcd", "controller"],
        rows.iter().map(|row| {
            vec![
                row.jobs.to_string(),
                row.lease.to_string(),
                format!("{:.1}", row.writes),
                percent(row.server),
                percent(row.etcd),
                percent(row.controller),
            ]
        }),
    )
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    [line(&head), rule].into_iter().chain(rows.into_iter().map(|row| line(&row))).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn megabytes(size: u64) -> String {
    format!("{}.{} MB", size / 1_000_000, size / 100_000 % 10)
}

fn per(value: f64, jobs: usize) -> f64 {
    value / float(jobs)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let rows = [vec!["1".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["a", "b"], rows), "| a | b |\n|---|---|\n| 1 | 2 |\n");
        assert_eq!(megabytes(12_345_678), "12.3 MB");
    }
}
