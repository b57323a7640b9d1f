//! The cluster of `hack/cluster`, as scenarios use it: there is one per machine, and nothing here may be
//! skipped in silence.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::checkout;
use crate::observe::now;

/// The host's address on the nodes' network.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 31, 255, 1));
/// Its nodes, zone by zone. Only pods that tolerate it come to another zone than the first.
pub const ZONES: [[&str; 2]; 3] = [["node-a", "node-b"], ["node-c", "node-d"], ["node-e", "node-f"]];
const SCRIPT: &str = "hack/cluster/cluster.sh";
const IMAGES: [&str; 3] = ["operator", "busybox", "witness"];

/// A cluster that is up and has the images of this working tree.
pub struct Cluster {
    script: PathBuf,
    kubeconfig: PathBuf,
}

/// A process in a container, as the host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// On the host.
    pub pid: i32,
    /// In the container.
    pub pid_inside: i32,
    /// Of its parent, on the host.
    pub parent: i32,
    /// The first 15 characters.
    pub command: String,
}

impl Process {
    /// # Panics
    /// Where the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal)
            .unwrap_or_else(|error| panic!("sending {signal} to {self:?}: {error}"));
    }

    /// The same, where the process is not gone.
    ///
    /// # Panics
    /// Where that cannot be told.
    pub fn signal_if_there(&self, signal: Signal) {
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => panic!("sending {signal} to {self:?}: {error}"),
        }
    }
}

impl Cluster {
    /// The cluster of this machine, brought up and given the images the first time.
    ///
    /// # Panics
    /// Where it cannot be had, with what to do about it.
    pub fn get() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Self::prepare)
    }

    fn prepare() -> Self {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        assert!(is_root, "cluster scenarios need root, for namespaces and cgroups; run `make test` as root");
        let script = checkout().join(SCRIPT);
        must(
            Command::new(&script).args(["up", &ZONES.len().to_string()]),
            "the cluster does not come up; `make cluster-up` shows why",
        );
        for image in IMAGES {
            must(
                build_image().arg(image),
                &format!("the image of {image} cannot be built; `hack/image.sh {image}` shows why"),
            );
        }
        let archives = IMAGES.map(|image| checkout().join(format!("target/images/{image}.tar")));
        must(Command::new(&script).arg("load").args(archives), "the nodes do not take the images");
        let kubeconfig =
            must(Command::new(&script).arg("kubeconfig"), "the cluster has no kubeconfig").trim().into();
        Self { script, kubeconfig }
    }

    /// A client with all rights. One per test: it lives in the runtime that made it.
    ///
    /// # Panics
    /// Where the kubeconfig is of no use.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("the cluster wrote it");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a complete kubeconfig");
        Client::try_from(config).expect("a client")
    }

    /// A client with the rights of the user that this token belongs to.
    ///
    /// # Panics
    /// Where the kubeconfig is of no use.
    pub async fn client_with_token(&self, token: &str) -> Client {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("the cluster wrote it");
        for user in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
            user.token = Some(token.to_owned().into());
        }
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a complete kubeconfig");
        Client::try_from(config).expect("a client")
    }

    /// What `kubectl ARGUMENTS` did, whatever that was.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.command("kubectl").args(arguments).output().expect("kubectl starts")
    }

    /// Those of its nodes that are there.
    pub fn nodes(&self) -> Vec<&'static str> {
        let listed =
            String::from_utf8_lossy(&self.kubectl(&["get", "nodes", "--output", "name"]).stdout).into_owned();
        ZONES
            .into_iter()
            .flatten()
            .filter(|node| listed.lines().any(|line| line == format!("node/{node}")))
            .collect()
    }

    /// What `kubectl` did, with `input` on its standard input.
    ///
    /// # Panics
    /// Where it cannot be started or does not read.
    pub fn kubectl_fed(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command("kubectl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("kubectl reads");
        child.wait_with_output().expect("kubectl ends")
    }

    /// What a pod answers to `GET path`, asked from its node.
    ///
    /// # Panics
    /// Where the node cannot ask.
    pub fn get_from_pod(&self, node: &str, address: &str, path: &str) -> String {
        let script = format!(
            "exec 3<>/dev/tcp/{} && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3",
            address.replace(':', "/")
        );
        must(self.command("exec-node").args([node, "bash", "-c", &script]), "the pod does not answer")
    }

    /// Drops all that the pod of this address sends beyond its node, until the result is dropped or mended.
    pub fn deny_egress(&self, address: &str) -> Fault {
        Fault::begin(&self.script, &["deny-egress", address], &["allow-egress", address])
    }

    /// Pulls the network cable of `node` until the result is dropped or mended.
    pub fn cut(&self, node: &str) -> Fault {
        Fault::begin(&self.script, &["cut", node], &["mend", node])
    }

    /// Nothing that is written to the kubelet's disk of `node` returns, until the result is dropped or
    /// mended.
    pub fn freeze(&self, node: &str) -> Fault {
        Fault::begin(&self.script, &["freeze", node], &["thaw", node])
    }

    /// Ends all that runs on `node`, loses all that is in its memory, and starts it again.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn reboot(&self, node: &str) {
        must(self.command("reboot").arg(node), "the node does not come back");
    }

    /// Kills the API server; its data stay.
    pub fn stop_api_server(&self) -> Fault {
        Fault::begin(&self.script, &["stop-apiserver"], &["start-apiserver"])
    }

    /// Resets every connection of the nodes to the API server: gone for exactly as long as is asked for.
    pub fn refuse_api_server(&self) -> Fault {
        Fault::begin(&self.script, &["refuse-apiserver"], &["accept-apiserver"])
    }

    /// Stops the API server: connections stay open, and none is answered.
    pub fn pause_api_server(&self) -> Fault {
        Fault::begin(&self.script, &["pause-apiserver"], &["resume-apiserver"])
    }

    /// What runs a TLS server: files with a certificate and its key.
    pub fn certificate(&self) -> [PathBuf; 2] {
        ["apiserver.crt", "apiserver.key"].map(|name| self.run().join("pki").join(name))
    }

    fn run(&self) -> &Path {
        self.kubeconfig.parent().expect("a file")
    }

    /// Where the kubelet of `node` keeps what it knows: a disk of its own.
    pub fn kubelet_directory(&self, node: &str) -> PathBuf {
        self.run().join(node).join("kubelet")
    }

    /// Where the kubelet of `node` keeps an emptyDir of a pod.
    pub fn empty_dir(&self, node: &str, pod_uid: &str, volume: &str) -> PathBuf {
        self.kubelet_directory(node)
            .join("pods")
            .join(pod_uid)
            .join("volumes/kubernetes.io~empty-dir")
            .join(volume)
    }

    /// The processes in one container of a pod, PID 1 first.
    ///
    /// # Panics
    /// Where there are none.
    pub fn processes(&self, pod_uid: &str, container: &str) -> Vec<Process> {
        let processes = self.find_processes(pod_uid, container);
        assert!(!processes.is_empty(), "container {container} of pod {pod_uid} has no processes");
        processes
    }

    /// The same, none where the container does not run.
    ///
    /// # Panics
    /// Where the nodes cannot be asked.
    pub fn find_processes(&self, pod_uid: &str, container: &str) -> Vec<Process> {
        let output = self.command("pids").args([pod_uid, container]).output().expect("the script starts");
        let listing = String::from_utf8_lossy(&output.stdout);
        let mut processes: Vec<_> = listing.lines().filter_map(process).collect();
        processes.sort_by_key(|process| process.pid_inside);
        processes
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.script);
        command.arg(name);
        command
    }
}

