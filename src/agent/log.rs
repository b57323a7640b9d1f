//! The elector's log, which shares the output of the container with the workload. It says no more than an
//! administrator needs, and of libraries only warnings. Every line has the agent's prefix. The elector never
//! waits for it, because a full pipe waits for its reader.

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

/// How every line begins that the agent's processes write beside the workload's. A termination message begins
/// otherwise, because with the `terminationMessagePolicy` FallbackToLogsOnError the kubelet takes the end of
/// the log for one, which is no complaint of the agent.
pub(super) const PREFIX: &str = "[singletonjob-agent] ";

/// It tells of every request that fails; the agent says when that begins and when it is over.
const CHATTERER: &str = "kube_client";

/// For the last lines of a process that ends.
pub(super) const LAST_LINES: Duration = Duration::from_millis(200);

/// Writes to standard error, some time.
#[derive(Clone, Debug)]
pub(super) struct Log {
    background: Background,
}

impl Log {
    /// From now on all that this process logs goes there, and why it panics.
    ///
    /// # Errors
    /// Where the kernel refuses a thread.
    pub(super) fn begin() -> io::Result<Self> {
        let log = Self { background: Background::start("log")? };
        let wanted =
            Targets::new().with_default(Level::WARN).with_target(env!("CARGO_CRATE_NAME"), Level::INFO);
        let wanted = wanted.with_target(CHATTERER, LevelFilter::OFF);
        let lines = fmt::layer().with_writer(log.clone()).with_ansi(false).with_target(false);
        // One that is there already is a test's.
        let _ = registry().with(lines.with_filter(wanted)).try_init();
        let panicking = log.clone();
        panic::set_hook(Box::new(move |why| panicking.give_up(why)));
        Ok(log)
    }

    /// One line from the agent itself.
    pub(super) fn say(&self, line: &str) {
        self.write_later(format!("{PREFIX}{line}\n").into_bytes());
    }

    /// Says why, and aborts: PID 1 sees this death and kills everything.
    pub(super) fn give_up(&self, why: impl std::fmt::Display) -> ! {
        self.say(&why.to_string());
        self.finish();
        process::abort()
    }

    /// Waits a moment for what was said to be written.
    pub(super) fn finish(&self) {
        self.background.finish(LAST_LINES);
    }

    fn write_later(&self, text: Vec<u8>) {
        // Without room for it no process reads it, or the reader is far behind.
        self.background.give(move || drop(io::Write::write_all(&mut io::stderr(), &text)));
    }
}

impl io::Write for Log {
    /// One event.
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
