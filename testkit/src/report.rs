//! What was measured, against what was promised: one table for each test program, `target/NAME-report.txt`,
//! and each row on stderr as it comes.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::checkout;

static LINES: Mutex<String> = Mutex::new(String::new());

/// Measured, for information: nothing is promised about it.
pub fn noted(scenario: &str, what: &str, measured: Duration) {
    enter(scenario, what, measured, "");
}

/// Measured, and promised to be `most` or less.
///
/// # Panics
/// Where it is more.
#[track_caller]
pub fn at_most(scenario: &str, what: &str, measured: Duration, most: Duration) {
    enter(scenario, what, measured, &format!("<= {}", milliseconds(most)));
    assert!(measured <= most, "{scenario}: {what} took {measured:?}, more than the {most:?} promised");
}

/// Measured, and promised to be `least` or more.
///
/// # Panics
/// Where it is less.
#[track_caller]
pub fn at_least(scenario: &str, what: &str, measured: Duration, least: Duration) {
    enter(scenario, what, measured, &format!(">= {}", milliseconds(least)));
    assert!(measured >= least, "{scenario}: {what} took {measured:?}, less than the {least:?} promised");
}

/// A table of another kind, as it is.
pub fn table(text: &str) {
    add(&format!("\n{text}\n"));
}

fn enter(scenario: &str, what: &str, measured: Duration, bound: &str) {
    add(&format!("{scenario:<44} {what:<54} {:>11} {bound:>14}\n", milliseconds(measured)));
}

fn add(text: &str) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.push_str(text);
    let folder = checkout().join("target");
    std::fs::create_dir_all(&folder).expect("the checkout is writable");
    std::fs::write(folder.join(format!("{}-report.txt", program())), &*lines).expect("target is writable");
    say(text);
}

/// The name of the test that runs: cargo puts a dash and a hash behind it.
fn program() -> String {
    let path = std::env::current_exe().expect("/proc is mounted");
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    name.rsplit_once('-').map_or(name.clone(), |(name, _)| name.to_owned())
}

/// On stderr, at once: the test harness would keep back what a print macro says.
pub fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("stderr is writable");
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
