//! What dashboards find, on plain data.

use super::*;
use crate::api::status::TakeoverReason;

const DOCUMENTATION: &str = include_str!("../../../docs/metrics.md");

fn takeover() -> Takeover {
    let reason = TakeoverReason::Expired;
    Takeover {
        acquire_time: None,
        from: None,
        to: "web-2".into(),
        reason,
        gap_milliseconds: Some(17_000),
        fencing_token: None,
    }
}

fn job_metrics() -> JobMetrics {
    let silence = Some(Duration::from_millis(2_500));
    JobMetrics {
        namespace: "shop".into(),
        name: "web".into(),
        held: true,
        transitions: 3,
        silence,
        ..JobMetrics::default()
    }
}

/// With at least one sample of everything.
fn all() -> Metrics {
    let metrics = Metrics::default();
    metrics.count_reconciliation(true, Duration::from_millis(3));
    metrics.set_active_workers(1);
    metrics.set_leader("singletonjob-controller", true);
    metrics.count_takeover(&takeover());
    metrics.follow(|| vec![job_metrics()]);
    metrics
}

#[test]
fn existing_dashboards_find_what_they_look_for() {
    let text = all().encode();
    for line in [
        r#"controller_runtime_reconcile_total{controller="singletonjob",result="success"} 1"#,
        r#"controller_runtime_reconcile_errors_total{controller="singletonjob"} 0"#,
        r#"leader_election_master_status{name="singletonjob-controller"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_job_has_one_series_for_each_metric_and_none_when_it_is_gone() {
    let metrics = all();
    let text = metrics.encode();
    for line in [
        r#"singletonjob_held{namespace="shop",name="web"} 1.0"#,
        r#"singletonjob_lease_silence_seconds{namespace="shop",name="web"} 2.5"#,
        r#"singletonjob_lease_transitions_total{namespace="shop",name="web"} 3.0"#,
        r#"singletonjob_takeovers_total{reason="Expired"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    metrics.follow(Vec::new);
    assert!(!metrics.encode().contains("shop"));
}

/// Name, type, labels and meaning of each metric, as the rows of a table.
fn rows(text: &str) -> Vec<String> {
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    helps.map(|(family, help)| row(text, family, help.trim_end_matches('.'))).collect()
}

fn row(text: &str, family: &str, help: &str) -> String {
    let prefix = format!("# TYPE {family} ");
    let kind = text.lines().find_map(|line| line.strip_prefix(&prefix)).expect("every metric has a type");
    let suffix = match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let sample = text
        .lines()
        .find_map(|line| line.strip_prefix(family)?.split_once(['{', ' ']))
        .expect("every metric has a sample");
    let labels = sample.1.split_once('}').map_or("", |(labels, _)| labels);
    let labels =
        labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| format!("`{label}`"));
    let labels = labels.filter(|label| label != "`le`").collect::<Vec<_>>().join(", ");
    format!("| `{family}{suffix}` | {kind} | {labels} | {help} |")
}

#[test]
fn the_documentation_lists_what_there_is() {
    let documented: Vec<_> = DOCUMENTATION.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted = rows(&all().encode());
    assert_eq!(documented, wanted, "docs/metrics.md should have these rows:\n{}\n", wanted.join("\n"));
}
