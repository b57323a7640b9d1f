//! Computes the ticks of a cron expression in a time zone.
//!
//! The expression knows local times only. This module alone converts them to instants, so that each local
//! time happens exactly once. A local time that a clock change skips becomes the first instant after the gap.
//! A local time that comes twice becomes the first of the two.
//!
//! # Layout
//! `expression`: what is written. `field`: what may stand in each of its fields.

mod expression;
mod field;

use std::time::Duration;

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::schedule::Schedule;

/// Where no time zone is given.
pub const DEFAULT_ZONE: &str = "UTC";
/// The smallest step of time.
pub const MOMENT: Duration = Duration::from_nanos(1);

/// Ticks that are counted one by one; of a longer absence only the latest is looked for.
const MOST_COUNTED: u64 = 1000;
/// How far back the latest tick is looked for: of a controller that was away for longer, none is due.
const LONGEST_LOOK_BACK: SignedDuration = SignedDuration::from_hours(24 * 366 * 9);

/// Ticks that have passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The latest of them.
    pub latest: Option<Timestamp>,
    /// One before that.
    pub previous: Option<Timestamp>,
    /// How many come before the latest.
    pub earlier: u64,
    /// Whether there are more than were counted.
    pub more: bool,
}

/// All ticks of a schedule.
#[derive(Clone, Debug)]
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

