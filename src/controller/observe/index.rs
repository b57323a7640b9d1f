//! A cache that finds objects by what they are about. A look at one SingletonJob therefore costs the same,
//! however many objects the cluster has.
//!
//! A cache keeps of each object only an [`Entry`]: the part that the controller reads.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;

/// Namespace and name.
pub type Key = (String, String);

/// What a cache keeps of one object.
pub trait Entry: PartialEq + Sized {
    /// The kind of the objects.
    type Object: Resource<DynamicType = ()>;

    /// Reads what `object` is about, and what the cache keeps of it. `None` if the controller reads nothing of
    /// it.
    fn read(object: &Self::Object) -> Option<(Key, Self)>;
}

/// What an event of the watch has changed in a cache.
#[derive(Debug, PartialEq)]
pub struct Change<E> {
    /// What the object is about.
    pub about: Key,
    /// The entry before. `None` if there was none.
    pub before: Option<Arc<E>>,
    /// The entry now. `None` if there is none any more.
    pub now: Option<Arc<E>>,
}

/// The entries of all objects of one kind, by what the objects are about.
#[derive(Debug)]
pub struct Index<E> {
    contents: Arc<RwLock<Contents<E>>>,
    listed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Contents<E> {
    /// What each object is about, by its own namespace and name.
    objects: HashMap<Key, Key>,
    /// The entries, by what they are about and by the names of their objects.
    entries: HashMap<Key, BTreeMap<String, Arc<E>>>,
    /// The objects that a list has returned so far. `None` between two lists.
    returned: Option<HashSet<Key>>,
}

impl<E> Clone for Index<E> {
    fn clone(&self) -> Self {
        Self { contents: self.contents.clone(), listed: self.listed.clone() }
    }
}

impl<E> Default for Index<E> {
    fn default() -> Self {
        let contents = Contents { objects: HashMap::new(), entries: HashMap::new(), returned: None };
        Self { contents: Arc::new(RwLock::new(contents)), listed: watch::Sender::new(false) }
    }
}

impl<E: Entry> Index<E> {
    /// The entries about `key`, by the names of their objects.
    pub fn about(&self, key: &Key) -> Vec<Arc<E>> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.entries.get(key).map(|entries| entries.values().cloned().collect()).unwrap_or_default()
    }

    /// The entry about `key` whose object has the name `name`.
    pub fn get(&self, key: &Key, name: &str) -> Option<Arc<E>> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.entries.get(key)?.get(name).cloned()
    }

    /// All entries.
    pub fn all(&self) -> Vec<Arc<E>> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.entries.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Waits until the watch has listed all objects.
    pub async fn until_listed(&self) {
        // The index itself keeps the sender, so that this does not fail.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// Takes an event of the watch. Returns about what it says something new: an object that the list of a
    /// watch that was interrupted no longer returns is gone.
    pub fn apply(&self, event: &Event<E::Object>) -> Vec<Key> {
        self.changes(event).into_iter().map(|change| change.about).collect()
    }

    /// Takes an event of the watch, as [`Index::apply`] does. Returns what it has changed.
    pub fn changes(&self, event: &Event<E::Object>) -> Vec<Change<E>> {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => contents.begin_list(),
            Event::InitApply(object) => return contents.returned(object),
            Event::InitDone => {
                let gone = contents.end_list();
                self.listed.send_replace(true);
                return gone;
            }
            Event::Apply(object) => return contents.put(object),
            Event::Delete(object) => return contents.remove(&own_key(object)).into_iter().collect(),
        }
        Vec::new()
    }
}

impl<E: Entry> Contents<E> {
    fn begin_list(&mut self) {
        self.returned = Some(HashSet::new());
    }

    fn returned(&mut self, object: &E::Object) -> Vec<Change<E>> {
        if let Some(returned) = &mut self.returned {
            returned.insert(own_key(object));
        }
        self.put(object)
    }

    fn end_list(&mut self) -> Vec<Change<E>> {
        let returned = self.returned.take().unwrap_or_default();
        let gone: Vec<_> = self.objects.keys().filter(|own| !returned.contains(*own)).cloned().collect();
        gone.iter().filter_map(|own| self.remove(own)).collect()
    }

    /// Replaces the entry of `object`. Returns what that has changed, which are two entries if the object is
    /// now about something else.
    fn put(&mut self, object: &E::Object) -> Vec<Change<E>> {
        let own = own_key(object);
        let Some((about, entry)) = E::read(object) else { return self.remove(&own).into_iter().collect() };
        let moved = if self.objects.get(&own) == Some(&about) { None } else { self.remove(&own) };
        let known = self.entries.entry(about.clone()).or_default();
        let before = known.get(&own.1).cloned();
        let is_news = before.as_ref().is_none_or(|before| **before != entry);
        let changed = is_news.then(|| {
            let now = Arc::new(entry);
            known.insert(own.1.clone(), now.clone());
            self.objects.insert(own, about.clone());
            Change { about, before, now: Some(now) }
        });
        moved.into_iter().chain(changed).collect()
    }

    fn remove(&mut self, own: &Key) -> Option<Change<E>> {
        let about = self.objects.remove(own)?;
        let entries = self.entries.get_mut(&about)?;
        let before = entries.remove(&own.1);
        if entries.is_empty() {
            self.entries.remove(&about);
        }
        Some(Change { about, before, now: None })
    }
}

