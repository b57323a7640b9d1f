//! Programs that live as long as this process does, and those of the local cluster among them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The child lives as long as this process holds the other end of the pipe: it cannot be left behind, however
/// a test ends. The shell is in a process group of its own, because `timeout` and a terminal signal the whole
/// group: a shell that dies of that could not end its child.
const UNTIL_STDIN_CLOSES: &str = r#""$@" </dev/null & child=$!; cat >/dev/null; kill -9 "$child"; wait"#;

/// A program of the cluster's build that lives as long as this process and the child's standard input do.
pub fn start_program(program: &str, flags: &[String], log: &Path) -> Child {
    let program = binaries().join(program);
    start_command(std::iter::once(program.as_os_str()).chain(flags.iter().map(OsStr::new)), log)
}

/// A command that lives as long as this process and the child's standard input do.
pub fn start_command<'a>(command: impl IntoIterator<Item = &'a OsStr>, log: &Path) -> Child {
    let log = || File::options().create(true).append(true).open(log).expect("a writable directory");
    Command::new("sh")
        .args(["-c", UNTIL_STDIN_CLOSES, "sh"])
        .args(command)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(log())
        .stderr(log())
        .spawn()
        .expect("a shell")
}

/// Ends what [`start_command`] started, and waits until it is gone.
pub fn end(mut process: Child) {
    drop(process.stdin.take());
    let _: io::Result<_> = process.wait();
}

/// The process of the program that [`start_command`] started by this shell: its first child, before `cat`.
pub fn program_of(shell: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Where the cluster's build puts its programs.
pub fn binaries() -> PathBuf {
    let home = std::env::var_os("CLUSTER_HOME").map(PathBuf::from);
    let default =
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/singletonjob-cluster");
    home.unwrap_or_else(default).join("bin")
}

/// # Panics
/// Where `program` was not built.
pub fn require(program: &str) {
    let path = binaries().join(program);
    assert!(
        path.exists(),
        "{} is missing: `make cluster-binaries` builds it, once, in some ten minutes",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use nix::unistd::{Pid, getpgid, getpgrp};

    use super::*;

    #[test]
    fn a_signal_to_the_group_of_this_process_reaches_no_program() {
        let child = start_command(["sleep", "60"].map(OsStr::new), Path::new("/dev/null"));
        let started = Instant::now();
        let program = loop {
            assert!(started.elapsed() < Duration::from_secs(10), "the shell starts its program");
            if let Some(program) = program_of(child.id()) {
                break program;
            }
            sleep(Duration::from_millis(5));
        };
        let groups =
            [getpgid(Some(Pid::from_raw(program))), getpgid(Some(Pid::from_raw(child.id().cast_signed())))];
        end(child);
        assert!(groups.iter().all(|group| *group != Ok(getpgrp())), "{groups:?}");
    }
}
