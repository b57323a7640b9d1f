//! The lock of the pod. It lets the next container of this pod know that everything of this one is dead.
//!
//! PID 1 takes the lock before it forks the elector, which shares it. The kernel frees the lock when both are
//! dead. PID 1 being dead, the kernel kills the rest of the container within the kill margin.
//!
//! # Guarantees
//! - No process frees the lock by itself: the file stays open for as long as the process lives, and nothing
//!   unlocks it. A child of the elector shares it until it executes another program, or ends.
//! - A process tries once, at its start. Without the lock it signs nothing and proves nothing, now or later.
//! - Only a tmpfs will do: its file is gone after a reboot of the node, and no disk is waited for.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

use super::config::Config;
use crate::lease::clock;
use crate::lease::elector::{PodLock, Signature};
use crate::lease::identity::Identity;

/// Far more than a nonce and a uid take.
const LONGEST_SIGNATURE: u64 = 256;

/// Why a container has no lock. It then holds and waits like any other candidate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Another process has it.
    #[error("another container of this pod still has the pod's lock")]
    Taken,
    /// The kernel frees the lock, but the file proves nothing.
    #[error("the pod's lock is not in a tmpfs; mount an emptyDir with medium Memory")]
    NotInMemory,
    /// The file cannot be used.
    #[error("cannot use the pod's lock: {0}")]
    File(#[from] io::Error),
}

/// The file of the pod's lock, which this process and its PID 1 have.
#[derive(Debug)]
pub(super) struct LockFile(File);

impl LockFile {
    /// Names the process with this identity, and the Lease that it acquires.
    ///
    /// # Errors
    /// If the file cannot be written. A later container then waits for the lease.
    pub(super) fn sign(&self, identity: &Identity, lease_uid: &str) -> io::Result<()> {
        let nonce = identity.nonce().unwrap_or_default();
        self.0.write_all_at(format!("{nonce} {lease_uid}\n").as_bytes(), 0)
    }

    /// Takes the signature away: this process says itself how it ends.
    ///
    /// # Errors
    /// If the file cannot be written. A later container then gives the Lease back as that of a dead elector.
    pub(super) fn unsign(&self) -> io::Result<()> {
        self.0.write_all_at(b"\n", 0)
    }
}

/// Takes the lock of this pod. The file is never closed again by this process or a child.
///
/// # Errors
/// If this container has no lock, and why.
pub(super) fn take(path: &Path, config: &Config) -> Result<(&'static LockFile, PodLock), Error> {
    let lock_file: &'static LockFile = Box::leak(Box::new(LockFile(open(path)?)));
    let file = &lock_file.0;
    if !file.metadata()?.is_file() {
        return Err(Error::NotInMemory);
    }
    if fstatfs(file).map_err(io::Error::from)?.filesystem_type() != TMPFS_MAGIC {
        return Err(Error::NotInMemory);
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::Taken),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let since = clock::now().at;
    let predecessor = signature(file)?.and_then(|text| read(&text, config));
    Ok((lock_file, PodLock { since, predecessor }))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_CREAT | libc::O_NOFOLLOW)
        .open(path)
}

/// The first line of the file, which is the last signature. `None` if there is none.
fn signature(file: &File) -> io::Result<Option<String>> {
    let mut content = Vec::new();
    file.take(LONGEST_SIGNATURE).read_to_end(&mut content)?;
    let text = String::from_utf8_lossy(&content);
    Ok(text.split_once('\n').map(|(first, _)| first.to_owned()))
}

/// Reads a signature: the nonce of a process of this pod, and the uid of a Lease.
fn read(text: &str, config: &Config) -> Option<Signature> {
    let (nonce, lease_uid) = text.split_once(' ')?;
    let nonce = u64::from_str_radix(nonce, 16).ok()?;
    let process = Identity::new(&config.pod_name, &config.pod_uid, nonce);
    Some(Signature { process, lease_uid: lease_uid.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A file of a tmpfs that every Linux machine has.
    struct InMemory(PathBuf);

    impl InMemory {
        fn new(name: &str) -> Self {
            Self(format!("/dev/shm/singletonjob-pod-lock-{}-{name}", std::process::id()).into())
        }
    }

    impl Drop for InMemory {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn config() -> Config {
        Config {
            namespace: "shop".into(),
            name: "web".into(),
            job_uid: "1".into(),
            pod_name: "web-1".into(),
            pod_uid: "u1".into(),
            termination_grace_period: std::time::Duration::from_secs(30),
            termination_message: PathBuf::new(),
            state_directory: PathBuf::new(),
            pod_lock: None,
        }
    }

    #[test]
    fn only_one_process_has_the_lock_whichever_way_it_opened_the_file() {
        let path = InMemory::new("one");
        let (_file, lock) = take(&path.0, &config()).expect("it is free");
        assert_eq!(lock.predecessor, None);
        assert!(matches!(take(&path.0, &config()), Err(Error::Taken)));
    }

    #[test]
    fn the_last_signature_names_the_predecessor() {
        let path = InMemory::new("signed");
        for process in [Identity::new("web-1", "u1", 0), Identity::new("web-1", "u1", u64::MAX)] {
            LockFile(open(&path.0).expect("a file")).sign(&process, "lease").expect("it can be written");
            let signed = signature(&open(&path.0).expect("a file")).expect("readable").expect("one");
            let expected = Signature { process, lease_uid: "lease".into() };
            assert_eq!(read(&signed, &config()), Some(expected));
        }
        LockFile(open(&path.0).expect("a file")).unsign().expect("it can be written");
        let (_file, lock) = take(&path.0, &config()).expect("it is free");
        assert_eq!(lock.predecessor, None, "taken away");
    }

    #[test]
    fn what_is_no_signature_names_nobody_and_hinders_no_candidate() {
        for (name, content) in [
            ("empty", ""),
            ("words", "web-1_u1_00\n"),
            ("torn", "0000000000000001 lease"),
            ("nonce", "0000000000000001\n"),
        ] {
            let path = InMemory::new(name);
            fs::write(&path.0, content).expect("writable");
            assert_eq!(take(&path.0, &config()).expect("it is free").1.predecessor, None, "{content}");
        }
    }

    #[test]
    fn a_file_on_a_disk_and_a_link_prove_nothing() {
        let path = InMemory::new("link");
        std::os::unix::fs::symlink("/dev/null", &path.0).expect("a link");
        assert!(matches!(take(&path.0, &config()), Err(Error::File(_))));
        let elsewhere = Path::new("/proc/self/oom_score_adj");
        assert!(matches!(take(elsewhere, &config()), Err(Error::NotInMemory)));
    }
}