/// The namespace and name of `object` itself.
pub fn own_key(object: &impl Resource) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    /// The value of a label, of a ConfigMap that has one that says what it is about.
    #[derive(Debug, PartialEq)]
    struct Value(String);

    impl Entry for Value {
        type Object = ConfigMap;

        fn read(object: &ConfigMap) -> Option<(Key, Self)> {
            let label = |name: &str| object.labels().get(name).cloned();
            Some((("n".to_owned(), label("about")?), Self(label("value").unwrap_or_default())))
        }
    }

    fn map(name: &str, about: &str, value: &str) -> ConfigMap {
        let labels = json!({"about": about, "value": value});
        serde_json::from_value(json!({"metadata": {"namespace": "n", "name": name, "labels": labels}}))
            .expect("a ConfigMap")
    }

    fn key(about: &str) -> Key {
        ("n".to_owned(), about.to_owned())
    }

    fn values(index: &Index<Value>, about: &str) -> Vec<String> {
        index.about(&key(about)).iter().map(|value| value.0.clone()).collect()
    }

    #[test]
    fn objects_are_found_by_what_they_are_about_in_the_order_of_names() {
        let index = Index::default();
        for object in [map("b", "web", "2"), map("c", "job", "3"), map("a", "web", "1")] {
            index.apply(&Event::Apply(object));
        }
        assert_eq!(
            (values(&index, "web"), values(&index, "job")),
            (vec!["1".into(), "2".into()], vec!["3".into()])
        );
        assert_eq!(values(&index, "none"), Vec::<String>::new());
    }

    #[test]
    fn only_what_is_new_is_told_and_a_move_concerns_both() {
        let index = Index::default();
        let told = |object| index.apply(&Event::Apply(object));
        assert_eq!(told(map("a", "web", "1")), [key("web")]);
        assert_eq!(told(map("a", "web", "1")), []);
        assert_eq!(told(map("a", "web", "2")), [key("web")]);
        assert_eq!(told(map("a", "job", "2")), [key("web"), key("job")]);
        assert_eq!(index.apply(&Event::Delete(map("a", "any", "any"))), [key("job")]);
        assert_eq!(values(&index, "job"), Vec::<String>::new());
    }

    #[test]
    fn what_a_later_list_no_longer_returns_is_gone_and_told() {
        let index = Index::<Value>::default();
        let list = |objects: [ConfigMap; 1]| {
            let events =
                [Event::Init].into_iter().chain(objects.map(Event::InitApply)).chain([Event::InitDone]);
            events.flat_map(|event| index.apply(&event)).collect::<Vec<_>>()
        };
        assert_eq!(list([map("a", "web", "1")]), [key("web")]);
        assert_eq!(list([map("a", "web", "1")]), []);
        assert_eq!(list([map("b", "job", "1")]), [key("job"), key("web")]);
        assert_eq!(values(&index, "web"), Vec::<String>::new());
    }

    #[test]
    fn what_a_later_page_returns_is_known_before_it_is_told() {
        let index = Index::<Value>::default();
        index.apply(&Event::Apply(map("a", "web", "1")));
        index.apply(&Event::Apply(map("b", "job", "1")));
        index.apply(&Event::Init);
        assert_eq!(index.apply(&Event::InitApply(map("a", "web", "2"))), [key("web")]);
        assert_eq!((values(&index, "web"), values(&index, "job")), (vec!["2".into()], vec!["1".into()]));
        assert_eq!(index.apply(&Event::InitApply(map("b", "job", "1"))), []);
        assert_eq!(index.apply(&Event::InitDone), []);
    }

    #[test]
    fn a_change_has_what_was_before_and_what_is_now() {
        let index = Index::<Value>::default();
        let changed = |event: Event<ConfigMap>| {
            let value = |entry: Option<Arc<Value>>| entry.map(|entry| entry.0.clone());
            let changes = index.changes(&event).into_iter();
            changes.map(|change| (value(change.before), value(change.now))).collect::<Vec<_>>()
        };
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(changed(Event::Apply(map("a", "web", "1"))), [(None, said("1"))]);
        assert_eq!(changed(Event::Apply(map("a", "web", "1"))), []);
        assert_eq!(changed(Event::Apply(map("a", "web", "2"))), [(said("1"), said("2"))]);
        assert_eq!(changed(Event::Init), []);
        assert_eq!(changed(Event::InitDone), [(said("2"), None)]);
    }

    #[test]
    fn an_entry_is_found_by_the_name_of_its_object_too() {
        let index = Index::<Value>::default();
        for object in [map("a", "web", "1"), map("b", "web", "2"), map("c", "job", "3")] {
            index.apply(&Event::Apply(object));
        }
        assert_eq!(index.get(&key("web"), "b").map(|value| value.0.clone()), Some("2".to_owned()));
        assert_eq!((index.get(&key("job"), "b"), index.all().len()), (None, 3));
    }

    #[tokio::test]
    async fn it_is_listed_after_the_first_list() {
        let index = Index::<Value>::default();
        let waits = index.clone();
        let listed = tokio::spawn(async move { waits.until_listed().await });
        index.apply(&Event::Init);
        index.apply(&Event::InitDone);
        listed.await.expect("no panic");
    }
}
