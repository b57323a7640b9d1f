//! Every refusal with the message that the user reads, and what must not be refused.

use kube::api::PostParams;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;

use super::{Fixture, refusal};

/// Where a rule stands, and what it says.
type Said = (&'static str, &'static str);

fn job(name: &str, spec: &Value) -> SingletonJob {
    let object = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).expect("decodes")
}

fn container(extra: Value) -> Value {
    merged(json!({"name": "main", "image": "busybox:1.37", "command": ["sleep", "9"]}), extra)
}

fn pod(extra: Value) -> Value {
    merged(json!({"containers": [container(json!({}))]}), extra)
}

/// A good spec with these fields instead.
fn spec(extra: Value) -> Value {
    merged(json!({"template": {"spec": pod(json!({}))}}), extra)
}

fn with_container(extra: Value) -> Value {
    spec(json!({"template": {"spec": {"containers": [container(extra)]}}}))
}

fn with_pod(extra: Value) -> Value {
    spec(json!({"template": {"spec": pod(extra)}}))
}

fn with_unreachable(holder: &Value) -> Value {
    spec(json!({"takeover": {"unreachableHolder": holder}}))
}

fn merged(mut base: Value, extra: Value) -> Value {
    let Value::Object(extra) = extra else { panic!("an object") };
    base.as_object_mut().expect("an object").extend(extra);
    base
}

fn of_the_spec() -> Vec<(Value, Said)> {
    vec![
        (
            spec(json!({"completionPolicy": "Never", "backoffLimit": 3})),
            (
                "spec.backoffLimit",
                "leave backoffLimit out: with completionPolicy Never the workload is restarted without limit",
            ),
        ),
        (
            spec(json!({"completionPolicy": "Never", "podTTLSecondsAfterFinished": 3})),
            (
                "spec.podTTLSecondsAfterFinished",
                "leave podTTLSecondsAfterFinished out: with completionPolicy Never the job never finishes",
            ),
        ),
        (
            spec(json!({"completionPolicy": "Never", "ttlSecondsAfterFinished": 3})),
            (
                "spec.ttlSecondsAfterFinished",
                "leave ttlSecondsAfterFinished out: with completionPolicy Never the job never finishes",
            ),
        ),
        (
            spec(json!({"schedule": {"cron": "@daily"}, "ttlSecondsAfterFinished": 3})),
            ("spec.ttlSecondsAfterFinished", "leave ttlSecondsAfterFinished out: a schedule never finishes"),
        ),
        (spec(json!({"managedBy": "other"})), ("spec.managedBy", "should match")),
        (
            spec(
                json!({"template": {"metadata": {"labels": {"singletonjob.dev/name": "mine"}}, "spec": pod(json!({}))}}),
            ),
            (
                "spec.template.metadata.labels",
                "use labels of another domain: those under singletonjob.dev/ are the operator's",
            ),
        ),
        (
            spec(
                json!({"template": {"metadata": {"annotations": {"singletonjob.dev/readiness": "Reported"}}, "spec": pod(json!({}))}}),
            ),
            (
                "spec.template.metadata.annotations",
                "use annotations of another domain: those under singletonjob.dev/ are the operator's",
            ),
        ),
        (
            spec(json!({"completionPolicy": "Never", "failurePolicy": {"onLeaseLoss": "Ignore"}})),
            (
                "spec.failurePolicy",
                "leave failurePolicy out: with completionPolicy Never the workload is restarted after every exit",
            ),
        ),
        (
            spec(json!({"completionPolicy": "Never", "activeDeadlineSeconds": 60})),
            (
                "spec.activeDeadlineSeconds",
                "leave activeDeadlineSeconds out: with completionPolicy Never the workload runs without end",
            ),
        ),
        (
            spec(json!({"activeDeadlineSeconds": 0})),
            ("spec.activeDeadlineSeconds", "should be greater than or equal to 1"),
        ),
    ]
}

