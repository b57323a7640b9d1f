//! Everything that a controller does, one thing after the other, and what is there at its end.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::conditions::{is_true, types};
use singletonjob::lease::record::Record;
use tokio::time::sleep;

use super::fixture::{Fixture, PATIENCE};

/// A service.
pub const SERVICE: &str = "web";
/// A one-shot.
const ONE_SHOT: &str = "once";
/// Longer than a reconciliation and everything that it sets off.
const QUIET: Duration = Duration::from_millis(1500);

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The spec of a service.
pub fn service(image: &str, replicas: i32) -> Value {
    let main = json!({"name": "main", "image": image, "command": ["sleep", "1000"]});
    json!({"completionPolicy": "Never", "replicas": replicas, "template": {"spec": {"containers": [main]}}})
}

fn one_shot() -> Value {
    let container = |name: &str| json!({"name": name, "image": "busybox", "command": ["sleep", "1000"]});
    json!({"replicas": 2, "workloadContainer": "main", "template": {"spec": {"containers": [container("main"), container("side")]}}})
}

/// Tells the lifecycle up to the point where there is most to see.
pub async fn tell(fixture: &Fixture) -> Result<(), String> {
    fixture.apply(SERVICE, &service("one", 2)).await;
    serves(fixture, "one", 2).await?;
    fixture.apply(SERVICE, &service("two", 2)).await;
    serves(fixture, "two", 2).await?;
    fixture.apply(SERVICE, &service("two", 1)).await;
    serves(fixture, "two", 1).await?;
    fixture.apply(SERVICE, &suspended()).await;
    fixture.until("suspended", || is_suspended(fixture)).await?;
    fixture.apply(SERVICE, &service("two", 1)).await;
    serves(fixture, "two", 1).await?;
    fixture.apply(ONE_SHOT, &one_shot()).await;
    fixture.until("finished", || is_finished(fixture)).await
}

/// Tells its end: whatever was made goes.
pub async fn end(fixture: &Fixture) -> Result<(), String> {
    fixture.delete(SERVICE).await;
    fixture.delete(ONE_SHOT).await;
    fixture.collect_garbage().await;
    let is_gone = |name| fixture.world.lease(&fixture.namespace, name).is_none();
    fixture.until("cleared away", || is_gone(SERVICE) && is_gone(ONE_SHOT)).await
}

/// Waits until `replicas` ready candidates of this image are all there is, one holds the Lease, and status
/// says so.
pub async fn serves(fixture: &Fixture, image: &str, replicas: i32) -> Result<(), String> {
    fixture.until(&format!("serving {image} with {replicas}"), || is_serving(fixture, image, replicas)).await
}

fn is_serving(fixture: &Fixture, image: &str, replicas: i32) -> bool {
    let Some(job) = fixture.world.job(&fixture.namespace, SERVICE) else { return false };
    let Some(status) = &job.status else { return false };
    let is_said = status.observed_generation == job.metadata.generation
        && (status.replicas, status.ready_replicas) == (Some(replicas), Some(replicas))
        && is_true(&status.conditions, types::HELD)
        && !is_true(&status.conditions, types::RECONCILING);
    is_said && images(fixture) == vec![image.to_owned(); usize::try_from(replicas).unwrap_or(0)]
}

fn images(fixture: &Fixture) -> Vec<String> {
    fixture.world.pods(&fixture.namespace, SERVICE).iter().filter_map(image_of).map(str::to_owned).collect()
}

fn suspended() -> Value {
    let mut spec = service("two", 1);
    spec["suspend"] = json!(true);
    spec
}

fn is_suspended(fixture: &Fixture) -> bool {
    let status =
        fixture.world.job(&fixture.namespace, SERVICE).and_then(|job| job.status.clone()).unwrap_or_default();
    is_true(&status.conditions, types::SUSPENDED) && status.replicas == Some(0) && images(fixture).is_empty()
}

fn is_finished(fixture: &Fixture) -> bool {
    let status = fixture
        .world
        .job(&fixture.namespace, ONE_SHOT)
        .and_then(|job| job.status.clone())
        .unwrap_or_default();
    is_true(&status.conditions, types::COMPLETE) && fixture.candidates(ONE_SHOT).len() == 1
}

