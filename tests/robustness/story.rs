//! Everything that a controller does, one thing after the other, and what is there at its end.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::conditions::{is_true, types};
use singletonjob::lease::record::Record;
use tokio::time::sleep;

use super::stage::{PATIENCE, Stage};

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

/// Tells the story up to the point where there is most to see.
pub async fn tell(stage: &Stage) -> Result<(), String> {
    stage.apply(SERVICE, &service("one", 2)).await;
    serves(stage, "one", 2).await?;
    stage.apply(SERVICE, &service("two", 2)).await;
    serves(stage, "two", 2).await?;
    stage.apply(SERVICE, &service("two", 1)).await;
    serves(stage, "two", 1).await?;
    stage.apply(SERVICE, &suspended()).await;
    stage.until("suspended", || is_suspended(stage)).await?;
    stage.apply(SERVICE, &service("two", 1)).await;
    serves(stage, "two", 1).await?;
    stage.apply(ONE_SHOT, &one_shot()).await;
    stage.until("finished", || is_finished(stage)).await
}

/// Tells its end: whatever was made goes.
pub async fn end(stage: &Stage) -> Result<(), String> {
    stage.delete(SERVICE).await;
    stage.delete(ONE_SHOT).await;
    stage.collect_garbage().await;
    let is_gone = |name| stage.world.lease(&stage.namespace, name).is_none();
    stage.until("cleared away", || is_gone(SERVICE) && is_gone(ONE_SHOT)).await
}

/// Waits until `replicas` ready candidates of this image are all there is, one holds the Lease, and status
/// says so.
pub async fn serves(stage: &Stage, image: &str, replicas: i32) -> Result<(), String> {
    stage.until(&format!("serving {image} with {replicas}"), || is_serving(stage, image, replicas)).await
}

fn is_serving(stage: &Stage, image: &str, replicas: i32) -> bool {
    let Some(job) = stage.world.job(&stage.namespace, SERVICE) else { return false };
    let Some(status) = &job.status else { return false };
    let is_said = status.observed_generation == job.metadata.generation
        && (status.replicas, status.ready_replicas) == (Some(replicas), Some(replicas))
        && is_true(&status.conditions, types::HELD)
        && !is_true(&status.conditions, types::RECONCILING);
    is_said && images(stage) == vec![image.to_owned(); usize::try_from(replicas).unwrap_or(0)]
}

fn images(stage: &Stage) -> Vec<String> {
    stage.world.pods(&stage.namespace, SERVICE).iter().filter_map(image_of).map(str::to_owned).collect()
}

fn suspended() -> Value {
    let mut spec = service("two", 1);
    spec["suspend"] = json!(true);
    spec
}

fn is_suspended(stage: &Stage) -> bool {
    let status =
        stage.world.job(&stage.namespace, SERVICE).and_then(|job| job.status.clone()).unwrap_or_default();
    is_true(&status.conditions, types::SUSPENDED) && status.replicas == Some(0) && images(stage).is_empty()
}

fn is_finished(stage: &Stage) -> bool {
    let status =
        stage.world.job(&stage.namespace, ONE_SHOT).and_then(|job| job.status.clone()).unwrap_or_default();
    is_true(&status.conditions, types::COMPLETE) && stage.candidates(ONE_SHOT).len() == 1
}

fn image_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.containers.first()?.image.as_deref()
}

/// What is there when nothing is asked for any more.
pub async fn settled(stage: &Stage) -> Value {
    loop {
        let before = stage.ledger.requests();
        sleep(QUIET).await;
        if stage.ledger.requests() == before {
            return picture(stage).await;
        }
    }
}

/// Waits until `expected` is there.
pub async fn becomes(stage: &Stage, expected: &Value) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let is = picture(stage).await;
        if is == *expected {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(format!(
                "{}: {is:#}\ninstead of {expected:#}",
                stage.overdue("as if nothing had happened")
            ));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What is there, but for names, uids and times.
pub async fn picture(stage: &Stage) -> Value {
    let mut picture = json!({});
    for job in [SERVICE, ONE_SHOT] {
        picture[job] = json!({
            "status": status(stage, job), "lease": lease(stage, job), "rbac": rbac(stage, job).await,
            "pods": stage.world.pods(&stage.namespace, job).iter().map(pod).collect::<Vec<_>>(),
        });
    }
    picture
}

fn status(stage: &Stage, name: &str) -> Option<Value> {
    let job = stage.world.job(&stage.namespace, name)?;
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

fn lease(stage: &Stage, name: &str) -> Option<Value> {
    let lease = stage.world.lease(&stage.namespace, name)?;
    let record = Record::read(&lease).ok()?;
    let job = stage.world.job(&stage.namespace, name)?;
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

async fn rbac(stage: &Stage, name: &str) -> Option<Value> {
    let lease = stage.world.lease(&stage.namespace, name)?.uid();
    let name = format!("singletonjob-{name}");
    let role = stage.api::<Role>().get_opt(&name).await.expect("an answer")?;
    let binding = stage.api::<RoleBinding>().get_opt(&name).await.expect("an answer")?;
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
