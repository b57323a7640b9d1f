//! What users and their tools do with the definition every day.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::{CRD, Fixture, SERVICE, text};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const APPLY: [&str; 3] = ["apply", "--filename", "-"];

#[tokio::test]
async fn the_second_apply_changes_nothing() {
    let fixture = Fixture::new("twice").await;
    for how in [&[][..], &["--server-side", "--field-manager", "gitops"]] {
        let command = [&APPLY[..], how].concat();
        fixture.kubectl(&command, SERVICE);
        let before = version(&fixture);
        let said = fixture.kubectl(&command, SERVICE);
        assert!(!how.is_empty() || said.contains("unchanged"), "{said}");
        assert_eq!(version(&fixture), before, "written again: {said}");
        let diff = fixture.try_kubectl(&[&["diff", "--filename", "-"], how].concat(), SERVICE);
        assert!(diff.status.success(), "drift: {}", text(&diff.stdout));
    }
}

fn version(fixture: &Fixture) -> String {
    fixture.kubectl(
        &["get", "sj", "ticker", "--output", "jsonpath={.metadata.resourceVersion} {.metadata.generation}"],
        "",
    )
}

#[tokio::test]
async fn a_takeover_policy_without_its_delay_is_applied_twice_without_a_change() {
    let fixture = Fixture::new("policy").await;
    let strict =
        SERVICE.replace("  replicas: 3", "  replicas: 3\n  takeover: {unreachableHolder: {policy: Manual}}");
    fixture.kubectl(&APPLY, &strict);
    let wanted =
        "jsonpath={.spec.takeover.unreachableHolder.policy} {.spec.takeover.unreachableHolder.delaySeconds}";
    assert_eq!(fixture.kubectl(&["get", "sj", "ticker", "--output", wanted], ""), "Manual 0");
    let said = fixture.kubectl(&APPLY, &strict);
    assert!(said.contains("unchanged"), "{said}");
}

#[tokio::test]
async fn the_definition_can_be_applied_by_the_client_and_again() {
    let fixture = Fixture::new("definition").await;
    fixture.kubectl(&APPLY, CRD);
    assert!(fixture.kubectl(&APPLY, CRD).contains("unchanged"));
}

#[tokio::test]
async fn explain_tells_users_what_each_field_is() {
    let fixture = Fixture::new("explain").await;
    let spec = fixture.kubectl(&["explain", "sj.spec"], "");
    for line in [
        "replicas",
        "creates this many candidate pods",
        "completionPolicy",
        "enum: OnSuccess, Never",
        "template\t<Object> -required-",
    ] {
        assert!(spec.contains(line), "{line:?} is not in\n{spec}");
    }
    assert!(
        fixture.kubectl(&["explain", "sj.spec.lease.leaseDurationSeconds"], "").contains("The minimum is 3")
    );
    assert!(
        fixture
            .kubectl(&["explain", "sj.spec.takeover.unreachableHolder.policy"], "")
            .contains("waits for this confirmation")
    );
    assert!(
        fixture
            .kubectl(&["explain", "sj.spec.schedule.concurrencyPolicy"], "")
            .contains("decides by this policy")
    );
    assert!(
        fixture
            .kubectl(&["explain", "sj.status.takeovers.gapMilliseconds"], "")
            .contains("No candidate held the Lease")
    );
    fixture.kubectl(&["explain", "sj.spec.template.spec.containers.env"], "");
}

#[tokio::test]
async fn before_the_controller_has_looked_all_candidates_wait() {
    let fixture = Fixture::new("pending").await;
    fixture.kubectl(&APPLY, SERVICE);
    let condition = "jsonpath={.status.conditions[0].type} {.status.conditions[0].status} {.status.conditions[0].reason}: \
                     {.status.conditions[0].message}";
    assert_eq!(
        fixture.kubectl(&["get", "sj", "ticker", "--output", condition], ""),
        "Ready Unknown Pending: Waiting for the controller"
    );
    let waited = fixture.try_kubectl(&["wait", "sj/ticker", "--for=condition=Ready", "--timeout=1s"], "");
    assert!(!waited.status.success());
}

async fn with_status(fixture: &Fixture) {
    fixture.kubectl(&APPLY, SERVICE);
    let status = json!({"status": {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Held", "message": "held by ticker-2", "lastTransitionTime": LONG_AGO},
            {"type": "Held", "status": "True", "reason": "Held", "message": "held by ticker-2", "lastTransitionTime": LONG_AGO},
        ],
        "replicas": 3, "readyReplicas": 3, "readyStandbys": 2, "selector": "singletonjob.dev/name=ticker",
        "run": {"number": 4, "attempts": 1, "failures": 0},
        "runs": [{"number": 3, "outcome": "Succeeded"}],
        "lease": {"name": "ticker", "holder": "ticker-2", "node": "node-a", "fencingToken": "48213", "leaseDurationSeconds": 15,
                  "transitions": 7, "acquireTime": LONG_AGO},
    }});
    let patched = fixture
        .jobs()
        .patch_status("ticker", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("a status");
    assert_eq!(
        patched.status.expect("stored").lease.expect("stored").holder.as_deref(),
        Some("ticker-2"),
        "nothing is pruned"
    );
}

