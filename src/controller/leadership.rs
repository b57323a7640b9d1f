//! Elects the replica of the controller that reconciles, by the same code as candidates.
//!
//! Two active replicas would do no harm, because every write is a compare-and-swap, is addressed by uid or
//! name, or says the same whichever of them sends it.
//! One at a time is quieter. A process leads at most once. When its leadership is over it ends, and the
//! kubelet starts it again as a standby.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, Config};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::api_call::{Failure, once_reached, with_deadline};
use super::apply;
use super::build;
use super::plan::directives::Directives;
use super::plan::takeover::Creation;
use crate::contract::{self, field_managers};
use crate::lease::annotations::{CompletionPolicy, Exit, Policy, Run};
use crate::lease::driver::{self, WorkloadHost};
use crate::lease::elector::{Candidate, Ending, Fact, Order, Role, View};
use crate::lease::identity::Identity;
use crate::lease::store::{self, Place};
use crate::lease::timing::{Timing, TimingSpec};
use crate::telemetry::Telemetry;
use crate::telemetry::health::{Loop, Part};

/// Name of the Lease, and what stands for the uid of a SingletonJob in it.
const NAME: &str = contract::CONTROLLER;
const LEASE_DURATION: Duration = Duration::from_secs(15);
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long the release of the Lease may take. A working API server answers sooner, and the kubelet kills the
/// process later.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
/// How often a leaving replica checks whether it can still release the Lease.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const SIGTERM: i32 = 15;

