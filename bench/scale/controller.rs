//! The controller's program, as its Deployment runs it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::control_plane::free_ports;
use testkit::observe::eventually;
use testkit::programs::{end, program_of, start_command};
use tokio::time::sleep;

use super::api_server::NAMESPACE;
use super::metrics::sum;
use super::process::Process;

/// The name of its pod, which it writes into its own Lease.
const POD: &str = "controller-0";
const AGENT_IMAGE: &str = "localhost/singletonjob:bench";
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running controller; killed when dropped, or when this program ends.
pub struct Controller {
    shell: Option<Child>,
    process: Process,
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
        let started = Instant::now();
        let shell = start_command(command(kubeconfig, &address).iter().map(OsString::as_os_str), log);
        let process = Process(await_program(&shell));
        Self { shell: Some(shell), process, address, started }
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.process
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
    pub async fn terminate(&self) {
        kill(Pid::from_raw(self.process.0), Signal::SIGTERM).expect("it is running");
        eventually("the controller ends", READY_WITHIN, || (!self.process.is_running()).then_some(())).await;
    }

    /// The sum of a metric's series.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sum(&self.get("/metrics").1, name, |_| true)
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
        self.shell.take().into_iter().for_each(end);
    }
}

/// The program with nothing but what its Deployment gives it.
fn command(kubeconfig: &Path, address: &str) -> Vec<OsString> {
    let program = program();
    assert!(
        program.exists(),
        "`cargo build --release --bin singletonjob-controller` makes {}",
        program.display()
    );
    let mut command: Vec<OsString> = ["env", "-i"].map(OsString::from).into();
    command.extend(
        [
            ("POD_NAME", POD),
            ("POD_NAMESPACE", NAMESPACE),
            ("LISTEN_ADDRESS", address),
            ("AGENT_IMAGE", AGENT_IMAGE),
        ]
        .map(|(name, value)| format!("{name}={value}").into()),
    );
    command.extend(allocator_settings());
    command.push(format!("KUBECONFIG={}", kubeconfig.display()).into());
    command.push(program.into());
    command
}

/// Waits until the shell has started its program.
fn await_program(shell: &Child) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(program) = program_of(shell.id()) {
            return program;
        }
        assert!(started.elapsed() < READY_WITHIN, "the controller is not started");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// That of `CONTROLLER`, or else the one beside this program, where cargo puts both.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    std::env::var_os("CONTROLLER")
        .map_or_else(|| own.with_file_name("singletonjob-controller"), PathBuf::from)
}

/// What tunes the allocator of glibc, so that its settings can be compared.
fn allocator_settings() -> impl Iterator<Item = OsString> {
    let settings =
        std::env::vars().filter(|(name, _)| name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES");
    settings.map(|(name, value)| format!("{name}={value}").into())
}
