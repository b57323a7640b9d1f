//! Reads what the witness wrote, and judges it.
//!
//! # Guarantees
//! No violation is found only where, as far as the records go, at most one tenure's processes executed at any
//! moment, tokens rose with time, and every tenure was one start in one pod.
//!
//! # Not guaranteed
//! The last instruction is known to within a beat (about 50 us, more on a machine short of processors): an
//! overlap shorter than that cannot be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One process of a workload. All times are readings of `CLOCK_BOOTTIME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The fencing token it was started with.
    pub token: u128,
    /// Which run it was told.
    pub run: u32,
    /// Which attempt it was told.
    pub attempt: u32,
    /// What the agent started, or something that this one left behind in the background.
    pub is_main: bool,
    /// Name of the pod.
    pub pod: String,
    /// Which incarnation of the job it belongs to, as the test has it.
    pub label: String,
    /// First instruction.
    pub first: Duration,
    /// Last instruction.
    pub last: Duration,
    /// Signals that reached it, in order.
    pub signals: Vec<(i32, Duration)>,
    /// Its exit code and when it came to that, unless it was killed or still runs.
    pub exit: Option<(i32, Duration)>,
}

/// A file that no witness wrote, or not to its end yet.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Cannot be opened.
    #[error("reading the record {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The header is missing or broken.
    #[error("the record has no {0}: {1:?}")]
    Missing(&'static str, String),
}

impl Record {
    /// # Errors
    /// [`Unreadable`] where the file cannot be read or its header is not complete.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let bytes = std::fs::read(path).map_err(|error| Unreadable::File(path.to_owned(), error))?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (beat, text) =
            bytes.split_first_chunk::<8>().ok_or_else(|| Unreadable::Missing("beat", String::new()))?;
        let text = String::from_utf8_lossy(text);
        let mut lines = text.lines();
        let header = Line(lines.next().unwrap_or_default());
        let (signals, exit) = events(lines);
        let last = Duration::from_nanos(u64::from_le_bytes(*beat));
        let later = signals.iter().chain(&exit).map(|(_, at)| *at).max().unwrap_or_default();
        Ok(Self {
            token: header.number("token")?,
            run: header.number("run")?,
            attempt: header.number("attempt")?,
            is_main: header.word("kind")? == "main",
            pod: header.word("pod")?.to_owned(),
            label: header.word("label")?.to_owned(),
            first: Duration::from_nanos(header.number("first")?),
            last: last.max(later),
            signals,
            exit,
        })
    }
}

type Events = (Vec<(i32, Duration)>, Option<(i32, Duration)>);

fn events<'a>(lines: impl Iterator<Item = &'a str>) -> Events {
    let (mut signals, mut exit) = (Vec::new(), None);
    for line in lines.map(Line) {
        let Ok(at) = line.number("at").map(Duration::from_nanos) else { continue };
        signals.extend(line.number("signal").map(|signal| (signal, at)));
        exit = line.number("exit").map(|code| (code, at)).ok().or(exit);
    }
    (signals, exit)
}

struct Line<'a>(&'a str);

impl<'a> Line<'a> {
    fn word(&self, key: &'static str) -> Result<&'a str, Unreadable> {
        let mut words = self.0.split(' ').filter_map(|word| word.split_once('='));
        words
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .ok_or_else(|| Unreadable::Missing(key, self.0.to_owned()))
    }

    fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, Unreadable> {
        self.word(key)?.parse().map_err(|_| Unreadable::Missing(key, self.0.to_owned()))
    }
}

/// What the records of one token say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The fencing token.
    pub token: u128,
    /// Which run.
    pub run: u32,
    /// Which attempt.
    pub attempt: u32,
    /// Where it ran.
    pub pod: String,
    /// See [`Record::label`].
    pub label: String,
    /// First instruction of any of its processes.
    pub first: Duration,
    /// Last instruction of any of its processes.
    pub last: Duration,
    /// Last instruction of its first process.
    pub main_last: Duration,
    /// Signals that reached the main process.
    pub signals: Vec<(i32, Duration)>,
    /// How the main process ended, unless it was killed or still runs.
    pub exit: Option<(i32, Duration)>,
}

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two tenures executed at the same time, for this long.
    Overlap(u128, u128, Duration),
    /// A later tenure has a lower token.
    TokenFell(u128, u128),
    /// One token was given to more than one start.
    TokenShared(u128),
    /// A run was finished by both of these.
    FinishedTwice(u32, u128, u128),
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap(earlier, later, by) => {
                write!(out, "tokens {earlier} and {later} executed at the same time for {by:?}")
            }
            Self::TokenFell(earlier, later) => {
                write!(out, "token {later} began after token {earlier}, but is lower")
            }
            Self::TokenShared(token) => write!(out, "token {token} was given to more than one start"),
            Self::FinishedTwice(run, one, other) => {
                write!(out, "run {run} was finished by token {one} and by token {other}")
            }
        }
    }
}

