//! Builds the Role and RoleBinding that let candidates use their one Lease.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::api::SingletonJob;
use crate::controller::names;

/// All that a candidate does, and may do, with its Lease. It watches one object by name, and never lists,
/// creates, patches or deletes.
pub const VERBS: [&str; 3] = ["get", "watch", "update"];

/// The Role for this one Lease.
pub fn role(job: &SingletonJob) -> Role {
    let rule = PolicyRule {
        api_groups: Some(vec!["coordination.k8s.io".into()]),
        resources: Some(vec!["leases".into()]),
        resource_names: Some(vec![job.name_any()]),
        verbs: VERBS.map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    };
    Role { metadata: metadata(job), rules: Some(vec![rule]) }
}

/// Binds the Role to the service accounts of the candidates.
pub fn binding(job: &SingletonJob, service_accounts: &[String]) -> RoleBinding {
    let subject = |account: &String| Subject {
        kind: "ServiceAccount".into(),
        name: account.clone(),
        namespace: job.namespace(),
        ..Subject::default()
    };
    RoleBinding {
        metadata: metadata(job),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".into()),
            kind: "Role".into(),
            name: names::child_name(&job.name_any()),
        },
        subjects: Some(service_accounts.iter().map(subject).collect()),
    }
}

fn metadata(job: &SingletonJob) -> ObjectMeta {
    ObjectMeta {
        name: Some(names::child_name(&job.name_any())),
        namespace: job.namespace(),
        labels: Some(names::labels(&job.name_any())),
        ..ObjectMeta::default()
    }
}

/// Makes the Lease the owner, not the SingletonJob. A holder must still be able to release the Lease after
/// the SingletonJob is gone.
pub fn owned_by(metadata: &mut ObjectMeta, lease: &Lease) {
    metadata.owner_references = Some(vec![OwnerReference {
        api_version: Lease::api_version(&()).into(),
        kind: Lease::kind(&()).into(),
        name: lease.name_any(),
        uid: lease.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }]);
}

/// Whether the metadata has every wanted label and exactly the wanted owners. Other clients' labels do not
/// matter.
pub fn has_metadata(is: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    let labelled = wanted
        .labels
        .iter()
        .flatten()
        .all(|(label, value)| is.labels.as_ref().and_then(|labels| labels.get(label)) == Some(value));
    let uids = |metadata: &ObjectMeta| {
        metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect::<Vec<_>>()
    };
    labelled && uids(is) == uids(wanted)
}
