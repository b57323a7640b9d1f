//! The process of the controller: election, health endpoints, signals and exit code.

mod agent_image;
mod arguments;

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};

use super::leadership::{self, Replica};
use crate::lease::elector::Ending;
use crate::telemetry::{Telemetry, server};
pub use agent_image::own_image;
pub use arguments::{Arguments, refuse};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the controller: it stands by, leads, and ends.
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
    exit_code(ending)
}

/// The exit code of the process, after a log line that says why it fails.
fn exit_code(ending: Result<Ending, Failure>) -> ExitCode {
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

/// Stands by or leads, and answers the kubelet and Prometheus meanwhile.
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

/// Returns a future that ends when the process gets SIGTERM or SIGINT.
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

/// Waits for leadership, and reconciles while this replica leads.
async fn stand_by(
    arguments: Arguments,
    drain: impl Future<Output = ()> + Clone,
    telemetry: Arc<Telemetry>,
) -> Result<Ending, Failure> {
    let config =
        configuration().await.map_err(|error| format!("{error}; run in a cluster, or set KUBECONFIG"))?;
    let client = Client::try_from(config.clone())?;
    let agent = tokio::select! {
        agent = agent_image::agent(&client, &arguments) => agent?,
        () = drain.clone() => return Ok(Ending::Interrupted),
    };
    let Arguments { pod_name, pod_namespace, .. } = arguments;
    let replica = Replica { namespace: &pod_namespace, pod: &pod_name, telemetry: telemetry.clone() };
    let instance = pod_name.clone();
    let work = move || super::run(client, agent, instance, telemetry);
    Ok(leadership::lead(config, replica, drain, work).await?)
}

/// Returns the client configuration of the cluster. A client of it never repeats a request by itself.
async fn configuration() -> Result<Config, kube::Error> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.default_retry = false;
    Ok(config)
}