fn of_names_and_schedules() -> Vec<(Value, Said)> {
    vec![
        (
            spec(json!({"workloadContainer": "other"})),
            (
                "spec.workloadContainer",
                "use the name of a container of the template, or leave workloadContainer out: then it is the first",
            ),
        ),
        (
            with_pod(json!({"restartPolicy": "OnFailure"})),
            (
                "spec.template.spec.restartPolicy",
                "leave restartPolicy out or write Never: it follows from completionPolicy OnSuccess",
            ),
        ),
        (
            merged(with_pod(json!({"restartPolicy": "Never"})), json!({"completionPolicy": "Never"})),
            (
                "spec.template.spec.restartPolicy",
                "leave restartPolicy out or write Always: it follows from completionPolicy Never",
            ),
        ),
        (
            with_pod(json!({"activeDeadlineSeconds": 20})),
            ("spec.template.spec.activeDeadlineSeconds", "use spec.activeDeadlineSeconds"),
        ),
        (
            merged(with_pod(json!({"activeDeadlineSeconds": 20})), json!({"completionPolicy": "Never"})),
            ("spec.template.spec.activeDeadlineSeconds", "leave it out: a service has no deadline"),
        ),
        (
            spec(json!({"replicas": 17})),
            ("spec.replicas", "spec.replicas in body should be less than or equal to 16"),
        ),
        (
            spec(json!({"replicas": -1})),
            ("spec.replicas", "spec.replicas in body should be greater than or equal to 0"),
        ),
        (
            spec(json!({"standbyReadiness": "Sometimes"})),
            ("spec.standbyReadiness", "supported values: \"Ready\", \"NotReady\""),
        ),
        (
            spec(json!({"completionPolicy": "Always"})),
            ("spec.completionPolicy", "supported values: \"OnSuccess\", \"Never\""),
        ),
        (
            with_unreachable(&json!({"policy": "Never"})),
            (
                "spec.takeover.unreachableHolder.policy",
                "supported values: \"AfterLeaseExpiry\", \"AfterPodGone\", \"Manual\"",
            ),
        ),
        (
            with_unreachable(&json!({"delaySeconds": -1})),
            ("spec.takeover.unreachableHolder.delaySeconds", "should be greater than or equal to 0"),
        ),
        (
            with_unreachable(&json!({"delaySeconds": 86401})),
            ("spec.takeover.unreachableHolder.delaySeconds", "should be less than or equal to 86400"),
        ),
        (spec(json!({"template": {}})), ("spec.template.spec", "Required value")),
        (
            spec(json!({"template": {"spec": {"containers": []}}})),
            ("spec.template.spec.containers", "should have at least 1 items"),
        ),
    ]
}

fn of_the_schedule() -> Vec<(Value, Said)> {
    let with = |schedule: Value| spec(json!({"schedule": merged(json!({"cron": "@daily"}), schedule)}));
    vec![
        (
            spec(json!({"completionPolicy": "Never", "schedule": {"cron": "@daily"}})),
            (
                "spec.schedule",
                "leave schedule out, or write completionPolicy OnSuccess: with Never the workload runs without end",
            ),
        ),
        (spec(json!({"schedule": {}})), ("spec.schedule.cron", "Required value")),
        (with(json!({"cron": ""})), ("spec.schedule.cron", "should be at least 1 chars long")),
        (
            with(json!({"cron": ", * * * *"})),
            ("spec.schedule.cron", "use a value on each side of every comma"),
        ),
        (
            with(json!({"cron": "0 1,,2 * * *"})),
            ("spec.schedule.cron", "use a value on each side of every comma"),
        ),
        (
            with(json!({"cron": "0 0 * * MON,"})),
            ("spec.schedule.cron", "use a value on each side of every comma"),
        ),
        (
            with(json!({"startingDeadlineSeconds": 0})),
            ("spec.schedule.startingDeadlineSeconds", "should be greater than or equal to 1"),
        ),
        (
            with(json!({"concurrencyPolicy": "Allow"})),
            (
                "spec.schedule.concurrencyPolicy",
                "use Forbid, Replace or Enqueue: runs of a SingletonJob never overlap",
            ),
        ),
        (
            with(json!({"candidates": "Never"})),
            ("spec.schedule.candidates", "supported values: \"BeforeTick\", \"Always\""),
        ),
        (
            with(json!({"leadSeconds": -1})),
            ("spec.schedule.leadSeconds", "should be greater than or equal to 0"),
        ),
        (
            with(json!({"successfulRunsHistoryLimit": -1})),
            ("spec.schedule.successfulRunsHistoryLimit", "greater than or equal to 0"),
        ),
        (
            with(json!({"failedRunsHistoryLimit": 101})),
            ("spec.schedule.failedRunsHistoryLimit", "less than or equal to 100"),
        ),
    ]
}

