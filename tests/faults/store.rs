//! The API server's store with three members, each on a machine of its own as far as their network goes.
//!
//! A machine is a network namespace, joined with the two others by cables of their own. Clients come by a
//! Unix socket instead: what cuts members off from each other leaves every API server with its member.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::control_plane::ETCD;
use testkit::programs::{binaries, end, require, start_command};

const ETCDUTL: &str = "etcdutl";
pub const MEMBERS: usize = 3;
/// For an election, or for connections on which nothing came for half a minute to be given up.
const LEADER_WITHIN: Duration = Duration::from_secs(60);
/// Of one question to a member.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Says that the namespace is made, and keeps it until the end of standard input.
const MACHINE: &str = r#"ip link set lo up; ip address add "$1/32" dev lo; echo; exec cat"#;
/// No machine has this address: what is sent to it vanishes, and the sender is not told.
const NOWHERE: &str = "02:00:00:00:00:99";

/// Three members that agree. Stopped, with everything they stored, when dropped.
pub struct Store {
    directory: TempDir,
    machines: Vec<Child>,
    members: Mutex<Vec<Option<Child>>>,
}

impl Store {
    /// Starts one and waits until it has a leader.
    pub fn start() -> Self {
        [ETCD, ETCDUTL].into_iter().for_each(require);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let machines = (0..MEMBERS).map(machine).collect();
        let store = Self { directory, machines, members: Mutex::default() };
        for (one, other) in pairs() {
            store.join(one, other);
        }
        store.begin();
        store
    }

    /// Where the API server that is bound to this member finds it.
    pub fn endpoint(&self, member: usize) -> String {
        format!("unix://{}", self.socket(member).display())
    }

    /// The member that leads, if the others know of no other.
    pub fn leader(&self) -> Option<usize> {
        (0..MEMBERS).find(|member| {
            self.status(*member).is_some_and(|status| status["leader"] == status["header"]["member_id"])
        })
    }

    /// Makes this member the leader, without a fault.
    pub fn lead(&self, member: usize) {
        let id = self.status(member).expect("it runs")["header"]["member_id"].clone();
        await_that(&format!("member {member} leads"), || {
            let leader = self.leader();
            if let Some(other) = leader.filter(|leader| *leader != member) {
                self.ask(other, "maintenance/transfer-leadership", &json!({"targetID": id}));
            }
            leader == Some(member)
        });
    }

    /// Kills this member; what it stored stays.
    pub fn kill(&self, member: usize) {
        end(self.members()[member].take().expect("it runs"));
    }

    /// Starts a member that was killed, and waits until it answers.
    pub fn restart(&self, member: usize) {
        let started = self.start_member(member);
        self.members()[member] = Some(started);
        await_that(&format!("member {member} answers"), || self.status(member).is_some());
    }

    /// Nothing passes between this member and the others any more; its clients do not notice.
    pub fn cut(&self, member: usize) {
        for (one, other) in pairs().filter(|(one, other)| [one, other].contains(&&member)) {
            self.misdirect(one, other);
            self.misdirect(other, one);
        }
    }

    /// Undoes [`Self::cut`], and waits until this member has found the others again.
    pub fn mend(&self, member: usize) {
        for (one, other) in pairs().filter(|(one, other)| [one, other].contains(&&member)) {
            self.on_machine(one, &format!("ip neigh del {} dev to{other}", address(other)));
            self.on_machine(other, &format!("ip neigh del {} dev to{one}", address(one)));
        }
        await_that(&format!("member {member} follows a leader"), || {
            self.status(member).is_some_and(|status| status["leader"].is_string())
        });
    }

    /// Raises the revision by so many, as writes of no concern to anybody do.
    pub fn pass_by(&self, writes: u32) {
        for _ in 0..writes {
            self.ask(0, "kv/put", &json!({"key": "cGFzc2VkLWJ5"})).expect("a quorum");
        }
    }

    /// What `etcdctl snapshot save` writes.
    pub fn back_up(&self) -> PathBuf {
        let answer = self.ask(0, "maintenance/snapshot", &json!({})).expect("it runs");
        let pieces = serde_json::Deserializer::from_slice(&answer).into_iter::<Value>();
        let blobs = pieces.map(|piece| {
            serde_json::from_value::<ByteString>(piece.expect("JSON")["result"]["blob"].clone())
        });
        let content: Vec<_> = blobs.flat_map(|blob| blob.expect("a piece of the backup").0).collect();
        let file = self.directory.path().join("backup.db");
        fs::write(&file, content).expect("a writable directory");
        file
    }

    /// All members begin anew from this backup, restored with these flags. The API servers must have been
    /// stopped.
    pub fn restore(&self, backup: &Path, flags: &[&str]) {
        for member in 0..MEMBERS {
            self.kill(member);
            fs::remove_dir_all(self.data(member)).expect("its own");
            self.restore_member(member, backup, flags);
        }
        self.begin();
    }

