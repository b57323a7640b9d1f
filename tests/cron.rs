//! Cron expressions beside the parser of Kubernetes' CronJob itself, robfig/cron v3, which `tests/cron/main.go` runs; in UTC.
//!
//! Needs Go. What differs on purpose is in `docs/schedule.md`, and is not written here.

use std::io::Write;
use std::iter::successors;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use jiff::Timestamp;
use singletonjob::controller::plan::schedule::calendar::Calendar;

const MANY: usize = 6000;
/// As many as `main.go` writes.
const TICKS: usize = 6;
/// How far robfig/cron looks ahead, and a day.
const LOOKED_AHEAD_SECONDS: i64 = 5 * 366 * 86_400;

/// What can be written into one field: its numbers, its names, and what its parser may make of them.
struct Field {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "feb", "MAR", "apr", "MAY", "jun", "JUL", "aug", "SEP", "oct", "NOV", "dec"];
const DAYS: [&str; 7] = ["SUN", "mon", "TUE", "wed", "THU", "fri", "SAT"];
const FIELDS: [Field; 5] = [
    Field { least: 0, most: 59, names: &[] },
    Field { least: 0, most: 23, names: &[] },
    Field { least: 1, most: 31, names: &[] },
    Field { least: 1, most: 12, names: &MONTHS },
    Field { least: 0, most: 6, names: &DAYS },
];

impl Field {
    fn value(&self, dice: &mut Rng) -> String {
        let value = dice.u32(self.least..=self.most);
        let place = usize::try_from(value - self.least).expect("small");
        match self.names.get(place) {
            Some(name) if dice.u8(0..4) == 0 => (*name).to_owned(),
            _ => value.to_string(),
        }
    }

    fn range(&self, dice: &mut Rng) -> String {
        let (one, other) = (dice.u32(self.least..=self.most), dice.u32(self.least..=self.most));
        // Now and then the wrong way round.
        if dice.u8(0..12) == 0 { format!("{one}-{other}") } else { format!("{}-{}", one.min(other), one.max(other)) }
    }

    fn item(&self, dice: &mut Rng) -> String {
        let start = match dice.u8(0..10) {
            0..=3 => "*".to_owned(),
            4 => "?".to_owned(),
            5..=7 => self.value(dice),
            _ => self.range(dice),
        };
        let step = dice.u32(1..=self.most);
        match dice.u8(0..8) {
            0 | 1 => format!("{start}/{step}"),
            2 => format!("{start}/1"),
            _ => start,
        }
    }

    fn text(&self, dice: &mut Rng) -> String {
        let count = if dice.u8(0..5) == 0 { dice.usize(2..=3) } else { 1 };
        (0..count).map(|_| self.item(dice)).collect::<Vec<_>>().join(",")
    }
}

/// Mostly right, and now and then with a mistake in it.
fn expression(dice: &mut Rng) -> String {
    let mut fields = FIELDS.iter().map(|field| field.text(dice)).collect::<Vec<_>>();
    let one = dice.usize(0..fields.len());
    match dice.u8(0..40) {
        0 => fields[one] = (FIELDS[one].most + 2).to_string(),
        1 => fields[one] = "3-1".into(),
        2 => fields[one] = "/3".into(),
        3 => fields[one] = "*/0".into(),
        4 => drop(fields.pop()),
        _ => {}
    }
    fields.join(" ")
}

/// `None` if it is refused.
fn by_us(cron: &str) -> Option<Vec<i64>> {
    let schedule = serde_json::from_value(serde_json::json!({"cron": cron})).expect("a schedule");
    let calendar = Calendar::read(&schedule).ok()?;
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let all: Vec<_> = successors(Some(begin), |tick| calendar.after(*tick)).take(TICKS + 1).map(Timestamp::as_second).collect();
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
    let seconds = |line: &str| line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    text.lines().map(|line| (line != "refused").then(|| seconds(line))).collect()
}

#[test]
fn thousands_of_expressions_mean_what_they_mean_in_a_cron_job() {
    let mut dice = Rng::with_seed(5);
    let all: Vec<_> = (0..MANY).map(|_| expression(&mut dice)).collect();
    let theirs = by_robfig(&all);
    assert_eq!(theirs.len(), all.len());
    let taken = theirs.iter().flatten().filter(|ticks| !ticks.is_empty()).count();
    assert!(taken > MANY / 2, "only {taken} of {MANY} have ticks");
    let differ: Vec<_> = all.iter().zip(theirs).filter(|(cron, theirs)| by_us(cron) != *theirs).collect();
    let some: Vec<_> = differ.iter().take(10).map(|(cron, theirs)| format!("{cron}: {:?}, and theirs {theirs:?}", by_us(cron))).collect();
    assert!(differ.is_empty(), "{} of {MANY} differ:\n{}", differ.len(), some.join("\n"));
}