#[tokio::test]
async fn get_tells_the_story_in_one_line() {
    let fixture = Fixture::new("columns").await;
    with_status(&fixture).await;
    let columns = |output: &str| {
        output
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    let wide = columns(&fixture.kubectl(&["get", "sj", "ticker", "--output", "wide"], ""));
    let names = [
        "NAME",
        "READY",
        "REASON",
        "HOLDER",
        "STANDBYS",
        "RUN",
        "LAST RUN",
        "AGE",
        "NODE",
        "LEASE",
        "TOKEN",
        "TRANSITIONS",
        "HELD SINCE",
        "SCHEDULE",
        "NEXT",
    ];
    assert_eq!(wide[0], names);
    assert_eq!(wide[1][..7], ["ticker", "True", "Held", "ticker-2", "2", "4", "Succeeded"]);
    assert_eq!(wide[1][8..12], ["node-a", "15", "48213", "7"]);
    assert_eq!(columns(&fixture.kubectl(&["get", "singletonjobs"], ""))[0], names[..8]);
}

#[tokio::test]
async fn jobs_can_be_selected_by_holder_node_and_suspension() {
    let fixture = Fixture::new("selection").await;
    with_status(&fixture).await;
    for (selector, found) in [
        ("status.lease.node=node-a", 1),
        ("status.lease.node=node-b", 0),
        ("status.lease.holder=ticker-2", 1),
        ("spec.suspend=false", 1),
        ("spec.suspend=true", 0),
    ] {
        let list = fixture.jobs().list(&ListParams::default().fields(selector)).await.expect("selectable");
        assert_eq!(list.items.len(), found, "{selector}");
    }
}

#[tokio::test]
async fn candidates_are_scaled_as_any_workload_is() {
    let fixture = Fixture::new("scale").await;
    with_status(&fixture).await;
    fixture.kubectl(&["scale", "sj/ticker", "--replicas=5"], "");
    let scale: Scale = fixture.jobs().get_scale("ticker").await.expect("a scale");
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(5));
    let status = scale.status.expect("a status");
    assert_eq!((status.replicas, status.selector.as_deref()), (3, Some("singletonjob.dev/name=ticker")));
}

#[tokio::test]
async fn two_field_managers_share_a_template() {
    let fixture = Fixture::new("managers").await;
    fixture.kubectl(&["apply", "--server-side", "--field-manager", "owner", "--filename", "-"], SERVICE);
    let containers = json!([
        {"name": "ticker", "env": [{"name": "ADDED", "value": "1"}]},
        {"name": "side", "image": "busybox:1.37"},
    ]);
    let more = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "ticker"},
                      "spec": {"template": {"spec": {"containers": containers}}}});
    fixture.kubectl(
        &["apply", "--server-side", "--field-manager", "injector", "--filename", "-"],
        &more.to_string(),
    );
    let names = "jsonpath={.spec.template.spec.containers[*].name} {.spec.template.spec.containers[0].env[*].name} \
                 {.spec.template.spec.containers[0].image}";
    assert_eq!(
        fixture.kubectl(&["get", "sj", "ticker", "--output", names], ""),
        "ticker side ADDED busybox:1.37"
    );
}

#[tokio::test]
async fn what_charts_repeat_and_jobs_carry_is_taken() {
    let fixture = Fixture::new("repeated").await;
    let repeated = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    let container = json!({"name": "main", "image": "busybox", "command": ["true"], "env": repeated});
    let aliases = json!([{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.1", "hostnames": ["b"]}]);
    let job = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "pi"},
                     "spec": {"template": {"metadata": {"name": "pi"}, "spec": {"hostAliases": aliases, "containers": [container]}}}});
    for manner in [&["apply", "--filename", "-"][..], &["apply", "--server-side", "--filename", "-"][..]] {
        fixture.kubectl(manner, &job.to_string());
        fixture.kubectl(&["delete", "sj", "pi"], "");
    }
}

#[tokio::test]
async fn a_misspelt_or_later_field_is_refused_and_not_dropped() {
    let fixture = Fixture::new("unknown").await;
    let misspelt = SERVICE.replace("  replicas: 3", "  schedule: {cron: '* * * * *', timezone: UTC}");
    let output = fixture.try_kubectl(&APPLY, &misspelt);
    assert!(
        text(&output.stderr).contains(r#"unknown field "spec.schedule.timezone""#),
        "{}",
        text(&output.stderr)
    );
}
