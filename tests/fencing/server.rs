//! Starting a server for one test, and ending it whatever becomes of the test.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The server lives as long as this process holds the other end of the pipe.
const UNTIL_STDIN_CLOSES: &str =
    r#"signal=$1; shift; "$@" </dev/null & child=$!; cat >/dev/null; kill -s "$signal" "$child"; wait"#;

/// A running server. Stopped when dropped.
pub struct Server {
    process: Child,
}

impl Server {
    /// Starts `command` and waits until `is_ready`; `signal` ends it. What it says goes to `log`.
    pub fn start(command: &[&str], signal: &str, log: &Path, is_ready: impl Fn() -> bool) -> Self {
        let output = File::create(log).expect("a writable directory");
        let process = Command::new("sh")
            .args(["-c", UNTIL_STDIN_CLOSES, "sh", signal])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .spawn()
            .expect("a shell");
        let server = Self { process };
        let started = Instant::now();
        while !is_ready() {
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(
                started.elapsed() < READY_WITHIN,
                "{} is not ready after {READY_WITHIN:?}:\n{}",
                command.join(" "),
                said()
            );
            sleep(LOOK_EVERY);
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _: io::Result<_> = self.process.wait();
    }
}

/// The first of these files that exists.
pub fn require(program: &str, candidates: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    let found = candidates.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{program} is missing: hack/stores.sh installs it"))
}
