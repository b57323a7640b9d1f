//! The deputy is a process that signals the workload where its agent may not. Root without CAP_KILL cannot
//! signal a workload that has become another user.
//!
//! The agent executes itself anew as the deputy, without any of its open files, keys or variables. The deputy
//! takes the workload's user id, and is then at the workload's mercy. The agent never waits for it, because
//! the workload may stop or kill it.

use std::fs;

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, Uid, getpid, getppid, setresuid};

use super::{log, sys};

/// The bit of CAP_KILL in a set of capabilities.
const CAP_KILL: u64 = 1 << 5;

/// The processes to signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipients {
    /// A process group.
    Group(i32),
    /// One process.
    Process(i32),
    /// Every process of the container but the agent's own.
    All,
}

impl Recipients {
    /// Reads a number of the command line. It means what it means to kill(2), except for 0, which means all.
    pub(super) fn read(number: i32) -> Self {
        match number {
            0 => Self::All,
            1.. => Self::Process(number),
            ..0 => Self::Group(-number),
        }
    }

    /// The number that [`Self::read`] reads.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::All => 0,
            Self::Process(process) => process,
            Self::Group(group) => -group,
        }
    }
}

/// A process of the container, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    group: i32,
    user: u32,
}

/// Whether this process may not signal a workload that has become another user, although it is root.
pub(super) fn is_needed() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| lacks_kill(&status))
}

fn lacks_kill(status: &str) -> bool {
    let capabilities = field(status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok());
    effective_user(status) == Some(0) && capabilities.is_some_and(|set| set & CAP_KILL == 0)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|values| values.split_whitespace().next())
}

fn effective_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

/// Sends signal `number` to `recipients`, as every user that owns one of its processes. Returns the exit
/// code.
pub(super) fn run(number: i32, recipients: Recipients) -> i32 {
    let meant: Vec<_> = processes().into_iter().filter(|process| is_meant(process, recipients)).collect();
    let mut users: Vec<_> = meant.iter().map(|process| process.user).collect();
    users.sort_unstable();
    users.dedup();
    let failed = users.into_iter().filter(|user| !signal_as(*user, &meant, number)).count();
    i32::from(failed > 0)
}

/// Whether `recipients` contain the process, which is neither PID 1, nor the elector, nor this process.
fn is_meant(process: &Process, recipients: Recipients) -> bool {
    let ours = [1, getppid().as_raw(), getpid().as_raw()];
    let named = match recipients {
        Recipients::All => true,
        Recipients::Process(pid) => process.pid == pid,
        Recipients::Group(group) => process.group == group,
    };
    named && !ours.contains(&process.pid)
}

/// Signals in a process of its own, because a process that becomes another user does not become root again.
fn signal_as(user: u32, meant: &[Process], number: i32) -> bool {
    match sys::fork() {
        Ok(ForkResult::Child) => std::process::exit(become_and_signal(user, meant, number)),
        Ok(ForkResult::Parent { child }) => waitpid(child, None).is_ok(),
        Err(error) => report_refusal(user, error),
    }
}

fn become_and_signal(user: u32, meant: &[Process], number: i32) -> i32 {
    let user_id = Uid::from_raw(user);
    if let Err(error) = setresuid(user_id, user_id, user_id) {
        report_refusal(user, error);
        return 1;
    }
    for process in meant.iter().filter(|process| process.user == user) {
        // A process that has ended meanwhile needs no signal.
        let _ = sys::signal(Pid::from_raw(process.pid), number);
    }
    0
}

fn report_refusal(user: u32, error: Errno) -> bool {
    eprintln!(
        "{}cannot signal processes of user {user}: {error}; add the capability KILL, or SETUID, to the container",
        log::PREFIX
    );
    false
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// Reads what the kernel shows of a process; `None` if it has ended.
fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Process { pid, group: group_of(&stat)?, user: field(&status, "Uid:")?.parse().ok()? })
}

/// Reads the process group: the third value after the name, which is in parentheses and may contain some
/// itself.
fn group_of(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_without_cap_kill_needs_a_deputy() {
        let status = |user: u32, capabilities: &str| {
            format!("Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\nCapEff:\t{capabilities}\n")
        };
        assert!(lacks_kill(&status(0, "00000000000000c0")), "SETUID and SETGID");
        assert!(!lacks_kill(&status(0, "00000000000000e0")));
        assert!(!lacks_kill(&status(1000, "0000000000000000")), "it could not become anybody");
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        assert_eq!(group_of("7 (a) b) S 1 5 5 0 -1"), Some(5));
        assert_eq!(field("Uid:\t1000\t0\t0\t0\n", "Uid:"), Some("1000"));
        let own = process(getpid().as_raw()).expect("it runs");
        assert_eq!(own.pid, getpid().as_raw());
    }

    #[test]
    fn a_target_comes_back_from_the_command_line_as_it_was() {
        for recipients in [Recipients::All, Recipients::Process(7), Recipients::Group(7)] {
            assert_eq!(Recipients::read(recipients.number()), recipients);
        }
    }
}
