//! Cron expressions beside the parser of Kubernetes' CronJob itself, robfig/cron v3, which
//! `tests/cron/main.go` runs; in UTC.
//!
//! Needs Go. What differs on purpose is in the table of `docs/schedule.md`.

use std::io::Write;
use std::iter::successors;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use jiff::Timestamp;
use singletonjob::api::checks::calendar::Calendar;

const MANY: usize = 6000;
/// As many as `main.go` writes.
const TICKS: usize = 6;
/// How far robfig/cron looks ahead, and a day.
const LOOKED_AHEAD_SECONDS: i64 = 5 * 366 * 86_400;

/// What can be written into one field: its numbers and its names.
struct Field {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { least: 0, most: 59, names: &[] },
    Field { least: 0, most: 23, names: &[] },
    Field { least: 1, most: 31, names: &[] },
    Field { least: 1, most: 12, names: &MONTHS },
    Field { least: 0, most: 6, names: &DAYS },
];
/// Steps beyond every field: around what two bytes hold, and around what robfig/cron takes.
const LONG_STEPS: [&str; 5] = ["65535", "65536", "99999", "9223372036854775807", "9223372036854775808"];
/// Items that are wrong in some field or in all.
#[rustfmt::skip]
const MISTAKES: [&str; 40] = [
    "3-1", "/3", "*/", "*/0", "*/-1", "*/2/2", "*/x", "*/mon", "1-2-3", "1--2", "5-", "-5", "-", "1-*", "*5", "5*", "**", "*?",
    "1.5", "0x5", "1_0", "\u{661}", "99999999999999999999", "*-5", "?-5", "*-x/2", "+5", "*/+5", "1-+5",
    "1jan", "jan1", "1MON", "Mon2", "january", "monday", "Jan-5", "5-Dec", "tue-6", "SUN-sun", "jan-mon",
];
const NICKNAMES: [&str; 9] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@midnight", "@hourly", "@Daily", " @daily", "@reboot"];
/// What one of the two takes, as the table "Coming from a CronJob" has it; with an expression, and whether a
/// CronJob is the one that takes it.
const TAKEN_BY_ONE: [(&str, &str, bool); 11] = [
    ("`@every 1h`", "@every 1h", true),
    ("`1,,2`", "0 1,,2 * * *", true),
    ("`+5`", "+5 * * * *", true),
    ("`+5`", "*/+5 * * * *", true),
    ("`*-5`", "*-5 * * * *", true),
    ("`*-5`", "0 ?-x * * *", true),
    ("Sunday as 7", "0 0 * * 5-7", false),
    ("`L`", "0 0 L * *", false),
    ("`W`", "0 0 15W * *", false),
    ("`#`", "0 0 * * FRI#2", false),
    ("`L`", "0 0 * * FRIL", false),
];

impl Field {
    fn value(&self, rng: &mut Rng) -> u32 {
        rng.u32(self.least..=self.most)
    }

    /// By its name or its number.
    fn spelt(&self, value: u32, rng: &mut Rng) -> String {
        let place = usize::try_from(value - self.least).expect("small");
        match self.names.get(place) {
            Some(name) if rng.u8(0..3) == 0 => mixed_case(name, rng),
            _ if rng.u8(0..20) == 0 => format!("00{value}"),
            _ => value.to_string(),
        }
    }

    /// Now and then of one value only, or the wrong way round.
    fn range(&self, rng: &mut Rng) -> String {
        let (one, other) = (self.value(rng), self.value(rng));
        let (first, last) = match rng.u8(0..12) {
            0 => (one, other),
            1 | 2 => (one, one),
            _ => (one.min(other), one.max(other)),
        };
        format!("{}-{}", self.spelt(first, rng), self.spelt(last, rng))
    }

    fn step(&self, rng: &mut Rng) -> String {
        match rng.u8(0..12) {
            0 => LONG_STEPS[rng.usize(0..LONG_STEPS.len())].to_owned(),
            1 => rng.u32(self.most..200).to_string(),
            2..=4 => "1".to_owned(),
            _ => rng.u32(1..=self.most).to_string(),
        }
    }

    fn item(&self, rng: &mut Rng) -> String {
        let start = match rng.u8(0..10) {
            0..=3 => "*".to_owned(),
            4 => "?".to_owned(),
            5..=7 => self.spelt(self.value(rng), rng),
            _ => self.range(rng),
        };
        if rng.u8(0..8) < 3 { format!("{start}/{}", self.step(rng)) } else { start }
    }

    fn text(&self, rng: &mut Rng) -> String {
        let count = if rng.u8(0..5) == 0 { rng.usize(2..=3) } else { 1 };
        (0..count).map(|_| self.item(rng)).collect::<Vec<_>>().join(",")
    }
}

