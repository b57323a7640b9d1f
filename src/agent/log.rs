//! The elector's log, which shares the output of the container with the workload. It says no more than an
//! administrator needs, and of libraries only warnings. Every line has the agent's prefix. The elector never
//! waits for the log, because a full pipe waits for its reader.

use std::io;
use std::panic;
use std::process;
use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

use super::background::Background;

/// The beginning of every line that the agent's processes write beside the workload's.
///
/// A termination message begins differently. With the `terminationMessagePolicy` FallbackToLogsOnError the
/// kubelet takes the end of the log for such a message, and that is no error of the agent.
pub(super) const PREFIX: &str = "[singletonjob-agent] ";

/// The crate that logs every request that fails. The agent itself logs when that begins, and when it is over.
const SILENCED_CRATE: &str = "kube_client";

/// How long a process that ends waits for its last lines to be written.
pub(super) const LAST_LINES: Duration = Duration::from_millis(200);

/// Writes to standard error, some time.
#[derive(Clone, Debug)]
pub(super) struct Log {
    background: Background,
}

impl Log {
    /// Has all that this process logs from now on written there, and why it panics.
    ///
    /// # Errors
    /// If the kernel refuses a thread.
    pub(super) fn begin() -> io::Result<Self> {
        let log = Self { background: Background::start("log")? };
        let lines = fmt::layer().with_writer(log.clone()).with_ansi(false).with_target(false);
        // A subscriber that is there already is a test's.
        let _ = registry().with(lines.with_filter(levels())).try_init();
        let panicking = log.clone();
        panic::set_hook(Box::new(move |why| panicking.give_up(why)));
        Ok(log)
    }

    /// Writes one line of the agent itself.
    pub(super) fn write_line(&self, line: &str) {
        self.write_later(format!("{PREFIX}{line}\n").into_bytes());
    }

    /// Logs why, and aborts: PID 1 sees this death and kills everything.
    pub(super) fn give_up(&self, why: impl std::fmt::Display) -> ! {
        self.write_line(&why.to_string());
        self.finish();
        process::abort()
    }

    /// Waits a moment until what was logged is written.
    pub(super) fn finish(&self) {
        self.background.finish(LAST_LINES);
    }

    fn write_later(&self, text: Vec<u8>) {
        // If there is no room, the reader is gone or far behind.
        self.background.submit(move || drop(io::Write::write_all(&mut io::stderr(), &text)));
    }
}

/// Which events are logged.
fn levels() -> Targets {
    let levels = Targets::new().with_default(Level::WARN).with_target(env!("CARGO_CRATE_NAME"), Level::INFO);
    levels.with_target(SILENCED_CRATE, LevelFilter::OFF)
}

impl io::Write for Log {
    /// Writes one event.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.write_later([PREFIX.as_bytes(), text].concat());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
