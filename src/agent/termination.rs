//! The termination message: how a container says why it ended, once it cannot be asked any more.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::background::Background;
use super::log::{self, Log};
use crate::contract::TERMINATION_PREFIX;

/// The kubelet cuts what is longer.
const LONGEST: usize = 4096;
/// For a message to be written by a process that ends.
const LAST_MESSAGE: Duration = Duration::from_secs(1);

/// Explains ends of the agent's own making without waiting for a disk.
#[derive(Clone, Debug)]
pub(super) struct Explainer {
    log: Log,
    /// A thread of its own: the file is on another disk than the agent's other files.
    background: Background,
    path: PathBuf,
}

impl Explainer {
    /// # Errors
    /// Where the kernel refuses a thread.
    pub(super) fn new(log: Log, path: PathBuf) -> io::Result<Self> {
        Ok(Self { log, background: Background::start("termination")?, path })
    }

    /// In the log and in the file, unless the workload has written there.
    pub(super) fn explain(&self, why: String) {
        self.log.say(&why);
        let path = self.path.clone();
        // A message for which there is no room comes after hundreds of others: the first is the one that
        // counts.
        self.background.give(move || write_or_log(&path, &why));
    }

    /// Waits until it is written, but not for a disk that does not answer.
    pub(super) fn finish(&self) {
        self.background.finish(LAST_MESSAGE);
    }
}

/// Explains the end at once, in the file at `path` and in the log: for a process that holds nothing.
pub(super) fn explain(path: &Path, why: &str) {
    write_or_log(path, why);
    eprintln!("{}{why}", log::PREFIX);
}

fn write_or_log(path: &Path, why: &str) {
    if let Err(error) = write(path, why) {
        tracing::debug!(path = %path.display(), %error, "cannot write the termination message");
    }
}

fn write(path: &Path, why: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    if file.metadata()?.len() > 0 {
        return Ok(());
    }
    let message = format!("{TERMINATION_PREFIX}{why}");
    file.write_all(&message.as_bytes()[..message.len().min(LONGEST)])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_agent_explains_itself_but_never_over_the_workload() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("termination-log");
        fs::write(&path, "").unwrap();
        explain(&path, "the Lease was lost");
        assert_eq!(fs::read_to_string(&path).unwrap(), "singletonjob-agent: the Lease was lost");
        fs::write(&path, "disk full").unwrap();
        explain(&path, "the Lease was lost");
        assert_eq!(fs::read_to_string(&path).unwrap(), "disk full");
    }
}
