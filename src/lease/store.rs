//! The only code of a candidate that touches a Lease over the network.
//!
//! # Guarantees
//! - Every write is a PUT with uid and resourceVersion. Nothing is retried here: the elector decides about
//!   repetitions.
//! - Every request has a deadline. After a request without a timely answer, the next one uses a new
//!   connection, because the old one may be dead without notice.
//! - A result that may have been stored is never reported as one that was not.
//!
//! # Assumptions
//! Everything the elector sees comes through one store, so that its writes are laid over the very object that
//! they are based on.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, Config};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::annotations::{self, keys};
use super::elector::Write;
use super::identity::Version;
use super::record::{Malformed, Record};
use super::request::{Unanswered, bounded, innermost, root_cause};

/// Between two attempts to open a watch.
const WATCH_RETRY: Duration = Duration::from_secs(1);
/// The server ends a watch after this long; it is opened again.
const WATCH_SECONDS: u32 = 290;

/// What came back from the network.
#[derive(Debug)]
pub enum Event {
    /// The watch has seen this.
    Watched(Lease),
    /// The watch says that the Lease was deleted, as it was then.
    Deleted(Lease),
    /// A read ended.
    Read(Result<Lease, Failure>),
    /// A write ended.
    Written {
        /// Which.
        attempt: u64,
        /// How.
        result: Result<Lease, Failure>,
    },
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.to_string())
    }
}

/// A request that did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 409.
    Conflict,
    /// 404.
    NotFound,
    /// Any other 4xx, or not sent at all: certainly not stored.
    Refused(String),
    /// Whether it was stored cannot be known, for this reason: address and class of error.
    Unknown(String),
}

/// How the API server is reached, as it is now: credentials are replaced while a Lease is held.
pub type Connection = watch::Receiver<Config>;

/// A connection that stays as it is.
pub fn unchanging(config: Config) -> Connection {
    watch::channel(config).1
}

/// Which Lease, and in whose name it is written.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Of the Lease.
    pub namespace: &'a str,
    /// Of the Lease.
    pub name: &'a str,
    /// See [`field_managers`](crate::contract::field_managers).
    pub field_manager: &'static str,
}

/// One Lease, over one connection at a time.
pub struct Store {
    connection: Connection,
    namespace: String,
    name: String,
    field_manager: &'static str,
    api: Api<Lease>,
    events: UnboundedSender<Event>,
    /// The newest object that was seen: what other clients have written is kept from it.
    newest: Option<(Version, Lease)>,
    watched: Option<Version>,
    watch: JoinHandle<()>,
}

