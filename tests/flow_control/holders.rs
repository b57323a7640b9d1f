//! Real electors, each with a Lease and a connection of its own. No container is started.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Config;
use kube::api::{Api, PostParams};
use singletonjob::contract::field_managers;
use singletonjob::lease::annotations::CompletionPolicy;
use singletonjob::lease::driver;
use singletonjob::lease::elector::{Candidate, Ending, Role};
use singletonjob::lease::identity::Identity;
use singletonjob::lease::store::{Place, unchanging};
use singletonjob::lease::timing::{Timing, TimingSpec};
use testkit::idle_container::IdleContainer;
use testkit::lease;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::server::BusyServer;

const HOLDERS: usize = 20;
const HELD_WITHIN: Duration = Duration::from_secs(30);

/// The default.
pub fn timing() -> Timing {
    Timing::new(&TimingSpec::of(Duration::from_secs(15))).expect("fits")
}

/// In whose name they renew.
pub fn user() -> String {
    "system:serviceaccount:team:default".to_owned()
}

/// How many renewals there are within `time` at least.
pub fn expected(time: Duration) -> usize {
    let each = time.as_millis() / timing().retry_period().as_millis();
    HOLDERS * usize::try_from(each).expect("few")
}

/// Electors that hold their Leases.
pub struct Holders {
    running: JoinSet<Ending>,
}

impl Holders {
    /// Returns when all of them hold.
    pub async fn begin(server: &BusyServer) -> Self {
        let (mut running, active) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let config = server.config_of("team").await;
        for number in 0..HOLDERS {
            let name = format!("job-{number}");
            make_lease(server, &name).await;
            running.spawn(hold(config.clone(), name, active.clone()));
        }
        let began = Instant::now();
        while active.load(Ordering::Relaxed) < HOLDERS {
            assert!(began.elapsed() < HELD_WITHIN, "only {active:?} of {HOLDERS} hold");
            sleep(Duration::from_millis(50)).await;
        }
        Self { running }
    }

    /// How the next one that ends does so.
    pub async fn next_ending(&mut self) -> Ending {
        self.running.join_next().await.expect("one that runs").expect("no panic")
    }
}

/// Free at once.
async fn make_lease(server: &BusyServer, name: &str) {
    let leases: Api<Lease> = Api::namespaced(server.client.clone(), "team");
    let annotations = lease::annotations(timing(), CompletionPolicy::Never, 0);
    let made = serde_json::from_value(lease::held_by(name, "", timing(), &annotations)).expect("a Lease");
    let made = leases.create(&PostParams::default(), &made).await.expect("a new Lease");
    let released = lease::released_as_created(made);
    leases
        .replace(name, &PostParams::default(), &released)
        .await
        .expect("a Lease that nothing else writes yet");
}

async fn hold(config: Config, name: String, active: Arc<AtomicUsize>) -> Ending {
    let (facts, told) = mpsc::unbounded_channel();
    let mut is_active = false;
    let mut container = IdleContainer::new(facts, |view| {
        if view.role == Role::Active && !is_active {
            is_active = true;
            active.fetch_add(1, Ordering::Relaxed);
        }
    });
    let place = Place { namespace: "team", name: &name, field_manager: field_managers::AGENT };
    let candidate = Candidate::new(
        Identity::new(&format!("{name}-1"), "uid", fastrand::u64(..)),
        lease::JOB_UID,
        Duration::ZERO,
    );
    driver::run(unchanging(config), place, candidate, told, &mut container)
        .await
        .expect("a usable connection")
}
