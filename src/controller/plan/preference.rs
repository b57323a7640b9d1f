//! Scores nodes by the arithmetic of a pod's preferred node affinity.

use std::collections::BTreeMap;

use crate::api::takeover::{NodeSelectorOperator, NodeSelectorRequirement, NodeSelectorTerm, PreferredNode};

/// The only field of a node that a term can match.
const NAME: &str = "metadata.name";

/// The sum of the weights of all terms that match the node with this name and these labels.
pub fn score(terms: &[PreferredNode], name: &str, labels: &BTreeMap<String, String>) -> i32 {
    terms.iter().filter(|term| matches(&term.preference, name, labels)).map(|term| term.weight).sum()
}

/// A term without requirements matches nothing, as in Kubernetes.
fn matches(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let NodeSelectorTerm { match_expressions, match_fields } = term;
    let is_empty = match_expressions.is_empty() && match_fields.is_empty();
    let by_label =
        |required: &NodeSelectorRequirement| meets(required, labels.get(&required.key).map(String::as_str));
    let by_field =
        |required: &NodeSelectorRequirement| meets(required, (required.key == NAME).then_some(name));
    !is_empty && match_expressions.iter().all(by_label) && match_fields.iter().all(by_field)
}

fn meets(required: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let among = value.is_some_and(|value| required.values.iter().any(|wanted| wanted.0 == value));
    match required.operator {
        NodeSelectorOperator::In => among,
        NodeSelectorOperator::NotIn => !among,
        NodeSelectorOperator::Exists => value.is_some(),
        NodeSelectorOperator::DoesNotExist => value.is_none(),
        NodeSelectorOperator::Gt => numbers(required, value).is_some_and(|(is, bound)| is > bound),
        NodeSelectorOperator::Lt => numbers(required, value).is_some_and(|(is, bound)| is < bound),
    }
}

fn numbers(required: &NodeSelectorRequirement, value: Option<&str>) -> Option<(i64, i64)> {
    let [bound] = required.values.as_slice() else { return None };
    Some((value?.parse().ok()?, bound.0.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn term(preference: Value) -> NodeSelectorTerm {
        serde_json::from_value(preference).expect("a term")
    }

    fn labels() -> BTreeMap<String, String> {
        [("zone", "a"), ("cores", "8"), ("disk", "ssd")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn operators_compare_as_in_kubernetes() {
        let table = [
            ("zone", "In", json!(["b", "a"]), true),
            ("zone", "In", json!(["b"]), false),
            ("rack", "In", json!(["a"]), false),
            ("zone", "NotIn", json!(["b"]), true),
            ("zone", "NotIn", json!(["a"]), false),
            ("rack", "NotIn", json!(["a"]), true),
            ("zone", "Exists", json!([]), true),
            ("rack", "Exists", json!([]), false),
            ("zone", "DoesNotExist", json!([]), false),
            ("rack", "DoesNotExist", json!([]), true),
            ("cores", "Gt", json!(["7"]), true),
            ("cores", "Gt", json!(["8"]), false),
            ("cores", "Lt", json!(["9"]), true),
            ("cores", "Lt", json!(["8"]), false),
            ("zone", "Gt", json!(["0"]), false),
            ("rack", "Lt", json!(["9"]), false),
            ("cores", "Gt", json!(["few"]), false),
            ("cores", "Gt", json!([]), false),
        ];
        for (key, operator, values, expected) in table {
            let said = format!("{key} {operator} {values}");
            let term =
                term(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}));
            assert_eq!(matches(&term, "node-a", &labels()), expected, "{said}");
        }
    }

    #[test]
    fn a_node_is_known_by_its_name_too() {
        let named = |operator: &str| {
            term(
                json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": ["node-a"]}]}),
            )
        };
        assert!(matches(&named("In"), "node-a", &labels()) && !matches(&named("In"), "node-b", &labels()));
        assert!(
            !matches(&named("NotIn"), "node-a", &labels()) && matches(&named("NotIn"), "node-b", &labels())
        );
    }

    #[test]
    fn a_term_matches_where_all_of_it_does_and_an_empty_one_nowhere() {
        let both = |zone: &str, node: &str| {
            term(json!({
                "matchExpressions": [
                    {"key": "zone", "operator": "In", "values": [zone]}, {"key": "disk", "operator": "In", "values": ["ssd"]},
                ],
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}],
            }))
        };
        assert!(matches(&both("a", "node-a"), "node-a", &labels()));
        assert!(!matches(&both("b", "node-a"), "node-a", &labels()));
        assert!(!matches(&both("a", "node-b"), "node-a", &labels()));
        assert!(!matches(&term(json!({})), "node-a", &labels()));
    }

    #[test]
    fn the_weights_of_all_terms_that_match_are_added_up() {
        let weighted = |weight: i32, key: &str| {
            let preference = term(json!({"matchExpressions": [{"key": key, "operator": "Exists"}]}));
            PreferredNode { weight, preference }
        };
        let terms = [weighted(1, "zone"), weighted(10, "disk"), weighted(100, "rack")];
        assert_eq!((score(&terms, "node-a", &labels()), score(&[], "node-a", &labels())), (11, 0));
    }
}
