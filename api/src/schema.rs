//! The CustomResourceDefinition: what the types say, made into what an API server, `kubectl` and GitOps tools
//! get along with.
//!
//! # Guarantees
//! - Small enough for client-side `kubectl apply`, whose annotation holds at most 262144 bytes: the
//!   template's descriptions are left out.
//! - Applying the same file twice changes nothing: no default stands below any `items`, and an explicit null
//!   counts as left out.
//! - Until the controller has seen an object its status says so, and clients that wait for it wait.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::conditions::{reasons, types};
use super::spec::SingletonJob;
use super::walk::each_schema;
use super::{rules, template};

const SPEC: &str = "/properties/spec";
const STATUS: &str = "/properties/status";
const TEMPLATE: &str = "/properties/spec/properties/template";
const CONCURRENCY_POLICIES: &str = "/properties/spec/properties/schedule/properties/concurrencyPolicy/enum";

/// The definition as it is applied, in JSON.
///
/// # Panics
/// Where the types do not serialise, or [`rules`] name a place that the types do not have: the test of drift
/// runs this.
pub fn definition() -> Value {
    let mut definition = serde_json::to_value(SingletonJob::crd()).expect("plain data");
    let schema = definition
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .expect("one version, with a schema");
    tidy(schema);
    template::settle(place(schema, TEMPLATE));
    // A value of CronJobs, which a rule refuses in more words than an enumeration could.
    place(schema, CONCURRENCY_POLICIES).as_array_mut().expect("an enumeration").push(json!("Allow"));
    without_defaults(place(schema, STATUS));
    place(schema, STATUS)["default"] = default_status();
    // The only part of the metadata that a definition may speak of: declared, so that a rule can point at it.
    schema["properties"]["metadata"] =
        json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}});
    install_rules(schema);
    definition
}

/// [`definition`] in the types of the API server.
///
/// # Panics
/// As [`definition`].
pub fn typed_definition() -> CustomResourceDefinition {
    serde_json::from_value(definition()).expect("came from this type")
}

fn install_rules(schema: &mut Value) {
    let spec = place(schema, SPEC);
    assert!(spec.is_object(), "the spec has a schema");
    for (pointer, rule) in rules::all() {
        let target = place(schema, pointer).as_object_mut().expect("a schema is an object");
        let list = target.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
        list.as_array_mut().expect("made as a list").push(serde_json::to_value(rule).expect("plain data"));
    }
}

fn place<'a>(schema: &'a mut Value, pointer: &str) -> &'a mut Value {
    schema.pointer_mut(pointer).unwrap_or_else(|| panic!("the schema has nothing at {pointer}"))
}

/// What `kubectl wait`, kstatus and Argo CD read before the controller's first visit, or without one.
fn default_status() -> Value {
    json!({"conditions": [{
        "type": types::READY,
        "status": "Unknown",
        "reason": reasons::PENDING,
        "message": "Waiting for the controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]})
}

fn tidy(schema: &mut Value) {
    each_schema(schema, &mut |keywords| {
        keywords.remove("nullable");
        keywords.remove("title");
        if let Some(Value::String(text)) = keywords.get_mut("description") {
            *text = unwrapped(text);
        }
        for bound in ["minimum", "maximum"] {
            if let Some(whole) = keywords.get(bound).and_then(whole) {
                keywords.insert(bound.to_owned(), whole);
            }
        }
        if let Some(items) = keywords.get_mut("items") {
            without_defaults(items);
        }
    });
}

/// Paragraphs without the line breaks of the source: `kubectl explain` breaks lines itself.
fn unwrapped(text: &str) -> String {
    text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

/// `16.0` as `16`: the API server stores it so, and `kubectl apply` would see a difference for ever.
fn whole(number: &Value) -> Option<Value> {
    let whole = serde_json::Number::from_f64(number.as_f64()?)?.to_string();
    whole.strip_suffix(".0")?.parse::<i64>().ok().map(Value::from)
}

fn without_defaults(schema: &mut Value) {
    each_schema(schema, &mut |keywords| drop(keywords.remove("default")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    #[test]
    fn the_definition_fits_into_the_annotation_of_client_side_apply() {
        let bytes = definition().to_string().len();
        assert!(bytes < 262_144 / 2, "{bytes} bytes: no room left to grow");
    }

    #[test]
    fn no_default_stands_below_a_list() {
        each_schema(&mut schema(), &mut |keywords| {
            if let Some(items) = keywords.get_mut("items") {
                each_schema(items, &mut |below| assert!(!below.contains_key("default"), "{below:?}"));
            }
        });
    }

    #[test]
    fn nothing_is_nullable_so_null_means_left_out() {
        each_schema(&mut schema(), &mut |keywords| {
            assert!(!keywords.contains_key("nullable"), "{keywords:?}");
        });
    }

    #[test]
    fn every_field_of_ours_is_explained() {
        let mut schema = schema();
        place(&mut schema, TEMPLATE).as_object_mut().expect("a schema").remove("properties");
        let spec = schema.pointer_mut(SPEC).expect("there");
        each_schema(spec, &mut |keywords| {
            let description = keywords.get("description").and_then(Value::as_str);
            assert!(description.is_some_and(|text| text.len() > 20), "{keywords:?}");
        });
    }

    #[test]
    fn before_the_controller_has_looked_ready_is_unknown() {
        let status = &schema()["properties"]["status"];
        let condition = &status["default"]["conditions"][0];
        assert_eq!(
            (&condition["type"], &condition["status"], &condition["reason"]),
            (&json!("Ready"), &json!("Unknown"), &json!("Pending"))
        );
        assert!(status["properties"]["runs"]["items"]["properties"]["attempts"].get("default").is_none());
    }
}
