//! Notices what happens around the elector by itself: the end of its child, signals that PID 1 passes on,
//! notifications of probes and hooks, and its own lateness.

mod lateness;
mod notifications;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use nix::sys::eventfd::EventFd;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::background::Background;
use super::shared_state::SharedState;
use super::workload::Workload;
use super::{notify, sys, whole_file};
use crate::lease::elector::Fact;
pub(super) use notifications::Health;

/// Removes, some time, what an earlier container of this pod has left, and does so before anything that
/// `files` is given later.
pub(super) fn remove_leftovers(
    leftovers: impl IntoIterator<Item = PathBuf> + Send + 'static,
    files: &Background,
) {
    files.submit(move || leftovers.into_iter().for_each(|path| whole_file::remove(&path)));
}

/// The elector process watches its child, the bell of PID 1 and the notifications of probes, and reports each
/// fact to the elector.
pub(super) struct Monitors<'a> {
    /// Its child.
    pub(super) workload: &'a Workload,
    /// The page on which PID 1 notes the signals that have come.
    pub(super) page: &'a SharedState,
    /// What the liveness probe has reported.
    pub(super) health: Health,
    /// The thread that reads and writes files.
    pub(super) files: &'a Background,
    /// The elector's inbox.
    pub(super) facts: &'a UnboundedSender<Fact>,
}

impl Monitors<'_> {
    /// Watches everything. Returns only with an error.
    ///
    /// # Errors
    /// If the kernel refuses a signalfd, or to wait for PID 1's bell.
    pub(super) async fn watch(&self, bell: EventFd, state_directory: PathBuf) -> io::Result<Infallible> {
        tokio::select! {
            // What came first is taken in first: a notification, the signal that follows it, the end that
            // follows that.
            biased;
            never = lateness::watch(self.facts) => match never {},
            never = self.watch_notifications(state_directory) => match never {},
            failed = self.watch_bell(bell) => failed,
            failed = self.watch_children() => failed,
        }
    }

    /// Collects the workload's first process whenever a child ends. Returns only with an error.
    async fn watch_children(&self) -> io::Result<Infallible> {
        let mut child_ended = SigSet::empty();
        child_ended.add(Signal::SIGCHLD);
        let signals = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let signals = sys::await_signals(signals)?;
        loop {
            let mut ready = signals.readable().await?;
            while let Ok(Some(_)) = ready.get_inner().read_signal() {}
            ready.clear_ready();
            // A hook has sent its notification before this end, so that is received first.
            yield_now().await;
            self.workload.collect();
        }
    }

    /// Turns signals from outside into a drain, and passes those from inside on to the workload. Returns only
    /// with an error.
    async fn watch_bell(&self, bell: EventFd) -> io::Result<Infallible> {
        let bell = sys::await_bell(bell)?;
        loop {
            let mut rung = bell.readable().await?;
            // Not to ring again for what is taken now.
            let _ = rung.get_inner().read();
            rung.clear_ready();
            if let Some(signal) = self.page.take_signal() {
                self.workload.set_stop_signal(signal);
                // The liveness probe has sent its notification before the kubelet sent the signal, so that is
                // received first.
                yield_now().await;
                self.health.explain_end(self.workload.started(), self.facts);
                let _ = self.facts.send(Fact::Drain);
            }
            self.page.take_signals_from_inside().for_each(|signal| self.workload.pass_on(signal));
        }
    }

    /// Listens to what probes and hooks report of the workload, as it was started last. The workload runs even
    /// if none can report.
    async fn watch_notifications(&self, state_directory: PathBuf) -> Infallible {
        let heard = match self.bind(state_directory).await {
            Ok(socket) => {
                let (started, is_ending) = (|| self.workload.started(), || self.workload.expect_end());
                notifications::receive(socket, started, is_ending, &self.health, self.facts).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = heard;
        tracing::warn!(
            %error,
            "the agent receives no results of probes: the SingletonJob's condition Ready stays False, and an end for failed liveness \
             probes is reported as a drain"
        );
        pending().await
    }

    async fn bind(&self, state_directory: PathBuf) -> io::Result<UnixDatagram> {
        let (sender, bound) = oneshot::channel();
        self.files.submit(move || drop(sender.send(notify::bind(&state_directory))));
        bound.await.unwrap_or_else(|_| Err(io::Error::other("too much waits for the disk")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_an_earlier_container_has_left_is_gone_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["readiness", "lease.json"].map(|name| directory.path().join(name));
        let files = Background::start("test").unwrap();
        fs::write(&old, "left").unwrap();
        remove_leftovers([old, directory.path().join("never there"), new.clone()], &files);
        files.submit(move || fs::write(new, "new").unwrap());
        files.finish(Duration::from_secs(20));
        let names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["lease.json"]);
    }
}
