//! The controller: parses, initialises, and calls the library.
use std::process::ExitCode;

use clap::Parser;
use singletonjob::controller::process::{self, Arguments};
use singletonjob::telemetry;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return process::refuse(&error),
    };
    telemetry::log(arguments.log_level, arguments.log_format);
    process::run(arguments)
}
