//! The controller is replaced while every SingletonJob is held, and a tick of a schedule falls into that.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use singletonjob::api::SingletonJob;
use tokio::time::sleep;

use super::installation::Installation;
use super::jobs;
use super::requests::Counts;

/// Of the schedule, so that what the controller asks for it is not counted.
pub const NAMESPACE_OF_SCHEDULE: &str = "schedules";
const SCHEDULE: &str = "tick";
const MINUTE: u64 = 60;
/// For the candidates of the schedule to stand ready before the tick.
const PREPARED_WITHIN: Duration = Duration::from_secs(20);
/// The controller ends so long before the tick.
const BEFORE_TICK: Duration = Duration::from_secs(1);
/// After the controller is ready, for everything that its start sets off.
const SETTLE: Duration = Duration::from_secs(15);

/// What it costs when the controller is replaced.
#[derive(Clone, Debug)]
pub struct Restarted {
    /// From the start of the new controller until it leads and its caches have synced.
    pub ready: Duration,
    /// The requests of the new controller.
    pub requests: Counts,
    /// Its memory after that, in bytes.
    pub resident: u64,
    /// Whether the tick that fell into the restart became a run.
    pub is_tick_kept: bool,
    /// From that tick, at which the new controller was started, until its run was seen to have started.
    pub run_started: Duration,
}

/// Measures it, and ends the installation.
pub async fn measure(mut installation: Installation) -> Restarted {
    let tick = next_minute(SystemTime::now() + PREPARED_WITHIN);
    let client = installation.client().clone();
    jobs::create(&client, NAMESPACE_OF_SCHEDULE, &jobs::schedule(SCHEDULE, &cron(tick))).await;
    jobs::await_one(&client, NAMESPACE_OF_SCHEDULE, SCHEDULE, "candidates", jobs::has_pods).await;
    sleep_until(tick - BEFORE_TICK).await;
    installation.end_controller().await;
    sleep_until(tick).await;
    let requests = installation.count_outside(&[NAMESPACE_OF_SCHEDULE]);
    let at_tick = Instant::now();
    installation.start_controller();
    let ready = installation.controller.ready().await;
    let job = jobs::await_one(&client, NAMESPACE_OF_SCHEDULE, SCHEDULE, "its run", has_run).await;
    let run_started = at_tick.elapsed();
    sleep(SETTLE).await;
    let restarted = Restarted {
        ready,
        requests: requests.so_far(),
        resident: installation.controller.process().resident(),
        is_tick_kept: is_run_of(&job, tick),
        run_started,
    };
    installation.end().await;
    restarted
}

fn next_minute(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    UNIX_EPOCH + Duration::from_secs((seconds / MINUTE + 1) * MINUTE)
}

/// The one tick a day that is this minute, in UTC.
fn cron(tick: SystemTime) -> String {
    let minutes = tick.duration_since(UNIX_EPOCH).expect("a clock").as_secs() / MINUTE;
    format!("{} {} * * *", minutes % 60, minutes / 60 % 24)
}

async fn sleep_until(time: SystemTime) {
    sleep(time.duration_since(SystemTime::now()).unwrap_or_default()).await;
}

/// Whether its run has started, or the tick was missed.
fn has_run(job: &SingletonJob) -> bool {
    let status = job.status.as_ref();
    let has_started =
        status.and_then(|status| status.run.as_ref()).is_some_and(|run| run.start_time.is_some());
    has_started || status.and_then(|status| status.missed_runs).is_some_and(|missed| missed > 0)
}

fn is_run_of(job: &SingletonJob, tick: SystemTime) -> bool {
    let run = job.status.as_ref().and_then(|status| status.run.as_ref());
    run.and_then(|run| run.scheduled_time.as_ref()).is_some_and(|time| SystemTime::from(time.0) == tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_the_next_whole_minute() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(next_minute(at(59)), at(60));
        assert_eq!(next_minute(at(60)), at(120));
        assert_eq!(cron(at(25 * 3600 + 7 * 60)), "7 1 * * *");
    }
}
