//! What the elector process notices by itself: the end of its child, signals that PID 1 passes on, words of
//! probes and hooks, and its own lateness.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::eventfd::EventFd;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::net;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::background::Background;
use super::notify::Notification;
use super::shared_state::SharedState;
use super::workload::Workload;
use super::{notify, sys, whole_file};
use crate::lease::clock::{self, Moment};
use crate::lease::elector::Fact;

const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long a late wake-up counts.
const MEMORY: Duration = Duration::from_secs(60);
const FINEST_STEP: Duration = Duration::from_millis(10);

/// Collects the workload's first process whenever a child ends. Returns only with an error.
///
/// # Errors
/// Where the kernel refuses a signalfd.
pub(super) async fn watch_children(workload: &Workload) -> io::Result<Infallible> {
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let signals = sys::await_signals(signals)?;
    loop {
        let mut ready = signals.readable().await?;
        while let Ok(Some(_)) = ready.get_inner().read_signal() {}
        ready.clear_ready();
        // What a hook has said of this end was said before it: it is heard first.
        yield_now().await;
        workload.collect();
    }
}

/// Removes, some time, what an earlier container of this pod has left: before anything that `files` is given
/// later.
pub(super) fn forget(leftovers: impl IntoIterator<Item = PathBuf> + Send + 'static, files: &Background) {
    files.submit(move || leftovers.into_iter().for_each(|path| whole_file::remove(&path)));
}

/// What the liveness probe has said last.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The start of the workload for whose failures the kubelet ends the container.
    unhealthy: Cell<Option<u64>>,
}

impl Health {
    /// Tells, before the end of this workload is told, if that is the workload's own fault.
    fn explain_end(&self, started: Option<u64>, facts: &UnboundedSender<Fact>) {
        if started.is_some() && self.unhealthy.get() == started {
            // The elector no longer listens once its end is decided.
            let _ = facts.send(Fact::Unhealthy);
        }
    }
}

/// Turns signals from outside into a drain, and passes those from inside on to the workload. Returns only
/// with an error.
///
/// # Errors
/// Where the kernel refuses to wait for PID 1's bell.
pub(super) async fn watch_control(
    bell: EventFd,
    page: &SharedState,
    health: &Health,
    workload: &Workload,
    facts: &UnboundedSender<Fact>,
) -> io::Result<Infallible> {
    let bell = sys::await_bell(bell)?;
    loop {
        let mut rung = bell.readable().await?;
        // Not to ring again for what is taken now.
        let _ = rung.get_inner().read();
        rung.clear_ready();
        if let Some(signal) = page.take_signal() {
            workload.set_stop_signal(signal);
            // What the liveness probe has said was said before the kubelet sent the signal: it is heard first.
            yield_now().await;
            health.explain_end(workload.started(), facts);
            let _ = facts.send(Fact::Drain);
        }
        page.take_signals_from_inside().for_each(|signal| workload.pass_on(signal));
    }
}

/// Listens to what probes and hooks say of the workload, as it was started last. Where none can say anything,
/// the workload runs all the same.
pub(super) async fn watch_probes(
    directory: PathBuf,
    files: &Background,
    health: &Health,
    workload: &Workload,
    facts: &UnboundedSender<Fact>,
) -> Infallible {
    let (sender, bound) = oneshot::channel();
    files.submit(move || drop(sender.send(notify::bind(&directory))));
    let socket = bound.await.unwrap_or_else(|_| Err(io::Error::other("too much waits for the disk")));
    let heard = match socket {
        Ok(socket) => hear(socket, || workload.started(), || workload.expect_end(), health, facts).await,
        Err(error) => Err(error),
    };
    let Err(error) = heard;
    tracing::warn!(
        %error,
        "cannot hear from probes how the workload fares: the SingletonJob's condition Ready stays False, and an end for failed liveness \
         probes is told as a drain"
    );
    pending().await
}

/// Tells once that each start is ready, because facts come before everything else that the elector hears: a
/// workload that sends without end would starve it.
///
/// # Errors
/// Where the kernel refuses to wait for the socket, or to read it.
async fn hear(
    socket: UnixDatagram,
    started: impl Fn() -> Option<u64>,
    expect_end: impl Fn(),
    health: &Health,
    facts: &UnboundedSender<Fact>,
) -> io::Result<Infallible> {
    let socket = net::UnixDatagram::from_std(socket)?;
    let mut datagram = [0; notify::LENGTH];
    let (mut ready, mut ending) = (None, None);
    loop {
        let length = socket.recv(&mut datagram).await?;
        match Notification::read(&datagram[..length]) {
            Some(Notification::Ready(start)) if started() == Some(start) && ready != Some(start) => {
                ready = Some(start);
                // The elector no longer listens once its end is decided.
                let _ = facts.send(Fact::Ready);
            }
            Some(Notification::Unhealthy(start)) => health.unhealthy.set(Some(start)),
            Some(Notification::Healthy(_)) => health.unhealthy.set(None),
            Some(Notification::Ending(start)) if started() == Some(start) && ending != Some(start) => {
                ending = Some(start);
                health.explain_end(Some(start), facts);
                expect_end();
            }
            Some(_) | None => {}
        }
    }
}