fn ruled(operator: &str, values: &Value, action: &str) -> Value {
    spec(
        json!({"failurePolicy": {"rules": [{"onExitCodes": {"operator": operator, "values": values}, "action": action}]}}),
    )
}

fn of_the_failure_policy() -> Vec<(Value, Said)> {
    let values = "spec.failurePolicy.rules[0].onExitCodes.values";
    let zero =
        "leave 0 out of values, or use operator NotIn: exit code 0 is success, and no rule is asked about it";
    let many = |rules| {
        spec(
            json!({"failurePolicy": {"rules": vec![json!({"onExitCodes": {"operator": "In", "values": [1]}, "action": "Count"}); rules]}}),
        )
    };
    vec![
        (ruled("In", &json!([42, 0]), "FailRun"), (values, zero)),
        (ruled("In", &json!([]), "FailRun"), (values, "should have at least 1 items")),
        (ruled("In", &json!(vec![1; 256]), "FailRun"), (values, "must have at most 255 items")),
        (
            ruled("In", &json!([256]), "FailRun"),
            ("spec.failurePolicy.rules[0].onExitCodes.values[0]", "less than or equal to 255"),
        ),
        (
            ruled("Is", &json!([1]), "FailRun"),
            ("spec.failurePolicy.rules[0].onExitCodes.operator", "supported values: \"In\", \"NotIn\""),
        ),
        (
            ruled("In", &json!([1]), "FailJob"),
            ("spec.failurePolicy.rules[0].action", "supported values: \"FailRun\", \"Ignore\", \"Count\""),
        ),
        (many(21), ("spec.failurePolicy.rules", "must have at most 20 items")),
    ]
}

fn of_the_pod() -> Vec<(Value, Said)> {
    vec![
        (
            with_pod(json!({"hostPID": true})),
            (
                "spec.template.spec.hostPID",
                "leave hostPID out: a PID namespace of its own is what makes sure that the workload can be killed",
            ),
        ),
        (
            with_pod(json!({"shareProcessNamespace": true})),
            (
                "spec.template.spec.shareProcessNamespace",
                "leave shareProcessNamespace out: a PID namespace of its own is what makes sure that the workload can be killed",
            ),
        ),
        (
            with_pod(json!({"os": {"name": "windows"}})),
            ("spec.template.spec.os", "leave os out or write linux: candidates run on Linux"),
        ),
        (
            with_pod(json!({"volumes": [{"name": "singletonjob-state", "emptyDir": {}}]})),
            (
                "spec.template.spec.volumes",
                "use other names: the volumes singletonjob-agent, singletonjob-credentials and singletonjob-state are the operator's",
            ),
        ),
        (
            with_pod(json!({"initContainers": [container(json!({"name": "singletonjob-agent"}))]})),
            (
                "spec.template.spec.initContainers",
                "use another name: the container singletonjob-agent is the operator's",
            ),
        ),
        (
            with_container(json!({"name": "singletonjob-agent"})),
            (
                "spec.template.spec.containers",
                "use another name: the container singletonjob-agent is the operator's",
            ),
        ),
    ]
}

