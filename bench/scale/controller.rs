//! The controller's program, as its Deployment runs it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::control_plane::free_ports;
use tokio::time::sleep;

use super::process::Process;

/// The name of its pod, which it writes into its own Lease.
const POD: &str = "controller-0";
/// Where the operator is installed.
pub const NAMESPACE: &str = "singletonjob-system";
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running controller; killed when dropped, unless it was told to end.
pub struct Controller {
    child: Child,
    address: String,
    started: Instant,
}

impl Controller {
    /// Starts it with these credentials; its log is appended to `log`.
    ///
    /// # Panics
    /// If the program was not built.
    pub fn start(kubeconfig: &Path, log: &Path) -> Self {
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let log = File::options().create(true).append(true).open(log).expect("a writable file");
        let child = Command::new(program())
            .env_clear()
            .envs([("POD_NAME", POD), ("POD_NAMESPACE", NAMESPACE), ("LISTEN_ADDRESS", &address)])
            .env("AGENT_IMAGE", "localhost/singletonjob:bench")
            .env("KUBECONFIG", kubeconfig)
            .stderr(log)
            .spawn()
            .expect("`cargo build --release --bin singletonjob-controller` makes it");
        Self { child, address, started: Instant::now() }
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Waits until it leads and its caches have synced; how long that took since its start.
    ///
    /// # Panics
    /// If it takes too long.
    pub async fn ready(&self) -> Duration {
        while self.metric("leader_election_master_status").is_none_or(|is| is < 1.0)
            || self.get("/readyz").0 != 200
        {
            assert!(self.started.elapsed() < READY_WITHIN, "the controller is not ready");
            sleep(Duration::from_millis(50)).await;
        }
        self.started.elapsed()
    }

    /// Ends it as the kubelet does when its pod is replaced: it gives up its own Lease.
    ///
    /// # Panics
    /// If it does not end.
    pub fn terminate(mut self) {
        let process = Pid::from_raw(self.process().0);
        kill(process, Signal::SIGTERM).expect("it is running");
        self.child.wait().expect("it ends");
    }

    /// The sum of a metric's series.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, body) = self.get("/metrics");
        let values: Vec<f64> = body
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = TcpStream::connect(&self.address).and_then(|mut stream| {
            stream.write_all(
                format!("GET {path} HTTP/1.1\r\nHost: controller\r\nConnection: close\r\n\r\n").as_bytes(),
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        let answer = answer.unwrap_or_default();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It has nothing to put in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside this program, where cargo puts both.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    own.with_file_name("singletonjob-controller")
}
