//! Lists all SingletonJobs with their holders; with a namespace and a name, waits until that one is ready.
//!
//! `cargo run -- [NAMESPACE NAME]`, by the current kubeconfig or in a pod.

use std::env;
use std::error::Error;
use std::time::Duration;

use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use singletonjob_api::SingletonJob;
use singletonjob_api::conditions::{find_condition, is_true, types};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::try_default().await?;
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => list(client).await,
        [namespace, name] => wait(client, namespace, name).await,
        _ => Err("write nothing, or a namespace and a name".into()),
    }
}

async fn list(client: Client) -> Result<(), Box<dyn Error>> {
    for job in Api::<SingletonJob>::all(client).list(&Default::default()).await? {
        let holder = job.status.as_ref().and_then(|status| status.lease.as_ref()?.holder.clone());
        println!("{}/{} {}", job.namespace().unwrap_or_default(), job.name_any(), holder.as_deref().unwrap_or("-"));
    }
    Ok(())
}

async fn wait(client: Client, namespace: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let jobs = Api::<SingletonJob>::namespaced(client, namespace);
    let ready = await_condition(jobs, name, |job: Option<&SingletonJob>| {
        job.and_then(|job| job.status.as_ref()).is_some_and(|status| is_true(&status.conditions, types::READY))
    });
    let job = timeout(PATIENCE, ready).await.map_err(|_| format!("{namespace}/{name} is not ready within {PATIENCE:?}"))??;
    let status = job.and_then(|job| job.status).unwrap_or_default();
    println!("{}", find_condition(&status.conditions, types::READY).map_or("", |ready| &ready.message));
    Ok(())
}
