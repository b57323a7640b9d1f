//! A directory for as long as a test needs it.
//!
//! The tempfile crate would turn on features of crates that the programs are linked with.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory of its own below the machine's temporary one; removed with all that is in it when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory.
    ///
    /// # Panics
    /// Where the temporary directory is not writable.
    pub fn create() -> Self {
        let path = std::env::temp_dir().join(format!("singletonjob-test-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the machine: a test that passed has passed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
