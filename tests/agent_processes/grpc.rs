//! A gRPC probe, asked of etcd, which has the health service of the real protocol.

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};

use serde_json::json;
use tempfile::TempDir;
use testkit::scripted_agent::eventually;

use crate::probes::Container;

/// Runs until it is dropped.
struct Etcd {
    process: Child,
    port: u16,
    _data: TempDir,
}

impl Etcd {
    fn start() -> Self {
        let [port, peers] = [free_port(), free_port()];
        let data = tempfile::tempdir().expect("a temporary directory");
        let [clients, peers] = [port, peers].map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new(programs().join("etcd"));
        command.arg("--data-dir").arg(data.path()).args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ]);
        command.args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
            "--initial-cluster",
            &format!("default={peers}"),
        ]);
        let process =
            command.args(["--log-level", "error"]).spawn().expect("make cluster-binaries builds it");
        Self { process, port, _data: data }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn programs() -> PathBuf {
    let default =
        || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache/singletonjob-cluster");
    env::var_os("CLUSTER_HOME").map_or_else(default, PathBuf::from).join("bin")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn a_grpc_probe_succeeds_where_the_health_service_serves() {
    let (container, etcd) = (Container::new(), Etcd::start());
    let ask = |port: u16, service: &str| {
        let answer = container.asks(
            &[],
            "readiness",
            &json!({"grpc": {"port": port, "service": service}}),
            &json!({}),
        );
        (answer.status.success(), String::from_utf8_lossy(&answer.stdout).into_owned())
    };
    eventually("etcd serves", || ask(etcd.port, "").0.then_some(()));
    let (serves, said) = ask(etcd.port, "nowhere");
    assert!(!serves && said.contains("status 5"), "{said}");
    let (serves, said) = ask(free_port(), "");
    assert!(!serves && said.contains("refused"), "{said}");
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (serves, said) = ask(mute.local_addr().expect("an address").port(), "");
    assert!(!serves && said.contains("timed out"), "{said}");
}
