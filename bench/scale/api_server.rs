//! The API server with the operator installed, its users' namespaces, and what was asked of it.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::json;
use testkit::audit::Audit;
use testkit::control_plane::{ControlPlane, ETCD, KUBE_APISERVER};
use testkit::observe::eventually;

use super::metrics::sum;
use super::process::Process;
use super::requests::Requests;

const INSTALL: &str = include_str!("../../manifests/install.yaml");
/// Where the operator is installed.
pub const NAMESPACE: &str = "singletonjob-system";
const ACCOUNT: &str = "singletonjob-controller";
const USER: &str = "system:serviceaccount:singletonjob-system:singletonjob-controller";
const NODES: usize = 2;
/// What is read of the log, and no more, because every line costs the API server.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "Metadata", "users": ["system:serviceaccount:singletonjob-system:singletonjob-controller"]}, {"level": "None"}]}"#;

/// A control plane of its own for each measurement.
pub struct ApiServer {
    /// The servers.
    pub control_plane: ControlPlane,
    /// With all rights.
    pub client: Client,
}

impl ApiServer {
    /// Starts it, with the operator installed but for its pods, nodes, and namespaces of users.
    pub async fn start(namespaces: &[String]) -> Self {
        let control_plane = ControlPlane::start_with_audit_policy(AUDIT_POLICY);
        let client = control_plane.client().await;
        let server = Self { control_plane, client };
        server.install().await;
        for number in 0..NODES {
            server.make_node(&node(number)).await;
        }
        for namespace in namespaces {
            server.make_namespace(namespace).await;
        }
        server
    }

    async fn install(&self) {
        let apply = || {
            let arguments = ["apply", "--server-side", "--filename", "-"];
            let is_applied = self.control_plane.kubectl(&arguments, INSTALL).status.success();
            let is_served = self.control_plane.kubectl(&["get", "singletonjobs", "--all-namespaces"], "");
            (is_applied && is_served.status.success()).then_some(())
        };
        eventually("the operator is installed", Duration::from_secs(60), apply).await;
    }

    async fn make_node(&self, name: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let made = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let made: Node = serde_json::from_value(made).expect("a node");
        nodes.create(&PostParams::default(), &made).await.expect("a node");
        let patch = kube::api::Patch::Merge(&ready);
        nodes.patch_status(name, &kube::api::PatchParams::default(), &patch).await.expect("a ready node");
    }

    async fn make_namespace(&self, name: &str) {
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let made = Namespace { metadata: named(name), ..Namespace::default() };
        Api::all(self.client.clone()).create(&PostParams::default(), &made).await.expect("a namespace");
        // No controller manager makes it here, and pods are not admitted without it.
        let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        accounts.create(&PostParams::default(), &account).await.expect("a service account");
    }

    /// A token of the controller.
    pub async fn controllers_token(&self) -> String {
        self.token(NAMESPACE, ACCOUNT, None).await.expect("a token")
    }

    /// A token as the kubelet mounts it into a pod; none where the pod is gone.
    pub async fn pods_token(&self, pod: &Pod) -> kube::Result<String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        };
        self.token(namespace, "default", Some(bound)).await
    }

    async fn token(
        &self,
        namespace: &str,
        account: &str,
        bound: Option<BoundObjectReference>,
    ) -> kube::Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let spec = TokenRequestSpec { bound_object_ref: bound, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(answer.status.and_then(|status| status.token).expect("answered with a token"))
    }

    /// The process of kube-apiserver.
    pub fn process(&self) -> Process {
        Process(self.control_plane.pid_of(KUBE_APISERVER))
    }

    /// The process of etcd.
    pub fn etcd(&self) -> Process {
        Process(self.control_plane.pid_of(ETCD))
    }

    /// Counts, from now on, what the controller asks outside of these namespaces.
    pub fn count(&self, namespaces_left_out: &[&'static str]) -> Requests {
        Requests::begin(Audit::begin(self.control_plane.audit_log()), USER, namespaces_left_out)
    }

    /// How many updates of Leases it has answered, of all clients.
    pub fn lease_updates(&self) -> f64 {
        let metrics = self.control_plane.kubectl(&["get", "--raw", "/metrics"], "");
        sum(&String::from_utf8_lossy(&metrics.stdout), "apiserver_request_total", |labels| {
            labels.contains(r#"resource="leases""#) && labels.contains(r#"verb="PUT""#)
        })
        .unwrap_or_default()
    }
}

/// The name of a node.
pub fn node(number: usize) -> String {
    format!("node-{}", number % NODES)
}