/// `container host-pid pid-inside parent command`.
fn process(line: &str) -> Option<Process> {
    let words: Vec<_> = line.split(' ').collect();
    let [_container, pid, pid_inside, parent, command] = words[..] else { return None };
    Some(Process {
        pid: pid.parse().ok()?,
        pid_inside: pid_inside.parse().ok()?,
        parent: parent.parse().ok()?,
        command: command.to_owned(),
    })
}

/// Something broken on purpose, and mended when dropped, so that a failed scenario does not spoil the next
/// one.
#[must_use = "it is mended when dropped"]
pub struct Fault {
    /// `CLOCK_BOOTTIME` before it was broken.
    pub before: Duration,
    mend: Command,
}

impl Fault {
    fn begin(script: &Path, fault: &[&str], mend: &[&str]) -> Self {
        let before = now();
        must(Command::new(script).args(fault), "the fault cannot be made");
        let mut command = Command::new(script);
        command.args(mend);
        Self { before, mend: command }
    }

    /// Mends it, and tells when that was done.
    pub fn mend(self) -> Duration {
        drop(self);
        now()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let output = self.mend.output().expect("the script starts");
        if !output.status.success() {
            eprintln!("cannot mend ({:?}): {}", self.mend, String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// What a command said, which must have succeeded.
///
/// # Panics
/// Where it has not.
#[track_caller]
pub fn said(arguments: &[&str], output: &Output) -> String {
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "kubectl {arguments:?}: {}\n{said}{error}", output.status);
    said.into_owned()
}

/// Without what cargo tells tests about their package: build scripts that look at it would have everything
/// built anew.
fn build_image() -> Command {
    let mut command = Command::new(checkout().join("hack/image.sh"));
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| {
        ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
    }) {
        command.env_remove(name);
    }
    command
}

fn must(command: &mut Command, otherwise: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{otherwise}: {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{otherwise}\n{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