impl Calendar {
    /// The ticks of `schedule`, by the time zones that this program was built with: the same in every
    /// cluster.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn read(schedule: &Schedule) -> Result<Self, String> {
        let cron = expression::read(&schedule.cron)?;
        let name = schedule.time_zone.as_deref().unwrap_or(DEFAULT_ZONE);
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| {
            format!("spec.schedule.timeZone: there is no time zone {name:?}; write a name of the IANA database, such as Europe/Stockholm, or UTC")
        })?;
        Ok(Self { cron, zone })
    }

    /// Reads `schedule` as [`read`](Self::read) does, and refuses it if it has no tick after `now`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn with_ticks_after(schedule: &Schedule, now: Timestamp) -> Result<Self, String> {
        let calendar = Self::read(schedule)?;
        if calendar.after(now).is_none() {
            return Err(format!(
                "spec.schedule.cron: {:?} never comes: write a day that its month has",
                schedule.cron
            ));
        }
        Ok(calendar)
    }

    /// The first tick after `instant`; `None` if there is none until 2199. To find that out takes two
    /// milliseconds of a processor.
    pub fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        let mut local = self.zone.to_datetime(instant);
        loop {
            local = self.cron.find_next_occurrence(&local, false).ok()?;
            // When clocks were put back, local times come again that have had their turn.
            let tick = self.first(local)?;
            if tick > instant {
                return Some(tick);
            }
        }
    }

    /// The ticks after `since` up to `now`. However many there are, this does not take long.
    pub fn due(&self, since: Timestamp, now: Timestamp) -> Due {
        let mut due = Due::default();
        for tick in self.between(since, now) {
            if due.earlier >= MOST_COUNTED {
                return Due { latest: self.latest(now), more: true, ..due };
            }
            due.earlier += u64::from(due.latest.is_some());
            due.previous = due.latest.replace(tick);
        }
        due
    }

    fn between(&self, since: Timestamp, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(since), |tick| self.after(*tick))
            .take_while(move |tick| *tick <= now)
    }

    /// The latest tick up to `now`; `None` if there is none in the nine years before.
    pub fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        // Looks back further and further: where ticks are dense it is near, and where it is far they are few.
        let since = |back: SignedDuration| now.checked_sub(back).unwrap_or(Timestamp::MIN);
        let further = std::iter::successors(Some(SignedDuration::from_hours(1)), |back| back.checked_mul(2));
        further
            .take_while(|back| *back < LONGEST_LOOK_BACK * 2)
            .find_map(|back| self.between(since(back), now).last())
    }

    /// When it is `local` for the first time, or would be.
    fn first(&self, local: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
            AmbiguousOffset::Gap { before, .. } => self.last_change(before.to_timestamp(local).ok()?),
        }
    }

    /// When clocks were last changed, at `instant` or before.
    fn last_change(&self, instant: Timestamp) -> Option<Timestamp> {
        self.zone.preceding(instant.checked_add(MOMENT).ok()?).next().map(|change| change.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calendar(cron: &str, zone: &str) -> Result<Calendar, String> {
        let schedule = serde_json::json!({"cron": cron, "timeZone": zone});
        Calendar::read(&serde_json::from_value(schedule).expect("a schedule"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// The next ticks, on the clocks of the zone.
    fn ticks(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let calendar = calendar(cron, zone).expect("a calendar");
        let all = std::iter::successors(calendar.after(at(after)), |tick| calendar.after(*tick)).take(count);
        all.map(|tick| tick.to_zoned(calendar.zone.clone()).strftime("%m-%d %H:%M%:z").to_string()).collect()
    }

    /// Around both changes of the clocks: what a local time becomes that is left out, that comes twice, and
    /// that is next to it.
    #[test]
    fn each_local_time_happens_once_when_clocks_are_changed() {
        let golden: [(&str, &str, &str, &[&str]); 14] = [
            (
                "30 2 * * *",
                "Europe/Stockholm",
                "2026-03-28T00:00:00Z",
                &["03-28 02:30+01:00", "03-29 03:00+02:00", "03-30 02:30+02:00"],
            ),
            (
                "30 2 * * *",
                "Europe/Stockholm",
                "2026-10-24T00:00:00Z",
                &["10-24 02:30+02:00", "10-25 02:30+02:00", "10-26 02:30+01:00"],
            ),
            (
                "*/30 * * * *",
                "Europe/Stockholm",
                "2026-03-29T00:29:00Z",
                &["03-29 01:30+01:00", "03-29 03:00+02:00", "03-29 03:30+02:00"],
            ),
            (
                "*/30 1-3 * * *",
                "Europe/Stockholm",
                "2026-10-24T23:45:00Z",
                &[
                    "10-25 02:00+02:00",
                    "10-25 02:30+02:00",
                    "10-25 03:00+01:00",
                    "10-25 03:30+01:00",
                    "10-26 01:00+01:00",
                ],
            ),
            (
                "30 2 * * *",
                "America/New_York",
                "2026-03-07T12:00:00Z",
                &["03-08 03:00-04:00", "03-09 02:30-04:00"],
            ),
            (
                "30 1 * * *",
                "America/New_York",
                "2026-10-31T12:00:00Z",
                &["11-01 01:30-04:00", "11-02 01:30-05:00"],
            ),
            (
                "0 * * * *",
                "America/New_York",
                "2026-11-01T04:30:00Z",
                &["11-01 01:00-04:00", "11-01 02:00-05:00", "11-01 03:00-05:00"],
            ),
            (
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T00:00:00Z",
                &["10-04 02:30+11:00", "10-05 02:15+11:00"],
            ),
            (
                "45 1 * * *",
                "Australia/Lord_Howe",
                "2026-04-03T12:00:00Z",
                &["04-04 01:45+11:00", "04-05 01:45+11:00", "04-06 01:45+10:30"],
            ),
            (
                "*/15 1 * * *",
                "Australia/Lord_Howe",
                "2026-04-04T14:40:00Z",
                &["04-05 01:45+11:00", "04-06 01:00+10:30"],
            ),
            (
                "0 0 * * *",
                "America/Sao_Paulo",
                "2018-11-03T12:00:00Z",
                &["11-04 01:00-02:00", "11-05 00:00-02:00"],
            ),
            (
                "0 0 * * *",
                "America/Santiago",
                "2026-09-05T12:00:00Z",
                &["09-06 01:00-03:00", "09-07 00:00-03:00"],
            ),
            (
                "0 0 * * *",
                "Pacific/Apia",
                "2011-12-29T12:00:00Z",
                &["12-31 00:00+14:00", "01-01 00:00+14:00"],
            ),
            ("30 2 * * *", "UTC", "2026-03-28T12:00:00Z", &["03-29 02:30+00:00", "03-30 02:30+00:00"]),
        ];
        for (cron, zone, after, expected) in golden {
            assert_eq!(ticks(cron, zone, after, expected.len()), expected, "{cron} in {zone} after {after}");
        }
    }

    #[test]
    fn an_expression_means_what_it_means_in_a_cron_job() {
        let golden: [(&str, &[&str]); 16] = [
            ("@hourly", &["01-01 01:00+00:00", "01-01 02:00+00:00"]),
            ("@midnight", &["01-02 00:00+00:00"]),
            ("@weekly", &["01-04 00:00+00:00"]),
            (
                "5/25 * * * *",
                &["01-01 00:05+00:00", "01-01 00:30+00:00", "01-01 00:55+00:00", "01-01 01:05+00:00"],
            ),
            ("0 12 * jan,MAR mon-wed", &["01-05 12:00+00:00", "01-06 12:00+00:00", "01-07 12:00+00:00"]),
            ("0 0 13 * FRI", &["01-02 00:00+00:00", "01-09 00:00+00:00", "01-13 00:00+00:00"]),
            ("0 0 ? * 0", &["01-04 00:00+00:00"]),
            ("0 0 * * SUN-SUN", &["01-04 00:00+00:00", "01-11 00:00+00:00"]),
            ("0 0 * * 0-sun", &["01-04 00:00+00:00", "01-11 00:00+00:00"]),
            ("?/20 * * * *", &["01-01 00:20+00:00", "01-01 00:40+00:00", "01-01 01:00+00:00"]),
            ("0 0 1 * */1", &["02-01 00:00+00:00", "03-01 00:00+00:00"]),
            ("0 0 */1 * 1", &["01-05 00:00+00:00", "01-12 00:00+00:00"]),
            ("0 0 *,1 * 1", &["01-05 00:00+00:00", "01-12 00:00+00:00"]),
            ("0 0 * * 5/1", &["01-02 00:00+00:00", "01-03 00:00+00:00", "01-09 00:00+00:00"]),
            ("0 0 29 2 *", &["02-29 00:00+00:00"]),
            ("0 0 L * *", &["01-31 00:00+00:00", "02-28 00:00+00:00"]),
        ];
        for (cron, expected) in golden {
            assert_eq!(ticks(cron, "UTC", "2026-01-01T00:00:00Z", expected.len()), expected, "{cron}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_write() {
        let table = [
            ("CRON_TZ=UTC 0 0 * * *", "UTC", "write the time zone into spec.schedule.timeZone"),
            ("tz=UTC 0 0 * * *", "UTC", "write the time zone into spec.schedule.timeZone"),
            ("0 0 * *", "UTC", "write five fields"),
            ("0 30 2 * * *", "UTC", "leave the seconds out: write \"30 2 * * *\""),
            ("0 0 0 * * * 2026", "UTC", "write five fields"),
            ("61 0 * * *", "UTC", "minute is 0 to 59, not 61"),
            ("0 20-24 * * *", "UTC", "hour is 0 to 23, not 24"),
            ("0 0 0 * *", "UTC", "day of month is 1 to 31, not 0"),
            ("0 0 * 13/2 *", "UTC", "month is 1 to 12 or jan to dec, not 13"),
            ("0 0 * * 1,8", "UTC", "day of week is 0 to 7 or sun to sat, not 8"),
            ("@every 1h", "UTC", "write \"0 * * * *\""),
            ("@every 6h", "UTC", "write \"0 */6 * * *\""),
            ("@every 90s", "UTC", "write the times of day"),
            ("@DAILY", "UTC", "write \"@daily\""),
            (" @daily", "UTC", "write \"@daily\""),
            ("0 0 * MON *", "UTC", "month is 1 to 12 or jan to dec, not MON"),
            ("0 0 * * JAN", "UTC", "day of week is 0 to 7 or sun to sat, not JAN"),
            ("+5 0 * * *", "UTC", "leave the + out"),
            ("0 0 * * +1", "UTC", "leave the + out"),
            ("/5 * * * *", "UTC", "write */5"),
            ("0 22-4 * * *", "UTC", "the range 22-4 ends before it begins"),
            ("0 0 * * FRI-MON", "UTC", "the range FRI-MON ends before it begins"),
            ("@reboot", "UTC", "write five fields"),
            ("", "UTC", "write five fields"),
            (", * * * *", "UTC", "write a value on each side of every comma"),
            ("0 1,,2 * * *", "UTC", "write a value on each side of every comma"),
            ("0 0 * * MON,", "UTC", "write a value on each side of every comma"),
            ("0 0 * * *", "Europe/Atlantis", "write a name of the IANA database"),
            ("0 0 * * *", "Local", "write a name of the IANA database"),
            ("0 0 * * *", "../etc/passwd", "write a name of the IANA database"),
        ];
        for (cron, zone, advice) in table {
            let refusal = calendar(cron, zone)
                .map(|calendar| calendar.after(at("2026-01-01T00:00:00Z")))
                .expect_err(cron);
            assert!(refusal.contains(advice), "{cron}: {refusal}");
        }
    }

    #[test]
    fn what_never_happens_has_no_next_tick() {
        for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            assert_eq!(
                calendar(never, "UTC").expect("it can be read").after(at("2026-01-01T00:00:00Z")),
                None
            );
        }
    }

    #[test]
    fn a_schedule_is_refused_if_none_of_its_ticks_is_still_to_come() {
        let read = |cron: &str, now: &str| {
            let schedule = serde_json::from_value(serde_json::json!({"cron": cron})).expect("a schedule");
            Calendar::with_ticks_after(&schedule, at(now)).map(|calendar| calendar.latest(at(now)))
        };
        assert_eq!(
            read("0 0 30 2 *", "2026-01-01T00:00:00Z"),
            Err("spec.schedule.cron: \"0 0 30 2 *\" never comes: write a day that its month has".to_owned())
        );
        assert_eq!(read("0 0 29 2 *", "2026-01-01T00:00:00Z"), Ok(Some(at("2024-02-29T00:00:00Z"))));
        assert_eq!(read("@hourly", "2026-01-01T00:00:00Z"), Ok(Some(at("2026-01-01T00:00:00Z"))));
    }

    /// A field of cron, of `least..=most`.
    fn field(least: u8, most: u8) -> impl Strategy<Value = String> {
        let value = least..=most;
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => value.clone().prop_map(|value| value.to_string()),
            1 => (1_u8..=most).prop_map(|step| format!("*/{step}")),
            1 => (value.clone(), value).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
        ]
    }

    fn zone() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "Europe/Stockholm",
            "America/New_York",
            "Australia/Lord_Howe",
            "America/Santiago",
            "Africa/Casablanca",
            "Asia/Kathmandu",
            "UTC",
            "Pacific/Apia",
            "Antarctica/Troll",
            "Asia/Gaza",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ticks_increase_and_every_local_time_that_matches_has_exactly_one(
            minute in field(0, 59), hour in field(0, 23), day in field(1, 28), weekday in field(0, 6), zone in zone(),
            second in 1_262_304_000_i64..2_000_000_000, before in 0_i64..86_400,
        ) {
            let calendar = calendar(&format!("{minute} {hour} {day} * {weekday}"), zone).expect("a calendar");
            let some = Timestamp::from_second(second).expect("valid");
            let change = calendar.zone.following(some).next().map_or(some, |change| change.timestamp());
            let (start, end) = (change - SignedDuration::from_secs(before), change + SignedDuration::from_hours(26));
            let all = std::iter::successors(calendar.after(start), |tick| calendar.after(*tick));
            let ticks: Vec<_> = all.take_while(|tick| *tick <= end).collect();
            prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(ticks, by_counting(&calendar, start, end));
        }
    }

    /// All ticks, found by looking at a clock on the wall: one that has matched since it was last looked at,
    /// and shows what it has not shown before.
    fn by_counting(calendar: &Calendar, start: Timestamp, end: Timestamp) -> Vec<Timestamp> {
        let minute = SignedDuration::from_mins(1);
        let begin = start - SignedDuration::from_hours(3);
        let begin = Timestamp::from_second(begin.as_second().div_euclid(60) * 60).expect("valid");
        let mut latest = calendar.zone.to_datetime(begin);
        let mut found = Vec::new();
        for now in std::iter::successors(Some(begin), |now| Some(*now + minute)).take_while(|now| *now <= end)
        {
            let shown = calendar.zone.to_datetime(now);
            let fresh = std::iter::successors(Some(latest + minute), |local| Some(*local + minute))
                .take_while(|local| *local <= shown);
            let matches = fresh.filter(|local| calendar.cron.is_time_matching(local).expect("valid")).count();
            latest = latest.max(shown);
            if matches > 0 && now > start {
                found.push(now);
            }
        }
        found
    }
}