/// The records of one Lease's workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(Vec<Record>);

impl Records {
    /// All that is in `directory`.
    ///
    /// # Errors
    /// [`Unreadable`]: records that cannot be read must not pass for silence.
    pub fn read(directory: &Path) -> Result<Self, Unreadable> {
        let entries =
            std::fs::read_dir(directory).map_err(|error| Unreadable::File(directory.to_owned(), error))?;
        let mut records = Vec::new();
        for entry in entries.flatten() {
            // Whatever does not begin with a token is none of ours: files by which a test speaks to the
            // witness.
            let is_record =
                entry.file_name().to_string_lossy().starts_with(|first: char| first.is_ascii_digit());
            // An empty file was made an instant ago: its process has not come to its first beat.
            if is_record && entry.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                records.push(Record::open(&entry.path())?);
            }
        }
        Ok(Self(records))
    }

    /// Every process, in no particular order.
    pub fn all(&self) -> &[Record] {
        &self.0
    }

    /// By first instruction.
    pub fn tenures(&self) -> Vec<Tenure> {
        let mut tokens: BTreeMap<u128, Vec<&Record>> = BTreeMap::new();
        for record in &self.0 {
            tokens.entry(record.token).or_default().push(record);
        }
        let mut tenures: Vec<_> = tokens.values().filter_map(|records| tenure(records)).collect();
        tenures.sort_by_key(|tenure| tenure.first);
        tenures
    }

    /// Everything that must never be, and was.
    pub fn violations(&self) -> Vec<Violation> {
        let tenures = self.tenures();
        let mut violations = shared(&self.0);
        violations.extend(overlaps(&tenures));
        violations.extend(falls(&tenures));
        violations.extend(finished_twice(&tenures));
        violations
    }
}

fn tenure(records: &[&Record]) -> Option<Tenure> {
    let main = records.iter().find(|record| record.is_main).or(records.first())?;
    Some(Tenure {
        token: main.token,
        run: main.run,
        attempt: main.attempt,
        pod: main.pod.clone(),
        label: main.label.clone(),
        first: records.iter().map(|record| record.first).min()?,
        last: records.iter().map(|record| record.last).max()?,
        main_last: main.last,
        signals: main.signals.clone(),
        exit: main.exit,
    })
}

fn shared(records: &[Record]) -> Vec<Violation> {
    let mut starts: BTreeMap<u128, BTreeSet<(&str, Option<Duration>)>> = BTreeMap::new();
    for record in records {
        let started = record.is_main.then_some(record.first);
        starts.entry(record.token).or_default().insert((&record.pod, started));
    }
    let many = |starts: &BTreeSet<(&str, Option<Duration>)>| {
        let pods: BTreeSet<_> = starts.iter().map(|(pod, _)| pod).collect();
        pods.len() > 1 || starts.iter().filter(|(_, started)| started.is_some()).count() > 1
    };
    starts
        .iter()
        .filter(|(_, starts)| many(starts))
        .map(|(token, _)| Violation::TokenShared(*token))
        .collect()
}

/// Against the one that ended last so far, not only the one before: a long tenure may cover several.
fn overlaps(tenures: &[Tenure]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut longest: Option<&Tenure> = None;
    for tenure in tenures {
        if let Some(earlier) = longest.filter(|earlier| earlier.last >= tenure.first) {
            let by = earlier.last.min(tenure.last).saturating_sub(tenure.first);
            violations.push(Violation::Overlap(earlier.token, tenure.token, by));
        }
        longest = longest.filter(|earlier| earlier.last >= tenure.last).or(Some(tenure));
    }
    violations
}

fn falls(tenures: &[Tenure]) -> impl Iterator<Item = Violation> + '_ {
    let pairs = tenures.iter().zip(tenures.iter().skip(1));
    pairs
        .filter(|(earlier, later)| later.token <= earlier.token)
        .map(|(earlier, later)| Violation::TokenFell(earlier.token, later.token))
}

