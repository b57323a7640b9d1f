//! What was measured, against what was promised: one table for each test program, `target/NAME-report.txt`, and each row on stderr as it
//! comes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/", env!("CARGO_CRATE_NAME"), "-report.txt");

struct Row {
    scenario: String,
    what: String,
    measured: Duration,
    bound: String,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Measured, for information: nothing is promised about it.
pub fn noted(scenario: &str, what: &str, measured: Duration) {
    enter(scenario, what, measured, String::new());
}

/// Measured, and promised to be `most` or less.
///
/// # Panics
/// Where it is more.
#[track_caller]
pub fn at_most(scenario: &str, what: &str, measured: Duration, most: Duration) {
    enter(scenario, what, measured, format!("<= {}", milliseconds(most)));
    assert!(measured <= most, "{scenario}: {what} took {measured:?}, more than the {most:?} promised");
}

/// Measured, and promised to be `least` or more.
///
/// # Panics
/// Where it is less.
#[track_caller]
pub fn at_least(scenario: &str, what: &str, measured: Duration, least: Duration) {
    enter(scenario, what, measured, format!(">= {}", milliseconds(least)));
    assert!(measured >= least, "{scenario}: {what} took {measured:?}, less than the {least:?} promised");
}

fn enter(scenario: &str, what: &str, measured: Duration, bound: String) {
    let mut rows = ROWS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    rows.push(Row { scenario: scenario.to_owned(), what: what.to_owned(), measured, bound });
    let table = rows.iter().map(line).collect::<String>();
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).expect("the checkout is writable");
    std::fs::write(TABLE, table).expect("target is writable");
    // Not a print macro: the test harness would keep it back.
    rows.last().map(line).map(|line| std::io::stderr().write_all(line.as_bytes())).transpose().expect("stderr is writable");
}

fn line(row: &Row) -> String {
    let mut line = String::new();
    writeln!(line, "{:<44} {:<54} {:>11} {:>14}", row.scenario, row.what, milliseconds(row.measured), row.bound).expect("a String");
    line
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
