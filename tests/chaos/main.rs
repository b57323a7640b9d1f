//! Several SingletonJobs on a real cluster under random faults, for as long as one likes: `make chaos`.
//!
//! `CHAOS_MINUTES` says for how long, `CHAOS_SEED` which faults: the plan is the same for the same seed, what
//! the cluster makes of it is not. It ends with a table in `target/chaos-report.txt`, and fails where two
//! workloads overlapped, a token fell, or a takeover came late.

mod faults;
mod jobs;
mod plan;
mod rounds;
mod table;
mod verdict;

use std::time::Duration;

use crate::jobs::Jobs;
use crate::plan::Plan;
use crate::rounds::Rounds;
use testkit::report;
use testkit::scenario::with_operator;

const MINUTES: f64 = 4.0;

/// A number from the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn whatever_breaks_at_most_one_runs_and_soon_one_runs_again() {
    let seed = setting("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let time = Duration::from_secs_f64(setting("CHAOS_MINUTES").unwrap_or(MINUTES) * 60.0);
    with_operator("chaos", async |scenario| {
        scenario.remark(&format!("CHAOS_SEED={seed} CHAOS_MINUTES={:.1}", time.as_secs_f64() / 60.0));
        let jobs = Jobs::begin(scenario).await;
        let mut rounds = Rounds::new(scenario, &jobs);
        rounds.play(Plan::new(seed), time).await;
        let (accounts, hits) = (jobs.accounts(), rounds.hits());
        let verdict = verdict::of(&accounts, hits);
        report::table(&table::of(seed, time, &accounts, hits, &verdict));
        scenario.allow(&[verdict.repeated, verdict.continued].concat());
        assert!(verdict.objections.is_empty(), "CHAOS_SEED={seed}: {:#?}", verdict.objections);
    });
}
