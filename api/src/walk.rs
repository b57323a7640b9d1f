//! A walk over a JSON schema and all schemas inside it.

use serde_json::{Map, Value};

/// Calls `change` with the keywords of `schema` and of everything below it, never with a map of properties or
/// a default.
pub(super) fn each_schema(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(keywords) = schema.as_object_mut() else { return };
    change(keywords);
    for keyword in ["items", "additionalProperties"] {
        if let Some(below) = keywords.get_mut(keyword) {
            each_schema(below, change);
        }
    }
    if let Some(properties) = keywords.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|below| each_schema(below, change));
    }
}
