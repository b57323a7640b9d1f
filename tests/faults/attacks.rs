//! Workloads that turn on their agent, or on the ties that kill them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use singletonjob::contract::{Role, exit_codes};
use singletonjob::lease::annotations::Reason;
use testkit::observe::{await_tenure, eventually, read_records, tenure};
use testkit::witness::Tenure;
use tokio::time::sleep;

use crate::candidate::{Candidate, Pod};
use crate::scenario::{END, SECOND, START, Scenario, one_shot, scenario};

const LEASE: u64 = 6;

/// The only candidate, with this workload, once its agent has said until when it holds the Lease.
async fn alone(scenario: &Scenario, script: &str) -> (Candidate, Tenure) {
    alone_in(scenario, scenario.pod(0), script).await
}

async fn alone_in(scenario: &Scenario, pod: Pod<'_>, script: &str) -> (Candidate, Tenure) {
    let active = pod.shell(script).await;
    let tenure = await_tenure(&scenario.records, 1, START).await;
    active.await_role(Role::Active).await;
    (active, tenure)
}

#[test]
fn a_workload_that_kills_its_elector_dies_with_it() {
    scenario("32-kills-elector", LEASE, async |scenario| {
        let (mut active, _) = alone(
            scenario,
            "witness --stubborn & until [ -e go ]; do sleep 0.01; done; kill -KILL $PPID; wait",
        )
        .await;
        fs::write(active.path("go"), "").expect("a writable directory");
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::AGENT_FAILED, "{message}");
        assert!(message.contains("the elector died"), "{message}");
    });
}

#[test]
fn a_workload_that_stops_its_elector_is_killed_at_the_deadline() {
    scenario("32-stops-elector", LEASE, async |scenario| {
        let (mut active, old) =
            alone(scenario, "witness --stubborn & sleep 0.5; kill -STOP $PPID; kill -STOP 1; wait").await;
        active.await_role(Role::Active).await;
        sleep(SECOND).await;
        let deadline = active.valid_until();
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::LEASE_LOST, "{message}");
        scenario.died_by(old.token, deadline);
    });
}