fn of_the_workload() -> Vec<(Value, Said)> {
    let containers = "spec.template.spec.containers";
    let command = "container main needs a command, because the entrypoint of its image is not known here; \
                   copy the ENTRYPOINT of the image into command and its CMD into args";
    let mount = "mount volumes elsewhere: /singletonjob, /var/run/singletonjob and /var/run/secrets/singletonjob.dev are the operator's \
                 in the workload's container";
    let restart = "leave restartPolicy and restartPolicyRules out of the workload's container: completionPolicy says what follows an exit";
    let hook = "leave lifecycle.postStart out of the workload's container, where it would run on standbys too: do it at the start of command";
    let mounted = |path: &str| with_container(json!({"volumeMounts": [{"name": "v", "mountPath": path}]}));
    vec![
        (with_container(json!({"command": []})), (containers, command)),
        (with_container(json!({"command": null})), (containers, command)),
        (
            with_container(json!({"readinessProbe": {"periodSeconds": 1}})),
            (
                containers,
                "use exec, httpGet, tcpSocket or grpc in each probe of the workload's container: one without a handler asks nothing",
            ),
        ),
        (
            with_container(json!({"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}})),
            (containers, hook),
        ),
        (with_container(json!({"restartPolicy": "Never"})), (containers, restart)),
        (mounted("/singletonjob"), (containers, mount)),
        (mounted("/var/run/singletonjob/"), (containers, mount)),
        (mounted("/var/run/secrets/singletonjob.dev/more"), (containers, mount)),
    ]
}

fn of_takeover() -> Vec<(Value, Said)> {
    let service = |takeover: Value| spec(json!({"completionPolicy": "Never", "takeover": takeover}));
    let by_label = |required: Value| {
        service(json!({"preferredNodes": [{"weight": 1, "preference": {"matchExpressions": [required]}}]}))
    };
    let by_field = |required: Value| {
        service(json!({"preferredNodes": [{"weight": 1, "preference": {"matchFields": [required]}}]}))
    };
    let weight = |weight: i32| service(json!({"preferredNodes": [{"weight": weight, "preference": {}}]}));
    let share = "spec.takeover.preferredNodes[0].weight";
    let operator = "spec.takeover.preferredNodes[0].preference.matchExpressions[0].operator";
    let values = "spec.takeover.preferredNodes[0].preference.matchExpressions[0].values";
    let field = "spec.takeover.preferredNodes[0].preference.matchFields[0]";
    let fields = "use key metadata.name, operator In or NotIn, and at least one value: nodes are known by no other field here";
    let back = json!({"preferredNodes": [{"weight": 1, "preference": {}}], "failback": "WhenAvailable"});
    vec![
        (
            spec(json!({"takeover": back})),
            (
                "spec.takeover.failback",
                "leave failback out or write Never: with completionPolicy OnSuccess a running attempt is not interrupted for a better node",
            ),
        ),
        (
            spec(json!({"takeover": {"unreadyHolder": {"policy": "HandOver"}}})),
            (
                "spec.takeover.unreadyHolder.policy",
                "leave policy out or write Keep: with completionPolicy OnSuccess a running attempt is not interrupted for not being ready",
            ),
        ),
        (
            service(json!({"failback": "WhenAvailable"})),
            (
                "spec.takeover.failback",
                "leave failback out or write Never: there are no preferredNodes to go back to",
            ),
        ),
        (
            service(json!({"failback": "Always"})),
            ("spec.takeover.failback", "supported values: \"Never\", \"WhenAvailable\""),
        ),
        (
            service(json!({"unreadyHolder": {"afterSeconds": 0}})),
            ("spec.takeover.unreadyHolder.afterSeconds", "should be greater than or equal to 1"),
        ),
        (weight(0), (share, "should be greater than or equal to 1")),
        (weight(101), (share, "should be less than or equal to 100")),
        (
            by_label(json!({"key": "zone", "operator": "In"})),
            (values, "use at least one value with operator In"),
        ),
        (
            by_label(json!({"key": "zone", "operator": "NotIn", "values": []})),
            (values, "use at least one value with operator NotIn"),
        ),
        (
            by_label(json!({"key": "zone", "operator": "Exists", "values": ["a"]})),
            (values, "leave values out with operator Exists"),
        ),
        (
            by_label(json!({"key": "cores", "operator": "Gt", "values": ["few"]})),
            (values, "use one value, a whole number in quotes, with operator Gt"),
        ),
        (
            by_label(json!({"key": "cores", "operator": "Lt", "values": ["1", "2"]})),
            (values, "use one value, a whole number in quotes, with operator Lt"),
        ),
        (
            by_label(json!({"key": "zone", "operator": "Is"})),
            (operator, "supported values: \"In\", \"NotIn\""),
        ),
        (by_field(json!({"key": "metadata.uid", "operator": "In", "values": ["a"]})), (field, fields)),
        (by_field(json!({"key": "metadata.name", "operator": "Exists"})), (field, fields)),
    ]
}

fn good() -> Vec<Value> {
    let preference = json!({
        "matchExpressions": [
            {"key": "zone", "operator": "In", "values": ["a", "b"]}, {"key": "cores", "operator": "Gt", "values": ["8"]},
            {"key": "spot", "operator": "DoesNotExist"},
        ],
        "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-7"]}],
    });
    let nodes = json!([{"weight": 100, "preference": preference}, {"weight": 1, "preference": {}}]);
    let unready = json!({"policy": "HandOver", "afterSeconds": 5});
    let takeover = json!({"preferredNodes": nodes, "failback": "WhenAvailable", "unreadyHolder": unready});
    let side = container(json!({"name": "side", "command": null, "livenessProbe": {"grpc": {"port": 1}}}));
    vec![
        spec(json!({})),
        spec(json!({"completionPolicy": "Never", "takeover": takeover})),
        spec(json!({"takeover": {"preferredNodes": nodes, "failback": "Never", "unreadyHolder": {}}})),
        spec(json!({"replicas": 0, "suspend": true, "backoffLimit": 0})),
        spec(json!({"activeDeadlineSeconds": 1, "failurePolicy": {}})),
        ruled("NotIn", &json!([0, 255, 1, 1]), "Ignore"),
        spec(json!({"takeover": {}})),
        spec(json!({"schedule": {"cron": "@daily"}})),
        spec(json!({"suspend": true, "activeDeadlineSeconds": 60, "schedule": {
            "cron": "*/5 8-17 * * MON-FRI", "timeZone": "Europe/Stockholm", "startingDeadlineSeconds": 1, "concurrencyPolicy": "Enqueue",
            "candidates": "Always", "leadSeconds": 0, "successfulRunsHistoryLimit": 0, "failedRunsHistoryLimit": 100,
        }})),
        with_unreachable(&json!({"policy": "AfterPodGone"})),
        with_unreachable(&json!({"policy": "Manual", "delaySeconds": 86400})),
        merged(with_pod(json!({"restartPolicy": "Always"})), json!({"completionPolicy": "Never"})),
        with_pod(
            json!({"restartPolicy": "Never", "hostPID": false, "shareProcessNamespace": false, "os": {"name": "linux"}}),
        ),
        with_pod(json!({"containers": [container(json!({})), side]})),
        spec(
            json!({"workloadContainer": "main", "template": {"metadata": {"labels": {"a": "b"}, "creationTimestamp": null},
                    "spec": {"containers": [{"name": "first"}, container(json!({}))]}}}),
        ),
        with_container(
            json!({"volumeMounts": [{"name": "v", "mountPath": "/singletonjobs"}, {"name": "v", "mountPath": "/var/run"}]}),
        ),
        with_container(
            json!({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}, "resources": {"limits": {"cpu": 1, "memory": "64Mi"}}}),
        ),
        with_container(
            json!({"ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]}),
        ),
    ]
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_what_to_write_instead() {
    let fixture = Fixture::new("refusals").await;
    for (spec, (field, message)) in [
        of_the_spec(),
        of_names_and_schedules(),
        of_the_schedule(),
        of_the_failure_policy(),
        of_the_pod(),
        of_the_workload(),
        of_takeover(),
    ]
    .concat()
    {
        let said = dry_run(&fixture, &spec);
        assert!(
            said.contains(&format!("{field}: ")) && said.contains(message),
            "{spec}\n  says:   {said}\n  not:    {field}: {message}"
        );
    }
}

/// The raw object, so that what our own types would not say can be said.
fn dry_run(fixture: &Fixture, spec: &Value) -> String {
    let object = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "job"}, "spec": spec});
    let output = fixture.try_kubectl(&["create", "--dry-run=server", "--filename", "-"], &object.to_string());
    assert!(!output.status.success(), "accepted: {spec}");
    super::text(&output.stderr)
}