/// Why the replica could not stand for election.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The controller could not create its Lease.
    #[error(transparent)]
    Request(#[from] Failure),
    /// The credentials are invalid.
    #[error("making a client: {0}")]
    Client(#[from] kube::Error),
    /// The protocol does not work with the duration.
    #[error(transparent)]
    Timing(#[from] crate::lease::timing::TimingError),
}

/// One replica of the controller.
pub struct Replica<'a> {
    /// The namespace of its pod, and of the Lease.
    pub namespace: &'a str,
    /// The name of its pod.
    pub pod: &'a str,
    /// Where it says whether it leads.
    pub telemetry: Arc<Telemetry>,
}

/// Waits for leadership, and runs `work` while this replica leads. Returns when leadership is over, or soon
/// after `drain`.
///
/// # Errors
/// [`Error`], if the replica could not stand by.
pub async fn lead<W>(
    config: Config,
    replica: Replica<'_>,
    drain: impl Future<Output = ()> + Clone,
    work: impl FnOnce() -> W,
) -> Result<Ending, Error>
where
    W: Future<Output = ()> + Send + 'static,
{
    let Replica { namespace, pod, telemetry } = replica;
    let client = Client::try_from(config.clone())?;
    let own = own_lease(namespace)?;
    tokio::select! {
        made = once_reached(async || apply::lease::create_own(&client, namespace, &own).await) => made?,
        () = drain.clone() => return Ok(Ending::Interrupted),
    }
    let (facts, told) = mpsc::unbounded_channel();
    let leave = leave(drain, facts.clone(), Api::namespaced(client, namespace));
    let mut leader = Leader::new(work, facts, telemetry.clone());
    let place = Place { namespace, name: NAME, field_manager: field_managers::CONTROLLER };
    let election = driver::run(store::unchanging(config), place, candidate(pod), told, &mut leader);
    tokio::select! {
        ending = telemetry.health.watch(Loop::Election, election) => Ok(ending?),
        () = leave => Ok(Ending::Interrupted),
    }
}

/// The replica in the pod `pod`, as a candidate of the protocol.
fn candidate(pod: &str) -> Candidate {
    Candidate::new(Identity::new(pod, NAME, fastrand::u64(..)), NAME, STOP_GRACE)
}

/// A Lease like that of a service.
fn own_lease(namespace: &str) -> Result<Lease, Error> {
    let timing = Timing::new(&TimingSpec::of(LEASE_DURATION))?;
    let policy = Policy::new(timing, CompletionPolicy::Never);
    let directives = Directives::new(policy, Run::first(NAME));
    // No label of a SingletonJob: this Lease belongs to none.
    let metadata = ObjectMeta {
        name: Some(NAME.into()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    };
    Ok(build::lease::bare(metadata, &Creation::First, &directives))
}

/// Asks the elector to end after `drain`. Returns if it cannot release the Lease, or takes too long.
async fn leave(drain: impl Future<Output = ()>, facts: mpsc::UnboundedSender<Fact>, leases: Api<Lease>) {
    drain.await;
    // The replica no longer listens when leadership has ended by itself.
    drop(facts.send(Fact::Drain));
    let why = timeout(LEAVE_WITHIN, out_of_reach(&leases)).await;
    let why = why.unwrap_or_else(|_| format!("no answer within {} s", LEAVE_WITHIN.as_secs()));
    tracing::warn!(
        why,
        "leaving without giving the Lease {NAME} back; the other replica waits until it expires"
    );
}

/// Waits until the replica cannot release the Lease any more, and returns why: the Lease is gone, or the API
/// server denies access to it. An operator that is uninstalled loses its rights first.
async fn out_of_reach(leases: &Api<Lease>) -> String {
    loop {
        match with_deadline("reading Lease", NAME, leases.get_opt(NAME)).await {
            Ok(None) => return "it is gone".to_owned(),
            Err(failure) if failure.is_denied() => return failure.to_string(),
            Ok(Some(_)) | Err(_) => sleep(LOOK_AGAIN).await,
        }
    }
}

/// The work of the active replica, as the workload of the protocol.
struct Leader<F> {
    work: Option<F>,
    task: Option<JoinHandle<()>>,
    facts: mpsc::UnboundedSender<Fact>,
    telemetry: Arc<Telemetry>,
    published: Option<View>,
}

impl<F, W> Leader<F>
where
    F: FnOnce() -> W,
    W: Future<Output = ()> + Send + 'static,
{
    /// A leader that starts `work` when the elector orders it, and reports `facts` to the elector.
    fn new(work: F, facts: mpsc::UnboundedSender<Fact>, telemetry: Arc<Telemetry>) -> Self {
        Self { work: Some(work), task: None, facts, telemetry, published: None }
    }

    fn tell(&self, fact: Fact) {
        // The driver owns the other end for as long as it gives orders.
        drop(self.facts.send(fact));
    }

    /// Sets the metric and the health of this replica.
    fn note_role(&self, role: Role) {
        let part = match role {
            Role::Pending => Part::None,
            Role::Standby | Role::Stopping => Part::Standby,
            Role::Active => Part::Leader,
        };
        self.telemetry.health.set_part(part);
        self.telemetry.metrics.set_leader(NAME, part == Part::Leader);
    }

    fn start(&mut self) {
        let Some(work) = self.work.take() else { return self.tell(Fact::NotStarted) };
        let (work, facts) = (tokio::spawn(work()), self.facts.clone());
        let abort = work.abort_handle();
        self.task = Some(tokio::spawn(async move {
            let _stop = Abort(abort);
            let exit = if work.await.is_ok() { Exit::Code(0) } else { Exit::Code(1) };
            drop(facts.send(Fact::WorkloadEnded(exit)));
        }));
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl<F, W> WorkloadHost for Leader<F>
where
    F: FnOnce() -> W,
    W: Future<Output = ()> + Send + 'static,
{
    fn execute(&mut self, order: Order) {
        match order {
            // The kernel's timer cannot kill PID 1, which this process is; and it need not, because two
            // active replicas do no harm.
            Order::ArmDeadline { .. } | Order::DisarmDeadline => {}
            Order::Stop(_) | Order::SignLock { .. } => {}
            Order::Start(_) => self.start(),
            Order::Terminate => {
                self.stop();
                self.tell(Fact::WorkloadEnded(Exit::Signal(SIGTERM)));
            }
            Order::Kill => {
                self.stop();
                self.tell(Fact::TreeEmpty);
            }
        }
    }

    fn publish(&mut self, view: &View) {
        // A renewal moves the deadline only: that is no news.
        let view = View { valid_until: None, ..view.clone() };
        if self.published.as_ref() != Some(&view) {
            log_part(&view);
            self.note_role(view.role);
            self.published = Some(view);
        }
    }
}

fn log_part(view: &View) {
    let holder = view.holder.as_ref().map_or("none", Identity::pod);
    match &view.trouble {
        None => tracing::info!(role = ?view.role, holder, "the role of this replica in the leader election"),
        Some(trouble) => {
            tracing::warn!(role = ?view.role, holder, trouble, "this replica cannot see or renew the leader's Lease");
        }
    }
}

/// Stops the work when the task that waits for it is stopped.
struct Abort(AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
