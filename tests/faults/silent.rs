//! A file system that answers no more: a FUSE server that takes every request and never replies, as a dead
//! server of a network file system.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use std::{fs, io, mem};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, Request, SessionACL,
};

use nix::sys::stat::minor;

/// What is known of a file stays known: the kernel does not ask again.
const FOREVER: Duration = Duration::from_secs(1 << 30);
const FILE: INodeNo = INodeNo(2);

/// One program, served from memory, on a file system of its own.
pub struct SilentDisk {
    program: PathBuf,
    shared: Arc<Shared>,
    /// Ends the connection between kernel and server, though processes still have the file system mounted.
    abort: PathBuf,
    _session: BackgroundSession,
}

impl Drop for SilentDisk {
    fn drop(&mut self) {
        // Whatever waits for an answer gets an error.
        let _ = fs::write(&self.abort, "1");
    }
}

struct Shared {
    is_silent: AtomicBool,
    unanswered: AtomicUsize,
}

struct Server {
    name: String,
    content: Vec<u8>,
    shared: Arc<Shared>,
}

impl SilentDisk {
    /// A copy of `program`, on a file system that is mounted in `folder` and answers.
    ///
    /// # Panics
    /// Where the machine has no FUSE.
    pub fn with_program(folder: &Path, program: &Path) -> Self {
        let mount = folder.join("silent");
        fs::create_dir(&mount).expect("a writable directory");
        let name = program.file_name().expect("a file").to_str().expect("UTF-8").to_owned();
        let content = fs::read(program).expect("a program that was built");
        let shared = Arc::new(Shared { is_silent: AtomicBool::new(false), unanswered: AtomicUsize::new(0) });
        let server = Server { name: name.clone(), content, shared: Arc::clone(&shared) };
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::RO, MountOption::Exec, MountOption::FSName("silent".to_owned())];
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(server, &mount, &config)
            .expect("mounting FUSE: this test needs /dev/fuse, and root");
        Self { program: mount.join(name), shared, abort: abort_of(&mount), _session: session }
    }

    /// Where it can be started.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// From now on every request is taken, and none is answered.
    pub fn fall_silent(&self) {
        self.shared.is_silent.store(true, Ordering::SeqCst);
    }

    /// How many requests wait for an answer that does not come.
    pub fn unanswered(&self) -> usize {
        self.shared.unanswered.load(Ordering::SeqCst)
    }
}

/// The switch that the kernel has for this connection.
fn abort_of(mount: &Path) -> PathBuf {
    const CONNECTIONS: &str = "/sys/fs/fuse/connections";
    let number = minor(fs::metadata(mount).expect("it answers").dev());
    let switch = Path::new(CONNECTIONS).join(number.to_string()).join("abort");
    if !switch.exists() {
        // Refused where another test was faster: what counts is that the switch is there.
        let _ = Command::new("mount")
            .args(["-t", "fusectl", "fusectl", CONNECTIONS])
            .stderr(Stdio::null())
            .status();
    }
    assert!(switch.exists(), "mounting fusectl failed: this test needs it");
    switch
}

impl Server {
    /// Whether this request is not to be answered.
    fn keeps(&self) -> bool {
        let silent = self.shared.is_silent.load(Ordering::SeqCst);
        if silent {
            self.shared.unanswered.fetch_add(1, Ordering::SeqCst);
        }
        silent
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        FileAttr {
            ino: inode,
            size: if is_file { self.content.len() as u64 } else { 0 },
            blocks: 1,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: 0o555,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

impl Filesystem for Server {
    /// SharedState by page: what is read ahead is waited for in a way that a signal ends.
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        config.set_max_readahead(1).map(drop).map_err(|_| io::ErrorKind::Unsupported.into())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if self.keeps() {
            mem::forget(reply);
        } else if name == self.name.as_str() {
            reply.entry(&FOREVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        if self.keeps() {
            mem::forget(reply);
        } else {
            reply.attr(&FOREVER, &self.attributes(inode));
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if self.keeps() {
            return mem::forget(reply);
        }
        let from = usize::try_from(offset).expect("64 bits").min(self.content.len());
        let to = (from + size as usize).min(self.content.len());
        reply.data(&self.content[from..to]);
    }
}
