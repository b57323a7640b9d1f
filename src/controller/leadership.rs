//! Which of the controllers reconciles: elected as candidates are, by the same code.
//!
//! Two at once would do no harm, for every write is a compare-and-swap or is addressed by uid; one at a time is quieter. A process leads at
//! most once: when its leadership is over it ends, and is started again as a standby.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Config};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::apply;
use super::build;
use super::plan::takeover::{Creation, Wishes};
use super::request::Failure;
use crate::lease::deadline::Deadline;
use crate::lease::driver::{self, Owner};
use crate::lease::elector::{Candidate, Ending, Fact, Order, Role, View};
use crate::lease::notes::{CompletionPolicy, Desired, Exit, Policy, Run};
use crate::lease::record::Identity;
use crate::lease::timing::{Timing, Wanted};

/// Name of the Lease, and what stands for the uid of a SingletonJob in it.
const NAME: &str = "singletonjob-controller";
const LEASE_DURATION: Duration = Duration::from_secs(15);
const STOP_GRACE: Duration = Duration::from_secs(10);
const SIGTERM: i32 = 15;

/// Why leadership could not even be sought.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Lease could not be made.
    #[error(transparent)]
    Request(#[from] Failure),
    /// Bad credentials.
    #[error("making a client: {0}")]
    Client(#[from] kube::Error),
    /// No timer.
    #[error(transparent)]
    Deadline(#[from] crate::lease::deadline::Error),
    /// Not a duration that works.
    #[error(transparent)]
    Timing(#[from] crate::lease::timing::Misfit),
}

/// Leads, when its turn comes, and runs `work` while it does. Ends when leadership is over, or on `drain`.
///
/// # Errors
/// [`Error`], where it could not stand by.
pub async fn lead<W>(
    config: Config,
    namespace: &str,
    pod: &str,
    drain: impl Future<Output = ()> + Send + 'static,
    leading: watch::Sender<bool>,
    work: impl FnOnce() -> W,
) -> Result<Ending, Error>
where
    W: Future<Output = ()> + Send + 'static,
{
    let client = Client::try_from(config.clone())?;
    apply::create_own_lease(&client, namespace, &own_lease(namespace)?).await?;
    let (facts, told) = mpsc::unbounded_channel();
    let sender = facts.clone();
    tokio::spawn(async move {
        drain.await;
        // Nobody listens any more when leadership has ended by itself.
        drop(sender.send(Fact::Drain));
    });
    let candidate = Candidate { identity: Identity::new(pod, NAME, fastrand::u64(..)), job_uid: NAME.into(), stop_grace: STOP_GRACE };
    let mut leader = Leader { work: Some(work), task: None, facts, deadline: Deadline::new()?, leading, published: None };
    Ok(driver::run(config, namespace, NAME, candidate, told, &mut leader).await?)
}

/// A Lease like that of a service.
fn own_lease(namespace: &str) -> Result<Lease, Error> {
    let timing = Timing::new(&Wanted::of(LEASE_DURATION))?;
    let milliseconds = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let policy = Policy {
        lease_duration_seconds: u32::try_from(LEASE_DURATION.as_secs()).unwrap_or(u32::MAX),
        renew_deadline_milliseconds: milliseconds(timing.renew_deadline()),
        grace_period_milliseconds: milliseconds(timing.grace_period()),
        retry_period_milliseconds: milliseconds(timing.retry_period()),
        completion_policy: CompletionPolicy::Never,
        backoff_limit: 0,
        candidates: 2,
        token_floor: None,
    };
    let run = Run { uid: NAME.into(), number: 1, desired: Desired::Run, reason: None };
    let wishes = Wishes { policy, run, handover: None, succession: None };
    // No label of a SingletonJob: this Lease belongs to none.
    let metadata = ObjectMeta { name: Some(NAME.into()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
    Ok(build::lease::bare(metadata, &Creation::First, &wishes))
}

struct Leader<F> {
    work: Option<F>,
    task: Option<JoinHandle<()>>,
    facts: mpsc::UnboundedSender<Fact>,
    deadline: Deadline,
    leading: watch::Sender<bool>,
    published: Option<View>,
}

impl<F, W> Leader<F>
where
    F: FnOnce() -> W,
    W: Future<Output = ()> + Send + 'static,
{
    fn tell(&self, fact: Fact) {
        // The driver owns the other end for as long as it gives orders.
        drop(self.facts.send(fact));
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

/// Stops the work when its keeper is stopped.
struct Abort(tokio::task::AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<F, W> Owner for Leader<F>
where
    F: FnOnce() -> W,
    W: Future<Output = ()> + Send + 'static,
{
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::ArmDeadline(boot) => {
                if let Err(error) = self.deadline.arm(boot) {
                    tracing::error!(%error, "leading without a deadline of the kernel's");
                }
            }
            Order::DisarmDeadline => {
                if let Err(error) = self.deadline.disarm() {
                    tracing::error!(%error, "this process will be killed without need");
                }
            }
            Order::Start(_) => self.start(),
            Order::Terminate => {
                self.stop();
                self.tell(Fact::WorkloadEnded(Exit::Signal(SIGTERM)));
            }
            Order::Kill => {
                self.stop();
                self.tell(Fact::TreeEmpty);
            }
            Order::Exit(_) => {}
        }
    }

    fn publish(&mut self, view: &View) {
        // A renewal moves the deadline only: that is no news.
        let view = View { valid_until: None, ..view.clone() };
        if self.published.as_ref() != Some(&view) {
            let holder = view.holder.as_ref().map_or("nobody", Identity::pod);
            tracing::info!(role = ?view.role, holder, trouble = view.trouble, "leadership");
            self.leading.send_replace(view.role == Role::Active);
            self.published = Some(view);
        }
    }
}
