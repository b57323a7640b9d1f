//! What users apply: current, accepted, and enough for the controller.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use singletonjob::api::SingletonJob;

use super::{Fixture, OPERATOR, SERVICE, installing, text};
use testkit::strict;

const INSTALL: &str = include_str!("../../manifests/install.yaml");
const BATCH_JOB: &str = include_str!("../../manifests/samples/batch-job.yaml");
const TUNED_LEASE: &str = include_str!("../../manifests/samples/tuned-lease.yaml");
const NIGHTLY: &str = include_str!("../../manifests/samples/nightly.yaml");
const GENERATED: [&str; 3] =
    ["crds/singletonjobs.singletonjob.dev.yaml", "manifests/operator.yaml", "manifests/install.yaml"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn generated_files_are_current() {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    for directory in ["crds", "manifests"] {
        fs::create_dir(elsewhere.path().join(directory)).expect("a new directory");
    }
    let written = Command::new(env!("CARGO_BIN_EXE_crdgen"))
        .arg("--write")
        .current_dir(elsewhere.path())
        .status()
        .expect("crdgen starts");
    assert!(written.success());
    for file in GENERATED {
        let read = |root: &Path| fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(
            read(repository()) == read(elsewhere.path()),
            "{file} is out of date: run `make manifests` and commit"
        );
    }
}

#[tokio::test]
async fn the_installation_is_accepted_without_warnings_and_twice() {
    let fixture = Fixture::new("installation").await;
    let apply = |file| fixture.control_plane.kubectl(&["apply", "--filename", "-"], file);
    let _one_at_a_time = installing();
    apply(OPERATOR);
    let first = apply(INSTALL);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let versions = "jsonpath={.items[*].metadata.resourceVersion}";
    let stored = || {
        text(
            &fixture.control_plane.kubectl(&["get", "--filename", "-", "--output", versions], INSTALL).stdout,
        )
    };
    let before = stored();
    let second = apply(INSTALL);
    assert_eq!(text(&second.stderr), "", "Pod Security and deprecations speak up here");
    assert_eq!(stored(), before, "{}", text(&second.stdout));
}

#[tokio::test]
async fn samples_are_accepted() {
    let fixture = Fixture::new("samples").await;
    let samples = repository().join("manifests/samples");
    let count = fs::read_dir(&samples).expect("samples").count();
    let said = fixture.kubectl(&["apply", "--filename", samples.to_str().expect("a readable path")], "");
    assert_eq!(said.lines().filter(|line| line.ends_with("created")).count(), count, "{said}");
}

#[tokio::test]
async fn samples_keep_to_the_strictest_pod_security() {
    let fixture = Fixture::new("restricted").await;
    fixture
        .kubectl(&["label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted"], "");
    fixture.kubectl(&["create", "serviceaccount", "default"], "");
    for sample in [BATCH_JOB, NIGHTLY, SERVICE, TUNED_LEASE] {
        let job: SingletonJob = serde_saphyr::from_str(sample).expect("a SingletonJob");
        let spec = job.spec.template.spec.expect("a pod");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec});
        fixture.kubectl(&["create", "--dry-run=server", "--filename", "-"], &pod.to_string());
    }
}

#[tokio::test]
async fn kustomize_sets_the_image() {
    let fixture = Fixture::new("kustomize").await;
    let overlay = tempfile::tempdir_in(repository().join("target")).expect("a directory below target");
    let kustomization = format!(
        "resources: [../../manifests]\nimages: [{{name: {image}, newName: registry.example/sj, newTag: v9}}]\n",
        image = "ghcr.io/singletonjob/singletonjob"
    );
    fs::write(overlay.path().join("kustomization.yaml"), kustomization).expect("a writable directory");
    let rendered = fixture.kubectl(&["kustomize", overlay.path().to_str().expect("a readable path")], "");
    assert!(rendered.contains("image: registry.example/sj:v9") && !rendered.contains("ghcr.io"));
    assert_eq!(
        rendered.matches("\nkind: ").count(),
        INSTALL.matches("\nkind: ").count(),
        "the same objects as install.yaml"
    );
}

#[tokio::test]
async fn kustomize_moves_the_operator_to_another_namespace() {
    let fixture = Fixture::new("moved").await;
    let overlay = tempfile::tempdir_in(repository().join("target")).expect("a directory below target");
    let kustomization = "namespace: moved\nresources: [../../manifests]\n";
    fs::write(overlay.path().join("kustomization.yaml"), kustomization).expect("a writable directory");
    let rendered = fixture.kubectl(&["kustomize", overlay.path().to_str().expect("a readable path")], "");
    assert!(!rendered.contains("singletonjob-system"), "{rendered}");
    fixture.kubectl(&["apply", "--dry-run=server", "--filename", "-"], &rendered);
}

