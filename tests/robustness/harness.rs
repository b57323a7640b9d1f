//! Where lifecycles are told: one API server, one world, many namespaces.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::control_plane::ControlPlane;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use super::fault_proxy::{Fault, Plan, undisturbed};
use super::fixture::Fixture;
use super::lifecycle;
use super::world::World;

const CRD: &str = include_str!("../../crds/singletonjobs.singletonjob.dev.yaml");
const PATIENCE: Duration = Duration::from_secs(40);

/// See above.
pub struct Harness {
    pub runtime: Runtime,
    pub world: Arc<World>,
    undisturbed: OnceCell<(Value, usize)>,
    _control_plane: Arc<ControlPlane>,
}

/// What came of a lifecycle that ended well.
pub struct Told {
    pub requests: usize,
    pub faults: Vec<(usize, Fault)>,
}

/// Applies the definition, once for all tests, and waits until it is served.
fn define(control_plane: &ControlPlane) {
    static DEFINING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = DEFINING.lock().unwrap_or_else(PoisonError::into_inner);
    let is_served =
        || control_plane.kubectl(&["get", "singletonjobs", "--all-namespaces"], "").status.success();
    let started = Instant::now();
    while !is_served() {
        control_plane.kubectl(&["apply", "--server-side", "--filename", "-"], CRD);
        assert!(started.elapsed() < PATIENCE, "the definition is not served");
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Harness {
    /// The one that all tests share while any of them uses it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Harness>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let opened = Arc::new(Self::open());
            *shared = Arc::downgrade(&opened);
            opened
        })
    }

    fn open() -> Self {
        let control_plane = ControlPlane::shared();
        define(&control_plane);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let world = runtime.block_on(async { World::new(control_plane.client().await) });
        Self { runtime, world, undisturbed: OnceCell::new(), _control_plane: control_plane }
    }

    pub async fn fixture(&self, namespace: &str) -> Fixture {
        Fixture::new(self.world.clone(), namespace.to_owned()).await
    }

    /// What a controller leaves that nothing happens to, and after how many requests.
    pub async fn undisturbed(&self) -> &(Value, usize) {
        let tell = async || {
            let fixture = self.fixture("undisturbed").await;
            let _controller = fixture.control_by(undisturbed());
            lifecycle::tell(&fixture).await.expect("nothing happens to it");
            let picture = lifecycle::settled(&fixture).await;
            lifecycle::end(&fixture).await.expect("nothing happens to it");
            assert_eq!([fixture.ledger.violations(), fixture.ledger.untold()].concat(), Vec::<String>::new());
            (picture, fixture.ledger.requests())
        };
        self.undisturbed.get_or_init(tell).await
    }

    /// Tells the whole lifecycle, with `plan` happening to its first controller; what went wrong, or was left
    /// behind that is not `expected`.
    pub async fn tell(&self, namespace: String, plan: Plan, expected: Value) -> Result<Told, String> {
        let fixture = self.fixture(&namespace).await;
        let telling = async move {
            let _controller = fixture.control_by(plan);
            lifecycle::tell(&fixture).await?;
            lifecycle::becomes(&fixture, &expected).await?;
            lifecycle::end(&fixture).await?;
            let told = Told { requests: fixture.ledger.requests(), faults: fixture.ledger.faults() };
            let mut violations = fixture.ledger.violations();
            if !told.faults.iter().any(|(_, fault)| fault.is_blinding()) {
                violations.extend(fixture.ledger.untold());
            }
            if violations.is_empty() {
                Ok(told)
            } else {
                Err(format!("{namespace}: {}", violations.join("; ")))
            }
        };
        // A task of its own, so that lifecycles share the processors.
        tokio::spawn(telling).await.unwrap_or_else(|panic| Err(panic.to_string()))
    }
}
