//! The agent's processes as PID 1 of a PID namespace of their own, with a script in place of the Lease.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(20);

/// A running container, so to speak.
pub struct Agent {
    directory: Scratch,
    unshare: Child,
    /// As the machine knows it.
    pub first: Pid,
}

impl Agent {
    /// Starts `command` as the workload after `start_after`, under a deadline; both in milliseconds.
    pub fn start(deadline: u64, start_after: u64, command: &[&str]) -> Self {
        Self::start_in(Scratch::create(), deadline, start_after, command)
    }

    /// In a directory that an earlier container has used.
    pub fn start_over(deadline: u64, earlier: impl FnOnce(&Path)) -> Self {
        let directory = Scratch::create();
        earlier(directory.path());
        Self::start_in(directory, deadline, 0, &["sleep", "60"])
    }

    fn start_in(directory: Scratch, deadline: u64, start_after: u64, command: &[&str]) -> Self {
        assert_eq!(
            fs::metadata("/proc/self").unwrap().uid(),
            0,
            "PID namespaces need root: run these tests as root"
        );
        fs::write(directory.path().join("message"), "").unwrap();
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(scripted_agent())
            .arg("run")
            .arg(directory.path())
            .args([deadline.to_string(), start_after.to_string()])
            .args(command)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare of util-linux is installed");
        let parent = Pid::from_raw(i32::try_from(unshare.id()).unwrap());
        let first = eventually("PID 1 is there", || {
            assert!(unshare.try_wait().unwrap().is_none(), "it ended at once");
            children(parent).first().copied()
        });
        Self { directory, unshare, first }
    }

    /// The same with a shell script as the workload, in which `beat FILE` leaves a trace.
    pub fn shell(deadline: u64, script: &str) -> Self {
        Self::start(
            deadline,
            0,
            &["sh", "-c", &script.replace("beat", &format!("{} beat", scripted_agent().display()))],
        )
    }

    /// A file in the container's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The text of that file; empty where there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits for the elector's process.
    pub fn elector(&self) -> Pid {
        eventually("the elector is there", || children(self.first).first().copied())
    }

    /// Runs a command among its processes, as `kubectl exec` does.
    pub fn inside(&self, command: &[&str]) {
        let status = self.entering(command).status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
    }

    /// The same, of a command that may not outlive the container.
    pub fn begin_inside(&self, command: &[&str]) {
        drop(self.entering(command).spawn().unwrap());
    }

    fn entering(&self, command: &[&str]) -> Command {
        let mut entering = Command::new("nsenter");
        entering.args(["--target", &self.first.to_string(), "--pid", "--mount"]).arg("--").args(command);
        entering
    }

    /// The elector writes to `file` on the thread that decides; it sees the whole request or none, because it
    /// polls for it.
    pub fn hang_on(&self, file: &Path) {
        let request = self.path("hang");
        let new = request.with_extension("new");
        fs::write(&new, file.as_os_str().as_encoded_bytes()).unwrap();
        fs::rename(new, request).unwrap();
    }

    /// Waits until each of these files has been written to.
    pub fn await_beats(&self, names: &[&str]) {
        for name in names {
            eventually(&format!("{name} beats"), || self.last_beat(name));
        }
    }

    /// When this file was last written to, in `CLOCK_BOOTTIME`; `None` if it never was.
    pub fn last_beat(&self, name: &str) -> Option<Duration> {
        let mut bytes = [0; 8];
        fs::File::open(self.path(name)).ok()?.read_exact(&mut bytes).ok()?;
        Some(Duration::from_nanos(u64::from_le_bytes(bytes)))
    }

    /// The longest that any of them went on after `end`.
    pub fn outlived(&self, names: &[&str], end: Duration) -> Duration {
        names
            .iter()
            .map(|name| self.last_beat(name).expect("it has beaten").saturating_sub(end))
            .max()
            .unwrap()
    }

    /// Waits until the deadline is armed, and says when it is.
    pub fn deadline(&self) -> Duration {
        let facts = eventually("the deadline is armed", || {
            Some(self.read("facts")).filter(|facts| facts.contains('\n'))
        });
        let line = facts.lines().next().unwrap().trim_matches('"').to_owned();
        Duration::from_nanos(line.strip_prefix("deadline ").unwrap().parse().unwrap())
    }

    /// Waits for the end of the container.
    pub fn exit_code(&mut self) -> i32 {
        let status = eventually("the container ends", || self.unshare.try_wait().unwrap());
        status.code().unwrap_or_else(|| panic!("unshare was killed by signal {:?}", status.signal()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already where all went well; --kill-child takes the namespace along.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// Built here, for `cargo test --test` builds no examples.
pub fn scripted_agent() -> &'static Path {
    static AGENT: LazyLock<PathBuf> = LazyLock::new(|| {
        let build = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "scripted-agent"])
            .status()
            .unwrap();
        assert!(build.success(), "cargo build --example scripted-agent failed");
        let tests = std::env::current_exe().unwrap();
        tests.parent().and_then(Path::parent).unwrap().join("examples/scripted-agent")
    });
    &AGENT
}

/// The processes whose parent is `of`.
pub fn children(of: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Looks until there is something to be seen.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {PATIENCE:?} in vain until {what}");
        sleep(Duration::from_millis(1));
    }
}