fn finished_twice(tenures: &[Tenure]) -> Vec<Violation> {
    let mut finished: BTreeMap<(&str, u32), u128> = BTreeMap::new();
    let mut violations = Vec::new();
    for tenure in tenures.iter().filter(|tenure| tenure.exit.is_some_and(|(code, _)| code == 0)) {
        if let Some(before) = finished.insert((&tenure.label, tenure.run), tenure.token) {
            violations.push(Violation::FinishedTwice(tenure.run, before, tenure.token));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn ran(token: u128, first: u64, last: u64) -> Record {
        Record {
            token,
            run: 1,
            attempt: 1,
            is_main: true,
            pod: format!("rollup-{token}"),
            label: String::new(),
            first: ms(first),
            last: ms(last),
            signals: Vec::new(),
            exit: None,
        }
    }

    fn left_behind(of: &Record, last: u64) -> Record {
        Record { is_main: false, last: ms(last), ..of.clone() }
    }

    fn finished(record: Record) -> Record {
        Record { exit: Some((0, record.last)), ..record }
    }

    fn violations(records: impl Into<Vec<Record>>) -> Vec<Violation> {
        Records(records.into()).violations()
    }

    #[test]
    fn tenures_one_after_the_other_are_accepted() {
        assert_eq!(violations([ran(7, 0, 10), ran(9, 11, 20), finished(ran(12, 21, 30))]), []);
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        assert_eq!(violations([ran(9, 11, 20), ran(7, 0, 10)]), []);
    }

    #[test]
    fn two_tenures_at_the_same_time_are_rejected() {
        assert_eq!(violations([ran(7, 0, 10), ran(9, 8, 20)]), [Violation::Overlap(7, 9, ms(2))]);
    }

    #[test]
    fn the_same_instant_is_an_overlap() {
        assert_eq!(violations([ran(7, 0, 10), ran(9, 10, 20)]), [Violation::Overlap(7, 9, ms(0))]);
    }

    #[test]
    fn a_process_left_behind_in_the_background_is_an_overlap() {
        let old = ran(7, 0, 10);
        assert_eq!(
            violations([left_behind(&old, 15), old, ran(9, 11, 20)]),
            [Violation::Overlap(7, 9, ms(4))]
        );
    }

    #[test]
    fn a_tenure_that_outlives_its_successor_overlaps_with_the_one_after_too() {
        let found = violations([ran(7, 0, 100), ran(9, 10, 20), ran(11, 30, 40)]);
        assert_eq!(found, [Violation::Overlap(7, 9, ms(10)), Violation::Overlap(7, 11, ms(10))]);
    }

    #[test]
    fn a_workload_that_was_stopped_and_continued_later_is_an_overlap() {
        assert_eq!(
            violations([ran(7, 0, 30_001), ran(9, 15_000, 30_000)]),
            [Violation::Overlap(7, 9, ms(15_000))]
        );
    }

    #[test]
    fn a_token_that_falls_is_rejected() {
        assert_eq!(violations([ran(9, 0, 10), ran(7, 11, 20)]), [Violation::TokenFell(9, 7)]);
    }

    #[test]
    fn a_token_given_to_two_pods_is_rejected() {
        let elsewhere = Record { pod: "rollup-other".into(), ..ran(7, 11, 20) };
        assert_eq!(violations([ran(7, 0, 10), elsewhere]), [Violation::TokenShared(7)]);
    }

    #[test]
    fn a_token_given_to_two_starts_in_one_pod_is_rejected() {
        assert_eq!(violations([ran(7, 0, 10), ran(7, 11, 20)]), [Violation::TokenShared(7)]);
    }

    #[test]
    fn a_run_finished_twice_is_rejected() {
        let found = violations([finished(ran(7, 0, 10)), finished(ran(9, 11, 20))]);
        assert_eq!(found, [Violation::FinishedTwice(1, 7, 9)]);
    }

    #[test]
    fn an_attempt_that_failed_finishes_nothing() {
        let failed = Record { exit: Some((1, ms(10))), ..ran(7, 0, 10) };
        assert_eq!(violations([failed, finished(ran(9, 11, 20))]), []);
    }

    #[test]
    fn the_same_run_of_a_recreated_job_is_another_run() {
        let again = Record { label: "recreated".into(), ..ran(9, 11, 20) };
        assert_eq!(violations([finished(ran(7, 0, 10)), finished(again)]), []);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut bytes = 2_000_000_u64.to_le_bytes().to_vec();
        bytes.extend(
            b"token=7 run=2 attempt=3 kind=main pod=rollup-0 pid=8 first=1000000 label=\nsignal=15 at=1500000\nexit=143 at=2100000\n",
        );
        let record = Record::parse(&bytes).expect("a record");
        assert_eq!(
            (record.token, record.run, record.attempt, record.is_main, record.pod.as_str()),
            (7, 2, 3, true, "rollup-0")
        );
        assert_eq!(record.signals, [(15, Duration::from_micros(1500))]);
        assert_eq!(record.exit, Some((143, Duration::from_micros(2100))));
        assert_eq!(
            (record.first, record.last),
            (ms(1), Duration::from_micros(2100)),
            "the exit is the last instruction known"
        );
    }

    #[test]
    fn half_a_header_is_no_record() {
        assert!(Record::parse(b"12345678token=7 run=1").is_err());
        assert!(Record::parse(b"1234").is_err());
    }
}
