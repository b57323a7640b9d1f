//! The watches of the controller: what each of them caches, and which SingletonJobs a change wakes.
//!
//! A cache takes an event before the SingletonJobs are woken that the event concerns. A reconciliation
//! therefore never reads less than what woke it. An interruption is logged here. The runtime would hold back
//! every wake for a while after an error of any watch, so that none is handed to it.

mod jobs;
mod nodes;

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::Guarded;
use crate::contract::labels;
use crate::controller::observe::index::{Entry, Index, Key, own_key};
use crate::controller::observe::lease_observations::LeaseObservations;
use crate::controller::observe::{Caches, KnownLease};
use crate::lease::clock::{self, Moment};
use crate::lease::request::root_cause;

/// SingletonJobs that are reconciled at the same time.
const CONCURRENCY: u16 = 8;

/// All watches, each with the SingletonJobs that it wakes. A Lease that expires wakes its own, because no
/// event tells that. `jobs` is the writing end of the cache of SingletonJobs, which the runtime reads.
pub fn controller(
    client: &Client,
    caches: &Caches,
    jobs: Writer<Guarded>,
    lease_observations: Arc<LeaseObservations>,
) -> Controller<Guarded> {
    Controller::for_stream(stream::empty(), caches.jobs.clone())
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_on(jobs::changed(read_events(client, watcher::Config::default()), jobs))
        .reconcile_on(jobs_of_pods(client, caches))
        .reconcile_on(jobs_of_expired_leases(lease_observations.clone()))
        .reconcile_on(jobs_of_leases(client, caches, lease_observations))
        .reconcile_on(jobs_of_children(client, &caches.roles))
        .reconcile_on(jobs_of_children(client, &caches.bindings))
        .reconcile_on(jobs_of_budgets(client, caches))
        .reconcile_on(nodes::concerned(read_events(client, watcher::Config::default()), caches.clone()))
}

/// The SingletonJobs of pods of which the controller reads something new. The only label of the controller's
/// own that selects pods is the name of the job, because all others are the template's.
fn jobs_of_pods(client: &Client, caches: &Caches) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let pods = caches.pods.clone();
    let config = watcher::Config::default().labels(labels::JOB);
    read_events(client, config).flat_map(move |event| stream::iter(pods.apply(&event))).map(to_named)
}

/// The SingletonJobs of which a PodDisruptionBudget has changed: its own, or one of another client, which may
/// concern every SingletonJob of the namespace.
fn jobs_of_budgets(
    client: &Client,
    caches: &Caches,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let Caches { jobs, budgets, other_budgets, .. } = caches.clone();
    let all = watcher::Config::default();
    read_events(client, all).flat_map(move |event| {
        let own = budgets.apply(&event).into_iter().map(to_named);
        let beside =
            other_budgets.apply(&event).into_iter().flat_map(|(namespace, _)| all_of(&jobs, &namespace));
        stream::iter(own.chain(beside).collect::<Vec<_>>())
    })
}

/// The SingletonJobs whose holders have let their lease pass.
fn jobs_of_expired_leases(
    lease_observations: Arc<LeaseObservations>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    stream::unfold(lease_observations, async |lease_observations| {
        let expired = lease_observations.next_expired().await;
        Some((to_named(expired), lease_observations))
    })
}

/// The events of a watch. An interruption is logged.
fn read_events<K>(
    client: &Client,
    config: watcher::Config,
) -> impl Stream<Item = Event<K>> + Send + 'static + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        .filter_map(|event| ready(event.inspect_err(log_interruption).ok()))
}

/// The SingletonJobs whose Leases say something new. The controller notes every renewal all the same.
fn jobs_of_leases(
    client: &Client,
    caches: &Caches,
    lease_observations: Arc<LeaseObservations>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let leases = caches.leases.clone();
    read_events(client, ours())
        .flat_map(move |event| stream::iter(news(&event, &leases, &lease_observations, clock::now().at)))
        .map(to_named)
}

/// About which SingletonJobs a Lease says something new. The cache takes every renewal, and a renewal is none
/// of this.
fn news(
    event: &Event<Lease>,
    leases: &Index<KnownLease>,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Vec<Key> {
    let changed = leases.apply(event);
    match event {
        Event::Apply(lease) | Event::InitApply(lease) => {
            if lease_observations.update(lease, now) {
                vec![own_key(lease)]
            } else {
                Vec::new()
            }
        }
        Event::Delete(_) | Event::Init | Event::InitDone => {
            for gone in &changed {
                lease_observations.forget(gone);
            }
            changed
        }
    }
}

/// The SingletonJobs whose Roles or RoleBindings have changed.
fn jobs_of_children<E>(
    client: &Client,
    known: &Index<E>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static + use<E>
where
    E: Entry + Send + Sync + 'static,
    E::Object: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let known = known.clone();
    read_events(client, ours()).flat_map(move |event| stream::iter(known.apply(&event))).map(to_named)
}

/// The watch of what the controller makes, pods apart.
fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_VALUE))
}

/// All SingletonJobs of `namespace`.
fn all_of(jobs: &Store<Guarded>, namespace: &str) -> Vec<ObjectRef<Guarded>> {
    let all = jobs.state_filter(|job| job.meta().namespace.as_deref() == Some(namespace));
    all.iter().map(|job| ObjectRef::from_obj(job.as_ref())).collect()
}