fn image_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.containers.first()?.image.as_deref()
}

/// What is there when nothing is asked for any more.
pub async fn settled(fixture: &Fixture) -> Value {
    loop {
        let before = fixture.ledger.requests();
        sleep(QUIET).await;
        if fixture.ledger.requests() == before {
            return picture(fixture).await;
        }
    }
}

/// Waits until `expected` is there.
pub async fn becomes(fixture: &Fixture, expected: &Value) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let is = picture(fixture).await;
        if is == *expected {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(format!(
                "{}: {is:#}\ninstead of {expected:#}",
                fixture.overdue("as if nothing had happened")
            ));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What is there, but for names, uids and times.
pub async fn picture(fixture: &Fixture) -> Value {
    let mut picture = json!({});
    for job in [SERVICE, ONE_SHOT] {
        picture[job] = json!({
            "status": status(fixture, job), "lease": lease(fixture, job), "rbac": rbac(fixture, job).await,
            "pods": fixture.world.pods(&fixture.namespace, job).iter().map(pod).collect::<Vec<_>>(),
        });
    }
    picture
}

fn status(fixture: &Fixture, name: &str) -> Option<Value> {
    let job = fixture.world.job(&fixture.namespace, name)?;
    let status = job.status.clone()?;
    let mut conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| [&condition.type_, &condition.status, &condition.reason])
        .collect();
    conditions.sort();
    Some(json!({
        "conditions": conditions,
        "isCurrent": status.observed_generation == job.metadata.generation,
        "replicas": [status.replicas, status.ready_replicas, status.ready_standbys],
        "holderIsKnown": status.lease.as_ref().is_some_and(|lease| lease.holder.is_some()),
        "longestLease": status.lease.as_ref().and_then(|lease| lease.longest_lease_duration_seconds),
        "candidates": status.candidates.iter().map(|candidate| json!([candidate.role, candidate.ready])).collect::<Vec<_>>(),
        "runs": status.runs.iter().map(|run| json!([run.outcome, run.reason, run.attempts])).collect::<Vec<_>>(),
    }))
}

fn lease(fixture: &Fixture, name: &str) -> Option<Value> {
    let lease = fixture.world.lease(&fixture.namespace, name)?;
    let record = Record::read(&lease).ok()?;
    let job = fixture.world.job(&fixture.namespace, name)?;
    let annotations = record.annotations;
    Some(json!({
        "isHeld": record.holder.is_some(),
        "labels": lease.labels(),
        "owners": lease.owner_references(),
        "policy": annotations.policy,
        "run": annotations.run.map(|run| json!([Some(run.uid) == job.uid(), run.number, run.desired, run.reason])),
        "handover": annotations.handover,
        // Whether a line was written before a run ended is a matter of moments, and of no importance after
        // it.
        "succession": record.holder.is_some().then_some(annotations.succession.len()),
        "outcome": annotations.finished.map(|finished| finished.outcome),
    }))
}

async fn rbac(fixture: &Fixture, name: &str) -> Option<Value> {
    let lease = fixture.world.lease(&fixture.namespace, name)?.uid();
    let name = format!("singletonjob-{name}");
    let role = fixture.api::<Role>().get_opt(&name).await.expect("an answer")?;
    let binding = fixture.api::<RoleBinding>().get_opt(&name).await.expect("an answer")?;
    let owners = role.owner_references().iter().chain(binding.owner_references());
    let owned: Vec<_> = owners.map(|owner| Some(&owner.uid) == lease.as_ref()).collect();
    let subjects: Vec<_> = binding.subjects.iter().flatten().map(|subject| subject.name.clone()).collect();
    Some(json!({"owned": owned, "rules": role.rules, "subjects": subjects}))
}

fn pod(pod: &Pod) -> Value {
    let deadline = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let role = pod.labels().get(singletonjob::contract::labels::ROLE);
    json!({"image": image_of(pod), "role": role, "deadline": deadline})
}
