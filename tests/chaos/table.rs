//! The table in which it ends.

use std::fmt::Write as _;
use std::time::Duration;

use crate::plan::Cause;
use crate::verdict::{Account, Hit, Standby, Takeover, Verdict, median, sorted};
use testkit::witness::Violation;

/// For people.
pub fn of(seed: u64, time: Duration, accounts: &[Account], hits: &[Hit], verdict: &Verdict) -> String {
    let mut table = String::new();
    let (minutes, takeovers, overlap) =
        (time.as_secs_f64() / 60.0, verdict.takeovers.len(), milliseconds(overlap(accounts, verdict)));
    let _ = writeln!(
        table,
        "seed {seed}, {minutes:.1} min: {} faults hit a holder, {takeovers} takeovers, overlap {overlap}",
        hits.len()
    );
    let _ = writeln!(
        table,
        "\n{:<24}{:>10}{:>14}{:>14}   from a crash that left a standby",
        "cause", "takeovers", "median gap", "worst gap"
    );
    for cause in Cause::ALL.map(Some).into_iter().chain([None]) {
        table.push_str(&of_cause(cause, &verdict.takeovers));
    }
    let _ = writeln!(table, "\n{:<24}{:>10}{:>14}   what was going on", "job", "starts", "none ran");
    for account in accounts {
        table.push_str(&of_job(account, &verdict.takeovers));
    }
    if !verdict.continued.is_empty() {
        let _ = writeln!(
            table,
            "\ndaemons that executed once more when their frozen pod was continued: {}",
            verdict.continued.len()
        );
    }
    if !verdict.repeated.is_empty() {
        let _ = writeln!(
            table,
            "\nruns finished again, because the candidate that finished them first was hit: {}",
            verdict.repeated.len()
        );
    }
    table
}

fn of_cause(cause: Option<Cause>, takeovers: &[Takeover]) -> String {
    let these = || takeovers.iter().filter(|takeover| takeover.hit.as_ref().map(|hit| hit.cause) == cause);
    let gaps = sorted(these().map(|takeover| takeover.gap.as_secs_f64() * 1000.0));
    let (Some(usual), Some(worst)) = (median(&gaps), gaps.last()) else { return String::new() };
    let name = cause.map_or("(nothing done to it)", Cause::name);
    let over = sorted(these().filter_map(Takeover::crash_seconds_over));
    let from_fault = match (median(&over), over.last()) {
        (Some(usual), Some(worst)) => format!("   L {usual:+.2} s, worst L {worst:+.2} s, of {}", over.len()),
        _ => String::new(),
    };
    format!("{name:<24}{:>10}{usual:>11.1} ms{worst:>11.1} ms{from_fault}\n", gaps.len())
}

fn of_job(account: &Account, takeovers: &[Takeover]) -> String {
    let name = format!("{} (L = {} s)", account.job, account.lease.as_secs());
    let longest =
        takeovers.iter().filter(|takeover| takeover.job == account.job).max_by_key(|takeover| takeover.gap);
    let (gap, what) = longest
        .map_or((Duration::ZERO, String::new()), |longest| (longest.gap, going_on(longest.hit.as_ref())));
    format!("{name:<24}{:>10}{:>14}   {what}\n", account.tenures.len(), milliseconds(gap))
}

fn going_on(hit: Option<&Hit>) -> String {
    let Some(hit) = hit else { return "nothing was done to it".to_owned() };
    let time = hit.healed.map_or(String::new(), |healed| {
        format!(" for {:.1} s", (healed.saturating_sub(hit.at)).as_secs_f64())
    });
    let standby = match hit.standby {
        Standby::Ready => "a standby was ready",
        Standby::HitToo => "all standbys were hit too",
        Standby::Missing => "a standby had to be made first",
    };
    format!("{}{time}, {standby}", hit.cause.name())
}

/// The longest that is an objection.
fn overlap(accounts: &[Account], verdict: &Verdict) -> Duration {
    let violations = accounts
        .iter()
        .flat_map(|account| &account.violations)
        .filter(|violation| !verdict.continued.contains(violation));
    let by = |violation: &Violation| {
        if let Violation::Overlap(_, _, by) = violation { *by } else { Duration::ZERO }
    };
    violations.map(by).max().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
