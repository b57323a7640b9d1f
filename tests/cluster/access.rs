//! Who may not take part, and who cannot.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Error, ResourceExt};
use serde_json::json;
use singletonjob::api::conditions::types;
use singletonjob::contract::paths;
use testkit::job::{IMAGE, Job, LEASE, SOON, condition};
use testkit::observe::{await_object, await_tenure, nothing_starts, now};
use testkit::scenario::{Scenario, side_by_side};

/// The address of the API server, as pods have it.
const API_SERVER: &str = "10.0.0.1";

#[test]
fn a_stolen_token_takes_clears_and_releases_no_lease_of_its_owner() {
    side_by_side("stolen-token", async |scenario| {
        let job = Job::service(scenario, "web");
        let tenure = job.pair().await;
        let standby =
            job.pods().await.into_iter().find(|pod| pod.name_any() != tenure.pod).expect("a standby");
        let mounted = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        scenario.must(&["create", "serviceaccount", "other"]);
        let mut thieves =
            vec![("the standby", token_in(scenario, &standby, &format!("{}/token", paths::CREDENTIALS)))];
        for (name, account) in [("thief", "default"), ("web-thief", "default"), ("stranger", "other")] {
            let pod = bystander(scenario, name, account).await;
            thieves.push((name, token_in(scenario, &pod, mounted)));
        }
        let without_pod = scenario.must(&["create", "token", "default"]);
        thieves.push(("absent", without_pod.trim().to_owned()));
        for (who, token) in &thieves {
            let leases = Api::<Lease>::namespaced(
                scenario.cluster.client_with_token(token).await,
                &scenario.namespace,
            );
            may_do_nothing(who, &leases, &scenario.api()).await;
        }
        nothing_starts(&job.records, 1, LEASE).await;
        let going = job.tenure(tenure.token);
        assert!(going.signals.is_empty() && now() - going.last < Duration::from_secs(1), "{going:?}");
    });
}

/// A pod that has nothing to do with the job.
async fn bystander(scenario: &Scenario, name: &str, account: &str) -> Pod {
    let container =
        json!({"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sleep", "600"]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"serviceAccountName": account, "terminationGracePeriodSeconds": 0, "containers": [container]}});
    scenario.apply(&pod.to_string());
    let runs =
        |pod: Option<&Pod>| pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()) == Some("Running");
    await_object(scenario.api(), name, "it runs", SOON, runs).await.expect("just seen")
}

fn token_in(scenario: &Scenario, pod: &Pod, path: &str) -> String {
    let process = scenario.cluster.processes(&pod.uid().expect("stored"), "main").remove(0);
    std::fs::read_to_string(format!("/proc/{}/root{path}", process.pid))
        .expect("the token is mounted")
        .trim()
        .to_owned()
}

type Act<'a> = &'a dyn Fn(&mut Lease);

/// Each act on the Lease as it is at that moment, so that nothing but rights can be in the way.
async fn may_do_nothing(who: &str, leases: &Api<Lease>, real: &Api<Lease>) {
    let holder = |lease: &mut Lease, holder: &str| {
        lease.spec.as_mut().expect("it has one").holder_identity = Some(holder.to_owned());
    };
    let acts: [(&str, Act<'_>); 4] = [
        ("clear", &|lease| holder(lease, "")),
        ("take", &|lease| holder(lease, "thief_00000000-0000-0000-0000-000000000000_0000000000000001")),
        ("renew for the holder", &|lease| {
            lease.spec.as_mut().expect("it has one").lease_duration_seconds = Some(3600);
        }),
        ("release for the holder", &|lease| {
            holder(lease, "");
            lease.annotations_mut().insert("singletonjob.dev/released".to_owned(), "{}".to_owned());
        }),
    ];
    for (what, act) in acts {
        let refused = loop {
            let mut lease = real.get("web").await.expect("an administrator may");
            act(&mut lease);
            match leases.replace("web", &PostParams::default(), &lease).await {
                Err(Error::Api(status)) if status.code == 409 => {}
                answer => break answer,
            }
        };
        assert!(
            matches!(&refused, Err(Error::Api(status)) if status.code == 403),
            "{who} may {what}: {refused:?}"
        );
    }
    let deleted = leases.delete("web", &DeleteParams::default()).await;
    assert!(
        matches!(&deleted, Err(Error::Api(status)) if status.code == 403),
        "{who} may delete: {deleted:?}"
    );
}

#[test]
fn under_default_deny_egress_the_condition_names_the_address() {
    side_by_side("deny-egress", async |scenario| {
        let wait = "until [ -e /witness/go ]; do sleep 0.1; done";
        let job = Job::service(scenario, "web").pod(&json!({"initContainers": [{
            "name": "wait", "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", wait],
            "volumeMounts": [{"name": "records", "mountPath": "/witness"}],
        }]}));
        job.apply();
        let address = |pod: &Pod| pod.status.as_ref()?.pod_ip.clone();
        let pods = job
            .await_pods("both have addresses", |pods| {
                pods.len() == 2 && pods.iter().all(|pod| address(pod).is_some())
            })
            .await;
        let faults: Vec<_> =
            pods.iter().filter_map(address).map(|address| scenario.cluster.deny_egress(&address)).collect();
        let began = now();
        std::fs::write(job.records.join("go"), "").expect("shared memory is writable");
        let says_so = |is: &Condition| is.status == "False" && is.message.contains("cannot read the Lease");
        // An agent gives up after 30 s, and then its container has to end and to be seen.
        let job_then = job
            .within(SOON * 2, "an agent complains", |job| {
                condition(job, types::AGENT_HEALTHY).is_some_and(says_so)
            })
            .await;
        let condition = condition(&job_then, types::AGENT_HEALTHY).expect("just seen").clone();
        scenario.noted("denied to the condition that says so", now() - began);
        assert!(condition.message.contains(API_SERVER), "{}", condition.message);
        job.await_event("LeaseRenewalFailing", API_SERVER).await;
        assert!(job.tenures().is_empty(), "no candidate can have taken the Lease");
        for fault in faults {
            fault.mend();
        }
        await_tenure(&job.records, 1, SOON * 2).await;
    });
}
