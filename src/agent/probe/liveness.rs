//! How often in a row the liveness probe has failed, so that the agent knows, when the kubelet ends the
//! container, whether that is the workload's fault.
//!
//! The kubelet stops asking when a pod is deleted. So a failure before that ends nothing by itself: only as
//! many as the template's `failureThreshold` do.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::agent::config::UNHEALTHY_MARK;
use crate::agent::whole_file;
use crate::contract::TERMINATION_PREFIX;

/// What the mark says; there is none after a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failures {
    in_a_row: u32,
    /// Whether the kubelet ends the container for them.
    end_the_container: bool,
}

impl Failures {
    fn and_one_more(self, threshold: u32) -> Self {
        let in_a_row = self.in_a_row.saturating_add(1);
        Self { in_a_row, end_the_container: in_a_row >= threshold }
    }
}

/// Counts an answer of the workload.
pub(super) fn count(directory: &Path, failed: bool, threshold: u32) {
    let mark = directory.join(UNHEALTHY_MARK);
    let counted =
        if failed { write(&mark, read(&mark).and_one_more(threshold)) } else { fs::remove_file(&mark) };
    if let Err(error) = counted
        && error.kind() != ErrorKind::NotFound
    {
        eprintln!("{TERMINATION_PREFIX}marking the outcome of a probe at {}: {error}", mark.display());
    }
}

/// Whether the kubelet ends the container for what `mark` says.
pub(in crate::agent) fn ends_the_container(mark: &Path) -> bool {
    read(mark).end_the_container
}

fn write(mark: &Path, failures: Failures) -> io::Result<()> {
    whole_file::write(mark, &serde_json::to_vec(&failures)?)
}

/// None, where it cannot be read.
fn read(mark: &Path) -> Failures {
    fs::read(mark).ok().and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_failures_in_a_row_as_the_threshold_end_the_container() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join(UNHEALTHY_MARK);
        let ends_after = |answer| {
            count(directory.path(), answer == '-', 3);
            ends_the_container(&mark)
        };
        let ends: Vec<bool> = "--+---++".chars().map(ends_after).collect();
        assert_eq!(ends, [false, false, false, false, false, true, false, false]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "a success leaves nothing");
    }

    #[test]
    fn one_failure_ends_the_container_where_that_is_the_threshold() {
        let directory = tempfile::tempdir().unwrap();
        count(directory.path(), true, 1);
        assert!(ends_the_container(&directory.path().join(UNHEALTHY_MARK)));
    }
}
