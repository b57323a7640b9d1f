//! Copies the agent to where an image that knows nothing of it can run it.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::whole_file;
use crate::contract::paths;

const READ_AND_EXECUTE: u32 = 0o555;

/// The agent could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("installing the agent at {path}: {source}", path = path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Copies this program into `directory`: whole or not at all, over whatever is there.
///
/// # Errors
/// If the directory cannot be written.
pub fn install(directory: &Path) -> Result<(), Error> {
    let path = directory.join(Path::new(paths::AGENT).file_name().unwrap_or_default());
    copy(Path::new("/proc/self/exe"), &path).map_err(|source| Error { path, source })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let new = to.with_extension("new");
    // A copy that was cut off has left a file that may not be writable.
    whole_file::remove_if_there(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    io::copy(&mut fs::File::open(from)?, &mut file)?;
    file.set_permissions(Permissions::from_mode(READ_AND_EXECUTE))?;
    file.sync_all()?;
    fs::rename(&new, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_already_there_is_replaced_by_an_executable_whole() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            install(directory.path()).unwrap();
        }
        let installed = directory.path().join("singletonjob-agent");
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::metadata(&installed).unwrap().len(), fs::metadata("/proc/self/exe").unwrap().len());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let error = install(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("installing the agent at /nowhere/singletonjob-agent: "), "{error}");
    }
}
