//! Where stories are told: one API server, one world, many namespaces.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::control_plane::ControlPlane;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use super::door::{Fault, Plan, undisturbed};
use super::stage::Stage;
use super::story;
use super::world::World;

const CRD: &str = include_str!("../../crds/singletonjobs.singletonjob.dev.yaml");
const PATIENCE: Duration = Duration::from_secs(40);

/// See above.
pub struct Theatre {
    pub runtime: Runtime,
    pub world: Arc<World>,
    undisturbed: OnceCell<(Value, usize)>,
    _control_plane: Arc<ControlPlane>,
}

/// What came of a story that ended well.
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

impl Theatre {
    /// The one that all tests share while any of them uses it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Theatre>> = Mutex::new(Weak::new());
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

    pub async fn stage(&self, namespace: &str) -> Stage {
        Stage::new(self.world.clone(), namespace.to_owned()).await
    }

    /// What a controller leaves that nothing happens to, and after how many requests.
    pub async fn undisturbed(&self) -> &(Value, usize) {
        let tell = async || {
            let stage = self.stage("undisturbed").await;
            let _controller = stage.control_by(undisturbed());
            story::tell(&stage).await.expect("nothing happens to it");
            let picture = story::settled(&stage).await;
            story::end(&stage).await.expect("nothing happens to it");
            assert_eq!([stage.ledger.misdeeds(), stage.ledger.untold()].concat(), Vec::<String>::new());
            (picture, stage.ledger.requests())
        };
        self.undisturbed.get_or_init(tell).await
    }

    /// Tells the whole story, with `plan` happening to its first controller; what went wrong, or was left
    /// behind that is not `expected`.
    pub async fn tell(&self, namespace: String, plan: Plan, expected: Value) -> Result<Told, String> {
        let stage = self.stage(&namespace).await;
        let telling = async move {
            let _controller = stage.control_by(plan);
            story::tell(&stage).await?;
            story::becomes(&stage, &expected).await?;
            story::end(&stage).await?;
            let told = Told { requests: stage.ledger.requests(), faults: stage.ledger.faults() };
            let mut misdeeds = stage.ledger.misdeeds();
            if !told.faults.iter().any(|(_, fault)| fault.is_blinding()) {
                misdeeds.extend(stage.ledger.untold());
            }
            if misdeeds.is_empty() { Ok(told) } else { Err(format!("{namespace}: {}", misdeeds.join("; "))) }
        };
        // A task of its own, so that stories share the processors.
        tokio::spawn(telling).await.unwrap_or_else(|panic| Err(panic.to_string()))
    }
}
