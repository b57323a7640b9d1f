//! A candidate pod as far as one machine without a kubelet can make one: the agent as PID 1 of a container of
//! its own.

use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use singletonjob::contract::{LeaseFile, Role, environment, paths};
use testkit::cgroup::Cgroup;
use testkit::lease::JOB_UID;
use testkit::observe::eventually;

use crate::scenario::Scenario;

/// For a container to be there, and for an agent to read its Lease, on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Becomes PID 1: what a container runtime prepares, then the agent with the capabilities that runtimes leave
/// a container by default.
const CONTAINER: &str = r#"
for door in $DOORS; do echo 0 >"$door"; done
hostname "$SINGLETONJOB_POD_NAME"
mount -t tmpfs -o size="$STATE_SIZE" none /var/run
mkdir -p /var/run/singletonjob /var/run/secrets/singletonjob.dev
chmod 777 /var/run/singletonjob
[ -z "$STATE" ] || mount --bind "$STATE" /var/run/singletonjob
mount --bind -o ro "$CREDENTIALS" /var/run/secrets/singletonjob.dev
exec setpriv --bounding-set=-all,"$CAPABILITIES" --inh-caps=-all$KEPT $BECOME "$AGENT" run -- "$@"
"#;
const CAPABILITIES: &str = "+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,\
                            +mknod,+audit_write,+setfcap";
/// Kept short: what ignores SIGTERM has four seconds, for the agent keeps two.
const GRACE_PERIOD_SECONDS: &str = "6";

/// How a candidate is to be started.
pub struct Pod<'a> {
    scenario: &'a Scenario,
    name: String,
    uid: String,
    server: SocketAddr,
    doors: Vec<PathBuf>,
    state_size: &'static str,
    state: Option<PathBuf>,
    has_lock: bool,
    agent: PathBuf,
    message: Option<PathBuf>,
    log: Option<OwnedFd>,
    capabilities: String,
    becomes: &'static str,
    keeps: &'static str,
    boot_offset: Option<i64>,
}

/// A running container, or what is left of one.
pub struct Candidate {
    /// Of the pod.
    pub name: String,
    directory: PathBuf,
    unshare: Child,
    first: Pid,
    _cgroup: Option<Cgroup>,
}

impl<'a> Pod<'a> {
    pub fn new(scenario: &'a Scenario, name: &str, server: SocketAddr) -> Self {
        let uid = format!("uid-of-{name}");
        let agent = PathBuf::from(env!("CARGO_BIN_EXE_singletonjob-agent"));
        Self {
            scenario,
            name: name.to_owned(),
            uid,
            server,
            doors: Vec::new(),
            state_size: "1m",
            state: None,
            has_lock: false,
            agent,
            message: None,
            log: None,
            capabilities: CAPABILITIES.to_owned(),
            becomes: "",
            keeps: "",
            boot_offset: None,
        }
    }

    /// Finds its API server there.
    pub fn through(self, server: SocketAddr) -> Self {
        Self { server, ..self }
    }

    /// Keeps to these limits.
    pub fn within(self, cgroup: &Cgroup) -> Self {
        Self { doors: cgroup.doors(), ..self }
    }

    /// What may be written where the agent keeps its state.
    pub fn state_size(self, state_size: &'static str) -> Self {
        Self { state_size, ..self }
    }

    /// The agent keeps its state in this folder.
    pub fn state(self, folder: &Path) -> Self {
        Self { state: Some(folder.to_owned()), ..self }
    }

    /// As containers of one pod share it: the agent keeps its state in this folder, and the pod's lock.
    pub fn locked(self, folder: &Path) -> Self {
        Self { has_lock: true, ..self.state(folder) }
    }

    /// This is the agent's program.
    pub fn agent(self, program: &Path) -> Self {
        Self { agent: program.to_owned(), ..self }
    }

    /// Its termination message goes there.
    pub fn message(self, path: &Path) -> Self {
        Self { message: Some(path.to_owned()), ..self }
    }

    /// Agent and workload write their log there.
    pub fn log(self, log: OwnedFd) -> Self {
        Self { log: Some(log), ..self }
    }

    /// As `capabilities: {drop: [KILL]}` has it.
    pub fn without_cap_kill(self) -> Self {
        Self { capabilities: self.capabilities.replace("+kill,", ""), ..self }
    }

    /// As `runAsUser` has it: agent and workload are one ordinary user.
    pub fn by_ordinary_user(self) -> Self {
        Self { becomes: "--reuid=65534 --regid=65534 --clear-groups", ..self }
    }

