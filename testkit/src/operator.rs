//! The operator, installed and removed as users do it.

use std::sync::{Mutex, PoisonError};

use crate::checkout;
use crate::cluster::{Cluster, said};

/// Where it lives.
pub const NAMESPACE: &str = "singletonjob-system";
/// Of its pods.
pub const SELECTOR: &str = "app.kubernetes.io/component=controller";
const DEPLOYMENT: &str = "deployment/singletonjob-controller";
const LEASE: &str = "lease/singletonjob-controller";
const DEFINITION: &str = "crd/singletonjobs.singletonjob.dev";

/// Whether it is installed; unknown at first, for the cluster may have been up before, with an operator of an
/// older build.
static INSTALLED: Mutex<Option<bool>> = Mutex::new(None);

/// Installs it, unless it is, and waits until it works.
///
/// # Panics
/// Where it does not come to work.
pub fn install() {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed == Some(true) {
        return;
    }
    if installed.is_none() {
        delete();
    }
    *installed = None;
    apply();
    *installed = Some(true);
}

/// Removes it with all SingletonJobs, unless it is not there.
///
/// # Panics
/// Where it does not go.
pub fn remove() {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed != Some(false) {
        *installed = None;
        delete();
        *installed = Some(false);
    }
}

/// For a scenario that installs and removes parts of it by itself: the next one begins anew.
pub fn forget() {
    *INSTALLED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// A manifest of the repository.
pub fn manifest(name: &str) -> String {
    checkout().join("manifests").join(name).display().to_string()
}

/// `kubectl apply` of all of it, and waits until it works.
///
/// # Panics
/// Where it does not come to work.
pub fn apply() {
    kubectl(&["apply", "--filename", &manifest("install.yaml")]);
    kubectl(&["wait", DEFINITION, "--for=condition=Established", "--timeout=30s"]);
    await_work();
}

/// Stops all replicas until the result is dropped.
///
/// # Panics
/// Where they do not stop.
pub fn stop() -> Stopped {
    scale(0);
    kubectl(&[
        "--namespace",
        NAMESPACE,
        "wait",
        "pods",
        "--selector",
        SELECTOR,
        "--for=delete",
        "--timeout=60s",
    ]);
    Stopped
}

/// A controller that does not run.
#[must_use = "it is started again when dropped"]
pub struct Stopped;

impl Drop for Stopped {
    fn drop(&mut self) {
        scale(2);
        await_work();
    }
}

fn scale(replicas: u32) {
    kubectl(&["--namespace", NAMESPACE, "scale", DEPLOYMENT, &format!("--replicas={replicas}")]);
}

fn await_work() {
    kubectl(&["--namespace", NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=120s"]);
    kubectl(&[
        "--namespace",
        NAMESPACE,
        "wait",
        LEASE,
        "--for=jsonpath={.spec.holderIdentity}",
        "--timeout=60s",
    ]);
}

fn delete() {
    kubectl(&["delete", "--ignore-not-found", "--timeout=120s", "--filename", &manifest("install.yaml")]);
}

fn kubectl(arguments: &[&str]) -> String {
    said(arguments, &Cluster::get().kubectl(arguments))
}
