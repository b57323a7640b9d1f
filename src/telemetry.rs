//! Logs, metrics and health, for users who operate the controller.

pub mod health;
pub mod metrics;
pub mod server;

use std::io;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

use health::Health;
use metrics::Metrics;

/// Metrics and health of the controller, for users who operate it.
#[derive(Default)]
pub struct Telemetry {
    /// Counters, gauges and histograms.
    pub metrics: Metrics,
    /// Whether the process does its work.
    pub health: Health,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// Which log lines there are: `error`, `warn`, `info`, `debug`, `trace` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(LevelFilter);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = || "use error, warn, info, debug, trace or off".to_owned();
        text.parse().map(Self).map_err(|_| wanted())
    }
}

/// Targets that log every failed request without saying which. The controller logs those itself.
const CHATTERERS: [&str; 2] = ["kube_client", "kube_runtime::watcher"];

/// Logs to standard error from now on. A process calls this once.
pub fn log(level: LogLevel, format: LogFormat) {
    let theirs = if level.0 >= LevelFilter::DEBUG { level.0 } else { LevelFilter::OFF };
    let wanted = CHATTERERS
        .into_iter()
        .fold(Targets::new().with_default(level.0), |all, target| all.with_target(target, theirs));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    registry().with(lines.with_filter(wanted)).init();
}