    /// The same, and the workload may become others, which neither the agent nor the kernel in its name can
    /// signal then. So it is for a root without CAP_KILL in a user namespace of its own (`hostUsers: false`).
    pub fn by_ordinary_user_without_reach(self) -> Self {
        let becomes = "--reuid=65534 --regid=65534 --clear-groups --ambient-caps=+setuid,+setgid";
        Self { becomes, keeps: ",+setuid,+setgid", ..self }
    }

    /// Its machine was booted so many seconds earlier, or later, than ours.
    pub fn booted_earlier_by(self, seconds: i64) -> Self {
        Self { boot_offset: Some(seconds), ..self }
    }

    /// Starts it with the witness as its workload.
    pub async fn start(self, witness: &[&str]) -> Candidate {
        self.command(&[&["witness"], witness].concat()).await
    }

    /// Starts it with a shell as its workload; `witness` can be found.
    pub async fn shell(self, script: &str) -> Candidate {
        self.command(&["sh", "-c", script]).await
    }

    /// Starts it with this as its workload.
    pub async fn command(mut self, command: &[&str]) -> Candidate {
        assert_eq!(
            fs::metadata("/proc/self").expect("mounted").uid(),
            0,
            "containers need root: run these tests as root"
        );
        let directory = self.scenario.directory_of(&self.name);
        fs::write(directory.join("message"), "").expect("a writable directory");
        fs::set_permissions(directory.join("message"), Permissions::from_mode(0o666)).expect("it is ours");
        // Every container has one; without it the kernel would schedule the agent together with this test,
        // and its workload on its own.
        let own = self.doors.is_empty().then(|| Cgroup::new(&self.name));
        self.doors.extend(own.iter().flat_map(Cgroup::doors));
        let mut unshare =
            self.unshare(&directory, command).spawn().expect("unshare of util-linux is installed");
        let parent = Pid::from_raw(unshare.id().cast_signed());
        let first = eventually("PID 1 is there", START_WITHIN, || {
            let ended = unshare.try_wait().expect("our child");
            assert!(ended.is_none(), "{} ended at once: {}", self.name, log_in(&directory));
            children(parent).first().copied()
        });
        let first = first.await;
        Candidate { name: self.name, directory, unshare, first, _cgroup: own }
    }

    fn unshare(&self, directory: &Path, command: &[&str]) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--uts"]);
        if let Some(offset) = self.boot_offset {
            unshare.args(["--time", "--boottime", &offset.to_string()]);
        }
        unshare
            .args(["sh", "-euc", CONTAINER, "sh"])
            .args(command)
            .current_dir(directory)
            .stdin(Stdio::null());
        let log = || match &self.log {
            Some(log) => Stdio::from(log.try_clone().expect("it is open")),
            None => File::options()
                .create(true)
                .append(true)
                .open(directory.join("log"))
                .expect("a writable directory")
                .into(),
        };
        unshare.stdout(log()).stderr(log());
        self.fill(unshare.env_clear(), directory);
        unshare
    }

    fn fill(&self, unshare: &mut Command, directory: &Path) {
        let witness = Path::new(env!("CARGO_BIN_EXE_witness")).parent().expect("a folder");
        let doors: Vec<_> = self.doors.iter().map(|door| door.display().to_string()).collect();
        unshare.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", witness.display()));
        unshare
            .env("DOORS", doors.join(" "))
            .env("STATE_SIZE", self.state_size)
            .env("CAPABILITIES", &self.capabilities);
        unshare.env("BECOME", self.becomes).env("KEPT", self.keeps);
        unshare.env("STATE", self.state.as_deref().unwrap_or(Path::new("")));
        unshare.env("AGENT", &self.agent).env("CREDENTIALS", self.scenario.credentials());
        unshare.env("WITNESS_DIRECTORY", &self.scenario.records);
        unshare.env("KUBERNETES_SERVICE_HOST", self.server.ip().to_string());
        unshare.env("KUBERNETES_SERVICE_PORT", self.server.port().to_string());
        unshare
            .env(environment::NAME, crate::scenario::NAME)
            .env(environment::NAMESPACE, &self.scenario.namespace);
        unshare.env(environment::JOB_UID, JOB_UID);
        unshare.env(environment::POD_NAME, &self.name).env(environment::POD_UID, &self.uid);
        unshare.env(environment::TERMINATION_GRACE_PERIOD_SECONDS, GRACE_PERIOD_SECONDS);
        if self.has_lock {
            unshare.env(environment::POD_LOCK, paths::POD_LOCK);
        }
        let message = self.message.clone().unwrap_or_else(|| directory.join("message"));
        unshare.env(environment::TERMINATION_MESSAGE_PATH, message);
    }
}

