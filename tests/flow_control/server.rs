//! An API server that serves few requests at a time, and another service account that keeps it busy.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use kube::{Client, Config};
use serde_json::{Value, json};
use testkit::control_plane::ControlPlane;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const FLOW_CONTROL: &str = include_str!("../../manifests/flow-control.yaml");
/// Some three times what `workload-low` and all that it may borrow serve at a time.
const HOGS: usize = 80;
/// Each hangs for at least 10 s in every request of a hog, until the request has taken its minute.
const WEBHOOKS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An API server whose priority level `workload-low` serves 17 requests at a time.
pub struct BusyServer {
    pub control_plane: ControlPlane,
    pub client: Client,
    /// The address that the webhooks have. Nothing answers there.
    _webhook: TcpListener,
}

impl BusyServer {
    pub async fn start() -> Self {
        let flags = ["--max-requests-inflight=20", "--max-mutating-requests-inflight=20"];
        let control_plane = ControlPlane::start_with(&flags);
        let client = control_plane.client().await;
        let webhook = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = webhook.local_addr().expect("bound").port();
        let server = Self { control_plane, client, _webhook: webhook };
        for namespace in ["hogs", "team"] {
            server.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
            server.make_account(namespace);
        }
        server.apply(&webhooks(port));
        server
    }

    /// The service account `default`, which may do everything in its namespace.
    fn make_account(&self, namespace: &str) {
        let metadata = json!({"name": "default", "namespace": namespace});
        self.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        }));
    }

    pub fn apply(&self, object: &Value) {
        self.apply_text(&object.to_string());
    }

    fn apply_text(&self, objects: &str) {
        let output = self.control_plane.kubectl(&["apply", "--filename", "-"], objects);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Applies the manifest, and waits until the API server goes by it.
    pub async fn install_flow_control(&self) {
        self.apply_text(FLOW_CONTROL);
        let began = Instant::now();
        while super::matches::schema_of_a_renewal(self).await != super::matches::OURS {
            assert!(began.elapsed() < PATIENCE, "the API server does not go by the FlowSchema");
            sleep(LOOK_EVERY).await;
        }
    }

    /// How the service account `default` of `namespace` reaches it.
    pub async fn config_of(&self, namespace: &str) -> Config {
        let arguments = ["--namespace", namespace, "create", "token", "default"];
        let output = self.control_plane.kubectl(&arguments, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.control_plane.config_with_token(String::from_utf8_lossy(&output.stdout).trim()).await
    }

    /// Whether requests wait for the priority level that service accounts have by default.
    pub async fn is_saturated(&self) -> bool {
        let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
        let metrics = self.client.request_text(request).await.expect("an administrator does not wait");
        let waiting = metrics.lines().filter(|line| {
            line.starts_with("apiserver_flowcontrol_current_inqueue_requests{")
                && line.contains("\"workload-low\"")
        });
        waiting.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() > 0.0
    }

    /// Whether another request of the holders' service account has an answer within that time.
    pub async fn answers(&self, within: Duration) -> bool {
        let client = Client::try_from(self.config_of("team").await).expect("a client");
        let config_maps: Api<ConfigMap> = Api::namespaced(client, "team");
        timeout(within, config_maps.get_opt("none")).await.is_ok()
    }
}

/// Admission of ConfigMaps in the namespace `hogs` hangs.
fn webhooks(port: u16) -> Value {
    let webhook = |number: usize| {
        json!({
            "name": format!("webhook-{number}.singletonjob.dev"), "timeoutSeconds": 30, "failurePolicy": "Ignore",
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/")},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hogs"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "hanging"}, "webhooks": (0..WEBHOOKS).map(webhook).collect::<Vec<_>>(),
    })
}

/// Requests of one service account that take a minute each, for as long as this lives.
pub struct Hogs {
    _requests: JoinSet<()>,
}

impl Hogs {
    /// Returns when requests of service accounts wait.
    pub async fn begin(server: &BusyServer) -> Self {
        let client = Client::try_from(server.config_of("hogs").await).expect("a client");
        let mut requests = JoinSet::new();
        for _ in 0..HOGS {
            requests.spawn(hog(Api::namespaced(client.clone(), "hogs")));
        }
        let began = Instant::now();
        while !server.is_saturated().await {
            assert!(began.elapsed() < PATIENCE, "no request waits");
            sleep(LOOK_EVERY).await;
        }
        Self { _requests: requests }
    }
}

async fn hog(config_maps: Api<ConfigMap>) {
    let config_map = serde_json::from_value(json!({"metadata": {"name": "hog"}})).expect("a ConfigMap");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    loop {
        config_maps.create(&dry, &config_map).await.ok();
        sleep(LOOK_EVERY).await;
    }
}