#[tokio::test]
async fn what_works_is_accepted() {
    let fixture = Fixture::new("good").await;
    for (number, spec) in good().iter().enumerate() {
        let created =
            fixture.jobs().create(&PostParams::default(), &job(&format!("good-{number}"), spec)).await;
        created.unwrap_or_else(|error| panic!("{spec}: {error}"));
    }
}

#[tokio::test]
async fn a_name_has_at_most_52_characters() {
    let fixture = Fixture::new("names").await;
    let good = spec(json!({}));
    fixture
        .jobs()
        .create(&PostParams::default(), &job(&"a".repeat(52), &good))
        .await
        .expect("52 are accepted");
    let said = refusal(fixture.jobs().create(&PostParams::default(), &job(&"a".repeat(53), &good)).await);
    assert!(
        said.contains("metadata.name: ")
            && said.contains("use a name of at most 52 characters: pods and labels are named after it"),
        "{said}"
    );
}

#[tokio::test]
async fn the_kind_of_a_job_cannot_be_changed() {
    let fixture = Fixture::new("kinds").await;
    let mut created =
        fixture.jobs().create(&PostParams::default(), &job("report", &spec(json!({})))).await.expect("good");
    created.spec.completion_policy = singletonjob::api::CompletionPolicy::Never;
    let said = refusal(fixture.jobs().replace("report", &PostParams::default(), &created).await);
    let message = "completionPolicy cannot be changed: delete this SingletonJob first, or use another name";
    assert!(said.contains("spec.completionPolicy: ") && said.contains(message), "{said}");
}