/// The pod of the operator's Deployment, as it is installed.
fn operators_pod(fixture: &Fixture) -> Value {
    fixture.install();
    let arguments = [
        "get",
        "deployment",
        "singletonjob-controller",
        "--namespace",
        "singletonjob-system",
        "--output",
        "json",
    ];
    let output = fixture.control_plane.kubectl(&arguments, "");
    let deployment: Value = serde_json::from_slice(&output.stdout).expect("a Deployment");
    deployment["spec"]["template"]["spec"].clone()
}

#[tokio::test]
async fn the_operators_pod_is_admitted_where_clusters_are_strict() {
    let fixture = Fixture::new("strict").await;
    fixture.kubectl(&["create", "serviceaccount", "singletonjob-controller"], "");
    fixture.kubectl(&["create", "serviceaccount", "default"], "");
    let pod = operators_pod(&fixture);
    strict::restrict(&fixture.control_plane, &fixture.namespace);
    assert_eq!(strict::refused(&fixture.control_plane, &fixture.namespace, &pod), "");
    // It adds limits to a pod that has none, so it comes last.
    strict::limit(&fixture.control_plane, &fixture.namespace);
    assert_eq!(strict::refused(&fixture.control_plane, &fixture.namespace, &pod), "");
}

/// Where Pod Security asks for `runAsNonRoot`, the kubelet starts an image whose user is a number, and no
/// other.
#[test]
fn the_image_of_the_operator_has_a_user_with_a_number() {
    let user = "65532:65532";
    let read = |file: &str| fs::read_to_string(repository().join(file)).expect("readable");
    assert!(read("Dockerfile").lines().any(|line| line == format!("USER {user}")));
    assert!(read("hack/image.sh").contains(&format!("--user {user}")));
    let archive = tempfile::NamedTempFile::new().expect("a temporary file");
    let packed = Command::new(repository().join("hack/image.py"))
        .arg(archive.path())
        .args(["localhost/operator:test", "--user", user, "text:hello=/hello"])
        .status();
    assert!(packed.is_ok_and(|status| status.success()), "hack/image.py needs python3");
    let image = fs::read(archive.path()).expect("an archive");
    assert!(String::from_utf8_lossy(&image).contains(&format!(r#""User": "{user}""#)), "its config says so");
    assert!(!OPERATOR.contains("runAsUser") && !OPERATOR.contains("runAsGroup"));
}

/// `(verb, resource)` of what the controller could do much harm with. That it may do what it does is seen
/// where it does it.
const MISDEEDS: [(&str, &str); 7] = [
    ("update", "singletonjobs.singletonjob.dev"),
    ("delete", "roles.rbac.authorization.k8s.io"),
    ("update", "pods"),
    ("get", "secrets"),
    ("create", "pods/exec"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("bind", "roles.rbac.authorization.k8s.io"),
];

#[tokio::test]
async fn the_controller_may_not_do_what_it_has_no_need_to() {
    let fixture = Fixture::new("rights").await;
    fixture.install();
    let may = |verb: &str, resource: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let controller = "--as=system:serviceaccount:singletonjob-system:singletonjob-controller";
        fixture
            .try_kubectl(&["auth", "can-i", verb, resource, "--subresource", subresource, controller], "")
            .status
            .success()
    };
    assert!(may("watch", "singletonjobs.singletonjob.dev"), "the question is put right");
    let surplus: Vec<_> = MISDEEDS.into_iter().filter(|(verb, resource)| may(verb, resource)).collect();
    assert_eq!(surplus, vec![]);
}

/// The API server lets no user grant what they do not have: the controller's own rights must cover a
/// candidate's.
#[tokio::test]
async fn the_controller_can_give_candidates_their_role() {
    let fixture = Fixture::new("grants").await;
    fixture.install();
    let token = fixture.token("singletonjob-system", "singletonjob-controller", None).await;
    let granted = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "job"},
         "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["job"],
                    "verbs": ["get", "watch", "update"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "job"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "job"},
         "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "grants"}]}]}"#;
    let kubeconfig = fixture.control_plane.kubeconfig_with_token(&token);
    let kubeconfig = kubeconfig.to_str().expect("a readable path");
    fixture.kubectl(&["apply", "--server-side", "--filename", "-", "--kubeconfig", kubeconfig], granted);
}
