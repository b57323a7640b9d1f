//! What was measured, for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::phases::Row;

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn per(value: f64, jobs: usize) -> f64 {
    value / jobs as f64
}

/// One line for each number of SingletonJobs, as Markdown.
pub fn summary(rows: &[Row]) -> String {
    let mut table = String::from(
        "| SingletonJobs | converged | controller CPU per job | of the API server's | memory | per job | reconciliations per job | requests per job | at rest | reconciliations at rest | restart |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let line = writeln!(
            table,
            "| {} | {:.1} s | {:.1} ms | {:.0} % | {:.0} MB | {:.1} KB | {:.1} | {:.1} | {:.1} % | {} | {:.1} s |",
            row.jobs,
            row.converged.as_secs_f64(),
            per(row.controller_cpu.as_secs_f64() * 1e3, row.jobs),
            100.0 * row.controller_cpu.as_secs_f64() / row.server_cpu.as_secs_f64(),
            megabytes(row.resident),
            per(kilobytes(row.resident.saturating_sub(row.resident_before)), row.jobs),
            per(row.reconciliations, row.jobs),
            per(total(&row.requests), row.jobs),
            100.0 * row.rest_cores,
            row.rest_reconciliations,
            row.restart.as_secs_f64(),
        );
        line.expect("a text takes everything");
    }
    table
}

/// The requests of one row, by name.
pub fn details(row: &Row) -> String {
    let mut text =
        format!("{} SingletonJobs, requests of the controller per job until all have converged:\n", row.jobs);
    for (request, count) in &row.requests {
        let line = writeln!(
            text,
            "  {request:45} {:.2}",
            per(f64::from(u32::try_from(*count).unwrap_or(u32::MAX)), row.jobs)
        );
        line.expect("a text takes everything");
    }
    text + &format!(
        "at rest, in all: {:?}\nafter a restart, in all: {:?}\n",
        row.rest_requests, row.restart_requests
    )
}

fn total(requests: &BTreeMap<String, usize>) -> f64 {
    requests.values().map(|count| f64::from(u32::try_from(*count).unwrap_or(u32::MAX))).sum()
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1e3
}

fn megabytes(bytes: u64) -> f64 {
    kilobytes(bytes) / 1e3
}
