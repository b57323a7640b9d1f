//! Whose requests the FlowSchema takes, and whose it leaves where they are.

use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::client::Body;

use super::server::BusyServer;

/// The FlowSchema of the manifest.
pub const OURS: &str = "singletonjob-leases";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces";

/// The FlowSchema that a request of `user` falls under. Whether the user may do that is another question.
async fn schema(server: &BusyServer, user: &str, method: &str, path: &str) -> String {
    let group = if user.starts_with("system:node:") { "system:nodes" } else { "system:authenticated" };
    let mut request = http::Request::builder().method(method).uri(path).header("Impersonate-User", user);
    if !user.starts_with("system:serviceaccount:") {
        request = request.header("Impersonate-Group", group);
    }
    let request = request.body(Body::empty()).expect("a request");
    let answer = server.client.send(request).await.expect("an answer");
    let uid = answer.headers().get("X-Kubernetes-PF-FlowSchema-UID").expect("the API server says it");
    let uid = uid.to_str().expect("plain text");
    let schemas: Api<FlowSchema> = Api::all(server.client.clone());
    let all = schemas.list(&ListParams::default()).await.expect("an answer");
    all.iter().find(|schema| schema.uid().as_deref() == Some(uid)).expect("one that is there").name_any()
}

/// The FlowSchema that a renewal falls under.
pub async fn schema_of_a_renewal(server: &BusyServer) -> String {
    schema(server, &super::holders::user(), "PUT", &format!("{LEASES}/team/leases/none")).await
}

#[tokio::test]
async fn the_flow_schema_takes_candidates_lease_requests_and_no_others() {
    let server = BusyServer::start().await;
    server.install_flow_control().await;
    let lease = |namespace: &str| format!("{LEASES}/{namespace}/leases/none");
    let watch = format!("{LEASES}/team/leases?watch=1&fieldSelector=metadata.name%3Dnone&timeoutSeconds=1");
    let candidate = "system:serviceaccount:team:default";
    let table = [
        (candidate, "GET", lease("team"), OURS),
        (candidate, "PUT", lease("team"), OURS),
        (candidate, "GET", watch, OURS),
        (candidate, "DELETE", lease("team"), "service-accounts"),
        (candidate, "GET", format!("{LEASES}/team/leases"), "service-accounts"),
        (candidate, "GET", "/api/v1/namespaces/team/configmaps/none".to_owned(), "service-accounts"),
        ("system:serviceaccount:kube-system:dns", "PUT", lease("kube-system"), "system-leader-election"),
        ("system:kube-controller-manager", "PUT", lease("kube-system"), "system-leader-election"),
        ("system:node:one", "PUT", lease("kube-node-lease"), "system-node-high"),
        ("a-user", "PUT", lease("team"), "global-default"),
    ];
    for (user, method, path, expected) in table {
        assert_eq!(schema(&server, user, method, &path).await, expected, "{user} {method} {path}");
    }
}
