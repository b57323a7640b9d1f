//! Whether something says all that an earlier version said, with the same types and the same values, whatever
//! else it says.

use serde_json::Value;

/// What means something else since then, on purpose: version, file, path, and why an earlier reader is served
/// all the same.
const CHANGED: [(&str, &str, &str, &str); 6] = [
    ("0.0.0", "service/17-lease-lost", "/metadata/annotations/singletonjob.dev/progress/setbacks", LOSS),
    (
        "0.0.0",
        "service/17-lease-lost",
        "/metadata/annotations/singletonjob.dev/progress/retryAfterSeconds",
        LOSS,
    ),
    ("0.0.0", "pod", "/metadata/labels/app.kubernetes.io/managed-by", LABELS),
    ("0.0.0", "pod", "/metadata/labels/app.kubernetes.io/name", LABELS),
    ("0.0.0", "pod", "/spec/containers/0/livenessProbe/timeoutSeconds", PATIENCE),
    ("0.0.0", "pod", "/spec/containers/0/readinessProbe/timeoutSeconds", PATIENCE),
];
const LABELS: &str = "labels outside of our own domain are the template's; an earlier controller does not see such a pod, and makes others: \
                      the Lease keeps them apart";
const LOSS: &str = "a lost lease is no setback and makes no candidate wait; one that reads that there was none does not wait either";
const PATIENCE: &str = "the kubelet waits for the startup probe's answer too, and for one that hangs to be counted; an earlier agent, which does \
                        neither, answers sooner";

/// # Panics
/// Names what `today` lacks of `then`.
pub fn only(version: &str, name: &str, then: &Value, today: &Value) {
    let known = |difference: &&String| {
        !CHANGED.iter().any(|(of, file, path, _)| {
            *of == version && *file == name && difference.starts_with(&format!("{path}: "))
        })
    };
    let all = differences(then, today);
    let unknown: Vec<_> = all.iter().filter(known).collect();
    assert!(unknown.is_empty(), "{version}/{name} is no longer said:\n{unknown:#?}");
}

/// Every place in which `today` does not say what `then` said.
pub fn differences(then: &Value, today: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", then, today, &mut found);
    found
}

fn compare(path: &str, then: &Value, today: &Value, found: &mut Vec<String>) {
    match (then, today) {
        (Value::Object(then), Value::Object(today)) => {
            for (key, value) in then {
                compare(&format!("{path}/{key}"), value, today.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(then), Value::Array(today)) => list(path, then, today, found),
        (Value::String(then), Value::String(today)) => text(path, then, today, found),
        (then, today) if then == today => {}
        (then, today) => found.push(format!("{path}: {then}, and today {today}")),
    }
}

/// By name, where all have one; otherwise each with the one in its place.
fn list(path: &str, then: &[Value], today: &[Value], found: &mut Vec<String>) {
    let named = then.iter().all(|item| item.get("name").is_some());
    if !named && then.len() != today.len() {
        found.push(format!("{path}: {} items, and today {}", then.len(), today.len()));
    }
    for (place, item) in then.iter().enumerate() {
        let same = |other: &&Value| other.get("name") == item.get("name");
        let other = if named { today.iter().find(same) } else { today.get(place) };
        compare(&format!("{path}/{place}"), item, other.unwrap_or(&Value::Null), found);
    }
}

/// Annotations and arguments are texts that hold JSON.
fn text(path: &str, then: &str, today: &str, found: &mut Vec<String>) {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (json(then), json(today)) {
        (Some(then @ (Value::Object(_) | Value::Array(_))), Some(today)) => {
            compare(path, &then, &today, found);
        }
        _ if then == today => {}
        _ => found.push(format!("{path}: {then:?}, and today {today:?}")),
    }
}