impl Candidate {
    /// The process that holds the Lease: the agent's own child.
    pub async fn elector(&self) -> Pid {
        eventually("the elector is there", START_WITHIN, || children(self.first).first().copied()).await
    }

    /// PID 1, as the machine knows it.
    pub fn first(&self) -> Pid {
        self.first
    }

    /// Sends a signal to PID 1, as a container runtime does.
    pub fn signal(&self, signal: Signal) {
        kill(self.first, signal).expect("the container is there");
    }

    /// The same, of a signal without a name, as real-time signals are.
    pub fn signal_number(&self, number: i32) {
        let sent = Command::new("kill").arg(format!("-{number}")).arg(self.first.to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{number}");
    }

    /// Sends a signal to every process, PID 1 first.
    pub fn signal_all(&self, signal: Signal) {
        for pid in self.processes() {
            // Some may have ended meanwhile.
            let _ = kill(pid, signal);
        }
    }

    fn processes(&self) -> Vec<Pid> {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(&self.first.to_string()).expect("the container is there");
        let entries = fs::read_dir("/proc").expect("mounted").flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let inside = names.filter(|name| namespace(name).as_ref() == Some(&own));
        let mut pids: Vec<_> = inside.filter_map(|name| name.parse().ok().map(Pid::from_raw)).collect();
        pids.sort_by_key(|pid| (*pid != self.first, pid.as_raw()));
        pids
    }

    /// Whether its first process is the agent, and holds signals back to read them.
    pub fn listens(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.first)).unwrap_or_default();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        field("Name:").starts_with("singletonjob") && field("SigBlk:").contains('f')
    }

    /// Whether a process of it hangs in the kernel, beyond the reach of any signal.
    pub fn hangs(&self) -> bool {
        self.processes().into_iter().any(hangs)
    }

    /// What the agent says in the file for its workload, if it has said something.
    pub fn standing(&self) -> Option<LeaseFile> {
        serde_json::from_slice(&fs::read(self.inside(paths::LEASE_FILE)).ok()?).ok()
    }

    /// A file in the folder where its workload was started.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A file of the container, below `/var/run`, which may be a link that would lead out of it.
    pub fn inside(&self, path: &str) -> PathBuf {
        let run = fs::canonicalize("/var/run").expect("every Linux has it");
        let below = path.strip_prefix("/var/run/").expect("nothing else is the container's own");
        PathBuf::from(format!("/proc/{}/root{}", self.first, run.join(below).display()))
    }

    /// Starts a process of root in the container, as `kubectl debug --target` does.
    pub async fn debug(&self) -> Child {
        let mut debugger = Command::new("nsenter");
        debugger.args(["--pid", "--target", &self.first.to_string(), "--", "sleep", "600"]);
        debugger.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let debugger = debugger.spawn().expect("nsenter of util-linux is installed");
        let outside = Pid::from_raw(debugger.id().cast_signed());
        eventually("the debugger is in the container", START_WITHIN, || children(outside).first().copied())
            .await;
        debugger
    }

    /// Waits until the agent says that it is this.
    pub async fn await_role(&self, role: Role) -> LeaseFile {
        let standing = || self.standing().filter(|standing| standing.role == role);
        eventually(&format!("{} becoming {role:?}", self.name), START_WITHIN, standing).await
    }

    /// When the kernel kills what still runs, as the agent last said.
    pub fn valid_until(&self) -> Duration {
        let standing = self.standing().expect("the agent has read its Lease");
        Duration::from_nanos(standing.valid_until_boottime_nanoseconds.expect("it is active"))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.unshare.try_wait().expect("our child").is_some()
    }

    /// Waits for its end; its exit code and its termination message. Of a first process that was killed
    /// unshare says 1.
    pub async fn await_end(&mut self, within: Duration) -> (i32, String) {
        let what = format!("the end of {}", self.name);
        let status = eventually(&what, within, || self.unshare.try_wait().expect("our child")).await;
        let code =
            status.code().unwrap_or_else(|| panic!("unshare was killed by signal {:?}", status.signal()));
        (code, fs::read_to_string(self.directory.join("message")).expect("it was made"))
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.has_ended() {
            // The kernel kills the rest, and unshare ends.
            let _ = kill(self.first, Signal::SIGKILL);
        }
        let _ = self.unshare.wait();
    }
}

/// Whether any thread of this process hangs in the kernel, beyond the reach of any signal.
pub fn hangs(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
    threads.map(stat).any(|stat| stat.contains(") D "))
}

fn children(of: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
}

fn log_in(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap_or_default()
}