#[tokio::test]
async fn the_controller_of_a_job_is_not_named_changed_or_taken_away_later() {
    let fixture = Fixture::new("managed").await;
    let message = "managedBy cannot be changed: delete this SingletonJob first, or use another name";
    let ours = "singletonjob.dev/singletonjob-controller";
    for (number, (before, after)) in [
        (None, Some("example.com/other")),
        (None, Some(ours)),
        (Some(ours), Some("example.com/other")),
        (Some("example.com/other"), None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("job-{number}");
        let first = before.map_or(json!({}), |manager| json!({"managedBy": manager}));
        let mut stored =
            fixture.jobs().create(&PostParams::default(), &job(&name, &spec(first))).await.expect("good");
        stored.spec.replicas = 3;
        let mut stored = fixture
            .jobs()
            .replace(&name, &PostParams::default(), &stored)
            .await
            .expect("all else can be changed");
        stored.spec.managed_by = after.map(str::to_owned);
        let said = refusal(fixture.jobs().replace(&name, &PostParams::default(), &stored).await);
        assert!(
            said.contains("spec.managedBy: ") && said.contains(message),
            "{before:?} to {after:?}: {said}"
        );
    }
}

#[tokio::test]
async fn a_schedule_can_be_changed_but_neither_added_nor_taken_away() {
    let fixture = Fixture::new("schedules").await;
    let message = "use another name, or delete this SingletonJob first: a schedule can be changed, but neither added nor taken away";
    let nightly = spec(json!({"schedule": {"cron": "@daily"}}));
    let mut once =
        fixture.jobs().create(&PostParams::default(), &job("once", &spec(json!({})))).await.expect("good");
    let mut often =
        fixture.jobs().create(&PostParams::default(), &job("often", &nightly)).await.expect("good");
    once.spec.schedule.clone_from(&often.spec.schedule);
    let schedule = often.spec.schedule.take();
    for (name, changed) in [("once", &once), ("often", &often)] {
        let said = refusal(fixture.jobs().replace(name, &PostParams::default(), changed).await);
        assert!(said.contains("spec.schedule: ") && said.contains(message), "{said}");
    }
    often.spec.schedule =
        schedule.map(|schedule| singletonjob::api::schedule::Schedule { cron: "@hourly".into(), ..schedule });
    fixture
        .jobs()
        .replace("often", &PostParams::default(), &often)
        .await
        .expect("another time is no other kind");
}

#[tokio::test]
async fn names_that_both_programs_use_are_the_ones_refused() {
    use singletonjob::contract::{paths, pod as reserved};
    let fixture = Fixture::new("reserved").await;
    for volume in [reserved::AGENT_VOLUME, reserved::CREDENTIALS_VOLUME, reserved::STATE_VOLUME] {
        dry_run(&fixture, &with_pod(json!({"volumes": [{"name": volume, "emptyDir": {}}]})));
    }
    for path in [paths::AGENT_DIRECTORY, paths::CREDENTIALS, paths::STATE_DIRECTORY] {
        dry_run(&fixture, &with_container(json!({"volumeMounts": [{"name": "v", "mountPath": path}]})));
    }
    dry_run(&fixture, &with_container(json!({"name": reserved::INSTALLER})));
}