/// What cannot be done says so in a file; whatever could be done is done. What is sent to PID 1 is the
/// workload's own, which ignores it.
const ASSAULT: &str = r#"
trap "" TERM
witness --stubborn --daemons 1 &
kill -STOP 1; kill -KILL 1; kill -TERM 1; kill -TERM $PPID; kill -INT $PPID
true >/proc/$PPID/mem && echo memory >>taken
for file in /proc/$PPID/fd/*; do readlink "$file" && echo "$file" >>taken; done
cat /proc/$PPID/environ >/dev/null && echo environment >>taken
python3 -c "
import ctypes, sys
ATTACH, SEIZE = 16, 0x4206
libc = ctypes.CDLL(None)
taken = any(libc.ptrace(how, pid, 0, 0) == 0 for how in (ATTACH, SEIZE) for pid in (1, $PPID))
sys.exit(0 if taken else 42)"
[ $? = 42 ] || echo ptrace >>taken
umount /var/run/singletonjob && echo mounts >>taken
echo stolen >/var/run/secrets/singletonjob.dev/token && echo credentials >>taken
echo done >>tried
exec <&- >&- 2>&-
wait
"#;

#[test]
fn an_agent_gives_its_workload_nothing_to_take_hold_of() {
    scenario("32-assault", LEASE, async |scenario| {
        let (active, _) = alone(scenario, ASSAULT).await;
        eventually("the assault", START, || active.path("tried").exists().then_some(())).await;
        scenario.nothing_happens(scenario.timing.lease_duration()).await;
        let taken = fs::read_to_string(active.path("taken")).unwrap_or_default();
        assert_eq!(taken, "");
    });
}

#[test]
fn a_workload_that_takes_its_electors_means_away_ends_in_time() {
    scenario("32-starves-elector", LEASE, async |scenario| {
        let script =
            "witness --stubborn & sleep 0.5; prlimit --pid $PPID --nofile=3:3; renice -n 19 -p $PPID; wait";
        let (mut active, _) = alone(scenario, script).await;
        let _standby = scenario.pod(1).start(&[]).await;
        sleep(scenario.timing.lease_duration() * 2 + SECOND).await;
        assert_eq!(
            read_records(&scenario.records).tenures().len(),
            1 + usize::from(active.has_ended()),
            "it goes on or is replaced"
        );
        scenario.one_runs();
    });
}

#[test]
fn what_cut_every_tie_to_its_elector_is_killed_by_pid_1() {
    scenario("33-no-ties", LEASE, async |scenario| {
        let script = "setsid setpriv --pdeathsig clear witness --stubborn --daemons 1 & exec setpriv --pdeathsig clear sleep 600";
        let (mut active, old) = alone(scenario, script).await;
        kill(active.elector().await, Signal::SIGSTOP).expect("it is there");
        let deadline = active.valid_until();
        assert_eq!(active.await_end(END).await.0, exit_codes::LEASE_LOST);
        scenario.died_by(old.token, deadline);
        assert_eq!(read_records(&scenario.records).all().len(), 2, "the witness and its daemon");
    });
}

/// As an image does whose entrypoint becomes another user, in a container that has only SETUID and SETGID
/// left.
async fn is_handed_over_by_root_without_cap_kill(scenario: &Scenario, witness: &str) -> (Tenure, Tenure) {
    let script = format!("exec setpriv --reuid 65534 --regid 65534 --clear-groups {witness}");
    let mut active = scenario.pod(0).without_cap_kill().shell(&script).await;
    let old = await_tenure(&scenario.records, 1, START).await;
    let _standby = scenario.standby(scenario.pod(1)).await;
    active.signal(Signal::SIGTERM);
    let (code, message) = active.await_end(END).await;
    assert_eq!(code, exit_codes::INTERRUPTED, "{message}");
    let new = await_tenure(&scenario.records, 2, START).await;
    assert_eq!(
        scenario.record().await.annotations.released.map(|mark| mark.reason),
        Some(Reason::Drain),
        "it was given back"
    );
    (tenure(&scenario.records, old.token), new)
}

#[test]
fn without_cap_kill_a_workload_of_another_user_is_told_to_end() {
    scenario("33-no-cap-kill", LEASE, async |scenario| {
        let (ended, new) =
            is_handed_over_by_root_without_cap_kill(scenario, "witness --linger-milliseconds 500").await;
        assert_eq!(ended.signals.first().map(|(signal, _)| *signal), Some(15));
        scenario.at_most("last to first instruction", new.first.saturating_sub(ended.last), SECOND);
    });
}

#[test]
fn without_cap_kill_a_stubborn_workload_of_another_user_is_killed() {
    scenario("33-no-cap-kill-stubborn", LEASE, async |scenario| {
        let (ended, new) =
            is_handed_over_by_root_without_cap_kill(scenario, "witness --stubborn --daemons 1").await;
        scenario.at_most("last to first instruction", new.first.saturating_sub(ended.last), SECOND);
    });
}

/// As `STOPSIGNAL SIGRTMIN+3` has it, which systemd asks for.
#[test]
fn without_cap_kill_a_workload_of_another_user_gets_a_real_time_signal() {
    const SIGRTMIN_AND_3: i32 = 37;
    scenario("33-no-cap-kill-real-time", LEASE, async |scenario| {
        let heard = scenario.records.join("heard");
        fs::write(&heard, "")
            .and_then(|()| fs::set_permissions(&heard, Permissions::from_mode(0o666)))
            .expect("it is ours");
        let waits = format!(
            "trap 'echo heard >{}; exit' {SIGRTMIN_AND_3}; echo up >{0}; while :; do sleep 0.1; done",
            heard.display()
        );
        let becomes = "exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c";
        let mut active = scenario.pod(0).without_cap_kill().shell(&format!("{becomes} \"{waits}\"")).await;
        let says = |word: &str| fs::read_to_string(&heard).is_ok_and(|said| said.trim() == word);
        eventually("it runs", START, || says("up").then_some(())).await;
        active.signal_number(SIGRTMIN_AND_3);
        let (code, message) = active.await_end(END).await;
        assert_eq!(code, exit_codes::INTERRUPTED, "{message}");
        assert!(says("heard"), "{}", scenario.said());
    });
}

/// As gosu and su-exec do.
#[test]
fn a_workload_that_becomes_another_user_is_killed_all_the_same() {
    scenario("33-other-user", LEASE, async |scenario| {
        let script = "exec setpriv --reuid 65534 --regid 65534 --clear-groups witness --stubborn";
        let (mut active, old) = alone(scenario, script).await;
        kill(active.elector().await, Signal::SIGSTOP).expect("it is there");
        let deadline = active.valid_until();
        assert_eq!(active.await_end(END).await.0, exit_codes::LEASE_LOST);
        scenario.died_by(old.token, deadline);
    });
}

const BECOMES_ANOTHER: &str =
    "exec setpriv --ambient-caps=-all --reuid 12345 --regid 12345 --clear-groups witness --stubborn";

/// Neither signal of the kernel reaches such a workload when the elector dies, and no kill of PID 1: only the
/// end of PID 1 does.
#[test]
fn a_workload_out_of_reach_of_every_signal_is_dead_by_its_deadline() {
    scenario("33-out-of-reach", LEASE, async |scenario| {
        let pod = scenario.pod(0).by_ordinary_user_without_reach();
        let (mut active, old) = alone_in(scenario, pod, BECOMES_ANOTHER).await;
        kill(active.elector().await, Signal::SIGSTOP).expect("it is there");
        let deadline = active.valid_until();
        assert_eq!(active.await_end(END).await.0, exit_codes::AGENT_FAILED);
        let last = tenure(&scenario.records, old.token).last;
        assert!(last + SECOND > deadline, "it runs to its deadline");
        scenario.at_most(
            "deadline to last instruction (K)",
            last.saturating_sub(deadline),
            scenario.timing.kill_margin(),
        );
    });
}

/// Where even a deputy could not signal, the Lease is left to expire; what was asked for is no failure.
#[test]
fn a_drain_of_a_workload_out_of_reach_of_every_signal_counts_no_failure() {
    one_shot("33-out-of-reach-drain", LEASE, 0, async |scenario| {
        let mut active = scenario.pod(0).by_ordinary_user_without_reach().shell(BECOMES_ANOTHER).await;
        await_tenure(&scenario.records, 1, START).await;
        let _standby = scenario.standby(scenario.pod(1)).await;
        active.signal(Signal::SIGTERM);
        assert_eq!(active.await_end(END).await.0, exit_codes::AGENT_FAILED);
        assert!(scenario.said().contains("cannot be asked to end"), "a warning says why");
        let renewed = scenario.renewed().await;
        let new = await_tenure(&scenario.records, 2, scenario.timing.lease_duration() + START).await;
        scenario.at_least(
            "last renewal to first instruction (L)",
            new.first.saturating_sub(renewed),
            scenario.timing.lease_duration(),
        );
        let progress = scenario.record().await.annotations.progress.expect("an account");
        assert_eq!((progress.failures, progress.starts), (0, 2));
    });
}
