//! The schema of the pod template: what Kubernetes says of a pod, within limits.
//!
//! Every list, map and string has a limit from the first day, far above what a pod can use: the API server
//! estimates the cost of a rule from them, and a limit cannot be introduced later without refusing what was
//! accepted before. Lists that Kubernetes merges by key are merged by key here too, so that two field
//! managers can share a template; not those whose key needs a default (`ports`, `imagePullSecrets`), which
//! would make every second apply show a difference, nor those in which charts name a key twice (`env`,
//! `hostAliases`), which a Deployment takes.

use serde_json::{Map, Value, json};

use super::walk::each_schema;

const MOST_ITEMS: u64 = 1024;
/// The longest argument that Linux passes to a program.
const LONGEST_STRING: u64 = 128 * 1024;
/// A DNS label: names of containers and volumes.
const LONGEST_LABEL: u64 = 63;
const LONGEST_PATH: u64 = 1024;
const MOST_CONTAINERS: u64 = 32;
const MOST_VOLUMES: u64 = 256;

/// Lists of a pod, wherever they stand in it, that are maps by these keys.
const MAPS: [(&str, &[&str]); 8] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
];

/// Of the template's metadata, what reaches the pods; and what manifests of Jobs carry, where it means
/// nothing either.
const METADATA: [&str; 6] =
    ["annotations", "creationTimestamp", "generateName", "labels", "name", "namespace"];

/// What `resources` accept: a number with an optional suffix, as the API server parses it.
const QUANTITY: &str =
    r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+))?$";

/// Makes the schema that the types give into the one that is installed. Its own description stays; those
/// below it would be 270 kB.
pub(super) fn settle(template: &mut Value) {
    let description = template["description"].take();
    each_schema(template, &mut |keywords| drop(keywords.remove("description")));
    template["description"] = description;
    template["required"] = json!(["spec"]);
    properties(&mut template["properties"]["metadata"]).retain(|name, _| METADATA.contains(&name.as_str()));
    settle_pod(&mut template["properties"]["spec"]);
    each_schema(template, &mut limit);
}

fn settle_pod(pod: &mut Value) {
    properties(pod).remove("ephemeralContainers");
    each_schema(pod, &mut |keywords| {
        let Some(properties) = keywords.get_mut("properties").and_then(Value::as_object_mut) else { return };
        properties.iter_mut().for_each(|(name, property)| settle_property(name, property));
    });
    for list in ["containers", "initContainers"] {
        narrow(&mut pod["properties"][list], MOST_CONTAINERS, "name", LONGEST_LABEL);
        let container = &mut pod["properties"][list]["items"];
        narrow(&mut container["properties"]["volumeMounts"], MOST_VOLUMES, "mountPath", LONGEST_PATH);
    }
    pod["properties"]["containers"]["minItems"] = json!(1);
    narrow(&mut pod["properties"]["volumes"], MOST_VOLUMES, "name", LONGEST_LABEL);
}

fn settle_property(name: &str, property: &mut Value) {
    let keys = MAPS.iter().find(|(list, _)| *list == name).map(|(_, keys)| keys);
    if let (Some(keys), Some("array")) = (keys, property["type"].as_str()) {
        property["x-kubernetes-list-type"] = json!("map");
        property["x-kubernetes-list-map-keys"] = json!(keys);
    }
    let holder = if property.get("additionalProperties").is_some() {
        &mut property["additionalProperties"]
    } else {
        property
    };
    if name != "port" && holder.get("x-kubernetes-int-or-string").is_some() {
        *holder = quantity();
    }
}

/// A number or a string, as the API server reads it. No structural schema has a type for that: what is
/// neither is excluded by other means.
fn quantity() -> Value {
    json!({
        "x-kubernetes-preserve-unknown-fields": true,
        "pattern": QUANTITY,
        "maxProperties": 0,
        "maxItems": 0,
        "not": {"enum": [true, false, {}, []]},
    })
}

fn narrow(list: &mut Value, most: u64, key: &str, longest: u64) {
    list["maxItems"] = json!(most);
    list["items"]["properties"][key]["maxLength"] = json!(longest);
}

fn limit(keywords: &mut Map<String, Value>) {
    let (bound, most) = match keywords.get("type").and_then(Value::as_str) {
        Some("array") => ("maxItems", MOST_ITEMS),
        Some("object") if keywords.contains_key("additionalProperties") => ("maxProperties", MOST_ITEMS),
        Some("string") if !keywords.contains_key("format") => ("maxLength", LONGEST_STRING),
        _ => return,
    };
    keywords.entry(bound).or_insert_with(|| json!(most));
}

fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    schema["properties"].as_object_mut().expect("the schema of an object")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn pod() -> Value {
        schema::definition()
            .pointer(
                "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/template/properties/spec",
            )
            .expect("the template has a spec")
            .clone()
    }

    #[test]
    fn every_list_map_and_string_has_a_limit() {
        each_schema(&mut pod(), &mut |keywords| {
            let bound = match keywords.get("type").and_then(Value::as_str) {
                Some("array") => "maxItems",
                Some("object") if keywords.contains_key("additionalProperties") => "maxProperties",
                Some("string") if !keywords.contains_key("format") => "maxLength",
                _ => return,
            };
            assert!(keywords.contains_key(bound), "{keywords:?}");
        });
    }

    #[test]
    fn keys_of_list_maps_are_required_so_that_none_needs_a_default() {
        each_schema(&mut pod(), &mut |keywords| {
            let Some(keys) = keywords.get("x-kubernetes-list-map-keys").and_then(Value::as_array) else {
                return;
            };
            let required = keywords["items"]["required"].as_array().expect("a required key");
            assert!(keys.iter().all(|key| required.contains(key)), "{keys:?} of {required:?}");
        });
    }

    #[test]
    fn lists_whose_key_may_be_left_out_or_repeated_are_replaced_as_a_whole() {
        let pod = pod();
        let of_container = |list: &str| format!("/properties/containers/items/properties/{list}");
        let lists = [
            "/properties/imagePullSecrets".to_owned(),
            "/properties/hostAliases".to_owned(),
            of_container("ports"),
            of_container("env"),
        ];
        for pointer in &lists {
            let list = pod.pointer(pointer).expect("there");
            assert!(list.get("x-kubernetes-list-type").is_none(), "{pointer}");
        }
    }
}
