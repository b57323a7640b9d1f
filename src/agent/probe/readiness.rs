//! Decides whether a candidate counts as ready, by the template's own thresholds. The readiness probe counts
//! anew from each start of the workload.
//!
//! The kubelet counts from the container's start, which is that of a standby: it would take the workload for
//! ready until the threshold of failures is reached. So one answer decides for the kubelet, and the probe
//! counts. It tells the agent by [`notify`](super::super::notify).

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::config::READINESS_COUNT;
use super::super::notify::Notification;
use super::super::whole_file;
use super::Failure;
use crate::contract::TERMINATION_PREFIX;
use crate::contract::probe::Thresholds;

/// [`Count::start`] of what is counted before the workload's start.
pub(super) const STANDBY: u64 = 0;

/// The outcome of the answers since a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// When the workload was started, in nanoseconds of CLOCK_BOOTTIME.
    start: u64,
    ready: bool,
    /// How many answers in a row contradict `ready`.
    against: u32,
}

impl Count {
    fn new(start: u64) -> Self {
        Self { start, ready: false, against: 0 }
    }

    fn after(self, succeeded: bool, thresholds: Thresholds) -> Self {
        if succeeded == self.ready {
            return Self { against: 0, ..self };
        }
        let against = self.against.saturating_add(1);
        let threshold = if succeeded { thresholds.success } else { thresholds.failure };
        if against >= threshold {
            Self { ready: succeeded, against: 0, ..self }
        } else {
            Self { against, ..self }
        }
    }
}

/// Counts `answer` with those before it, and tells the agent if the workload is ready.
///
/// # Errors
/// [`Failure`] if the candidate does not count as ready.
pub(super) fn counted(
    answer: Result<(), Failure>,
    start: u64,
    thresholds: Thresholds,
    directory: &Path,
) -> Result<(), Failure> {
    let result = count(answer, start, thresholds, &directory.join(READINESS_COUNT));
    if result.is_ok() && start != STANDBY {
        Notification::Ready(start).send(directory);
    }
    result
}

fn count(
    answer: Result<(), Failure>,
    start: u64,
    thresholds: Thresholds,
    file: &Path,
) -> Result<(), Failure> {
    let before = read(file).filter(|count| count.start == start).unwrap_or_else(|| Count::new(start));
    let count = before.after(answer.is_ok(), thresholds);
    match store(file, before, count) {
        Ok(()) if count.ready => Ok(()),
        Ok(()) => answer.and(Err(Failure::NotReady(format!(
            "succeeded {} of {} times",
            count.against, thresholds.success
        )))),
        Err(error) => {
            eprintln!(
                "{TERMINATION_PREFIX}remembering at {} what the readiness probe has said: {error}",
                file.display()
            );
            // What cannot be counted counts at once.
            answer
        }
    }
}

fn store(file: &Path, before: Count, count: Count) -> io::Result<()> {
    if count == before { Ok(()) } else { whole_file::write_json(file, &count) }
}

/// `None` before anything was counted.
fn read(file: &Path) -> Option<Count> {
    whole_file::read_json(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    const THRICE: Thresholds = Thresholds { success: 2, failure: 3 };

    fn no() -> Result<(), Failure> {
        Err(Failure::NotReady("no".to_owned()))
    }

    /// What counts after each of these answers.
    fn counts(answers: &str, start: u64, directory: &Path) -> String {
        let count = |answer| counted(if answer == '+' { Ok(()) } else { no() }, start, THRICE, directory);
        answers.chars().map(|answer| if count(answer).is_ok() { '+' } else { '-' }).collect()
    }

    #[test]
    fn answers_count_as_the_kubelet_counts_them_and_anew_from_each_start() {
        let directory = tempfile::tempdir().unwrap();
        let counts = |answers, start| counts(answers, start, directory.path());
        assert_eq!(counts("-+-++--+---++", 7), "----++++++--+");
        assert_eq!(counts("++", 8), "-+", "another start");
    }

    #[test]
    fn the_agent_hears_of_a_workload_that_is_ready_and_of_no_standby() {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let heard = || {
            let mut word = [0; 8];
            socket.recv(&mut word).ok().map(|_| u64::from_ne_bytes(word))
        };
        assert_eq!((counts("-+", 7, directory.path()), heard()), ("--".to_owned(), None));
        assert_eq!((counts("+", 7, directory.path()), heard(), heard()), ("+".to_owned(), Some(7), None));
        assert_eq!((counts("++", STANDBY, directory.path()), heard()), ("-+".to_owned(), None));
    }

    #[test]
    fn the_agent_hears_of_a_ready_workload_though_the_count_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        // Nothing is written over a folder, nor renamed to it.
        fs::create_dir(directory.path().join(READINESS_COUNT)).unwrap();
        assert_eq!(counts("+-", 7, directory.path()), "+-", "what cannot be counted counts at once");
        assert!(socket.recv(&mut [0; 8]).is_ok());
    }

    #[test]
    fn a_count_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let memory = directory.path().join(READINESS_COUNT);
        counts("+", 7, directory.path());
        let before = fs::File::open(&memory).unwrap();
        counts("+", 7, directory.path());
        let read_late = serde_json::from_reader::<_, Count>(before).unwrap();
        assert_eq!((read_late.against, read(&memory).unwrap().ready), (1, true));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
