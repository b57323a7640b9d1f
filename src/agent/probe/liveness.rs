//! Counts how often in a row the liveness probe has failed. The agent is told, so that it knows when the
//! kubelet ends the container whether that is the workload's fault.
//!
//! The kubelet stops asking when a pod is deleted. So a failure before that ends nothing by itself: only as
//! many as the template's `failureThreshold` do.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::agent::config::UNHEALTHY_MARK;
use crate::agent::notify::Notification;
use crate::agent::whole_file;
use crate::contract::TERMINATION_PREFIX;

/// What the mark says; there is none after a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failures {
    in_a_row: u32,
}

/// Counts an answer of the workload that was started at `start`. Returns what the agent must hear of it:
/// `None` if failures have yet to come to the threshold.
pub(super) fn count(directory: &Path, start: u64, failed: bool, threshold: u32) -> Option<Notification> {
    let mark = directory.join(UNHEALTHY_MARK);
    let before = read(&mark).in_a_row;
    let now = if failed { before.saturating_add(1) } else { 0 };
    if let Err(error) = write(&mark, Failures { in_a_row: now })
        && error.kind() != ErrorKind::NotFound
    {
        eprintln!("{TERMINATION_PREFIX}marking the outcome of a probe at {}: {error}", mark.display());
    }
    match (failed, now >= threshold) {
        (_, true) => Some(Notification::Unhealthy(start)),
        (false, false) => Some(Notification::Healthy(start)),
        (true, false) => None,
    }
}

fn write(mark: &Path, failures: Failures) -> io::Result<()> {
    match failures.in_a_row {
        0 => fs::remove_file(mark),
        _ => whole_file::write(mark, &serde_json::to_vec(&failures)?),
    }
}

/// No failures if the mark cannot be read.
fn read(mark: &Path) -> Failures {
    fs::read(mark).ok().and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_failures_in_a_row_as_the_threshold_end_the_container() {
        let directory = tempfile::tempdir().unwrap();
        let (bad, good) = (Some(Notification::Unhealthy(7)), Some(Notification::Healthy(7)));
        let heard: Vec<_> =
            "--+----++".chars().map(|answer| count(directory.path(), 7, answer == '-', 3)).collect();
        assert_eq!(heard, [None, None, good, None, None, bad, bad, good, good]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "a success leaves nothing");
    }

    #[test]
    fn one_failure_ends_the_container_where_that_is_the_threshold() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(count(directory.path(), 7, true, 1), Some(Notification::Unhealthy(7)));
    }
}
