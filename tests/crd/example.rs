//! The program in `examples/watch-jobs`, which another team could have written: it uses the API crate, and a
//! version of Kubernetes of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use singletonjob::api::conditions::types;

use super::{Fixture, PATIENCE, SERVICE};

/// Builds it; where it is.
fn built() -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = checkout.join("target/examples");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--offline", "--locked", "--manifest-path"])
        .arg(checkout.join("examples/watch-jobs/Cargo.toml"));
    let output = cargo.arg("--target-dir").arg(&target).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug/watch-jobs")
}

fn says(fixture: &Fixture, program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", fixture.control_plane.kubeconfig())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("plain text")
}

/// As the controller writes it.
fn status(is_ready: bool) -> Value {
    let (holds, message) = if is_ready { ("True", "held by ticker-1") } else { ("False", "waiting") };
    let ready = json!({"type": types::READY, "status": holds, "reason": "Held", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({"status": {"conditions": [ready], "lease": {"name": "ticker", "holder": "ticker-1"}}})
}

#[tokio::test]
async fn another_program_lists_singletonjobs_and_waits_until_one_is_ready() {
    let program = tokio::task::spawn_blocking(built).await.expect("no panic");
    let fixture = Fixture::new("example").await;
    fixture.kubectl(&["apply", "--filename", "-"], SERVICE);
    let write = |is_ready: bool| {
        let patch = status(is_ready).to_string();
        fixture.kubectl(
            &["patch", "singletonjob", "ticker", "--subresource=status", "--type=merge", "--patch", &patch],
            "",
        );
    };
    write(false);
    let listed = says(&fixture, &program, &[]);
    assert!(listed.lines().any(|line| line == format!("{}/ticker ticker-1", fixture.namespace)), "{listed}");
    thread::scope(|scope| {
        let waits = scope.spawn(|| says(&fixture, &program, &[&fixture.namespace, "ticker"]));
        thread::sleep(PATIENCE / 30);
        assert!(!waits.is_finished(), "it is not ready yet");
        write(true);
        assert_eq!(waits.join().expect("it ends").trim(), "held by ticker-1");
    });
}