impl Store {
    /// Opens the watch; what it sees, and the results of all requests, go to `events`.
    ///
    /// # Errors
    /// If the connection cannot be made into a client: bad certificates or credentials.
    pub fn open(
        mut connection: Connection,
        place: Place<'_>,
        events: UnboundedSender<Event>,
    ) -> Result<Self, kube::Error> {
        let Place { namespace, name, field_manager } = place;
        let api = connect(&mut connection, namespace)?;
        let watch = tokio::spawn(watch(api.clone(), name.to_owned(), None, events.clone()));
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Self {
            connection,
            namespace,
            name,
            field_manager,
            api,
            events,
            newest: None,
            watched: None,
            watch,
        })
    }

    /// Decodes an observation and remembers it as a base for writes. An older one is decoded all the same:
    /// the elector knows what to do.
    ///
    /// # Errors
    /// [`Malformed`] if the object is of no use.
    pub fn remember(&mut self, lease: Lease, watched: bool) -> Result<Record, Malformed> {
        let record = Record::read(&lease)?;
        if watched {
            self.watched = Some(record.version);
        }
        if !watched || self.newest.as_ref().is_none_or(|(version, _)| *version <= record.version) {
            self.newest = Some((record.version, lease));
        }
        Ok(record)
    }

    /// Notes that the watch has told of a deletion: one that goes on after it must not tell of it again.
    pub fn note_deletion(&mut self, lease: &Lease) {
        self.watched = version_of(lease).or(self.watched);
    }

    /// Sends a linearizable read.
    pub fn read(&mut self, deadline: Duration) {
        self.follow_credentials();
        let (api, name, events, at) =
            (self.api.clone(), self.name.clone(), self.events.clone(), self.at("reading"));
        tokio::spawn(async move {
            let result = bounded(deadline, api.get(&name)).await;
            let result = result.map_err(|why| unanswered(&at, deadline, &why));
            // The elector no longer listens once the process is about to end.
            drop(events.send(Event::Read(result)));
        });
    }

    /// Sends a compare-and-swap.
    pub fn put(&mut self, attempt: u64, write: &Write, deadline: Duration) {
        self.follow_credentials();
        let (api, name, events, at) =
            (self.api.clone(), self.name.clone(), self.events.clone(), self.at("writing"));
        let params =
            PostParams { field_manager: Some(self.field_manager.to_owned()), ..PostParams::default() };
        let lease = self
            .newest
            .as_ref()
            .filter(|(version, _)| *version == write.base)
            .map(|(_, base)| overlay(base, write));
        tokio::spawn(async move {
            let result = match lease {
                Some(lease) => {
                    let answer = bounded(deadline, api.replace(&name, &params, &lease)).await;
                    answer.map_err(|why| unanswered(&at, deadline, &why))
                }
                // Something newer is known already: the API server could only say no.
                None => Err(Failure::Conflict),
            };
            drop(events.send(Event::Written { attempt, result }));
        });
    }

    /// Opens a new connection for all that follows.
    pub fn reconnect(&mut self) {
        match connect(&mut self.connection, &self.namespace) {
            Ok(api) => self.api = api,
            Err(error) => tracing::error!(%error, "cannot make a new client; going on with the old one"),
        }
        self.rewatch();
    }

    /// Credentials that were replaced are used from the next request on.
    fn follow_credentials(&mut self) {
        if self.connection.has_changed().unwrap_or(false) {
            self.reconnect();
        }
    }

    /// Opens a new watch if a read saw what the watch has not.
    pub fn check_watch(&mut self, read: Version) {
        if self.watched.is_some_and(|watched| watched < read) {
            self.rewatch();
        }
    }

    fn rewatch(&mut self) {
        self.watch.abort();
        self.watch =
            tokio::spawn(watch(self.api.clone(), self.name.clone(), self.watched, self.events.clone()));
    }

    fn subject(&self) -> String {
        format!("lease {}/{}", self.namespace, self.name)
    }

    fn at(&self, act: &str) -> String {
        let server = self.connection.borrow().cluster_url.to_string();
        format!("{act} {} at {}", self.subject(), server.trim_end_matches('/'))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn connect(connection: &mut Connection, namespace: &str) -> Result<Api<Lease>, kube::Error> {
    let mut config = connection.borrow_and_update().clone();
    config.default_retry = false;
    Ok(Api::namespaced(Client::try_from(config)?, namespace))
}

fn unanswered(at: &str, deadline: Duration, why: &Unanswered) -> Failure {
    match why {
        Unanswered::Failed(error) => failure(at, error),
        Unanswered::TimedOut => {
            Failure::Unknown(format!("{at}: no answer within {:.1} s", deadline.as_secs_f64()))
        }
    }
}

fn failure(at: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 409 => Failure::Conflict,
        kube::Error::Api(status) if status.code == 404 => Failure::NotFound,
        kube::Error::Api(status) if (400..500).contains(&status.code) => {
            Failure::Refused(format!("{at}: {}", root_cause(error)))
        }
        error => Failure::Unknown(format!("{at}: {}", innermost(error))),
    }
}

/// What is sent: `write` laid over `base`. Labels, directives and whatever else others put there stay as they
/// are.
pub fn overlay(base: &Lease, write: &Write) -> Lease {
    let mut lease = base.clone();
    lease.metadata.managed_fields = None;
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations::write(annotations, keys::PROGRESS, write.progress.as_ref());
    annotations::write(annotations, keys::RELEASED, write.released.as_ref());
    annotations::write(annotations, keys::FINISHED, write.finished.as_ref());
    annotations::write(annotations, keys::HEALTH, write.health.as_ref());
    if write.drop_directives {
        annotations.remove(keys::HANDOVER);
        annotations.remove(keys::CLEARED);
    }
    let spec = lease.spec.get_or_insert_default();
    // Empty as client-go leaves it, so that every tool shows it as free.
    spec.holder_identity = Some(write.holder.as_ref().map(ToString::to_string).unwrap_or_default());
    spec.lease_duration_seconds = i32::try_from(write.lease_duration.as_secs()).ok();
    spec.acquire_time = write.acquire_time.map(MicroTime).or(spec.acquire_time.take());
    spec.renew_time = Some(MicroTime(write.renew_time));
    spec.lease_transitions = Some(write.transitions);
    lease
}

/// Sends what it sees to `events`, until it is aborted.
async fn watch(api: Api<Lease>, name: String, mut from: Option<Version>, events: UnboundedSender<Event>) {
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    loop {
        let version = from.map_or_else(|| "0".to_owned(), |version| version.to_string());
        match watch_once(&api, &params, &version, &mut from, &events).await {
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%error, "the watch on the Lease ended");
                from = None;
                sleep(WATCH_RETRY).await;
            }
        }
    }
}

