//! The process of the controller: election, health endpoints, signals and exit code.

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use super::api_call::once_reached;
use super::leadership;
use super::settings::Agent;
use crate::lease::elector::Ending;
use crate::telemetry::{Telemetry, server};
pub use arguments::{Arguments, refuse};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Stands by, leads, and ends.
pub fn run(arguments: Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&format!(
                "starting threads: {error}; the container's limits on processes or memory may be too low"
            ));
        }
    };
    let ending = runtime.block_on(serve(arguments));
    // A name that is being resolved does not delay the end.
    runtime.shutdown_background();
    match ending {
        Ok(Ending::Interrupted | Ending::InDoubt(_)) => ExitCode::SUCCESS,
        Ok(Ending::Lost(why)) => {
            failed(&format!("the leader's Lease is lost: {why}; starting again as a standby"))
        }
        Ok(Ending::Unreadable(why)) => failed(&format!("cannot stand by: {why}; starting again")),
        Ok(ending @ (Ending::Exited(_) | Ending::Unkillable)) => {
            failed(&format!("reconciling has ended ({ending:?}); starting again"))
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    tracing::error!("{why}");
    ExitCode::FAILURE
}

async fn serve(arguments: Arguments) -> Result<Ending, Failure> {
    let drain = asked_to_end()?;
    let telemetry = Arc::new(Telemetry::default());
    let address = arguments.listen_address;
    tokio::select! {
        ending = stand_by(arguments, drain, telemetry.clone()) => ending,
        served = server::serve(address, telemetry) => {
            served.map_err(|error| format!("listening on {address}: {error}; set LISTEN_ADDRESS to one that is free"))?;
            Err("the health endpoint has ended".into())
        }
    }
}

fn asked_to_end() -> Result<impl Future<Output = ()> + Clone, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    .shared())
}

async fn stand_by(
    arguments: Arguments,
    drain: impl Future<Output = ()> + Clone,
    telemetry: Arc<Telemetry>,
) -> Result<Ending, Failure> {
    let config = super::configuration()
        .await
        .map_err(|error| format!("{error}; run in a cluster, or set KUBECONFIG"))?;
    let client = Client::try_from(config.clone())?;
    let agent = tokio::select! {
        agent = agent(&client, &arguments) => agent?,
        () = drain.clone() => return Ok(Ending::Interrupted),
    };
    let Arguments { pod_name, pod_namespace, .. } = arguments;
    let work = {
        let (telemetry, instance) = (telemetry.clone(), pod_name.clone());
        move || super::run(client, agent, instance, telemetry)
    };
    Ok(leadership::lead(config, &pod_namespace, &pod_name, drain, telemetry, work).await?)
}

async fn agent(client: &Client, arguments: &Arguments) -> Result<Agent, Failure> {
    let mut agent = arguments.agent();
    if agent.image.is_empty() {
        let image = once_reached(async || {
            super::own_image(client, &arguments.pod_namespace, &arguments.pod_name).await
        })
        .await?;
        agent.image = image.ok_or_else(|| {
            let Arguments { pod_name, pod_namespace, .. } = arguments;
            format!("there is no pod {pod_name} in {pod_namespace} to take the agent's image from; set POD_NAME right, or AGENT_IMAGE")
        })?;
    }
    Ok(agent)
}
