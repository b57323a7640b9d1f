//! What the controller keeps of the Lease of a SingletonJob, and of the Role and the RoleBinding that let
//! candidates use it.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::index::{Entry, Key, own_key};
use super::ownership::job_of;

/// A Lease, without what is said of its writers. It is about the SingletonJob of its name, whatever became of
/// its label. The controller writes a Lease back as a whole, so that the rest is kept.
#[derive(Debug, PartialEq)]
pub struct KnownLease(pub Lease);

impl Entry for KnownLease {
    type Object = Lease;

    fn read(object: &Lease) -> Option<(Key, Self)> {
        let mut kept = object.clone();
        kept.metadata.managed_fields = None;
        Some((own_key(object), Self(kept)))
    }
}

/// The rules of a Role, with the metadata that the controller reads.
#[derive(Debug, PartialEq)]
pub struct KnownRole(pub(super) Role);

impl Entry for KnownRole {
    type Object = Role;

    fn read(object: &Role) -> Option<(Key, Self)> {
        Some((job_of(object)?, Self(Role { metadata: kept(&object.metadata), rules: object.rules.clone() })))
    }
}

/// The subjects of a RoleBinding, with the metadata that the controller reads.
#[derive(Debug, PartialEq)]
pub struct KnownBinding(pub(super) RoleBinding);

impl Entry for KnownBinding {
    type Object = RoleBinding;

    fn read(object: &RoleBinding) -> Option<(Key, Self)> {
        Some((job_of(object)?, Self(RoleBinding { metadata: kept(&object.metadata), ..object.clone() })))
    }
}

fn kept(metadata: &ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, uid, labels, owner_references, .. } = metadata.clone();
    ObjectMeta { name, namespace, uid, labels, owner_references, ..ObjectMeta::default() }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::contract::labels;
    use crate::controller::observe::index::Index;

    #[test]
    fn a_role_is_kept_without_what_is_not_read_and_told_once() {
        let role = |version: &str, verbs: &[&str]| -> Role {
            serde_json::from_value(json!({
                "metadata": {
                    "namespace": "shop", "name": "singletonjob-web", "uid": "r", "resourceVersion": version,
                    "labels": {labels::JOB: "web"}, "annotations": {"a": version}, "managedFields": [{"manager": "m"}],
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Lease", "name": "web", "uid": "l"}],
                },
                "rules": [{"verbs": verbs}],
            }))
            .expect("a Role")
        };
        let roles = Index::<KnownRole>::default();
        let told = |role| roles.apply(&Event::Apply(role)).len();
        assert_eq!([told(role("1", &["get"])), told(role("2", &["get"])), told(role("3", &[]))], [1, 0, 1]);
        let known = roles.get(&("shop".to_owned(), "web".to_owned()), "singletonjob-web").expect("kept");
        let metadata = &known.0.metadata;
        assert_eq!((metadata.uid.as_deref(), metadata.managed_fields.as_ref()), (Some("r"), None));
        assert_eq!(metadata.owner_references.iter().flatten().count(), 1);
    }
}
