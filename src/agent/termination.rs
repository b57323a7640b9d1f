//! The termination message: why a container ended, for a reader who can no longer ask it.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::background::Background;
use super::log::{self, Log};
use crate::contract::{TERMINATION_PREFIX, exit_codes};

/// The kubelet cuts a longer message.
const LONGEST: usize = 4096;
/// How long a process that ends waits for its message to be written.
const LAST_MESSAGE: Duration = Duration::from_secs(1);

/// Explains ends of the agent's own making without waiting for a disk.
#[derive(Clone, Debug)]
pub(super) struct Explainer {
    log: Log,
    /// A thread of its own, because the file is on another disk than the agent's other files.
    background: Background,
    path: PathBuf,
}

impl Explainer {
    /// Starts the thread that writes to `path`.
    ///
    /// # Errors
    /// If the kernel refuses a thread.
    pub(super) fn new(log: Log, path: PathBuf) -> io::Result<Self> {
        Ok(Self { log, background: Background::start("termination")?, path })
    }

    /// Explains the end in the log, and in the file unless the workload has written there.
    pub(super) fn explain(&self, why: String) {
        self.log.write_line(&why);
        let path = self.path.clone();
        // A message without room comes after hundreds of others, and the first message is the one that
        // counts.
        self.background.submit(move || write_or_log(&path, &why));
    }

    /// Waits until the message is written, but not for a disk that does not answer.
    pub(super) fn finish(&self) {
        self.background.finish(LAST_MESSAGE);
    }
}

/// Explains the end at once, in the file at `path` and in the log. Only a process that holds nothing may call
/// this.
pub(super) fn explain(path: &Path, why: &str) {
    write_or_log(path, why);
    eprintln!("{}{why}", log::PREFIX);
}

/// Explains that the agent could not start, and returns the exit code of its container. Only a process that
/// holds nothing may call this.
pub(super) fn explain_failed_start(path: &Path, error: &dyn Display) -> i32 {
    let why =
        format!("starting the agent: {error}; the container's limits on processes or memory may be too low");
    explain(path, &why);
    exit_codes::AGENT_FAILED
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