    fn restore_member(&self, member: usize, backup: &Path, flags: &[&str]) {
        let mut command = Command::new(binaries().join(ETCDUTL));
        command.args(["snapshot", "restore"]).arg(backup).args(flags).args(self.identity(member));
        let restored = command.output().expect("etcdutl starts");
        assert!(restored.status.success(), "etcdutl: {}", String::from_utf8_lossy(&restored.stderr));
    }

    fn begin(&self) {
        let started = (0..MEMBERS).map(|member| Some(self.start_member(member))).collect();
        *self.members() = started;
        await_that("a member leads", || self.leader().is_some());
    }

    fn start_member(&self, member: usize) -> Child {
        let machine = format!("--net={}", self.namespace(member));
        let mut flags = self.identity(member);
        flags.extend([
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-peer-urls={}", peer(member)),
            format!("--listen-client-urls={}", self.endpoint(member)),
            // etcd is not asked there: a Unix socket cannot be named here.
            "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        ]);
        let program = binaries().join(ETCD);
        let command = [OsStr::new("nsenter"), OsStr::new(&machine), program.as_os_str()];
        start_command(command.into_iter().chain(flags.iter().map(OsStr::new)), &self.log(member))
    }

    /// What etcd and etcdutl must be told alike.
    fn identity(&self, member: usize) -> Vec<String> {
        let cluster: Vec<_> = (0..MEMBERS).map(|member| format!("m{member}={}", peer(member))).collect();
        vec![
            format!("--name=m{member}"),
            format!("--data-dir={}", self.data(member).display()),
            format!("--initial-advertise-peer-urls={}", peer(member)),
            format!("--initial-cluster={}", cluster.join(",")),
        ]
    }

    fn join(&self, one: usize, other: usize) {
        let peer = self.machines[other].id();
        self.on_machine(one, &format!("ip link add to{other} type veth peer name to{one} netns {peer}"));
        for (here, there) in [(one, other), (other, one)] {
            let route = format!("ip route add {} dev to{there} src {}", address(there), address(here));
            self.on_machine(here, &format!("ip link set to{there} up; {route}"));
        }
    }

    fn misdirect(&self, from: usize, to: usize) {
        self.on_machine(
            from,
            &format!("ip neigh replace {} lladdr {NOWHERE} dev to{to} nud permanent", address(to)),
        );
    }

    fn on_machine(&self, member: usize, script: &str) {
        let machine = format!("--net={}", self.namespace(member));
        let done = Command::new("nsenter")
            .args([&machine, "sh", "-euc", script])
            .output()
            .expect("nsenter of util-linux is installed");
        assert!(done.status.success(), "{script}: {}; be root", String::from_utf8_lossy(&done.stderr));
    }

    fn status(&self, member: usize) -> Option<Value> {
        serde_json::from_slice(&self.ask(member, "maintenance/status", &json!({}))?).ok()
    }

    /// The member's answer, if it gives one: HTTP/1.0, so that it ends with the connection.
    fn ask(&self, member: usize, what: &str, question: &Value) -> Option<Vec<u8>> {
        let mut stream = UnixStream::connect(self.socket(member)).ok()?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
        let body = question.to_string();
        write!(stream, "POST /v3/{what} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let is_good = answer.split(|byte| *byte == b' ').nth(1) == Some(b"200");
        is_good.then(|| answer.split_off(head + 4))
    }

    fn members(&self) -> MutexGuard<'_, Vec<Option<Child>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn namespace(&self, member: usize) -> String {
        format!("/proc/{}/ns/net", self.machines[member].id())
    }

    fn socket(&self, member: usize) -> PathBuf {
        self.directory.path().join(format!("m{member}.sock"))
    }

    fn data(&self, member: usize) -> PathBuf {
        self.directory.path().join(format!("m{member}"))
    }

    fn log(&self, member: usize) -> PathBuf {
        self.directory.path().join(format!("m{member}.log"))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let members = std::mem::take(&mut *self.members());
        members.into_iter().flatten().for_each(end);
        self.machines.drain(..).for_each(end);
    }
}

/// A network namespace that is there.
fn machine(member: usize) -> Child {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-euc", MACHINE, "sh", &address(member)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut machine = command.spawn().expect("unshare of util-linux is installed");
    let said = machine.stdout.as_mut().expect("a pipe").read(&mut [0]).expect("a pipe");
    assert_eq!(said, 1, "unshare cannot make a network namespace; be root");
    machine
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..MEMBERS).flat_map(|one| (one + 1..MEMBERS).map(move |other| (one, other)))
}

fn address(member: usize) -> String {
    format!("10.0.0.{}", member + 1)
}

fn peer(member: usize) -> String {
    format!("http://{}:2380", address(member))
}

fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LEADER_WITHIN, "{what}: not within {LEADER_WITHIN:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}
