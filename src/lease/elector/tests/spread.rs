//! When many holders renew.

use super::*;

const HOLDERS: u64 = 200;
const MINUTE: u64 = 60_000;
/// In milliseconds, as all times here.
const BUCKET: u64 = 100;

/// When a holder that began at 0 renews, until `end`; the API server answers it at once.
fn renewals(number: u64, end: u64) -> Vec<u64> {
    let identity = Identity::new(&format!("web-{number}"), &format!("uid-{number}"), number);
    let mut fixture = Fixture::holding_by(Candidate { identity, ..candidate() });
    let (mut now, mut sent) = (10, Vec::new());
    while now < end {
        let wakes_in = fixture.elector.wakes_in(at(now)).as_micros().div_ceil(1000);
        now += u64::try_from(wakes_in).expect("short");
        let outputs = fixture.tick(now);
        if put(&outputs).is_some() {
            fixture.store(now, &outputs);
            sent.push(now);
        }
    }
    sent
}

/// How many of all renewals fall into each tenth of a second from `from` to `to`.
fn buckets(from: u64, to: u64) -> Vec<u64> {
    let mut buckets = vec![0; usize::try_from((to - from) / BUCKET).expect("few")];
    for time in (0..HOLDERS).flat_map(|number| renewals(number, to)).filter(|time| (from..to).contains(time))
    {
        buckets[usize::try_from((time - from) / BUCKET).expect("few")] += 1;
    }
    buckets
}

/// Mean, variance and maximum. Renewals at random have a variance like the mean.
fn spread(buckets: &[u64]) -> (f64, f64, u64) {
    let number = |value: u64| f64::from(u32::try_from(value).expect("small"));
    let of_all = |sum: f64| sum / number(buckets.len() as u64);
    let mean = of_all(number(buckets.iter().sum()));
    let variance = of_all(buckets.iter().map(|count| (number(*count) - mean).powi(2)).sum());
    (mean, variance, buckets.iter().max().copied().unwrap_or(0))
}

#[test]
fn holders_that_began_together_renew_apart_after_a_minute() {
    let (mean, variance, most) = spread(&buckets(MINUTE, 11 * MINUTE));
    assert!(variance < 1.5 * mean, "mean {mean:.1}, variance {variance:.1}");
    assert!(most <= 30, "{most} of {HOLDERS} in one tenth of a second; {mean:.1} on average");
}
