//! The termination message: how a container says why it ended, once nobody can ask it any more.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::contract::TERMINATION_PREFIX;

/// The kubelet cuts what is longer.
const LONGEST: usize = 4096;

/// Explains an end of the agent's own making, on standard error and in the file at `path`, unless the workload has written there.
pub(super) fn explain(path: &Path, why: &str) {
    eprintln!("{TERMINATION_PREFIX}{why}");
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
