//! A real kube-apiserver with its etcd, and nothing else: no kubelet, no controllers. What the API server
//! itself does can be seen here.
//!
//! The binaries are those of the local cluster, in `${CLUSTER_HOME:-$HOME/.cache/singletonjob-cluster}/bin`;
//! without them every test that needs them fails and says how they are made.

mod flags;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::programs::{binaries, end, program_of, require, start_program};
use crate::scratch::Scratch;
use flags::{apiserver_flags, etcd_flags};

/// Programs, by the names that [`ControlPlane::pid_of`] knows.
pub const ETCD: &str = "etcd";
/// The same.
pub const KUBE_APISERVER: &str = "kube-apiserver";
const READY_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A watch answers when it begins, everything else when it ends.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}]}"#;

/// A running API server. Stopped, with everything it stored, when dropped.
pub struct ControlPlane {
    server: String,
    directory: Scratch,
    apiserver_flags: Vec<String>,
    processes: Mutex<BTreeMap<&'static str, Child>>,
}

impl ControlPlane {
    /// The one that the tests of this program share while any of them uses it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<ControlPlane>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// Starts one with an etcd of its own and waits until it is ready.
    pub fn start() -> Self {
        Self::launch(&[], AUDIT_POLICY)
    }

    /// The same, whose API server is given these flags beside its usual ones.
    pub fn start_with(flags: &[&str]) -> Self {
        Self::launch(flags, AUDIT_POLICY)
    }

    /// The same; its audit log has what this policy says.
    pub fn start_with_audit_policy(policy: &str) -> Self {
        Self::launch(&[], policy)
    }

    fn launch(flags: &[&str], policy: &str) -> Self {
        let [clients, peers] = free_ports();
        let mut control_plane = Self::before(&format!("http://127.0.0.1:{clients}"), policy);
        control_plane.apiserver_flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        control_plane.make_keys();
        control_plane.spawn(ETCD, &etcd_flags(control_plane.path(), clients, peers));
        control_plane.start_api_server();
        control_plane
    }

    /// Starts one that keeps everything in the etcd at this URL and waits until it is ready.
    pub fn on(etcd: &str) -> Self {
        let control_plane = Self::before(etcd, AUDIT_POLICY);
        control_plane.make_keys();
        control_plane.start_api_server();
        control_plane
    }

    /// Starts another API server of the same cluster, which takes the same credentials; it knows only the
    /// etcd member at this URL.
    #[must_use]
    pub fn beside(&self, etcd: &str) -> Self {
        let control_plane = Self::before(etcd, AUDIT_POLICY);
        for entry in fs::read_dir(self.path().join("pki")).expect("made by the first").flatten() {
            fs::copy(entry.path(), control_plane.path().join("pki").join(entry.file_name()))
                .expect("a writable directory");
        }
        control_plane.start_api_server();
        control_plane
    }

    /// Everything that it needs but its keys.
    fn before(etcd: &str, audit_policy: &str) -> Self {
        require_binaries();
        let directory = Scratch::create();
        let [secure] = free_ports();
        let server = format!("https://127.0.0.1:{secure}");
        let apiserver_flags = apiserver_flags(directory.path(), etcd, secure);
        let control_plane = Self { server, directory, apiserver_flags, processes: Mutex::default() };
        control_plane.prepare(audit_policy);
        control_plane
    }

    /// A client for the administrator; belongs to the runtime of the caller.
    pub async fn client(&self) -> Client {
        self.client_with_token("admin").await
    }

    /// A client for the user who has this token.
    pub async fn client_with_token(&self, token: &str) -> Client {
        Client::try_from(self.config_with_token(token).await).expect("a client")
    }

