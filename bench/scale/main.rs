//! Measures what SingletonJobs cost the controller and the API server, and holds that against the bars of
//! docs/scale.md.
//!
//! etcd, kube-apiserver and the controller's program are real. The [`kubelet`] is a stand-in: it runs the
//! real elector, with a connection and a token of its own, for each pod. Every bar is a count or a ratio
//! within one run, because absolute times belong to the machine.

mod api_server;
mod bars;
mod controller;
mod converge;
mod cycles;
mod fair;
mod idle;
mod installation;
mod jobs;
mod kubelet;
mod metrics;
mod process;
mod renewals;
mod requests;
mod restart;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use bars::Bar;
use clap::{Parser, ValueEnum};
use jobs::Shape;

/// What to measure.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// What is measured
    #[arg(long, value_delimiter = ',', value_enum, default_value = "jobs,cycles,idle,fair,renewals")]
    modes: Vec<Mode>,
    /// Numbers of SingletonJobs of the mode `jobs`, each measured on an API server of its own
    #[arg(long, value_delimiter = ',', default_value = "100,1000,2000")]
    jobs: Vec<usize>,
    /// How often the mode `cycles` creates a SingletonJob, has it taken over, and deletes it
    #[arg(long, default_value_t = 20_000)]
    cycles: usize,
    /// How many SingletonJobs without electors the mode `idle` has
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// How many SingletonJobs the other tenant of the mode `fair` has
    #[arg(long, default_value_t = 5_000)]
    fair: usize,
    /// How many holders renew in the mode `renewals`
    #[arg(long, default_value_t = 1_000)]
    renewals: usize,
    /// Lease durations of the mode `renewals`
    #[arg(long, value_delimiter = ',', default_value = "15,60,300")]
    renewal_leases: Vec<u32>,
    /// `leaseDurationSeconds` of the other modes
    #[arg(long, default_value_t = 60)]
    lease: u32,
    /// How many namespaces they are spread over
    #[arg(long, default_value_t = 10)]
    namespaces: usize,
    /// How long the servers are watched at rest, in seconds
    #[arg(long, default_value_t = 60)]
    rest: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// From apply to a holder with a ready standby, at rest, and over a restart of the controller
    Jobs,
    /// Memory over many SingletonJobs that come and go
    Cycles,
    /// SingletonJobs whose candidates are not started
    Idle,
    /// What the SingletonJobs of one tenant cost another
    Fair,
    /// What renewing costs the API server
    Renewals,
}

impl Arguments {
    fn rest(&self) -> Duration {
        Duration::from_secs(self.rest)
    }

    fn shape(&self, jobs: usize) -> Shape {
        Shape { jobs, lease: self.lease, namespaces: self.namespaces }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut missed = 0;
    for mode in &arguments.modes {
        let (tables, bars) = measure(*mode, &arguments).await;
        println!("{tables}");
        for bar in &bars {
            println!("{bar}");
        }
        println!();
        missed += bars.iter().filter(|bar| !bar.is_held()).count();
    }
    println!("{missed} bars are missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The tables of a mode, and its bars.
async fn measure(mode: Mode, arguments: &Arguments) -> (String, Vec<Bar>) {
    match mode {
        Mode::Jobs => jobs(arguments).await,
        Mode::Cycles => {
            let cycles = cycles::measure(arguments.cycles, &arguments.shape(0)).await;
            (table::cycles(&cycles), bars::of_cycles(&cycles))
        }
        Mode::Idle => {
            let idle = idle::measure(&arguments.shape(arguments.idle), arguments.rest()).await;
            (table::idle(&idle), bars::of_idle(&idle))
        }
        Mode::Fair => {
            let fair = fair::measure(&arguments.shape(arguments.fair)).await;
            (table::fair(&fair), bars::of_fair(&fair))
        }
        Mode::Renewals => (renewals(arguments).await, Vec::new()),
    }
}

async fn jobs(arguments: &Arguments) -> (String, Vec<Bar>) {
    let mut rows = Vec::new();
    for jobs in &arguments.jobs {
        let (converged, installation) = converge::measure(&arguments.shape(*jobs), arguments.rest()).await;
        let restarted = restart::measure(installation).await;
        rows.push(table::Row { converged, restarted });
    }
    let bars = bars::of_jobs(&rows.iter().map(|row| (&row.converged, &row.restarted)).collect::<Vec<_>>());
    (table::jobs(&rows), bars)
}

async fn renewals(arguments: &Arguments) -> String {
    let mut rows = Vec::new();
    for lease in &arguments.renewal_leases {
        let shape = Shape { lease: *lease, ..arguments.shape(arguments.renewals) };
        rows.push(renewals::measure(&shape, arguments.rest()).await);
    }
    table::renewals(&rows)
}
