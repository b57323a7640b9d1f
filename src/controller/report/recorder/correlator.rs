//! Bounds the events about each object, so that the controller cannot fill etcd. The module is pure.
//!
//! The correlator has the bounds of client-go's: a burst, and then one event in five minutes. Each reason of
//! each object has its own burst, because a frequent reason must not silence a rare one. Events that differ
//! only in names and numbers are similar. After some of them, one Event counts the others, and quotes the
//! last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use crate::controller::report::events::Event;

/// Events of one reason about one object before they are bounded. From client-go.
const BURST: u32 = 25;
/// After the burst, one event in this time. From client-go.
const REFILL: SignedDuration = SignedDuration::from_mins(5);
/// Similar events, within [`INTERVAL`], before one counts for all that follow. From client-go.
const MOST_SIMILAR: u32 = 10;
/// An event that comes so long after the last similar one is news. From client-go.
const INTERVAL: SignedDuration = SignedDuration::from_mins(10);
/// An object about which the controller told nothing for so long has its whole burst again.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(5 * 25);

/// What the recorder does with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The recorder creates an Event of its own for it.
    Create(Series),
    /// An existing Event counts it, and quotes it.
    Count(Series),
    /// The recorder writes nothing. The next Event that it writes counts this one.
    Withhold,
}

/// The events that one Event stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The name of the Event.
    pub name: String,
    /// How many events it stands for.
    pub count: i32,
    /// When the first of them happened.
    pub first: Timestamp,
}

/// What the recorder has written, by the uid of the object and the event's reason.
#[derive(Debug, Default)]
pub struct Correlator(HashMap<(String, &'static str), Bucket>);

/// The events of one reason about one object.
#[derive(Debug)]
struct Bucket {
    left: u32,
    refilled: Timestamp,
    last: Timestamp,
    similar: HashMap<u64, Similar>,
}

/// The events of a bucket that differ only in names and numbers.
#[derive(Debug)]
struct Similar {
    series: Option<Series>,
    note: u64,
    withheld: i32,
    events: u32,
    first: Timestamp,
    last: Timestamp,
}

impl Correlator {
    /// Decides about `event`, which is about the object `uid`. A new Event gets `name`.
    pub fn decide(&mut self, uid: &str, event: &Event, name: String, now: Timestamp) -> Decision {
        self.0.retain(|_, bucket| now.duration_since(bucket.last) < FORGOTTEN);
        let full = Bucket { left: BURST, refilled: now, last: now, similar: HashMap::new() };
        let bucket = self.0.entry((uid.to_owned(), event.reason)).or_insert(full);
        bucket.refill(now);
        bucket.decide(event, name, now)
    }
}

impl Bucket {
    fn refill(&mut self, now: Timestamp) {
        while self.left < BURST && now.duration_since(self.refilled) >= REFILL {
            self.left += 1;
            self.refilled = self.refilled.saturating_add(REFILL).unwrap_or(now);
        }
        if self.left == BURST {
            self.refilled = now;
        }
        self.last = now;
        self.similar.retain(|_, similar| now.duration_since(similar.last) < INTERVAL);
    }

    fn decide(&mut self, event: &Event, name: String, now: Timestamp) -> Decision {
        let note = hash(event.note.as_str());
        let unheard = Similar { series: None, note, withheld: 0, events: 0, first: now, last: now };
        let similar = self.similar.entry(hash(&shape(event))).or_insert(unheard);
        similar.last = now;
        let Some(left) = self.left.checked_sub(1) else {
            similar.withheld = similar.withheld.saturating_add(1);
            return Decision::Withhold;
        };
        self.left = left;
        similar.decide(note, name, now)
    }
}

impl Similar {
    fn decide(&mut self, note: u64, name: String, now: Timestamp) -> Decision {
        let more = std::mem::take(&mut self.withheld).saturating_add(1);
        let is_repeated = self.note == note || self.events >= MOST_SIMILAR || more > 1;
        self.note = note;
        if let Some(series) = &mut self.series
            && is_repeated
        {
            series.count = series.count.saturating_add(more);
            return Decision::Count(series.clone());
        }
        let first = if more > 1 { self.first } else { now };
        self.events = self.events.saturating_add(1);
        Decision::Create(self.series.insert(Series { name, count: more, first }).clone())
    }
}

/// What is left of an event without names and numbers: words of letters alone.
fn shape(event: &Event) -> (bool, Vec<&str>) {
    let words =
        event.note.split_whitespace().map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation()));
    (event.warning, words.filter(|word| word.chars().all(char::is_alphabetic)).collect())
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("valid")
    }

    fn event(note: &str) -> Event {
        Event { reason: "WorkloadStarted", warning: false, note: note.to_owned(), pod: None }
    }

    fn tell(correlator: &mut Correlator, note: &str, seconds: i64) -> Decision {
        correlator.decide("uid", &event(note), format!("e{seconds}"), at(seconds))
    }

    fn new(seconds: i64) -> Decision {
        Decision::Create(Series { name: format!("e{seconds}"), count: 1, first: at(seconds) })
    }

    #[test]
    fn what_happens_seldom_is_told_as_it_is() {
        let mut correlator = Correlator::default();
        assert_eq!(tell(&mut correlator, "attempt 1 begins in web-1", 0), new(0));
        assert_eq!(tell(&mut correlator, "attempt 2 begins in web-2", 5), new(5));
        assert_eq!(tell(&mut correlator, "attempt 2 begins in web-2", 5 + 600), new(605));
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut correlator = Correlator::default();
        assert_eq!(tell(&mut correlator, "no standby is ready", 0), new(0));
        let counted = Decision::Count(Series { name: "e0".into(), count: 2, first: at(0) });
        assert_eq!(tell(&mut correlator, "no standby is ready", 5), counted);
    }

    #[test]
    fn a_loop_writes_a_burst_and_then_once_in_five_minutes() {
        let mut correlator = Correlator::default();
        let all: Vec<_> = (0..3000)
            .map(|second| tell(&mut correlator, &format!("web-{second} is refused: used {second}"), second))
            .collect();
        let of = |is: fn(&Decision) -> bool| all.iter().filter(|decision| is(decision)).count();
        assert_eq!(of(|decision| matches!(decision, Decision::Create(_))), 10);
        assert_eq!(of(|decision| *decision != Decision::Withhold), 25 + 9);
        let last = all.iter().rev().find_map(|decision| {
            if let Decision::Count(count) = decision { Some(count.count) } else { None }
        });
        assert!(last.is_some_and(|count| (2690..=2991).contains(&count)), "{last:?}");
    }

    #[test]
    fn a_reason_that_comes_often_does_not_silence_another() {
        let mut correlator = Correlator::default();
        for second in 0..100 {
            tell(&mut correlator, "attempt begins", second);
        }
        let failed = Event { reason: "RunFailed", ..event("run 7 failed") };
        assert!(matches!(correlator.decide("uid", &failed, "f".into(), at(100)), Decision::Create(_)));
        assert!(matches!(
            correlator.decide("other", &event("attempt begins"), "o".into(), at(100)),
            Decision::Create(_)
        ));
    }

    #[test]
    fn objects_that_are_silent_are_forgotten() {
        let mut correlator = Correlator::default();
        tell(&mut correlator, "attempt begins", 0);
        correlator.decide("other", &event("attempt begins"), "o".into(), at(7500));
        assert_eq!(correlator.0.len(), 1);
    }
}
