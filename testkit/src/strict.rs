//! Namespaces as strict as clusters have them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);
/// Of what a container asks for, neither less nor more.
const LEAST: [(&str, &str); 2] = [("cpu", "20m"), ("memory", "32Mi")];
const MOST: [(&str, &str); 2] = [("cpu", "2"), ("memory", "512Mi")];

/// A pod's spec that both admit.
pub fn admitted() -> Value {
    let resources =
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}});
    let context = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "resources": resources, "securityContext": context});
    json!({"containers": [container], "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}})
}

/// A LimitRange with a minimum and a maximum for every container.
pub fn limit(control_plane: &ControlPlane, namespace: &str) {
    let map = |pairs: [(&str, &str); 2]| {
        pairs.into_iter().map(|(name, quantity)| (name.to_owned(), json!(quantity))).collect::<Value>()
    };
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range", "namespace": namespace},
        "spec": {"limits": [{"type": "Container", "min": map(LEAST), "max": map(MOST)}]}});
    apply(control_plane, &range);
}

/// The restricted Pod Security Standard, and a policy that demands requests, limits and a read-only root of
/// every container, and leaves the user to the cluster, as OpenShift's restricted-v2 does. Returns when the
/// policy is in force.
pub fn restrict(control_plane: &ControlPlane, namespace: &str) {
    let labels =
        json!({"kubernetes.io/metadata.name": namespace, "pod-security.kubernetes.io/enforce": "restricted"});
    apply(
        control_plane,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
    );
    let version = "admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace}, "spec": policy()});
    apply(control_plane, &policy);
    let selector = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    let binding = json!({"policyName": namespace, "validationActions": ["Deny"], "matchResources": selector});
    apply(
        control_plane,
        &json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": namespace}, "spec": binding}),
    );
    await_force(control_plane, namespace);
}

fn policy() -> Value {
    let rule =
        json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let all = "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : [])";
    let asks = |what: &str| {
        format!(
            "has(c.resources) && has(c.resources.{what}) && ['cpu', 'memory'].all(r, r in c.resources.{what})"
        )
    };
    let reads = "has(c.securityContext) && has(c.securityContext.readOnlyRootFilesystem) && c.securityContext.readOnlyRootFilesystem";
    let of_all = |what: &str, of_each: &str| json!({"expression": format!("variables.all.all(c, {of_each})"), "message": format!("every container needs {what}")});
    let of_pod = json!({"expression": "!has(object.spec.securityContext) || !has(object.spec.securityContext.runAsUser)", "message": "no user"});
    let validations = json!([
        of_all("requests", &asks("requests")),
        of_all("limits", &asks("limits")),
        of_all("a read-only root", reads),
        of_pod,
        of_all("no user", "!has(c.securityContext) || !has(c.securityContext.runAsUser)"),
    ]);
    json!({"matchConstraints": {"resourceRules": [rule]}, "variables": [{"name": "all", "expression": all}], "validations": validations})
}

/// Every demand refuses a pod that does not meet it.
fn await_force(control_plane: &ControlPlane, namespace: &str) {
    let container = "/containers/0";
    for (place, what, words) in [
        (container, json!({"resources": {}}), "every container needs requests"),
        (
            container,
            json!({"resources": {"requests": {"cpu": "20m", "memory": "32Mi"}}}),
            "every container needs limits",
        ),
        (
            container,
            json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}),
            "a read-only root",
        ),
        (
            "",
            json!({"securityContext": {"runAsNonRoot": true, "runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}}}),
            "no user",
        ),
    ] {
        let mut spec = admitted();
        let changed = spec.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
        changed.extend(what.as_object().expect("an object").clone());
        let started = Instant::now();
        while !refused(control_plane, namespace, &spec).contains(words) {
            assert!(
                started.elapsed() < IN_FORCE_WITHIN,
                "{words}: {}",
                refused(control_plane, namespace, &spec)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What the API server says against a pod of this spec; nothing where it admits it.
pub fn refused(control_plane: &ControlPlane, namespace: &str, spec: &Value) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec});
    let output = control_plane.kubectl(
        &["create", "--namespace", namespace, "--dry-run=server", "--filename", "-"],
        &pod.to_string(),
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn apply(control_plane: &ControlPlane, object: &Value) {
    let output = control_plane.kubectl(&["apply", "--server-side", "--filename", "-"], &object.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
