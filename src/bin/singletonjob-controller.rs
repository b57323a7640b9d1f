//! The controller: parses, initialises, and calls the library.
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use singletonjob::controller::program::{self, Settings};
use singletonjob::controller::settings::Agent;
use singletonjob::telemetry::{self, LogFormat, LogLevel};

/// Reconciles SingletonJobs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Image with the agent; the controller's own when left out.
    #[arg(long, env = "AGENT_IMAGE")]
    agent_image: Option<String>,
    /// imagePullPolicy of the agent's image.
    #[arg(long, env = "AGENT_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    agent_image_pull_policy: Option<String>,
    /// Names of image pull secrets, separated by commas, added to candidate pods.
    #[arg(long, env = "AGENT_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    agent_image_pull_secrets: Vec<String>,
    /// Name of this pod.
    #[arg(long, env = "POD_NAME")]
    pod_name: String,
    /// Namespace of this pod, and of the Lease by which replicas are elected.
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    listen_address: SocketAddr,
    /// error, warn, info, debug, trace or off.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// json or text.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return program::refuse(&error),
    };
    telemetry::log(arguments.log_level, arguments.log_format);
    let pull_secrets = arguments.agent_image_pull_secrets.into_iter().filter(|name| !name.is_empty()).collect();
    program::run(Settings {
        agent: Agent { image: arguments.agent_image.unwrap_or_default(), pull_policy: arguments.agent_image_pull_policy, pull_secrets },
        pod_name: arguments.pod_name,
        pod_namespace: arguments.pod_namespace,
        listen_address: arguments.listen_address,
    })
}
