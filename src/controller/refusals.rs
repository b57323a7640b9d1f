//! Remembers what the API server refuses, and decides when the controller asks again.
//!
//! A quota, an admission policy or a webhook that refuses an object refuses it again a moment later. The
//! controller therefore asks after a pause that doubles, and at once where the user has changed the
//! SingletonJob. An API server that is too busy, or does not answer, refuses nothing: see
//! [`crate::controller::api_call::Failure::refuses`].

mod step;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::api_call::doubled;
use super::quote;
pub use step::Step;

/// The pause after the first refusal. It doubles with each that follows.
pub const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long after its pause the controller forgets a refusal. A SingletonJob that it has not reconciled by
/// then is gone.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// One request that the API server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the controller asked for.
    pub step: Step,
    /// Which pod or directives it was about. Empty if there is only one.
    pub subject: String,
    /// The API server's message.
    pub message: String,
}

/// Requests that the controller does not repeat yet, in the words of the first refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing(Vec<Refused>);

impl Standing {
    /// The refusal that still stands. `None` if the controller may ask.
    pub fn find(&self, step: Step, subject: &str) -> Option<&Refused> {
        self.0.iter().find(|refused| refused.step == step && refused.subject == subject)
    }

    /// Whether the controller asks for `step`, of which there is but one.
    pub fn is_asked(&self, step: Step) -> bool {
        self.find(step, "").is_none()
    }
}

/// The refusals about one SingletonJob.
#[derive(Debug)]
struct JobRefusals {
    asked: u64,
    refused: Vec<Repeated>,
}

#[derive(Clone, Debug)]
struct Repeated {
    refused: Refused,
    times: u32,
    again: Instant,
}

/// All refusals, by namespace and name of the SingletonJob.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<(String, String), JobRefusals>>);

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), JobRefusals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that the controller does not repeat yet. Empty if `asked` has changed: see [`asked`].
    pub fn standing(&self, key: &(String, String), asked: u64, now: Instant) -> Standing {
        let memories = self.lock();
        let memory = memories.get(key).filter(|memory| memory.asked == asked);
        let waits = memory.iter().flat_map(|memory| &memory.refused).filter(|repeated| repeated.again > now);
        Standing(waits.map(|repeated| repeated.refused.clone()).collect())
    }

    /// Remembers the `refused` requests, including `standing`, and forgets all others. Returns how long until
    /// the controller asks again. A refusal that differs only in ids and numbers keeps its first words, so
    /// that a repetition changes no status.
    pub fn note(
        &self,
        key: &(String, String),
        asked: u64,
        standing: &Standing,
        refused: &mut [Refused],
        now: Instant,
    ) -> Option<Duration> {
        let mut memories = self.lock();
        memories.retain(|_, memory| memory.refused.iter().any(|repeated| repeated.again + FORGOTTEN > now));
        let before = memories
            .remove(key)
            .filter(|memory| memory.asked == asked)
            .map_or_else(Vec::new, |memory| memory.refused);
        let after: Vec<_> =
            refused.iter_mut().map(|refused| repeated(&before, standing, refused, now)).collect();
        let next = after.iter().map(|repeated| repeated.again.saturating_duration_since(now)).min();
        if !after.is_empty() {
            memories.insert(key.clone(), JobRefusals { asked, refused: after });
        }
        next
    }
}

fn repeated(before: &[Repeated], standing: &Standing, refused: &mut Refused, now: Instant) -> Repeated {
    let known = before
        .iter()
        .find(|known| known.refused.step == refused.step && known.refused.subject == refused.subject);
    if let Some(known) = known
        && standing.find(refused.step, &refused.subject).is_some()
    {
        return known.clone();
    }
    if let Some(known) = known.filter(|known| quote::is_the_same(&known.refused.message, &refused.message)) {
        refused.message.clone_from(&known.refused.message);
    }
    let times = known.map_or(0, |known| known.times).saturating_add(1);
    Repeated { refused: refused.clone(), times, again: now + doubled(FIRST_PAUSE, times, LONGEST_PAUSE) }
}

/// A hash of what users change in an object: its spec, labels, annotations and deletion. Such a change wakes
/// the controller, and no other change of the object does.
pub fn asked(metadata: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    let ObjectMeta { uid, generation, labels, annotations, deletion_timestamp, .. } = metadata;
    (uid, generation, labels, annotations, deletion_timestamp.is_some()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (String, String) {
        ("shop".into(), "web".into())
    }

    fn quota() -> Refused {
        Refused { step: Step::MakePod, subject: String::new(), message: "exceeded quota".into() }
    }

    #[test]
    fn what_is_refused_is_asked_for_again_after_10_s_to_5_min() {
        let (refusals, mut now) = (Refusals::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(refusals.standing(&key(), 1, now), Standing::default());
            let pause = refusals.note(&key(), 1, &Standing::default(), &mut [quota()], now).expect("a pause");
            pauses.push(pause.as_secs());
            assert_eq!(refusals.standing(&key(), 1, now), Standing(vec![quota()]));
            now += pause;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_look_during_the_pause_neither_asks_nor_lengthens_it() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(&key(), 1, &Standing::default(), &mut [quota()], now);
        let later = now + Duration::from_secs(4);
        let standing = refusals.standing(&key(), 1, later);
        let left = refusals.note(&key(), 1, &standing, &mut [quota()], later);
        assert_eq!(left, Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_change_of_the_job_or_a_success_forgets_it() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(&key(), 1, &Standing::default(), &mut [quota()], now);
        assert_eq!(refusals.standing(&key(), 2, now), Standing::default(), "it was changed");
        assert_eq!(refusals.note(&key(), 1, &Standing::default(), &mut [], now), None);
        assert_eq!(refusals.standing(&key(), 1, now), Standing::default(), "it was taken");
    }

    #[test]
    fn other_numbers_are_no_other_words() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let said = |used: u32| Refused { message: format!("exceeded quota: used: pods={used}"), ..quota() };
        let (mut first, mut second) = ([said(1)], [said(2)]);
        refusals.note(&key(), 1, &Standing::default(), &mut first, now);
        refusals.note(&key(), 1, &Standing::default(), &mut second, now + FIRST_PAUSE);
        assert_eq!(second, first);
    }

    #[test]
    fn jobs_that_are_gone_are_forgotten() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(&key(), 1, &Standing::default(), &mut [quota()], now);
        refusals.note(
            &("shop".into(), "other".into()),
            1,
            &Standing::default(),
            &mut [],
            now + FIRST_PAUSE + FORGOTTEN,
        );
        assert!(refusals.lock().is_empty());
    }

    #[test]
    fn a_status_or_another_writer_asks_for_nothing() {
        let before =
            ObjectMeta { generation: Some(1), resource_version: Some("7".into()), ..ObjectMeta::default() };
        let after = ObjectMeta {
            resource_version: Some("8".into()),
            managed_fields: Some(Vec::new()),
            ..before.clone()
        };
        assert_eq!(asked(&before), asked(&after));
        let labelled = ObjectMeta { labels: Some(std::collections::BTreeMap::new()), ..before.clone() };
        assert_ne!(asked(&before), asked(&labelled));
    }
}