/// The SingletonJob of this namespace and name.
fn to_named((namespace, name): Key) -> ObjectRef<Guarded> {
    ObjectRef::new(&name).within(&namespace)
}

fn log_interruption(error: &watcher::Error) {
    tracing::warn!(error = root_cause(error), "a watch was interrupted; the controller opens it again");
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures::channel::mpsc;
    use http::{Request, Response, StatusCode};
    use http_body_util::StreamBody;
    use http_body_util::combinators::UnsyncBoxBody;
    use hyper::body::{Bytes, Frame};
    use kube::client::Body;
    use kube::runtime::controller::Action;
    use kube::runtime::reflector;
    use serde_json::{Value, json};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// When the only pod changes.
    const LATER: Duration = Duration::from_secs(100);

    fn lease(holder: &str, second: u8) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "u", "resourceVersion": second.to_string()},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:01.000000Z",
                     "renewTime": format!("2026-01-01T00:00:{second:02}.000000Z")},
        }))
        .expect("a Lease")
    }

    #[test]
    fn a_renewal_wakes_nothing_and_is_known() {
        let (leases, observations) = (Index::default(), LeaseObservations::default());
        let web = || ("shop".to_owned(), "web".to_owned());
        let told = |event: Event<Lease>| news(&event, &leases, &observations, clock::now().at);
        let version =
            || leases.get(&web(), "web").and_then(|known| known.0.metadata.resource_version.clone());
        assert_eq!(told(Event::Apply(lease("a_u_1", 1))), [web()]);
        assert_eq!((told(Event::Apply(lease("a_u_1", 2))), version().as_deref()), (vec![], Some("2")));
        assert_eq!((told(Event::InitApply(lease("a_u_1", 3))), version().as_deref()), (vec![], Some("3")));
        assert_eq!((told(Event::Apply(lease("b_u_1", 4))), version().as_deref()), (vec![web()], Some("4")));
    }

    #[test]
    fn a_lease_that_a_later_list_does_not_return_is_told_and_forgotten() {
        let (leases, observations) = (Index::default(), LeaseObservations::default());
        let told = |event: Event<Lease>| news(&event, &leases, &observations, clock::now().at);
        told(Event::Apply(lease("a_u_1", 1)));
        assert!(observations.silence("shop", "web", clock::now().at).is_some());
        assert_eq!(told(Event::Init), []);
        assert_eq!(told(Event::InitDone), [("shop".to_owned(), "web".to_owned())]);
        assert_eq!(observations.silence("shop", "web", clock::now().at), None);
    }

    type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

    fn line(value: &Value) -> Frame<Bytes> {
        Frame::data(Bytes::from(format!("{value}\n")))
    }

    /// `first` and then, after a pause, `second`.
    fn answer(first: &Value, second: Option<(Duration, Value)>) -> Answer {
        let rest = stream::iter(second).then(async |(pause, value)| {
            sleep(pause).await;
            line(&value)
        });
        let lines = stream::iter([line(first)]).chain(rest);
        Response::new(UnsyncBoxBody::new(StreamBody::new(lines.map(Ok))))
    }

    /// An API server that has one SingletonJob, and later a pod of it. All other requests fail.
    fn serve(request: &Request<Body>) -> Answer {
        let job = json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "spec": {"template": {}},
            "metadata": {"namespace": "shop", "name": "web", "uid": "j"},
        });
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "namespace": "shop", "name": "web-1", "uid": "p", "resourceVersion": "3", "labels": {labels::JOB: "web"},
        }});
        let list =
            |items: Value| answer(&json!({"metadata": {"resourceVersion": "1"}, "items": items}), None);
        let bookmark = |kind: &str| json!({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "2"}}});
        let later = |pause, kind: &str, object| {
            answer(&bookmark(kind), Some((pause, json!({"type": "ADDED", "object": object}))))
        };
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        match (request.uri().path().rsplit('/').next(), is_watch) {
            (Some("singletonjobs"), false) => list(json!([job])),
            (Some("singletonjobs"), true) => later(10 * LATER, "SingletonJob", job),
            (Some("pods"), false) => list(json!([])),
            (Some("pods"), true) => later(LATER, "Pod", pod),
            _ => {
                let mut failed = answer(&json!({"message": "down"}), None);
                *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                failed
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn watches_that_fail_do_not_delay_what_another_tells() {
        let service = tower::service_fn(async |request| Ok::<_, Infallible>(serve(&request)));
        let client = Client::new(service, "shop");
        let (jobs, writer) = reflector::store();
        let caches = Caches::of(jobs);
        let controller = controller(&client, &caches, writer, Arc::default());
        let (sender, mut woken) = mpsc::unbounded();
        let began = Instant::now();
        let reconcile = move |_, _| {
            sender.unbounded_send(began.elapsed()).expect("read");
            ready(Ok::<_, watcher::Error>(Action::await_change()))
        };
        let run = controller.run(reconcile, |_, _, _| Action::await_change(), Arc::new(()));
        let run = tokio::spawn(run.for_each(|_| ready(())));
        assert!(woken.next().await.expect("the SingletonJob itself") < Duration::from_secs(1));
        let second = woken.next().await.expect("its pod");
        run.abort();
        assert!(second >= LATER && second < LATER + Duration::from_secs(1), "{second:?}");
    }
}
