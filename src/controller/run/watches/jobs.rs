//! SingletonJobs in which a user has changed something.

use std::collections::HashMap;
use std::mem;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

use super::{Guarded, Key, own_key, to_named};
use crate::controller::refusals;

/// What `kubectl apply` writes: the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// SingletonJobs in which a user has changed something, or which have begun or ceased to decode. The cache
/// behind `writer` has the change by the time that this tells it.
pub(super) fn changed(
    events: impl Stream<Item = Event<Guarded>> + Send + 'static,
    mut writer: Writer<Guarded>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let mut asked = Asked::default();
    events
        .flat_map(move |event| {
            let event = event.modify(|job| forget_how_it_was_written(job.meta_mut()));
            writer.apply_watcher_event(&event);
            stream::iter(asked.news(&event))
        })
        .map(to_named)
}

/// Drops what is said of the writers of an object, which the controller never reads, and which is larger than
/// the rest.
fn forget_how_it_was_written(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// A digest of what users ask for in each SingletonJob of the cache.
#[derive(Default)]
struct Asked {
    known: HashMap<Key, u64>,
    /// What a list has returned so far. The cache takes it over when the list is complete, and so does this.
    listed: HashMap<Key, u64>,
}

impl Asked {
    /// The SingletonJobs in the cache of which `event` has changed the digest.
    fn news(&mut self, event: &Event<Guarded>) -> Vec<Key> {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(job) => {
                self.listed.insert(own_key(job), digest(job));
            }
            Event::InitDone => return self.take_over_list(),
            Event::Apply(job) => {
                let (key, digest) = (own_key(job), digest(job));
                let is_news = self.known.insert(key.clone(), digest) != Some(digest);
                return if is_news { vec![key] } else { Vec::new() };
            }
            Event::Delete(job) => {
                self.known.remove(&own_key(job));
            }
        }
        Vec::new()
    }

    fn take_over_list(&mut self) -> Vec<Key> {
        let before = mem::replace(&mut self.known, mem::take(&mut self.listed));
        let changed = self.known.iter().filter(|(key, digest)| before.get(*key) != Some(*digest));
        changed.map(|(key, _)| key.clone()).collect()
    }
}

fn digest(job: &Guarded) -> u64 {
    refusals::asked(job.meta()) ^ u64::from(job.0.is_ok())
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use kube::ResourceExt;
    use kube::runtime::reflector::{self, Store};
    use serde_json::json;

    use super::*;

    fn job(name: &str, generation: i64) -> Guarded {
        let job = json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "spec": {"template": {}},
            "metadata": {"namespace": "shop", "name": name, "uid": name, "generation": generation},
        });
        serde_json::from_value(job).expect("a SingletonJob")
    }

    /// What a reconciliation reads of `name`, when it is woken at that moment.
    fn generation(store: &Store<Guarded>, name: &str) -> Option<i64> {
        store.get(&ObjectRef::new(name).within("shop"))?.meta().generation
    }

    /// Which SingletonJobs each of `events` wakes, with the generation that the cache has then.
    async fn woken(events: Vec<Event<Guarded>>) -> Vec<Vec<(String, Option<i64>)>> {
        let (store, writer) = reflector::store();
        let (sender, receiver) = mpsc::unbounded();
        let mut changed = Box::pin(changed(receiver, writer));
        let mut all = Vec::new();
        for event in events {
            sender.unbounded_send(event).expect("read");
            let mut woken = Vec::new();
            while let std::task::Poll::Ready(Some(job)) = futures::poll!(changed.next()) {
                woken.push((job.name.clone(), generation(&store, &job.name)));
            }
            woken.sort();
            all.push(woken);
        }
        all
    }

    #[tokio::test]
    async fn a_later_list_of_two_pages_wakes_what_changed_with_the_change() {
        let is = |name: &str, generation| (name.to_owned(), Some(generation));
        let list = vec![
            Event::Init,
            Event::InitApply(job("a", 1)),
            Event::InitApply(job("b", 1)),
            Event::InitDone,
            Event::Init,
            Event::InitApply(job("a", 2)),
            Event::InitApply(job("b", 1)),
            Event::InitDone,
        ];
        let woken = woken(list).await;
        assert_eq!(woken[3], [is("a", 1), is("b", 1)]);
        assert_eq!(woken[4..7], [vec![], vec![], vec![]], "the cache has yet to take it over");
        assert_eq!(woken[7], [is("a", 2)]);
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_loses_no_change_and_tells_none_twice() {
        let listed = |generation| Event::InitApply(job("a", generation));
        let events = vec![
            Event::Init,
            listed(1),
            Event::InitDone,
            Event::Init,
            listed(2),
            Event::Init,
            listed(2),
            Event::InitDone,
            Event::Init,
            listed(2),
            Event::InitDone,
        ];
        let woken = woken(events).await;
        let told: Vec<_> = woken.iter().enumerate().filter(|(_, woken)| !woken.is_empty()).collect();
        assert_eq!(told, [(2, &vec![("a".to_owned(), Some(1))]), (7, &vec![("a".to_owned(), Some(2))])]);
    }

    #[tokio::test]
    async fn status_wakes_nothing_and_a_new_object_of_that_name_does() {
        let mut again = job("a", 1);
        again.meta_mut().uid = Some("another".to_owned());
        let mut written = job("a", 1);
        written.meta_mut().resource_version = Some("8".to_owned());
        let events = vec![
            Event::Apply(job("a", 1)),
            Event::Apply(written),
            Event::Delete(job("a", 1)),
            Event::Apply(again),
        ];
        let woken = woken(events).await;
        assert_eq!(woken.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0, 1]);
    }

    #[tokio::test]
    async fn the_cache_keeps_nothing_of_the_writers() {
        let (store, writer) = reflector::store();
        let mut applied = job("a", 1);
        applied.annotations_mut().extend([(LAST_APPLIED.to_owned(), "{}".to_owned())]);
        applied.meta_mut().managed_fields = Some(Vec::new());
        let events = [Event::Init, Event::InitApply(applied), Event::InitDone];
        changed(stream::iter(events), writer).collect::<Vec<_>>().await;
        let kept = store.get(&ObjectRef::new("a").within("shop")).expect("kept");
        assert_eq!((kept.annotations().len(), kept.meta().managed_fields.is_some()), (0, false));
    }
}
