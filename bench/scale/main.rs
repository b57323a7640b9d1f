//! Measures what SingletonJobs cost the controller and the API server, from `kubectl apply` to a holder with a
//! ready standby, at rest, and when the controller restarts.
//!
//! etcd, kube-apiserver and the controller's program are real. The [`kubelet`] is a stand-in: it runs the
//! real elector, with a connection and a token of its own, for each pod. Every figure is a count or a ratio
//! within one run, because absolute times belong to the machine.

mod api_server;
mod controller;
mod kubelet;
mod phases;
mod process;
mod table;

use clap::Parser;

/// What to measure.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Numbers of SingletonJobs, each measured on an API server of its own
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    jobs: Vec<usize>,
    /// `leaseDurationSeconds` of each
    #[arg(long, default_value_t = 60)]
    lease: u32,
    /// How many namespaces they are spread over
    #[arg(long, default_value_t = 10)]
    namespaces: usize,
    /// How long the controller is watched at rest, in seconds
    #[arg(long, default_value_t = 60)]
    rest: u64,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let mut rows = Vec::new();
    for jobs in &arguments.jobs {
        let row = phases::measure(*jobs, &arguments).await;
        println!("{}", table::details(&row));
        rows.push(row);
    }
    println!("{}", table::summary(&rows));
}
