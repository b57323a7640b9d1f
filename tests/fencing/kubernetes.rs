//! Kubernetes objects: a policy that refuses lower tokens, and compare-and-swap where there is none.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::recipe::{self, Workplace};
use super::scenario::{self, Store};
use testkit::control_plane::ControlPlane;
use testkit::programs::binaries;

/// Each takes some ten calls of kubectl.
const ROUNDS: u64 = 20;
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

/// A namespace with the object in it.
struct Namespace {
    control_plane: Arc<ControlPlane>,
    name: &'static str,
    workplace: Workplace,
}

impl Namespace {
    fn new(name: &'static str, object: &str) -> Self {
        let control_plane = ControlPlane::shared();
        let workplace = Workplace::new()
            .with("KUBECONFIG", control_plane.kubeconfig().display().to_string())
            .with("SINGLETONJOB_NAMESPACE", name)
            .reaching("kubectl", &binaries().join("kubectl").display().to_string());
        let namespace = Self { control_plane, name, workplace };
        namespace.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
        namespace.apply(object);
        namespace
    }

    /// The policy is the whole API server's; it is in force when a bare write is refused.
    fn with_policy(name: &'static str) -> Self {
        let namespace = Self::new(name, recipe::text("totals.yaml"));
        namespace.apply(recipe::text("policy.yaml"));
        let bare = ["--namespace", name, "annotate", "configmap", "totals", "bare=write", "--dry-run=server"];
        let started = Instant::now();
        while namespace.control_plane.kubectl(&bare, "").status.success() {
            assert!(
                started.elapsed() < IN_FORCE_WITHIN,
                "the policy is not in force after {IN_FORCE_WITHIN:?}"
            );
            sleep(Duration::from_millis(200));
        }
        namespace
    }

    /// No policy looks at this object.
    fn without_policy(name: &'static str) -> Self {
        Self::new(name, "{apiVersion: v1, kind: ConfigMap, metadata: {name: totals}}")
    }

    fn apply(&self, objects: &str) {
        let output =
            self.control_plane.kubectl(&["--namespace", self.name, "apply", "--filename", "-"], objects);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn stored(&self) -> Vec<String> {
        let read = format!(
            "kubectl --namespace {} get configmap totals --output jsonpath='{{.data.amount}}'",
            self.name
        );
        vec![
            self.workplace.must(&read),
            self.workplace.must(&read.replace(".data.amount", ".metadata.resourceVersion")),
        ]
    }
}

/// Programs that send their token with every write.
struct Guarded(Namespace);

impl Store for Guarded {
    fn write(&self, token: &str, value: &str) -> Result<(), String> {
        self.0.workplace.run("patch.sh", token, &[value]).map(drop)
    }

    fn stored(&self) -> Vec<String> {
        self.0.stored()
    }
}

/// Programs that compare for themselves, and begin again after a conflict.
struct Swapped(Namespace);

impl Store for Swapped {
    fn write(&self, token: &str, value: &str) -> Result<(), String> {
        loop {
            match self.0.workplace.run("replace.sh", token, &[value]) {
                Err(refusal) if refusal.contains("the object has been modified") => {}
                told => return told.map(drop),
            }
        }
    }

    fn stored(&self) -> Vec<String> {
        self.0.stored()
    }
}

#[test]
fn the_policy_refuses_a_stale_holder() {
    scenario::a_stale_holder_is_refused(&Guarded(Namespace::with_policy("policy")));
}

#[test]
fn the_policy_compares_numbers() {
    scenario::tokens_are_compared_as_numbers(&Guarded(Namespace::with_policy("policy-numbers")));
}

#[test]
fn the_policy_orders_writes_that_race() {
    scenario::the_new_holder_wins_every_race(&Guarded(Namespace::with_policy("policy-races")), ROUNDS);
}

#[test]
fn the_policy_refuses_every_kind_of_write_and_cannot_be_shaken_off() {
    let guarded = Guarded(Namespace::with_policy("policy-kinds"));
    guarded.write("42", "new").expect("accepted");
    let before = guarded.stored();
    let stale = "{apiVersion: v1, kind: ConfigMap, metadata: {name: totals, LABELS annotations: {example.com/fencing-token: '41'}}}";
    let labelled = stale.replace("LABELS", "labels: {example.com/fenced: 'true'},");
    let unlabelled = stale.replace("LABELS", "");
    for (command, object) in [
        ("replace --filename -", labelled.as_str()),
        ("replace --filename -", unlabelled.as_str()),
        ("apply --server-side --force-conflicts --filename -", labelled.as_str()),
        ("label configmap totals example.com/fenced- --overwrite", ""),
        ("annotate configmap totals example.com/fencing-token-", ""),
    ] {
        let command: Vec<_> = ["--namespace", guarded.0.name].into_iter().chain(command.split(' ')).collect();
        let output = guarded.0.control_plane.kubectl(&command, object);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("denied request: "), "{command:?}: {said}");
    }
    assert_eq!(guarded.stored(), before);
}

#[test]
fn compare_and_swap_refuses_a_stale_holder() {
    scenario::a_stale_holder_is_refused(&Swapped(Namespace::without_policy("swap")));
}

#[test]
fn compare_and_swap_compares_numbers() {
    scenario::tokens_are_compared_as_numbers(&Swapped(Namespace::without_policy("swap-numbers")));
}

#[test]
fn compare_and_swap_survives_races() {
    scenario::the_new_holder_wins_every_race(&Swapped(Namespace::without_policy("swap-races")), ROUNDS);
}
