//! Refuses a timing of the lease that leaves no time to renew or to stop.

use kube::core::Rule;

use super::rule::telling;

/// `D`: five sixths of the lease, less the kill margin.
const HARD: &str =
    "[self.leaseDurationSeconds].map(l, l * 5000 / 6 - (l < 5 ? 500 : (l > 20 ? 2000 : l * 100)))[0]";

/// The arithmetic of `lease/timing.rs` in whole milliseconds.
pub fn all() -> [Rule; 3] {
    [renew_deadline(), grace_period(), retry_period()]
}

/// `S`, derived where it is left out: what `G` leaves of `D`.
fn renew() -> String {
    format!(
        "[{HARD}].map(d, has(self.renewDeadlineSeconds) ? self.renewDeadlineSeconds * 1000 : \
         d - (has(self.gracePeriodSeconds) ? self.gracePeriodSeconds * 1000 : \
         (self.leaseDurationSeconds < 6 ? 0 : (d > 150000 ? 30000 : d / 5))))[0]"
    )
}

/// Milliseconds as two numbers, for `%d.%d`: seconds and tenths.
fn tenths(milliseconds: &str) -> String {
    format!("{milliseconds} / 1000, {milliseconds} % 1000 / 100")
}

/// The smallest lease whose `D` is at least `stop` seconds: the inverse of [`HARD`], piece by piece, rounded
/// up.
fn smallest_lease(stop: &str) -> String {
    format!("[{stop}].map(s, s <= 2 ? 3 : (s <= 14 ? (s * 15 + 10) / 11 : (s * 6 + 16) / 5))[0]")
}

fn renew_deadline() -> Rule {
    let (alone, both) = ("self.renewDeadlineSeconds", "self.renewDeadlineSeconds, self.gracePeriodSeconds");
    let stop = "self.renewDeadlineSeconds + (has(self.gracePeriodSeconds) ? self.gracePeriodSeconds : 0)";
    let rest = "not fit into leaseDurationSeconds %d (at most %d.%d s); use leaseDurationSeconds %d or more";
    let values = format!("self.leaseDurationSeconds, {}, {}", tenths(HARD), smallest_lease(stop));
    let message = format!(
        "has(self.gracePeriodSeconds) ? 'renewDeadlineSeconds %d + gracePeriodSeconds %d do {rest}'.format([{both}, {values}]) : \
         'renewDeadlineSeconds %d does {rest}'.format([{alone}, {values}])"
    );
    telling(
        format!("!has(self.renewDeadlineSeconds) || ({stop}) * 1000 <= {HARD}"),
        ".renewDeadlineSeconds",
        message,
    )
}

fn grace_period() -> Rule {
    let message = format!(
        "'gracePeriodSeconds %d leaves no time to renew within leaseDurationSeconds %d; use leaseDurationSeconds %d or more'\
         .format([self.gracePeriodSeconds, self.leaseDurationSeconds, {}])",
        smallest_lease("self.gracePeriodSeconds + 1"),
    );
    let condition = format!(
        "has(self.renewDeadlineSeconds) || !has(self.gracePeriodSeconds) || self.gracePeriodSeconds * 1000 < {HARD}"
    );
    telling(condition, ".gracePeriodSeconds", message)
}

/// Silent where there is no time to renew at all: [`grace_period`] says that better.
fn retry_period() -> Rule {
    let renew = renew();
    let too_much = "retryPeriodSeconds %d is more than a third of renewDeadlineSeconds %d.%d";
    let values = format!("self.retryPeriodSeconds, {}", tenths(&renew));
    let message = format!(
        "{renew} < 3000 ? '{too_much}; leave it out'.format([{values}]) : \
         '{too_much}; use %d or less'.format([{values}, {renew} / 3000])"
    );
    let condition = format!(
        "!has(self.retryPeriodSeconds) || [{renew}].all(s, s <= 0 || self.retryPeriodSeconds * 3000 <= s)"
    );
    telling(condition, ".retryPeriodSeconds", message)
}