async fn watch_once(
    api: &Api<Lease>,
    params: &WatchParams,
    version: &str,
    from: &mut Option<Version>,
    events: &UnboundedSender<Event>,
) -> kube::Result<()> {
    let mut stream = api.watch(params, version).await?.boxed();
    while let Some(event) = stream.try_next().await? {
        let told = match event {
            WatchEvent::Added(lease) | WatchEvent::Modified(lease) => {
                *from = version_of(&lease);
                events.send(Event::Watched(lease))
            }
            WatchEvent::Deleted(lease) => {
                *from = version_of(&lease);
                events.send(Event::Deleted(lease))
            }
            WatchEvent::Bookmark(_) => Ok(()),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        if told.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn version_of(lease: &Lease) -> Option<Version> {
    lease.metadata.resource_version.as_deref().and_then(|version| version.parse().ok())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::lease::annotations::{Progress, Reason, Released};
    use crate::lease::identity::Identity;

    fn lease() -> Lease {
        serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "rollup", "namespace": "billing", "uid": "u1", "resourceVersion": "10",
                "labels": {"team": "billing"},
                "annotations": {"singletonjob.dev/policy": "{\"future\":1}", "example.com/note": "kept", "singletonjob.dev/handover": "{}",
                                "singletonjob.dev/cleared": "{}"},
            },
            "spec": {"holderIdentity": "a_b_c", "leaseDurationSeconds": 15, "strategy": "example.com/x"},
        }))
        .expect("a Lease")
    }

    fn write() -> Write {
        let renew_time = Timestamp::from_microsecond(1_700_000_000_123_456).expect("valid");
        let by = Identity::read("a_b_c");
        Write {
            uid: "u1".into(),
            base: Version(10),
            holder: None,
            lease_duration: Duration::from_secs(6),
            acquire_time: None,
            renew_time,
            transitions: 4,
            progress: Some(Progress::default()),
            released: Some(Released {
                lease_uid: "u1".into(),
                renew_time: Some(renew_time),
                by,
                reason: Reason::Drain,
                token: Some(Version(9)),
                exit: None,
                unhealthy: false,
                last_renew_time: None,
                ready: false,
            }),
            finished: None,
            health: None,
            drop_directives: true,
        }
    }

    #[test]
    fn a_write_keeps_what_others_put_into_the_lease() {
        let after = overlay(&lease(), &write());
        let annotations = after.metadata.annotations.expect("annotations");
        assert_eq!(annotations["example.com/note"], "kept");
        assert_eq!(
            annotations[keys::POLICY],
            "{\"future\":1}",
            "a directive of another version is not ours to reword"
        );
        assert!(!annotations.contains_key(keys::HANDOVER) && !annotations.contains_key(keys::CLEARED));
        assert_eq!(after.metadata.labels.expect("labels")["team"], "billing");
        assert_eq!(after.spec.expect("spec").strategy.as_deref(), Some("example.com/x"));
    }

    #[test]
    fn a_write_carries_uid_and_resource_version() {
        let after = overlay(&lease(), &write());
        assert_eq!(
            (after.metadata.uid.as_deref(), after.metadata.resource_version.as_deref()),
            (Some("u1"), Some("10"))
        );
    }

    #[test]
    fn a_release_is_read_back_as_one() {
        let mut after = overlay(&lease(), &write());
        after.metadata.resource_version = Some("11".into());
        let record = Record::read(&after).expect("a record");
        assert!(record.is_released());
        assert_eq!(record.holder, None);
    }

    #[test]
    fn only_what_certainly_was_not_stored_counts_as_refused() {
        let status = |code: u16| {
            kube::Error::Api(Box::new(
                serde_json::from_value(serde_json::json!({"code": code, "message": "m"})).expect("a status"),
            ))
        };
        assert_eq!(failure("x", &status(409)), Failure::Conflict);
        assert!(matches!(failure("x", &status(403)), Failure::Refused(_)));
        assert!(matches!(failure("x", &status(429)), Failure::Refused(_)));
        for code in [500, 502, 503, 504] {
            assert!(matches!(failure("x", &status(code)), Failure::Unknown(_)), "{code}");
        }
    }

    #[tokio::test]
    async fn a_watch_that_is_opened_after_a_deletion_does_not_tell_of_it_again() {
        let (sender, _events) = tokio::sync::mpsc::unbounded_channel();
        let place = Place { namespace: "billing", name: "rollup", field_manager: "test" };
        let nowhere = unchanging(Config::new("http://127.0.0.1:1".parse().expect("a uri")));
        let mut store = Store::open(nowhere, place, sender).expect("a client");
        store.remember(lease(), true).expect("a record");
        let mut deleted = lease();
        deleted.metadata.resource_version = Some("12".into());
        store.note_deletion(&deleted);
        store.check_watch(Version(13));
        assert_eq!(store.watched, Some(Version(12)));
    }
}
