//! The process round the controller: election, health endpoints, signals, and how it ends.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::leadership;
use super::settings::Agent;
use crate::contract::exit_codes;
use crate::lease::elector::Ending;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{LogFormat, LogLevel, server};

/// Reconciles SingletonJobs.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Arguments {
    /// Image with the agent; the controller's own when left out.
    #[arg(long, env = "AGENT_IMAGE")]
    pub agent_image: Option<String>,
    /// imagePullPolicy of the agent's image.
    #[arg(long, env = "AGENT_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub agent_image_pull_policy: Option<String>,
    /// Names of image pull secrets, separated by commas, added to candidate pods.
    #[arg(long, env = "AGENT_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub agent_image_pull_secrets: Vec<String>,
    /// Name of this pod.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,
    /// Namespace of this pod, and of the Lease by which replicas are elected.
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen_address: SocketAddr,
    /// error, warn, info, debug, trace or off.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// json or text.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Says in one line what was wrong with the arguments; help and version are none.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    eprintln!("singletonjob-controller: {}", lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "));
    ExitCode::from(u8::try_from(exit_codes::USAGE).unwrap_or(1))
}

/// Stands by, leads, and ends.
pub fn run(arguments: Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("starting threads: {error}")),
    };
    match runtime.block_on(serve(arguments)) {
        Ok(Ending::Interrupted) => ExitCode::SUCCESS,
        Ok(ending) => failed(&format!("leadership is over: {ending:?}; starting again as a standby")),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    tracing::error!("{why}");
    ExitCode::FAILURE
}

async fn serve(arguments: Arguments) -> Result<Ending, Failure> {
    let config = super::configuration().await?;
    let client = Client::try_from(config.clone())?;
    let Arguments { pod_name, pod_namespace, listen_address, .. } = arguments;
    let pull_secrets = arguments.agent_image_pull_secrets.into_iter().filter(|name| !name.is_empty()).collect();
    let image = arguments.agent_image.unwrap_or_default();
    let mut agent = Agent { image, pull_policy: arguments.agent_image_pull_policy, pull_secrets };
    if agent.image.is_empty() {
        let image = super::own_image(&client, &pod_namespace, &pod_name).await?;
        agent.image = image.ok_or("AGENT_IMAGE is not set, and there is no pod of the name POD_NAME to take the image from")?;
    }
    let metrics = Arc::new(Metrics::default());
    let (leading, mut leads) = watch::channel(false);
    let counted = metrics.clone();
    tokio::spawn(async move {
        while leads.changed().await.is_ok() {
            counted.leads(*leads.borrow());
        }
    });
    let work = {
        let (metrics, instance) = (metrics.clone(), pod_name.clone());
        move || super::run(client, agent, instance, metrics)
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let drain = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        ending = leadership::lead(config, &pod_namespace, &pod_name, drain, leading, work) => Ok(ending?),
        served = server::serve(listen_address, metrics) => {
            served.map_err(|error| format!("listening on {listen_address}: {error}"))?;
            Err("the health endpoint has ended".into())
        }
    }
}
