//! Limits for one container, as a kubelet sets them, under either version of control groups.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

const ROOT: &str = "/sys/fs/cgroup";
/// For the processes of a group that was killed to be gone.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);
/// As a kubelet sets it.
const CPU_PERIOD_MICROSECONDS: u32 = 100_000;

/// Removed when dropped; everything in it must have ended by then.
pub struct Cgroup {
    name: String,
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// A group without limits.
    ///
    /// # Panics
    /// Where the machine has no controllers for memory, processors and processes.
    pub fn new(name: &str) -> Self {
        let parents = if is_unified() { vec![enable_controllers()] } else { separate_hierarchies() };
        let name = format!("singletonjob-{name}-{:08x}", fastrand::u32(..));
        let folders: Vec<_> = parents.iter().map(|parent| parent.join(&name)).collect();
        for folder in &folders {
            fs::create_dir(folder).unwrap_or_else(|error| {
                panic!("making the control group {}: {error}; be root", folder.display())
            });
        }
        Self { name, folders }
    }

    /// `resources.limits.memory`.
    #[must_use]
    pub fn limit_memory(self, bytes: u64) -> Self {
        self.set(if is_unified() { "memory.max" } else { "memory.limit_in_bytes" }, &bytes.to_string());
        self
    }

    /// `resources.limits.cpu`.
    #[must_use]
    pub fn limit_cpu(self, milli: u32) -> Self {
        let quota = milli * CPU_PERIOD_MICROSECONDS / 1000;
        if is_unified() {
            self.set("cpu.max", &format!("{quota} {CPU_PERIOD_MICROSECONDS}"));
        } else {
            self.set("cpu.cfs_period_us", &CPU_PERIOD_MICROSECONDS.to_string());
            self.set("cpu.cfs_quota_us", &quota.to_string());
        }
        self
    }

    /// `podPidsLimit` of the kubelet.
    #[must_use]
    pub fn limit_processes(self, number: u32) -> Self {
        self.set("pids.max", &number.to_string());
        self
    }

    /// What a process writes "0" to in order to join.
    pub fn doors(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// A process that runs already, with all that it starts from now on.
    pub fn admit(&self, process: Pid) {
        for door in self.doors() {
            fs::write(&door, process.to_string())
                .unwrap_or_else(|error| panic!("writing {process} to {}: {error}", door.display()));
        }
    }

    /// Takes from it all memory that is the copy of a file, as the kernel does where memory is short, but for
    /// what is locked.
    pub fn reclaim(&self) {
        let (file, value) = if is_unified() { ("memory.reclaim", "1G") } else { ("memory.force_empty", "0") };
        let path = self.folders.iter().map(|folder| folder.join(file)).find(|path| path.exists());
        // It always takes less than it is asked for.
        let _ = fs::write(path.expect("the memory controller"), value);
    }

    /// Nothing in it executes until the thaw.
    pub fn freeze(&self) {
        self.set("cgroup.freeze", "1");
    }

    /// It goes on, what is left of it.
    pub fn thaw(&self) {
        self.set("cgroup.freeze", "0");
    }

    /// How many processes are in it.
    pub fn population(&self) -> usize {
        let members = fs::read_to_string(&self.doors()[0]).unwrap_or_default();
        members.lines().count()
    }

    fn set(&self, file: &str, value: &str) {
        let path = self.folders.iter().map(|folder| folder.join(file)).find(|path| path.exists());
        let path = path.unwrap_or_else(|| {
            panic!("the control group {} has no {file}: its controller is missing", self.name)
        });
        fs::write(&path, value)
            .unwrap_or_else(|error| panic!("writing {value} to {}: {error}", path.display()));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let until = Instant::now() + EMPTY_WITHIN;
        for folder in &self.folders {
            while fs::remove_dir(folder).is_err() && Instant::now() < until {
                sleep(Duration::from_millis(5));
            }
        }
    }
}

fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn enable_controllers() -> PathBuf {
    let switch = Path::new(ROOT).join("cgroup.subtree_control");
    fs::write(&switch, "+cpu +memory +pids")
        .unwrap_or_else(|error| panic!("enabling cpu, memory and pids in {}: {error}", switch.display()));
    PathBuf::from(ROOT)
}

/// The last one only for the freezer that can be killed in: it belongs to version 2 alone.
fn separate_hierarchies() -> Vec<PathBuf> {
    let hierarchies = ["cpu", "memory", "pids", "unified"].map(|controller| Path::new(ROOT).join(controller));
    for hierarchy in &hierarchies {
        assert!(
            hierarchy.join("cgroup.procs").exists(),
            "{} is not mounted: these tests need it, or cgroup v2",
            hierarchy.display()
        );
    }
    hierarchies.to_vec()
}