    /// How the user who has this token reaches it. Nothing is repeated.
    pub async fn config_with_token(&self, token: &str) -> Config {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig_text(token)).expect("a kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a usable kubeconfig");
        config.default_retry = false;
        config
    }

    /// For programs: the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path().join("admin.kubeconfig")
    }

    /// For programs: a kubeconfig for the user who has this token.
    pub fn kubeconfig_with_token(&self, token: &str) -> PathBuf {
        let file = self.path().join(format!("{:016x}.kubeconfig", fastrand::u64(..)));
        fs::write(&file, self.kubeconfig_text(token)).expect("a writable directory");
        file
    }

    /// Runs the real kubectl as administrator, with `input` as its standard input.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let file = self.path().join(format!("stdin-{:?}", std::thread::current().id()));
        fs::write(&file, input).expect("a writable directory");
        Command::new(binaries().join("kubectl"))
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(File::open(&file).expect("just written"))
            .output()
            .expect("kubectl starts")
    }

    /// Every answered request, one JSON object a line.
    pub fn audit_log(&self) -> PathBuf {
        self.path().join("audit.log")
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn prepare(&self, audit_policy: &str) {
        fs::create_dir(self.path().join("pki")).expect("a writable directory");
        fs::write(self.path().join("tokens.csv"), "admin,admin,admin,system:masters\n")
            .expect("a writable directory");
        fs::write(self.kubeconfig(), self.kubeconfig_text("admin")).expect("a writable directory");
        fs::write(self.path().join("audit.yaml"), audit_policy).expect("a writable directory");
        File::create(self.audit_log()).expect("a writable directory");
    }

    fn make_keys(&self) {
        let key = self.path().join("pki/sa.key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).stderr(Stdio::null()).status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "openssl cannot make a key for service accounts; is it installed?"
        );
    }

    /// A kubeconfig for the user with this token, as text.
    fn kubeconfig_text(&self, token: &str) -> String {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "test",
                "clusters": [{{"name": "test", "cluster": {{"server": "{}", "certificate-authority": "{}/pki/apiserver.crt"}}}}],
                "users": [{{"name": "user", "user": {{"token": "{token}"}}}}],
                "contexts": [{{"name": "test", "context": {{"cluster": "test", "user": "user"}}}}]}}"#,
            self.server,
            self.path().display(),
        )
    }

    /// Its address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The same, for programs that are told a host and a port.
    pub fn address(&self) -> SocketAddr {
        self.server.trim_start_matches("https://").parse().expect("an address")
    }

    /// Its certificate, which is its own authority, and its key.
    pub fn identity(&self) -> [PathBuf; 2] {
        ["crt", "key"].map(|kind| self.path().join("pki/apiserver").with_extension(kind))
    }

    /// The process of etcd or kube-apiserver.
    pub fn pid_of(&self, program: &str) -> i32 {
        let shell = self.processes()[program].id();
        program_of(shell).unwrap_or_else(|| panic!("{program} does not run:\n{}", self.last_words()))
    }

    /// Starts the API server that was killed anew, where it was and with what it stored.
    pub fn restart_api_server(&self) {
        self.stop_api_server();
        self.spawn(KUBE_APISERVER, &self.apiserver_flags);
    }

    /// Ends the API server; what it stored stays.
    pub fn stop_api_server(&self) {
        let running = self.processes().remove(KUBE_APISERVER);
        end(running.expect("kube-apiserver was started"));
    }

    /// Starts the API server, where it was, and waits until it is ready.
    pub fn start_api_server(&self) {
        self.spawn(KUBE_APISERVER, &self.apiserver_flags);
        self.await_ready();
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<&'static str, Child>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, program: &'static str, flags: &[String]) {
        let child = start_program(program, flags, &self.log(program));
        self.processes().insert(program, child);
    }

    fn log(&self, program: &str) -> PathBuf {
        self.path().join(format!("{program}.log"))
    }

    fn await_ready(&self) {
        let started = Instant::now();
        while !self.kubectl(&["get", "--raw", "/readyz"], "").status.success() {
            assert!(
                started.elapsed() < READY_WITHIN,
                "kube-apiserver is not ready after {READY_WITHIN:?}:\n{}",
                self.last_words()
            );
            sleep(LOOK_EVERY);
        }
    }

    fn last_words(&self) -> String {
        let tail = |program| {
            let text = fs::read_to_string(self.log(program)).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(|line| format!("{program}: {line}")).collect();
            lines[lines.len().saturating_sub(15)..].join("\n") + "\n"
        };
        tail("etcd") + &tail("kube-apiserver")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let processes = std::mem::take(&mut *self.processes());
        // The API server before its etcd, as their names have it.
        processes.into_values().rev().for_each(end);
    }
}

fn require_binaries() {
    [ETCD, KUBE_APISERVER, "kubectl"].into_iter().for_each(require);
}

/// Free a moment ago.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}
