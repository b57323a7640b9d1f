//! Logs, metrics and health, for whoever operates the controller.

pub mod health;
pub mod metrics;
pub mod server;

use std::str::FromStr;

use tracing::level_filters::LevelFilter;

use health::Health;
use metrics::Metrics;

/// What whoever operates the controller can ask it.
#[derive(Default)]
pub struct Telemetry {
    /// Figures.
    pub metrics: Metrics,
    /// Whether it does its work.
    pub health: Health,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
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

/// Logs to standard error from now on; once per process.
pub fn log(level: LogLevel, format: LogFormat) {
    let subscriber = tracing_subscriber::fmt().with_max_level(level.0).with_writer(std::io::stderr).with_ansi(false);
    match format {
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
        LogFormat::Text => subscriber.init(),
    }
}