/// Measures how late this process wakes up, and tells it whenever it changes.
pub(super) async fn watch_lateness(facts: &UnboundedSender<Fact>) -> Infallible {
    let mut lateness = Lateness::default();
    let mut told = Duration::ZERO;
    loop {
        let before = clock::now().at;
        sleep(HEARTBEAT).await;
        let now = clock::now().at;
        let worst = lateness.add(now.boot, late(before, now));
        if worst != told {
            told = worst;
            let _ = facts.send(Fact::Lateness(worst));
        }
    }
}

/// How late a sleep of one heartbeat ended that began at `before`.
///
/// A suspension of the machine is no lateness: the sleep and CLOCK_MONOTONIC_RAW stood still, and
/// CLOCK_BOOTTIME went on. What counts is the time that the machine was awake. Slewing makes a difference
/// between the two as well, of at most 0.05 %.
fn late(before: Moment, now: Moment) -> Duration {
    now.elapsed_for_challenger(before).saturating_sub(HEARTBEAT)
}

/// The worst lateness of the last minute, in steps coarse enough to change seldom.
#[derive(Debug, Default)]
struct Lateness {
    /// Falling: what came before something worse no longer matters.
    worst: VecDeque<(Duration, Duration)>,
}

impl Lateness {
    fn add(&mut self, now: Duration, late: Duration) -> Duration {
        let steps = u32::try_from(late.as_nanos() / FINEST_STEP.as_nanos()).unwrap_or(u32::MAX);
        let late =
            if steps == 0 { Duration::ZERO } else { FINEST_STEP.saturating_mul(steps.saturating_add(1)) };
        self.worst.retain(|(at, earlier)| now.saturating_sub(*at) < MEMORY && *earlier > late);
        self.worst.push_back((now, late));
        self.worst.front().map_or(late, |(_, worst)| *worst)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn each_start_is_told_of_once_however_often_it_is_said_to_be_ready() {
        let (agent, probe) = UnixDatagram::pair().unwrap();
        agent.set_nonblocking(true).unwrap();
        let (tell, mut facts) = unbounded_channel();
        let started = Cell::new(0);
        let story = async {
            for start in [7_u64, 8] {
                started.set(start);
                (0..5).for_each(|_| assert!(probe.send(&start.to_ne_bytes()).is_ok()));
                assert!(
                    matches!((facts.recv().await, facts.try_recv()), (Some(Fact::Ready), Err(_))),
                    "{start}"
                );
            }
        };
        tokio::select! {
            heard = hear(agent, || Some(started.get()), || panic!("no hook runs"), &Health::default(), &tell) => panic!("{heard:?}"),
            () = story => {}
        }
    }

    #[test]
    fn what_an_earlier_container_has_left_is_gone_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["readiness", "lease.json"].map(|name| directory.path().join(name));
        let files = Background::start("test").unwrap();
        fs::write(&old, "left").unwrap();
        forget([old, directory.path().join("never there"), new.clone()], &files);
        files.submit(move || fs::write(new, "new").unwrap());
        files.finish(Duration::from_secs(20));
        let names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["lease.json"]);
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_suspension_of_the_machine_is_no_lateness_but_what_is_on_top_is() {
        let began = Moment { boot: seconds(5000), raw: seconds(2000) };
        let ended = |boot, raw| Moment { boot: began.boot + millis(boot), raw: began.raw + millis(raw) };
        let table = [
            ("in time", ended(250, 250), 0),
            ("late", ended(1_250, 1_250), 1_000),
            ("suspended for an hour", ended(3_600_250, 250), 0),
            ("suspended, and late when it was awake", ended(3_600_950, 950), 700),
            ("slewed", ended(1_250, 1_249), 999),
            ("sooner than asked for", ended(249, 249), 0),
        ];
        for (case, now, expected) in table {
            assert_eq!(late(began, now), millis(expected), "{case}");
        }
    }

    #[test]
    fn a_late_wake_up_counts_for_a_minute_and_never_less_than_it_was() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.add(seconds(0), millis(1)), Duration::ZERO);
        assert_eq!(lateness.add(seconds(1), millis(123)), millis(130));
        assert_eq!(lateness.add(seconds(30), millis(45)), millis(130));
        assert_eq!(lateness.add(seconds(60), millis(2)), millis(130));
        assert_eq!(lateness.add(seconds(61), millis(2)), millis(50));
        assert_eq!(lateness.add(seconds(91), millis(2)), Duration::ZERO);
    }
}
