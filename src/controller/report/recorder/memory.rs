//! Bounds the events about each object, so that the controller cannot fill etcd. The module is pure.
//!
//! The bounds are those of client-go: a burst, and then one event in five minutes. Each reason of each object
//! has its own burst, because a frequent reason must not silence a rare one. Events that differ only in names
//! and numbers are alike. After some of them, one Event counts the others, and quotes the last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use crate::controller::report::events::Event;

/// Events of one reason about one object before they are bounded. From client-go.
const BURST: u32 = 25;
/// After the burst, one event in this time. From client-go.
const REFILL: SignedDuration = SignedDuration::from_mins(5);
/// Events that are alike, within [`INTERVAL`], before one counts for all that follow. From client-go.
const MOST_ALIKE: u32 = 10;
/// So long after the last that was like it, an event is news. From client-go.
const INTERVAL: SignedDuration = SignedDuration::from_mins(10);
/// An object that was silent for so long has its whole burst again.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(5 * 25);

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It is written as an Event of its own.
    New(Count),
    /// An Event that is there counts it, and quotes it.
    Counted(Count),
    /// Nothing is written; the next that is written counts it.
    Withheld,
}

/// What one Event stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The name of the Event.
    pub name: String,
    /// How many events it stands for.
    pub count: i32,
    /// When the first of them happened.
    pub first: Timestamp,
}

/// What has been told, by the uid of the object and the event's reason.
#[derive(Debug, Default)]
pub struct Memory(HashMap<(String, &'static str), Told>);

#[derive(Debug)]
struct Told {
    left: u32,
    refilled: Timestamp,
    last: Timestamp,
    alike: HashMap<u64, Alike>,
}

#[derive(Debug)]
struct Alike {
    told: Option<Count>,
    note: u64,
    withheld: i32,
    events: u32,
    first: Timestamp,
    last: Timestamp,
}

impl Memory {
    /// Decides about `event`, which is about `subject`; a new Event gets `name`.
    pub fn tell(&mut self, subject: &str, event: &Event, name: String, now: Timestamp) -> Telling {
        self.0.retain(|_, told| now.duration_since(told.last) < FORGOTTEN);
        let fresh = Told { left: BURST, refilled: now, last: now, alike: HashMap::new() };
        let told = self.0.entry((subject.to_owned(), event.reason)).or_insert(fresh);
        told.refill(now);
        told.tell(event, name, now)
    }
}

impl Told {
    fn refill(&mut self, now: Timestamp) {
        while self.left < BURST && now.duration_since(self.refilled) >= REFILL {
            self.left += 1;
            self.refilled = self.refilled.saturating_add(REFILL).unwrap_or(now);
        }
        if self.left == BURST {
            self.refilled = now;
        }
        self.last = now;
        self.alike.retain(|_, alike| now.duration_since(alike.last) < INTERVAL);
    }

    fn tell(&mut self, event: &Event, name: String, now: Timestamp) -> Telling {
        let note = hash(event.note.as_str());
        let unheard = Alike { told: None, note, withheld: 0, events: 0, first: now, last: now };
        let alike = self.alike.entry(hash(&shape(event))).or_insert(unheard);
        alike.last = now;
        let Some(left) = self.left.checked_sub(1) else {
            alike.withheld = alike.withheld.saturating_add(1);
            return Telling::Withheld;
        };
        self.left = left;
        alike.tell(note, name, now)
    }
}

impl Alike {
    fn tell(&mut self, note: u64, name: String, now: Timestamp) -> Telling {
        let more = std::mem::take(&mut self.withheld).saturating_add(1);
        let is_repeated = self.note == note || self.events >= MOST_ALIKE || more > 1;
        self.note = note;
        if let Some(told) = &mut self.told
            && is_repeated
        {
            told.count = told.count.saturating_add(more);
            return Telling::Counted(told.clone());
        }
        let first = if more > 1 { self.first } else { now };
        self.events = self.events.saturating_add(1);
        Telling::New(self.told.insert(Count { name, count: more, first }).clone())
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

    fn tell(memory: &mut Memory, note: &str, seconds: i64) -> Telling {
        memory.tell("uid", &event(note), format!("e{seconds}"), at(seconds))
    }

    fn new(seconds: i64) -> Telling {
        Telling::New(Count { name: format!("e{seconds}"), count: 1, first: at(seconds) })
    }

    #[test]
    fn what_happens_seldom_is_told_as_it_is() {
        let mut memory = Memory::default();
        assert_eq!(tell(&mut memory, "attempt 1 begins in web-1", 0), new(0));
        assert_eq!(tell(&mut memory, "attempt 2 begins in web-2", 5), new(5));
        assert_eq!(tell(&mut memory, "attempt 2 begins in web-2", 5 + 600), new(605));
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut memory = Memory::default();
        assert_eq!(tell(&mut memory, "no standby is ready", 0), new(0));
        let counted = Telling::Counted(Count { name: "e0".into(), count: 2, first: at(0) });
        assert_eq!(tell(&mut memory, "no standby is ready", 5), counted);
    }

    #[test]
    fn a_loop_writes_a_burst_and_then_once_in_five_minutes() {
        let mut memory = Memory::default();
        let all: Vec<_> = (0..3000)
            .map(|second| tell(&mut memory, &format!("web-{second} is refused: used {second}"), second))
            .collect();
        let of = |is: fn(&Telling) -> bool| all.iter().filter(|telling| is(telling)).count();
        assert_eq!(of(|telling| matches!(telling, Telling::New(_))), 10);
        assert_eq!(of(|telling| *telling != Telling::Withheld), 25 + 9);
        let last = all
            .iter()
            .rev()
            .find_map(|telling| if let Telling::Counted(count) = telling { Some(count.count) } else { None });
        assert!(last.is_some_and(|count| (2690..=2991).contains(&count)), "{last:?}");
    }

    #[test]
    fn a_reason_that_comes_often_does_not_silence_another() {
        let mut memory = Memory::default();
        for second in 0..100 {
            tell(&mut memory, "attempt begins", second);
        }
        let failed = Event { reason: "RunFailed", ..event("run 7 failed") };
        assert!(matches!(memory.tell("uid", &failed, "f".into(), at(100)), Telling::New(_)));
        assert!(matches!(
            memory.tell("other", &event("attempt begins"), "o".into(), at(100)),
            Telling::New(_)
        ));
    }

    #[test]
    fn objects_that_are_silent_are_forgotten() {
        let mut memory = Memory::default();
        tell(&mut memory, "attempt begins", 0);
        memory.tell("other", &event("attempt begins"), "o".into(), at(7500));
        assert_eq!(memory.0.len(), 1);
    }
}
