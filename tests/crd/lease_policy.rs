//! A candidate speaks for itself and for no other, whatever token it got hold of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::BoundObjectReference;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use singletonjob::contract::labels;
use singletonjob::controller::build::rbac::VERBS;
use singletonjob::lease::annotations::keys;
use singletonjob::lease::identity::Identity;

use super::{Fixture, PATIENCE, refusal};

/// A job `web` with two candidates, another pod, and the policy in force.
struct Scene {
    fixture: Fixture,
}

/// A client with a token.
struct Actor {
    leases: Api<Lease>,
    identity: String,
}

impl Scene {
    async fn new(namespace: &str) -> Self {
        let fixture = Fixture::new(namespace).await;
        fixture.install();
        let scene = Self { fixture };
        scene.create::<ServiceAccount>(json!({"metadata": {"name": "default"}})).await;
        let rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["web"],
                          "verbs": VERBS});
        scene.create::<Role>(json!({"metadata": {"name": "web"}, "rules": [rule]})).await;
        let granted = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "web"});
        let subject = json!({"kind": "ServiceAccount", "name": "default", "namespace": namespace});
        scene
            .create::<RoleBinding>(
                json!({"metadata": {"name": "web"}, "roleRef": granted, "subjects": [subject]}),
            )
            .await;
        scene
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.fixture.client.clone(), &self.fixture.namespace);
        let object = serde_json::from_value(object).expect("decodes");
        api.create(&PostParams::default(), &object).await.expect("created")
    }

    /// Binds a role to a service account of this scene: a Role here, a ClusterRole everywhere.
    fn bind(&self, kind: &str, role: &str, account: &str) {
        let namespace = &self.fixture.namespace;
        let (binding, role) = match kind {
            "Role" => ("rolebinding", format!("--role={role}")),
            _ => ("clusterrolebinding", format!("--clusterrole={role}")),
        };
        let subject = format!("--serviceaccount={namespace}:{account}");
        self.fixture.kubectl(&["create", binding, &format!("{namespace}-{account}"), &role, &subject], "");
    }

    /// A pod, and its agent's token as the kubelet would fetch it.
    async fn pod(&self, name: &str) -> Actor {
        let container = json!({"name": "main", "image": "busybox:1.37"});
        let pod: Pod =
            self.create(json!({"metadata": {"name": name}, "spec": {"containers": [container]}})).await;
        let uid = pod.metadata.uid.expect("stored");
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.clone()),
        };
        Actor {
            identity: Identity::new(name, &uid, 1).to_string(),
            ..self.account("default", Some(bound)).await
        }
    }

    /// A service account of this scene; its token bound to `pod`, if to anything.
    async fn account(&self, name: &str, pod: Option<BoundObjectReference>) -> Actor {
        self.actor(&self.fixture.token(&self.fixture.namespace, name, pod).await).await
    }

    async fn actor(&self, token: &str) -> Actor {
        Actor {
            leases: self.leases(self.fixture.control_plane.client_with_token(token).await),
            identity: String::new(),
        }
    }

    fn admin(&self) -> Actor {
        Actor { leases: self.leases(self.fixture.client.clone()), identity: String::new() }
    }

    fn leases(&self, client: Client) -> Api<Lease> {
        Api::namespaced(client, &self.fixture.namespace)
    }

    /// The Lease anew, held by `holder`, as the controller makes it.
    async fn lease(&self, holder: &str) {
        self.admin().leases.delete("web", &DeleteParams::default()).await.ok();
        let labels = BTreeMap::from([(labels::MANAGED_BY, labels::MANAGED_BY_VALUE), (labels::JOB, "web")]);
        let annotations = BTreeMap::from([
            (keys::POLICY, "{}"),
            (keys::RUN, "{}"),
            (keys::HANDOVER, "{}"),
            (keys::CLEARED, "{}"),
            ("example.com/note", "ours"),
        ]);
        let metadata = json!({"name": "web", "labels": labels, "annotations": annotations});
        self.create::<Lease>(json!({"metadata": metadata, "spec": {"holderIdentity": holder}})).await;
    }

    /// Policies come into force a moment after they are stored: waits until `stranger` is refused.
    async fn await_force(&self, stranger: &Actor) {
        self.lease("").await;
        let started = Instant::now();
        while stranger.hold(&stranger.identity).await.is_ok() {
            assert!(started.elapsed() < PATIENCE, "the policy does not come into force");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Actor {
    async fn hold(&self, holder: &str) -> Result<Lease, Error> {
        self.change(|lease| lease.spec.get_or_insert_default().holder_identity = Some(holder.to_owned()))
            .await
    }

    /// A renewal, in the own name, that also sets this annotation or removes it.
    async fn annotate(&self, key: &str, value: Option<&str>) -> Result<Lease, Error> {
        self.change(|lease| {
            lease.spec.get_or_insert_default().holder_identity = Some(self.identity.clone());
            let annotations = lease.metadata.annotations.get_or_insert_default();
            match value {
                Some(value) => annotations.insert(key.to_owned(), value.to_owned()),
                None => annotations.remove(key),
            };
        })
        .await
    }

    async fn change(&self, change: impl FnOnce(&mut Lease)) -> Result<Lease, Error> {
        let mut lease = self.leases.get("web").await.expect("may be read");
        change(&mut lease);
        self.leases.replace("web", &PostParams::default(), &lease).await
    }
}

#[tokio::test]
async fn a_candidate_takes_renews_and_gives_back_the_lease_in_its_own_name() {
    let scene = Scene::new("own-name").await;
    let (first, second, stranger) =
        (scene.pod("web-1").await, scene.pod("web-2").await, scene.pod("other").await);
    scene.await_force(&stranger).await;
    first.hold(&first.identity).await.expect("a free lease may be taken");
    first.hold(&first.identity).await.expect("it may be renewed");
    second.hold(&second.identity).await.expect("an expired one may be taken over");
    second.hold("").await.expect("it may be given back");
    second.change(|lease| lease.spec = None).await.expect_err("but not for another, here none");
}

#[tokio::test]
async fn no_client_takes_clears_or_releases_the_lease_in_anothers_place() {
    let scene = Scene::new("others").await;
    let (first, second, stranger) =
        (scene.pod("web-1").await, scene.pod("web-2").await, scene.pod("other").await);
    scene.await_force(&stranger).await;
    scene.lease(&first.identity).await;
    let said = refusal(second.hold("").await);
    let message = format!(
        "pod web-2 may hold this Lease only as itself, and give back only its own; it is held by \"{}\" and would be by \"\"",
        first.identity
    );
    assert!(said.contains(&message), "{said}");
    refusal(second.hold(&first.identity).await);
    refusal(second.hold("web-2_another-uid_0000000000000001").await);
    refusal(second.hold(&second.identity.replace("web-2_", "web-2")).await);
}

#[tokio::test]
async fn a_pod_that_is_no_candidate_and_a_token_without_a_pod_change_nothing() {
    let scene = Scene::new("strangers").await;
    let stranger = scene.pod("other").await;
    scene.await_force(&stranger).await;
    let said = refusal(stranger.hold(&stranger.identity).await);
    let account = "system:serviceaccount:strangers:default";
    let message = "only candidate pods of SingletonJob web may update its Lease, with a token bound to the pod; this is";
    assert!(said.contains(&format!("{message} {account} in pod other")), "{said}");
    let near = scene.pod("web-1-x").await;
    refusal(near.hold(&near.identity).await);
    let said = refusal(scene.account("default", None).await.hold("web-1_uid_1").await);
    assert!(said.contains(&format!("{message} {account} without a pod")), "{said}");
}

#[tokio::test]
async fn directives_and_labels_are_the_controllers() {
    let scene = Scene::new("directives").await;
    let (candidate, stranger) = (scene.pod("web-1").await, scene.pod("other").await);
    scene.await_force(&stranger).await;
    for report in [keys::PROGRESS, keys::RELEASED, keys::FINISHED, keys::HEALTH] {
        candidate.annotate(report, Some("{}")).await.expect("a report");
        candidate.annotate(report, None).await.expect("a report taken back");
    }
    for key in [
        keys::POLICY,
        keys::RUN,
        keys::HANDOVER,
        keys::CLEARED,
        keys::SUCCESSION,
        "example.com/note",
        "example.com/new",
    ] {
        let said = refusal(candidate.annotate(key, Some("{\"mine\":1}")).await);
        assert!(said.contains("all other annotations are not theirs"), "{key}: {said}");
    }
    refusal(candidate.annotate(keys::POLICY, None).await);
    candidate
        .annotate(keys::HANDOVER, None)
        .await
        .expect("a handover is taken away by the one that took over");
    candidate.annotate(keys::CLEARED, None).await.expect("and a clearance");
    let unlabelled = candidate.change(|lease| {
        lease.spec.get_or_insert_default().holder_identity = Some(candidate.identity.clone());
        lease.metadata.labels = None;
    });
    assert!(
        refusal(unlabelled.await)
            .contains("labels, owners and finalizers of the Lease are not the candidates'")
    );
}

#[tokio::test]
async fn the_controller_and_administrators_are_not_held_to_it() {
    let scene = Scene::new("exempt").await;
    let stranger = scene.pod("other").await;
    scene.await_force(&stranger).await;
    scene.admin().hold("another").await.expect("an administrator");
    scene.admin().hold("").await.expect("an administrator");
    let token = scene.fixture.token("singletonjob-system", "singletonjob-controller", None).await;
    let controller = Actor { identity: "placeholder".to_owned(), ..scene.actor(&token).await };
    controller.annotate(keys::POLICY, Some("{\"new\":1}")).await.expect("the controller");
}

#[tokio::test]
async fn the_controller_is_known_in_whatever_namespace_it_is_installed() {
    let scene = Scene::new("moved-controller").await;
    let stranger = scene.pod("other").await;
    scene.await_force(&stranger).await;
    scene.lease("").await;
    for account in ["singletonjob-controller", "may-everything"] {
        scene.create::<ServiceAccount>(json!({"metadata": {"name": account}})).await;
    }
    let (controller, mighty) =
        (scene.account("singletonjob-controller", None).await, scene.account("may-everything", None).await);
    scene.bind("Role", "web", "singletonjob-controller");
    let said = refusal(controller.annotate(keys::POLICY, Some("{\"new\":1}")).await);
    assert!(said.contains("only candidate pods"), "a name is no right: {said}");
    scene.bind("ClusterRole", "singletonjob-controller", "singletonjob-controller");
    scene.bind("ClusterRole", "cluster-admin", "may-everything");
    controller.annotate(keys::POLICY, Some("{\"new\":1}")).await.expect("the controller");
    let said = refusal(mighty.annotate(keys::POLICY, Some("{\"new\":2}")).await);
    assert!(said.contains("only candidate pods"), "a right is no name: {said}");
}

#[tokio::test]
async fn leases_of_others_are_none_of_our_business() {
    let scene = Scene::new("foreign").await;
    let stranger = scene.pod("other").await;
    scene.await_force(&stranger).await;
    scene.admin().leases.delete("web", &DeleteParams::default()).await.expect("ours goes");
    scene.create::<Lease>(json!({"metadata": {"name": "web"}, "spec": {"holderIdentity": "app"}})).await;
    stranger.hold("").await.expect("RBAC alone decides");
}

#[tokio::test]
async fn only_the_controller_makes_a_lease_and_users_can_still_delete_it() {
    let scene = Scene::new("makers").await;
    let stranger = scene.pod("other").await;
    scene.await_force(&stranger).await;
    scene.create::<ServiceAccount>(json!({"metadata": {"name": "editor"}})).await;
    let editor = scene.account("editor", None).await;
    scene.bind("ClusterRole", "system:aggregate-to-edit", "editor");
    let lease = |labelled: bool| -> Lease {
        let labels =
            labelled.then(|| json!({labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: "web"}));
        serde_json::from_value(
            json!({"metadata": {"name": "web", "labels": labels}, "spec": {"holderIdentity": ""}}),
        )
        .expect("a Lease")
    };
    let started = Instant::now();
    while editor.leases.delete("web", &DeleteParams::default()).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "the stock role for editors does not let them at Leases");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = refusal(editor.leases.create(&PostParams::default(), &lease(true)).await);
    let message = "only the controller makes the Lease of a SingletonJob, which web is by its labels; this is system:serviceaccount:makers:editor";
    assert!(said.contains(message), "{said}");
    editor
        .leases
        .create(&PostParams::default(), &lease(false))
        .await
        .expect("without labels it is not known by them");
    let labelled = editor.change(|it| it.metadata.labels = lease(true).metadata.labels);
    assert!(refusal(labelled.await).contains("only candidate pods"), "nor does it become ours");
    editor.leases.delete("web", &DeleteParams::default()).await.expect("a deletion is left to RBAC");
    let token = scene.fixture.token("singletonjob-system", "singletonjob-controller", None).await;
    scene
        .actor(&token)
        .await
        .leases
        .create(&PostParams::default(), &lease(true))
        .await
        .expect("the controller");
}
