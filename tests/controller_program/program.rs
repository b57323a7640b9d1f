//! One replica: the program, its port, and what it logs.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

const PROGRAM: &str = env!("CARGO_BIN_EXE_singletonjob-controller");

/// A running replica; killed when dropped.
pub struct Program {
    process: Child,
    address: String,
    log: NamedTempFile,
}

impl Program {
    /// Starts a replica in the pod of that name, with these variables beside those that it needs.
    ///
    /// It logs all that it ever may: what it says at other levels is in there.
    pub fn start(pod: &str, namespace: &str, kubeconfig: &Path, variables: &[(&str, String)]) -> Self {
        let log = NamedTempFile::new().expect("a temporary file");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(PROGRAM)
            .env_clear()
            .envs([("POD_NAME", pod), ("POD_NAMESPACE", namespace), ("LISTEN_ADDRESS", &address)])
            .envs([("LOG_FORMAT", "text"), ("LOG_LEVEL", "trace")])
            .env("KUBECONFIG", kubeconfig)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stderr(File::create(log.path()).expect("a temporary file"))
            .spawn()
            .expect("the controller starts");
        Self { process, address, log }
    }

    /// Exit code and words of a start with nothing but these variables.
    pub fn answer_to(variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = Command::new(PROGRAM);
        command.env_clear().envs(variables.iter().copied()).stdout(Stdio::null());
        let output = command.output().expect("the controller starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Status and body of an answer; 0 while there is none.
    pub fn get(&self, path: &str) -> (u16, String) {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return (0, String::new()) };
        let request = format!("GET {path} HTTP/1.1\r\nHost: controller\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_string(&mut answer))
            .expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("a log")
    }

    /// As the kubelet asks a container to end.
    pub fn terminate(&self) {
        let process = Pid::from_raw(i32::try_from(self.process.id()).expect("a process id"));
        kill(process, Signal::SIGTERM).expect("it is running");
    }

    /// As a node that dies ends it.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is running");
        self.process.wait().expect("it has ended");
    }

    /// Its exit code, where it ends in time.
    pub fn ended_within(&mut self, limit: Duration) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status.code();
            }
            sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