fn mixed_case(name: &str, rng: &mut Rng) -> String {
    name.chars().map(|letter| if rng.bool() { letter.to_ascii_uppercase() } else { letter }).collect()
}

/// An item that is right in another field, or nowhere.
fn mistake(rng: &mut Rng) -> String {
    match rng.u8(0..4) {
        0 => mixed_case(MONTHS[rng.usize(0..MONTHS.len())], rng),
        1 => mixed_case(DAYS[rng.usize(0..DAYS.len())], rng),
        _ => MISTAKES[rng.usize(0..MISTAKES.len())].to_owned(),
    }
}

/// Mostly right, and now and then with a mistake in it.
fn expression(rng: &mut Rng) -> String {
    let mut fields = FIELDS.iter().map(|field| field.text(rng)).collect::<Vec<_>>();
    let one = rng.usize(0..fields.len());
    match rng.u8(0..40) {
        0 => fields[one] = (FIELDS[one].most + 2).to_string(),
        1 => drop(fields.remove(one)),
        2 => fields = vec![NICKNAMES[rng.usize(0..NICKNAMES.len())].to_owned()],
        3..=5 => fields[one] = mistake(rng),
        6 | 7 => fields[one] = format!("{},{}", fields[one], mistake(rng)),
        _ => {}
    }
    fields.join([" ", "  ", "\t"][rng.usize(0..3)])
}

/// Of what is made up here, all that only a CronJob takes.
fn is_refused_on_purpose(cron: &str) -> bool {
    ["+", "*-", "?-"].iter().any(|only_theirs| cron.contains(only_theirs))
}

/// `None` if it is refused.
fn by_us(cron: &str) -> Option<Vec<i64>> {
    let schedule = serde_json::from_value(serde_json::json!({"cron": cron})).expect("a schedule");
    let calendar = Calendar::read(&schedule).ok()?;
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let all: Vec<_> = successors(Some(begin), |tick| calendar.after(*tick))
        .take(TICKS + 1)
        .map(Timestamp::as_second)
        .collect();
    let near = all.windows(2).take_while(|pair| pair[1] - pair[0] < LOOKED_AHEAD_SECONDS);
    Some(near.map(|pair| pair[1]).collect())
}

fn by_robfig(all: &[String]) -> Vec<Option<Vec<i64>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cron");
    let mut go = Command::new("go")
        .args(["run", "."])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Go is installed; CONTRIBUTING.md says what is needed");
    let mut input = go.stdin.take().expect("piped");
    let text = all.join("\n");
    let writes = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = go.wait_with_output().expect("it ends");
    writes.join().expect("no panic").expect("it reads to the end");
    assert!(output.status.success(), "go run failed");
    let text = String::from_utf8(output.stdout).expect("numbers");
    let seconds =
        |line: &str| line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    text.lines().map(|line| (line != "refused").then(|| seconds(line))).collect()
}

/// Another one with `SEED=`.
fn seed() -> u64 {
    std::env::var("SEED").map_or(5, |seed| seed.parse().expect("SEED is a number"))
}

#[test]
fn thousands_of_expressions_mean_what_they_mean_in_a_cron_job() {
    let mut rng = Rng::with_seed(seed());
    let all: Vec<_> = (0..MANY).map(|_| expression(&mut rng)).collect();
    let theirs = by_robfig(&all);
    assert_eq!(theirs.len(), all.len());
    let taken = theirs.iter().flatten().filter(|ticks| !ticks.is_empty()).count();
    assert!(taken > MANY / 2, "only {taken} of {MANY} have ticks");
    let differ = |cron: &str, theirs: &Option<_>| {
        if is_refused_on_purpose(cron) { by_us(cron).is_some() } else { by_us(cron) != *theirs }
    };
    let differ: Vec<_> = all.iter().zip(theirs).filter(|(cron, theirs)| differ(cron, theirs)).collect();
    let some: Vec<_> = differ
        .iter()
        .take(10)
        .map(|(cron, theirs)| format!("{cron}: {:?}, and theirs {theirs:?}", by_us(cron)))
        .collect();
    assert!(differ.is_empty(), "{} of {MANY} differ:\n{}", differ.len(), some.join("\n"));
}

#[test]
fn what_only_one_of_the_two_takes_is_in_the_table() {
    let page = include_str!("../../docs/schedule.md");
    let (_, table) = page.split_once("## Coming from a CronJob").expect("the table");
    let theirs = by_robfig(&TAKEN_BY_ONE.map(|(_, cron, _)| cron.to_owned()));
    for ((row, cron, is_theirs), theirs) in TAKEN_BY_ONE.into_iter().zip(theirs) {
        assert!(table.contains(row), "no row has {row}");
        assert_eq!((theirs.is_some(), by_us(cron).is_some()), (is_theirs, !is_theirs), "{cron}");
    }
}
