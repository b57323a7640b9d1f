//! A disk that stands still.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system whose writers the kernel holds, beyond the reach of any signal, while it is frozen.
pub struct FrozenDisk {
    mount: PathBuf,
}

impl FrozenDisk {
    /// Made and mounted in `folder`; it is not frozen yet.
    ///
    /// # Panics
    /// Where the machine has no loop devices.
    pub fn new(folder: &Path) -> Self {
        let (image, mount) = (folder.join("image"), folder.join("mount"));
        std::fs::create_dir(&mount).expect("a writable directory");
        run("truncate", &["--size=8M"], &image);
        run("mkfs.ext4", &["-q"], &image);
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&image, &mount]).status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "mounting a loop device failed: this test needs one"
        );
        Self { mount }
    }

    /// Where it is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// A file on it.
    pub fn file(&self) -> PathBuf {
        self.mount.join("file")
    }

    /// From now on nothing that is written returns.
    pub fn freeze(&self) {
        run("fsfreeze", &["--freeze"], &self.mount);
    }

    /// What was held goes on.
    pub fn thaw(&self) {
        run("fsfreeze", &["--unfreeze"], &self.mount);
    }
}

impl Drop for FrozenDisk {
    fn drop(&mut self) {
        // Thawed already where all went well.
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.mount).stderr(Stdio::null()).status();
        run("umount", &["--lazy"], &self.mount);
    }
}

fn run(program: &str, flags: &[&str], path: &Path) {
    let status = Command::new(program).args(flags).arg(path).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {flags:?} {} failed", path.display());
}
