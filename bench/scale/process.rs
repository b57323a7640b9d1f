//! What the kernel counts of a process.

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// A running process, by its number.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub i32);

impl Process {
    /// CPU time since its start, in user space and in the kernel, of all its threads.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn cpu(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("a running process");
        // The name of the program may contain anything.
        let after_name = stat.rsplit_once(") ").expect("a stat line").1;
        let ticks: u64 =
            after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / ticks_per_second())
    }

    /// Whether it has not ended yet.
    pub fn is_running(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    /// Memory that it has resident, in bytes.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn resident(self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it has had resident, in bytes.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn peak(self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

fn ticks_per_second() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    u64::try_from(ticks).unwrap_or(100)
}
