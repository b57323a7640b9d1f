//! Claims about what a probe says, and when.

use std::net::TcpListener;

use super::*;
use crate::lease::identity::{Identity, Version};

fn probe(handler: &str) -> Probe {
    let json = format!(
        r#"{{"probe":{handler},"initialDelaySeconds":5,"timeoutSeconds":1,"startupBudgetSeconds":60,"standby":"Ready"}}"#
    );
    serde_json::from_str(&json).expect("a probe")
}

fn lease_file(role: Role, started: Option<u64>) -> LeaseFile {
    LeaseFile {
        role,
        identity: Identity::read("web-1_2_3"),
        holder: None,
        token: Some(Version(7)),
        valid_until_boottime_nanoseconds: None,
        started_boottime_nanoseconds: started.map(|seconds| seconds * 1_000_000_000),
        workload_pid: None,
        scheduled_time: None,
        trouble: None,
    }
}

/// Whether it is asked, rather than answered for.
fn asks(kind: Kind, lease_file: &LeaseFile, now: u64) -> bool {
    matches!(verdict(kind, Some(lease_file), now), Verdict::Ask(_))
}

fn verdict(kind: Kind, lease_file: Option<&LeaseFile>, now: u64) -> Verdict {
    judge(kind, &probe(r#"{"exec":{"command":["true"]}}"#), lease_file, Duration::from_secs(now))
}

#[test]
fn a_standby_succeeds_without_being_asked() {
    for kind in [Kind::Readiness, Kind::Liveness, Kind::Startup] {
        assert_eq!(verdict(kind, Some(&lease_file(Role::Standby, None)), 1000), Verdict::Succeed);
    }
}

#[test]
fn a_standby_that_cannot_read_its_lease_is_alive_but_not_ready() {
    let troubled = LeaseFile {
        trouble: Some("https://10.0.0.1:443: connection refused".to_owned()),
        ..lease_file(Role::Pending, None)
    };
    assert_eq!(verdict(Kind::Liveness, Some(&troubled), 0), Verdict::Succeed);
    let not_ready = Verdict::Fail("https://10.0.0.1:443: connection refused".to_owned());
    assert_eq!(verdict(Kind::Readiness, Some(&troubled), 0), not_ready);
    assert!(matches!(verdict(Kind::Readiness, None, 0), Verdict::Fail(_)));
}

#[test]
fn a_candidate_has_started_when_it_could_take_over() {
    let says = |lease_file: Option<&LeaseFile>| verdict(Kind::Startup, lease_file, 1000);
    assert!(matches!(says(None), Verdict::Fail(_)));
    assert!(matches!(says(Some(&lease_file(Role::Pending, None))), Verdict::Fail(_)));
    let troubled =
        LeaseFile { trouble: Some("connection refused".to_owned()), ..lease_file(Role::Standby, None) };
    assert!(matches!(says(Some(&troubled)), Verdict::Fail(_)));
    for (role, started) in
        [(Role::Standby, None), (Role::Active, None), (Role::Active, Some(1)), (Role::Stopping, Some(1))]
    {
        assert_eq!(says(Some(&lease_file(role, started))), Verdict::Succeed, "{role:?}");
    }
}

#[test]
fn where_standbys_are_not_to_be_ready_only_a_workload_that_runs_is() {
    let probe: Probe = serde_json::from_str(r#"{"probe":null,"standby":"NotReady"}"#).expect("a probe");
    let says = |kind, role, started| {
        judge(kind, &probe, Some(&lease_file(role, started)), Duration::from_secs(1000))
    };
    for (role, started) in
        [(Role::Pending, None), (Role::Standby, None), (Role::Active, None), (Role::Stopping, Some(1))]
    {
        assert!(matches!(says(Kind::Readiness, role, started), Verdict::Fail(_)), "{role:?}");
        assert_eq!(says(Kind::Liveness, role, started), Verdict::Succeed, "{role:?}");
    }
    assert!(matches!(says(Kind::Readiness, Role::Active, Some(1)), Verdict::Ask(_)));
    probe.own.handler_answers().expect("without a probe of its own it is ready as soon as it runs");
}

#[test]
fn delays_count_from_the_workloads_start_and_liveness_has_a_budget() {
    let active = lease_file(Role::Active, Some(100));
    assert!(matches!(verdict(Kind::Readiness, Some(&active), 104), Verdict::Fail(_)));
    assert!(asks(Kind::Readiness, &active, 105));
    assert_eq!(verdict(Kind::Liveness, Some(&active), 159), Verdict::Succeed);
    assert!(asks(Kind::Liveness, &active, 160));
}

#[test]
fn a_command_succeeds_fails_or_takes_too_long() {
    let run = |script: &str| {
        probe(&format!(r#"{{"exec":{{"command":["sh","-c","{script}"]}}}}"#)).own.handler_answers()
    };
    run("exit 0").expect("exit 0 is success");
    assert!(run("exit 3").expect_err("exit 3").to_string().ends_with("exit status: 3"));
    assert!(run("exec sleep 30").expect_err("too long").to_string().ends_with("timed out"));
}

#[test]
fn a_socket_succeeds_while_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = probe(&format!(r#"{{"tcpSocket":{{"port":{port}}}}}"#));
    probe.own.handler_answers().expect("a server listens");
    drop(listener);
    probe.own.handler_answers().expect_err("no server listens");
}

#[test]
fn a_first_probe_waits_a_moment_for_the_lease_to_be_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("lease.json");
    let write = |lease_file: &LeaseFile| {
        fs::write(&path, serde_json::to_vec(lease_file).expect("JSON")).expect("a writable directory");
    };
    let patience = Duration::from_millis(200);
    assert_eq!(settled_lease_file(&path, patience).map(|lease_file| lease_file.role), None);
    write(&lease_file(Role::Pending, None));
    assert_eq!(settled_lease_file(&path, patience).map(|lease_file| lease_file.role), Some(Role::Pending));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(patience / 4);
            let new = directory.path().join("new");
            fs::write(&new, serde_json::to_vec(&lease_file(Role::Standby, None)).expect("JSON"))
                .expect("a writable directory");
            fs::rename(new, &path).expect("a writable directory");
        });
        let settled = settled_lease_file(&path, FIRST_READING * 10);
        assert_eq!(settled.map(|lease_file| lease_file.role), Some(Role::Standby));
    });
    let troubled = LeaseFile { trouble: Some("no route".to_owned()), ..lease_file(Role::Pending, None) };
    write(&troubled);
    let began = clock::now().at.boot;
    assert!(settled_lease_file(&path, FIRST_READING).is_some_and(|lease_file| lease_file.trouble.is_some()));
    assert!(clock::now().at.boot - began < FIRST_READING / 2, "it is said at once");
}
